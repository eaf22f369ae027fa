"""The results of a run, as rows for a terminal and as Markdown."""

from __future__ import annotations

import importlib
import platform
from typing import TYPE_CHECKING, Any

import vlmres

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.verify.run import Tally

COLUMNS = ("recipe", "arithmetic", "cases", "left out", "max|Δ|", "differing", "token mismatches", "seconds")
NUMBERS = COLUMNS[2:]

_PACKAGES = {"transformers": "transformers", "torch": "torch", "torchvision": "torchvision", "PIL": "Pillow"}


def row(tally: Tally) -> list[str]:
    """A tally in the order of `COLUMNS`."""
    compared = tally.cases > tally.left_out
    return [
        tally.subject.name,
        tally.arithmetic,
        str(tally.cases),
        str(tally.left_out),
        f"{tally.difference:g}" if compared and (tally.difference or not tally.differing) else "-",
        str(tally.differing),
        _tokens(tally),
        f"{tally.seconds:.1f}",
    ]


def as_dict(tally: Tally) -> dict[str, Any]:
    """A tally as JSON holds it."""
    return {
        "recipe": tally.subject.name,
        "arithmetic": tally.arithmetic,
        "cases": tally.cases,
        "left_out": tally.left_out,
        "max_difference": tally.difference,
        "differing": tally.differing,
        "counted": tally.counted,
        "miscounted": tally.miscounted,
        "failed": tally.failed,
        "failures": [f"{failure.reason} ({failure.case})" for failure in tally.failures],
        "seconds": round(tally.seconds, 3),
    }


def _tokens(tally: Tally) -> str:
    if not tally.counted:
        return "-"
    left_out = f" ({tally.not_counted} left out)" if tally.not_counted else ""
    return f"{tally.miscounted} of {tally.counted}{left_out}"


def versions() -> str:
    """The versions and the machine on which the result depends, in one line."""
    build = vlmres.build_info()
    found = [f"{name} {importlib.import_module(module).__version__}" for module, name in _PACKAGES.items()]
    return ", ".join(
        [
            f"vlmres {vlmres.__version__} ({build['simd']})",
            *found,
            f"Python {platform.python_version()}",
            platform.machine(),
        ]
    )


def markdown(tallies: Sequence[Tally], command: str) -> str:
    """The report as a Markdown document."""
    lines = [
        "# Parity with transformers",
        "",
        f"`{command}`",
        "",
        f"{versions()}.",
        "",
        "A case is a call with one to three images, or one or two videos, of random or extreme sizes and modes, with "
        "the settings of the checkpoint or others; keys, shapes, types and every bit of the values are compared. Left "
        "out are cases whose settings no recipe follows, and the tokens of images for which transformers is known to "
        "count others than it makes.",
        "",
        f"| {' | '.join(COLUMNS)} |".replace("max|Δ|", "max\\|Δ\\|"),
        "|---|---" + "|--:" * len(NUMBERS) + "|",
        *(f"| {' | '.join(row(tally))} |" for tally in tallies),
    ]
    failures = [failure for tally in tallies for failure in tally.failures]
    if failures:
        lines += ["", "## Failures", ""]
        lines += [f"- {failure.reason}  \n  {failure.case}  \n  `{failure.command}`" for failure in failures]
    return "\n".join(lines) + "\n"
