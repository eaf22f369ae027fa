"""Child processes for work that may crash them, by a fault in a library that no exception reports."""

from __future__ import annotations

import multiprocessing
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

# Signals that users and schedulers send. SIGKILL is not among them: a system that is short of memory sends it, too.
_FROM_OUTSIDE = frozenset({"SIGINT", "SIGTERM", "SIGHUP"})


class EndedError(Exception):
    """The process ended before it answered; the message says how."""


class Child:
    """A child process that answers questions one after another. If it ends, the next question starts a new one.

    Args:
        make: A module's function. The child calls it with `args`; it returns the function that answers.
        args: Picklable arguments.
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
            connection.close()  # the closed pipe ends it
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
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
