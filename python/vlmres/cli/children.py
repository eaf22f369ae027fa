"""Processes that answer questions which may end them: a fault of a library that no exception can report."""

from __future__ import annotations

import multiprocessing
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

# What people and schedulers end processes with. Of the rest, SIGKILL is also what a system short of memory sends.
_FROM_OUTSIDE = frozenset({"SIGINT", "SIGTERM", "SIGHUP"})


class EndedError(Exception):
    """The process ended over the question; the message says how."""


class Child:
    """A process that answers one question after another; a new one where the last has ended.

    Args:
        make: A function of a module. Called there with `args`, it gives the function that answers.
        args: What can be pickled.
    """

    def __init__(self, make: Callable[..., Callable[[Any], Any]], *args: Any) -> None:
        self._make, self._args = make, args
        self._running: tuple[SpawnProcess, Connection] | None = None

    def ask(self, question: Any) -> Any:
        """The answer.

        Raises:
            EndedError: The question ended the process.
            KeyboardInterrupt: The process was ended from outside.
        """
        self._running = self._running or self._start()
        process, connection = self._running
        try:
            connection.send(question)
            return connection.recv()
        except (EOFError, OSError):
            process.join()
            connection.close()
            self._running = None
            ended = _ended(process.exitcode or 0)
            if ended in _FROM_OUTSIDE:
                raise KeyboardInterrupt from None
            raise EndedError(ended) from None

    def close(self) -> None:
        """Ends the process."""
        if self._running is not None:
            process, connection = self._running
            connection.close()  # which ends it
            process.join(5)
            process.kill()
            self._running = None

    def _start(self) -> tuple[SpawnProcess, Connection]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, self._make, self._args), name="vlmres-child", daemon=True
        )
        process.start()
        theirs.close()
        return process, ours


def _serve(connection: Connection, make: Callable[..., Callable[[Any], Any]], args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    answer = make(*args)
    while True:
        try:
            question = connection.recv()
        except EOFError:
            return
        connection.send(answer(question))


def _ended(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"
