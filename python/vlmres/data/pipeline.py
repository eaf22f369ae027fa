"""Work done ahead by threads, whose results come in order."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

W = TypeVar("W")
R = TypeVar("R")


class Pipeline(Generic[W, R]):
    """Makes results of what `source` gives, at most `ahead` more than were taken.

    `source` is asked by one thread at a time, `make` runs on several. An exception of either comes in its place, and is
    the last. `on_close` is called once, to end what `make` is doing: when the pipeline is closed or dropped, or when
    the interpreter exits.

    After a fork the child has no threads: there `next` is an error.
    """

    def __init__(
        self, source: Iterator[W], make: Callable[[W], R], *, ahead: int, on_close: Callable[[], None]
    ) -> None:
        self._process = os.getpid()
        self._state: _State = _State(source, make, ahead, on_close)
        self._taken = 0
        self._state.start()
        # The threads know the state, not the pipeline: so one that is dropped in the middle of an epoch is closed.
        self._finalizer = weakref.finalize(self, _close_in, self._process, self._state)

    def __iter__(self) -> Pipeline[W, R]:
        return self

    def __next__(self) -> R:
        if os.getpid() != self._process:
            raise RuntimeError("a loop over a Loader cannot go on in a forked process, which has none of its threads")
        result = self._state.take(self._taken)
        self._taken += 1
        if isinstance(result, _Failed):
            self.close()
            if isinstance(result.error, StopIteration):
                raise StopIteration
            try:
                raise result.error
            finally:
                del result  # an exception that holds its frame, and the frame it, would keep batches
        return result  # type: ignore[no-any-return]

    def close(self) -> None:
        """Ends the threads. What they are doing ends early, and results that were not taken are dropped."""
        self._finalizer()


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class _State:
    """What a pipeline and its threads share."""

    def __init__(
        self, source: Iterator[Any], make: Callable[[Any], Any], ahead: int, on_close: Callable[[], None]
    ) -> None:
        self._source = source
        self._make = make
        self._on_close = on_close
        self._changed = threading.Condition()
        self._fetching = threading.Lock()
        self._room = threading.Semaphore(ahead)
        self._begun = 0
        self._over = False
        self._closed = False
        self._done: dict[int, Any] = {}
        threads = range(ahead)
        self._threads = [threading.Thread(target=self._run, name=f"vlmres-loader-{at}", daemon=True) for at in threads]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def take(self, number: int) -> Any:
        with self._changed:
            while number not in self._done:
                if self._closed:
                    return _Failed(StopIteration())
                self._changed.wait()
            result = self._done[number]
            if not isinstance(result, _Failed):
                del self._done[number]
                self._room.release()
        return result

    def close(self) -> None:
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._done.clear()
            self._changed.notify_all()
        self._on_close()
        for _ in self._threads:
            self._room.release()
        for thread in self._threads:
            if thread is not threading.current_thread():
                # One that is inside the caller's own code, such as a dataset's, ends when that returns.
                thread.join(timeout=5)
        self._source = iter(())

    def _run(self) -> None:
        while True:
            self._room.acquire()
            with self._fetching:
                if self._closed or self._over:
                    return
                number = self._begun
                self._begun += 1
                try:
                    work = next(self._source)
                except BaseException as error:
                    self._over = True
                    self._put(number, _Failed(error))
                    # The others wait for room, and need none to end.
                    for _ in self._threads:
                        self._room.release()
                    return
            try:
                result = self._make(work)
            except BaseException as error:
                result = _Failed(error)
            del work
            self._put(number, result)
            del result

    def _put(self, number: int, result: Any) -> None:
        with self._changed:
            if not self._closed:
                self._done[number] = result
                self._changed.notify_all()


def _close_in(process: int, state: _State) -> None:
    if os.getpid() == process:
        state.close()
