"""Shadow mode: the original also computes a share of live calls; a difference switches the class off."""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable
from typing import Any

from vlmres.integrations.operations import log, parts, switches
from vlmres.integrations.operations.counters import VERIFIED, counters

VERIFY = "VLMRES_VERIFY"
"""The share of calls, from 0 to 1."""

_random = random.Random()


def share() -> float:
    """The share of calls that `VLMRES_VERIFY` sets.

    Raises:
        ValueError: It is not a number from 0 to 1.
    """
    return _parsed(os.environ.get(VERIFY, ""))


def is_due() -> bool:
    """Whether to compare this call."""
    part = share()
    return part > 0 and _random.random() < part


def verified(name: str, result: Any, original: Callable[[], Any], same: Callable[[Any, Any], bool]) -> Any:
    """The result of a call that both compute: of vlmres if they agree, else of the original."""
    try:
        expected = original()
        agree = same(result, expected)
    except Exception as error:
        _differs(name, f"the original fails: {error}")
        raise
    if agree:
        counters.add(VERIFIED, {"class": name, "result": "same"})
        return result
    _differs(name, "other values")
    return expected


def _differs(name: str, how: str) -> None:
    counters.add(VERIFIED, {"class": name, "result": "different"})
    reason = f"{VERIFY} found a difference"
    switches.switch_off(name, reason)
    parts.turned_off(name, reason)
    log.logger().error("%s: vlmres and the original differ (%s): all calls are left to the original now", name, how)


@functools.lru_cache(maxsize=4)
def _parsed(text: str) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"{VERIFY} must be a share from 0 to 1, got {text!r}")
    return value
