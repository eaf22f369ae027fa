"""Plans to test with."""

import vlmres


def planned(width: int, height: int, name: str) -> vlmres.Plan | None:
    try:
        return vlmres.plan((width, height), name)
    except vlmres.PlanError:
        return None
