"""Readers of single values of `config.json`: of the type and range that the encoder needs, or an error that names them.

`null` is an error where transformers' strict configurations refuse it, which is nearly everywhere. It means the default
for parts of a configuration, and for what `optional_integer` and `optional_integers` read.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vlmres.encoder.architectures.base import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    Names = str | tuple[str, ...]

_ABSENT = object()


def wrong(name: str, found: Any, wanted: str) -> CheckpointError:
    """The error for a value that cannot be."""
    return CheckpointError(f"{name} is {found!r}; it must be {wanted}")


def find(config: Mapping[str, Any], names: Names, default: Any) -> tuple[str, Any]:
    """The first of one thing's names that is there, and its value.

    Raises:
        CheckpointError: None is, and there is no default.
    """
    listed = (names,) if isinstance(names, str) else names
    for name in listed:
        if name in config:
            return name, config[name]
    if default is _ABSENT:
        raise CheckpointError(f"config.json has no {listed[0]}")
    return listed[0], default


def integer(config: Mapping[str, Any], names: Names, default: Any = _ABSENT, *, least: int | None = 1) -> int:
    """A whole number.

    Raises:
        CheckpointError: It is none, or less than `least`.
    """
    name, found = find(config, names, default)
    if not _is_integer(found, least):
        raise wrong(name, found, "an integer" if least is None else f"an integer of at least {least}")
    return int(found)


def optional_integer(config: Mapping[str, Any], names: Names) -> int | None:
    """A whole number of at least 1; None where the configuration is silent or has null."""
    return None if find(config, names, None)[1] is None else integer(config, names)


def integers(config: Mapping[str, Any], name: str, default: Any = _ABSENT, *, least: int = 0) -> tuple[int, ...]:
    """A list of whole numbers.

    Raises:
        CheckpointError: It is none, or one is less than `least`.
    """
    _, found = find(config, name, default)
    if not isinstance(found, (list, tuple)) or not all(_is_integer(item, least) for item in found):
        raise wrong(name, found, f"a list of integers of at least {least}")
    return tuple(found)


def optional_integers(config: Mapping[str, Any], name: str) -> tuple[int, ...] | None:
    """A list of whole numbers of at least 1; None where the configuration is silent or has null."""
    return None if find(config, name, None)[1] is None else integers(config, name, least=1)


def number(config: Mapping[str, Any], name: str, default: float, *, zero: bool = False) -> float:
    """A finite number above 0, or 0 where `zero` allows it.

    Raises:
        CheckpointError: It is none.
    """
    _, found = find(config, name, default)
    if not _is_number(found) or found < 0 or (found == 0 and not zero):
        raise wrong(name, found, "a number of at least 0" if zero else "a number above 0")
    return float(found)


def numbers(config: Mapping[str, Any], name: str, default: tuple[float, float, float]) -> tuple[float, float, float]:
    """A number for each of three channels.

    Raises:
        CheckpointError: It is none.
    """
    _, found = find(config, name, default)
    if not isinstance(found, (list, tuple)) or len(found) != 3 or not all(map(_is_number, found)):
        raise wrong(name, found, "three numbers")
    red, green, blue = map(float, found)
    return red, green, blue


def flag(config: Mapping[str, Any], name: str, default: bool) -> bool:
    """True or false.

    Raises:
        CheckpointError: It is neither.
    """
    _, found = find(config, name, default)
    if not isinstance(found, bool):
        raise wrong(name, found, "true or false")
    return found


def word(config: Mapping[str, Any], name: str, default: str, known: Collection[str], what: str | None = None) -> str:
    """One of the words that are known; errors say `what` it is, by default its name.

    Raises:
        CheckpointError: It is another.
    """
    _, found = find(config, name, default)
    if not isinstance(found, str) or found not in known:
        listed = ", ".join(known)
        raise CheckpointError(f"unknown {what or name} {found!r}; known {'is' if len(known) == 1 else 'are'} {listed}")
    return found


def side(config: Mapping[str, Any], name: str, default: int) -> int:
    """The side of a square that a configuration writes as one number or two.

    Raises:
        CheckpointError: It is not square, or no integer of at least 1.
    """
    _, found = find(config, name, default)
    values = found if isinstance(found, (list, tuple)) and found else [found]
    if not all(_is_integer(value, 1) for value in values):
        raise wrong(name, found, "an integer of at least 1")
    if len(set(values)) != 1:
        raise CheckpointError(f"{name} is {list(values)}, which is not square")
    return int(values[0])


def square(config: Mapping[str, Any], name: str, default: int) -> int:
    """The side of a square of so many places.

    Raises:
        CheckpointError: The number is no square.
    """
    count = integer(config, name, default)
    root = math.isqrt(count)
    if root * root != count:
        raise CheckpointError(f"{name} is {count}, which is no square")
    return root


def section(config: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """A part of a configuration by any of its names; empty where there is none, which means all defaults.

    Raises:
        CheckpointError: It is no object.
    """
    for name in names:
        found = config.get(name)
        if found is None:
            continue
        if not isinstance(found, dict):
            raise wrong(name, found, "an object")
        return found
    return {}


def _is_integer(found: Any, least: int | None) -> bool:
    return isinstance(found, int) and not isinstance(found, bool) and (least is None or found >= least)


def _is_number(found: Any) -> bool:
    return isinstance(found, (int, float)) and not isinstance(found, bool) and math.isfinite(found)
