"""The threads of several processes together."""

import os
import time
from pathlib import Path

import pytest

from vlmres import threads
from vlmres._core import default_threads
from vlmres.integrations.operations import share


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "_folder", lambda: tmp_path)
    monkeypatch.setattr(share, "_looked", -share._LOOK)
    monkeypatch.setattr(share, "_processes", 1)
    monkeypatch.setattr(share, "default_threads", lambda: 8)
    monkeypatch.setattr(threads, "share", None)
    monkeypatch.delenv("VLMRES_NUM_THREADS", raising=False)


def other_process(folder: Path, number: int, age: float) -> Path:
    file = folder / str(number)
    file.touch()
    os.utime(file, (time.time() - age, time.time() - age))
    return file


def test_without_it_a_call_has_all() -> None:
    assert threads.usual_threads() == default_threads()


def test_processes_that_work_share(tmp_path: Path) -> None:
    share.enable()
    for number in (1, 2, 3):
        other_process(tmp_path, number, 1)
    other_process(tmp_path, 4, 60)  # has not worked for a while
    old = other_process(tmp_path, 5, 7200)
    assert threads.usual_threads() == 2
    assert share.processes() == 4
    assert not old.exists()
    assert (tmp_path / str(os.getpid())).exists()


def test_calls_of_a_process_share() -> None:
    share.enable()
    counts = []
    with share.working():
        counts.append(threads.usual_threads())
        with share.working(), share.working(), share.working():
            counts.append(threads.usual_threads())
            with share.working():
                counts.append(threads.usual_threads())
    counts.append(threads.usual_threads())
    assert counts == [8, 2, 1, 8]


def test_a_number_that_was_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    share.enable()
    other_process(tmp_path, 1, 1)
    monkeypatch.setenv("VLMRES_NUM_THREADS", "8")
    with share.working(), share.working():
        assert threads.usual_threads() == 8


def test_without_a_folder_nobody_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> Path:
        raise PermissionError("read-only")

    monkeypatch.setattr(share, "_folder", refused)
    assert share.processes() == 1
