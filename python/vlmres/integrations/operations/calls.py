"""A call that is answered by vlmres or by the original."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from vlmres.integrations.operations import log, parts, shadow, share, switches
from vlmres.integrations.operations.compare import same
from vlmres.integrations.operations.counters import FALLBACKS, IMAGES, SECONDS, counters
from vlmres.integrations.operations.decline import DeclinedError

R = TypeVar("R")


def answer(
    name: str,
    images: int,
    ours: Callable[[], R],
    original: Callable[[], R],
    *,
    whose: str = "transformers",
    compare: Callable[[Any, Any], bool] = same,
    announce: bool = True,
) -> R:
    """The result of a call: of vlmres if it takes the call, else of the original.

    If vlmres raises any error, the original answers, and one warning is logged for each class and kind of reason. Every
    call is counted, and a share of calls is compared (`shadow`).

    Args:
        name: The name of the class that was called, for counters and switches.
        images: Number of images or videos in the call.
        ours: Computes with vlmres; raises `DeclinedError` if vlmres does not take the call.
        original: Computes without vlmres.
        whose: The library of the original, for the log.
        compare: Tells whether two results are the same, for shadow mode.
        announce: Whether to log the accelerated classes at the first such call of a server's process.
    """
    declined = _switched_off(name) or _run(name, images, ours)
    if isinstance(declined, DeclinedError):
        counters.add(FALLBACKS, {"class": name, "reason": declined.kind})
        parts.left(name, declined.reason)
        if declined.kind != "off":
            log.log_once(name, declined, whose)
        if announce:
            parts.announce()
        started = time.perf_counter()
        result = original()
        _count(name, "original", images, started)
        return result
    result = declined[0]
    if announce:
        parts.announce()
    return shadow.verified(name, result, original, compare) if shadow.is_due() else result


def _switched_off(name: str) -> DeclinedError | None:
    reason = switches.off(name)
    return None if reason is None else DeclinedError("off", reason)


def _run(name: str, images: int, ours: Callable[[], R]) -> tuple[R] | DeclinedError:
    started = time.perf_counter()
    try:
        with share.working():
            result = ours()
    except DeclinedError as declined:
        return declined.with_traceback(None)
    except Exception as error:
        return DeclinedError(f"error {type(error).__name__}", f"vlmres failed: {error!r}", error)
    parts.on(name)
    _count(name, "vlmres", images, started)
    return (result,)


def _count(name: str, path: str, images: int, started: float) -> None:
    labels = {"class": name, "path": path}
    counters.add(IMAGES, labels, images)
    counters.add(SECONDS, labels, time.perf_counter() - started)
