"""Whose rounding a resize and a normalisation have: torch's, or that of a Pillow version."""

from __future__ import annotations

import functools
from typing import Literal, get_args

from vlmres._core import VlmresError
from vlmres._imported import imported

Arithmetic = Literal["torch", "pillow", "pillow-installed", "pillow-13", "pillow-12", "pillow-11"]


def resolve_arithmetic(name: str) -> str:
    """The arithmetic with the version of Pillow that it means: "pillow" is 13, whatever is installed."""
    if name == "pillow-installed":
        return installed_pillow()
    return "pillow-13" if name == "pillow" else name


def resolve_backend(name: str) -> tuple[str, int]:
    """The backend of an arithmetic, and the major version of the Pillow whose order of passes it has.

    Raises:
        VlmresError: There is no such arithmetic.
    """
    names = get_args(Arithmetic)
    if name not in names:
        raise VlmresError(f"arithmetic must be one of {', '.join(names)}, got {name!r}")
    if name == "torch":
        return name, 13  # for those steps that are always Pillow's
    return "pillow", int(resolve_arithmetic(name).rpartition("-")[2])


def installed_pillow() -> str:
    """Which of the Pillow arithmetics the installed Pillow has.

    Raises:
        ModuleNotFoundError: Pillow is not installed.
    """
    pil = imported("PIL", "__version__")
    return _pillow_of(_pillow_version() if pil is None else pil.__version__)


@functools.cache
def _pillow_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pillow")
    except PackageNotFoundError:
        raise ModuleNotFoundError('arithmetic="pillow-installed" needs Pillow, which is not installed') from None


def _pillow_of(version: str) -> str:
    major, minor = (*(int(part) for part in version.split(".")[:2] if part.isdigit()), 0)[:2]
    if major >= 13:
        return "pillow-13"
    return "pillow-12" if (major, minor) >= (12, 2) else "pillow-11"
