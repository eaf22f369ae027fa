"""Which classes are accelerated in this process, and why others are not. A server logs it in one line."""

from __future__ import annotations

import os
import threading

from vlmres._core import build_info
from vlmres.integrations.operations import log

_states: dict[str, str | None] = {}
_lock = threading.Lock()
_announced: int | None = None


def on(name: str) -> None:
    """Records that vlmres computes the pixels of class `name`."""
    if _states.get(name, "") is not None:
        _states[name] = None


def left(name: str, reason: str) -> None:
    """Records that the class `name` is left to the original, unless some of its calls are accelerated."""
    _states.setdefault(name, reason)


def turned_off(name: str, reason: str) -> None:
    """Records that the class `name` is left to the original from now on."""
    _states[name] = reason


def states() -> dict[str, str | None]:
    """The classes, each with the reason why it is left to the original; None for accelerated ones."""
    return dict(_states)


def line() -> str:
    """The line for the log."""
    known = states()
    done = ", ".join(sorted(name for name, reason in known.items() if reason is None)) or "nothing"
    rest = "; ".join(f"{name} ({reason})" for name, reason in sorted(known.items()) if reason is not None)
    return f"vlmres {build_info()['version']}: on for {done}" + (f"; left alone: {rest}" if rest else "")


def announce() -> None:
    """Logs the line once per process if vlmres runs in a server."""
    global _announced
    if not log.in_server() or _announced == os.getpid():
        return
    with _lock:
        if _announced == os.getpid():
            return
        _announced = os.getpid()
    log.logger().info("%s", line())
