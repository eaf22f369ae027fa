"""Calls of a processor from an event loop."""

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
    """Runs calls on its own threads, at most `limit` at the same time; the others wait in order."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._process = 0

    async def run(self, call: Callable[[Stop], T]) -> T:
        """Runs `call` on a thread and returns its result.

        If the task is cancelled, a call that waits never starts, and a running call is told to stop. The task continues
        only after the call has ended, so that nothing is written afterwards.
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
        """The pool of threads; a forked process gets a new one."""
        with self._lock:
            if self._threads is None or self._process != os.getpid():
                self._threads = ThreadPoolExecutor(self._limit, thread_name_prefix="vlmres")
                self._process = os.getpid()
            return self._threads


async def _ended(done: asyncio.Future[T]) -> None:
    """Waits until it is done, even if the task is cancelled again meanwhile; its result is ignored."""
    while not done.done():
        try:
            await asyncio.wait({done})
        except asyncio.CancelledError:
            continue
    if not done.cancelled():
        done.exception()  # retrieved, so that asyncio does not warn
