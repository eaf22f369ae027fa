"""Classes that are switched off: by the operator, or because their results differed from the original's."""

from __future__ import annotations

import functools
import os

DISABLE = "VLMRES_DISABLE"
"""Names of classes that vlmres must not accelerate, separated by commas."""

_off: dict[str, str] = {}


def off(name: str) -> str | None:
    """Why a class is switched off; None if it is not."""
    if name in _disabled(os.environ.get(DISABLE, "")):
        return f"{DISABLE} names it"
    return _off.get(name)


def switch_off(name: str, reason: str) -> None:
    """Leaves all calls of a class to the original from now on, in this process."""
    _off[name] = reason


def asked(variable: str) -> bool:
    """Whether an environment variable switches something on: it is set, and not to a word for no."""
    return os.environ.get(variable, "").strip().lower() not in ("", "0", "false", "no", "off")


@functools.lru_cache(maxsize=4)
def _disabled(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())
