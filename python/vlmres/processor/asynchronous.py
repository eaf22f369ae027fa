"""Calls of a processor that an event loop awaits."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from vlmres._core import Stop

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

T = TypeVar("T")


class Calls:
    """Runs calls on threads of its own, at most `limit` at once; others wait in the order in which they came."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._process = 0

    async def run(self, call: Callable[[Stop], T]) -> T:
        """The result of `call`, which ends early once it is told to.

        Where the task is cancelled, a call that waits is never begun, and one under way is told to stop; it has ended,
        and writes nowhere any more, when the task goes on.
        """
        stop, context = Stop(), contextvars.copy_context()
        future: Future[T] = self._executor().submit(context.run, call, stop)
        done = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            if not future.cancel():
                stop.stop()
                await _ended(done)
            raise

    def _executor(self) -> ThreadPoolExecutor:
        """The threads; new ones in a process that was forked."""
        with self._lock:
            if self._threads is None or self._process != os.getpid():
                self._threads = ThreadPoolExecutor(self._limit, thread_name_prefix="vlmres")
                self._process = os.getpid()
            return self._threads


async def _ended(done: asyncio.Future[T]) -> None:
    """Waits until it is done, however often the task is cancelled meanwhile; its result is of no interest."""
    while not done.done():
        try:
            await asyncio.wait({done})
        except asyncio.CancelledError:
            continue
    if not done.cancelled():
        done.exception()  # it is seen
