"""Files that are whole and on the disk, or absent, in a folder that one run has."""

from __future__ import annotations

import errno
import io
import json
import os
import secrets
import stat
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import TensorSpec, serialize
from safetensors.torch import load

from tests.jobs.runs import contents, save_images, silent, small_processor
from vlmres.cli.jobs import lock, shards
from vlmres.cli.jobs.folder import Folder
from vlmres.cli.jobs.lock import NAME, InUseError, LostError
from vlmres.cli.jobs.process import ProcessJob


def test_files_reach_the_disk_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All bytes, then the name, then the folder: a crash of the machine leaves no shard that is not whole."""
    steps: list[tuple[str, Any]] = []
    fsync, replace = os.fsync, os.replace

    def seen_fsync(handle: int) -> None:
        found = os.fstat(handle)
        steps.append(("folder" if stat.S_ISDIR(found.st_mode) else "file", (found.st_ino, found.st_size)))
        fsync(handle)

    def seen_replace(source: Path, target: Path) -> None:
        found = source.stat()
        steps.append(("name", (found.st_ino, found.st_size)))
        replace(source, target)

    images = save_images(tmp_path / "images", 2)
    job = ProcessJob(sorted(images.iterdir()), tmp_path / "out", small_processor(), 1)
    with job.opened(force=False, tell=pytest.fail):
        monkeypatch.setattr(os, "fsync", seen_fsync)
        monkeypatch.setattr(os, "replace", seen_replace)
        assert len(list(job.run(silent))) == 2
        monkeypatch.undo()
    assert [step for step, _ in steps] == ["file", "name", "folder"] * 3
    out = (tmp_path / "out").stat().st_ino
    files = [path.stat() for path in (*job.folder.shards(), tmp_path / "out" / "manifest.json")]
    for index, found in enumerate(files):
        written, renamed, folder = (step for _, step in steps[3 * index : 3 * index + 3])
        assert written == renamed == (found.st_ino, found.st_size)
        assert folder[0] == out


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_modes_follow_the_mask(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        folder = Folder(tmp_path / "out")
        with folder.locked("test", pytest.fail), folder.replacing("shard-00000.safetensors") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out" / "shard-00000.safetensors").stat().st_mode) == 0o666 & ~mask


def test_a_planted_link_is_not_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the name of a temporary file were guessed."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = Folder(tmp_path / "out")
    with folder.locked("test", pytest.fail):
        monkeypatch.setattr(secrets, "token_hex", lambda count: "0" * count * 2)
        (folder.path / f".manifest.json.{'0' * 16}.vlmres-tmp").symlink_to(victim)
        with pytest.raises(FileExistsError), folder.replacing("manifest.json"):
            pytest.fail("it was opened")
    assert victim.read_text() == "mine"


def test_names_of_temporaries_are_not_foretold(tmp_path: Path) -> None:
    names = set()
    folder = Folder(tmp_path)
    with folder.locked("test", pytest.fail):
        for _ in range(2):
            with folder.replacing("manifest.json") as file:
                file.write(b"x")
                (entry,) = (path.name for path in tmp_path.iterdir() if path.name.endswith("-tmp"))
                names.add(entry)
    assert len(names) == 2
    assert list(contents(tmp_path)) == ["manifest.json"]


def test_only_what_runs_left_is_removed(tmp_path: Path) -> None:
    left = [".shard-00000.safetensors.0123456789abcdef.vlmres-tmp", ".manifest.json.0.vlmres-tmp"]
    others = [
        "notes.1.vlmres-tmp",
        ".notes.1.vlmres-tmp",
        ".shard-00000.safetensors.x.vlmres-tmp",
        "shard-0.safetensors",
    ]
    for name in (*left, *others):
        (tmp_path / name).touch()
    with Folder(tmp_path).locked("test", pytest.fail):
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, NAME])


@pytest.mark.parametrize("bits", ["bfloat16", "float16"])
def test_bytes_are_those_of_safetensors(bits: str) -> None:
    """Of every type that results have, of none, and of odd shapes."""
    draw = np.random.default_rng(0)
    types = ("int64", "float32", "int32", "float16", "uint8", "bool", "uint16")
    arrays = {f"{name}é": draw.integers(0, 2, (3, 5)).astype(name) for name in types}
    arrays |= {"a": np.zeros((0, 4), np.float32), "z": np.ones((), np.int64), "b": np.ones((7, 1), np.uint8)}
    for chosen in (arrays, {}):
        metadata = shards.Metadata("0", {"ü": 'a"\n\x7f'}, [{"path": "/a/\udc80"}])
        file = io.BytesIO()
        shards.write(file, chosen, bits, metadata)
        specs = {
            key: TensorSpec(
                dtype=bits if array.dtype == np.uint16 else array.dtype.name,
                shape=list(array.shape),
                data_ptr=array.ctypes.data,
                data_len=array.nbytes,
            )
            for key, array in chosen.items()
        }
        assert file.getvalue() == serialize(specs, {"vlmres": json.dumps(metadata._asdict())})
        assert set(load(file.getvalue())) == set(chosen)


# The lock


def _elsewhere(folder: Path, **changes: Any) -> Path:
    """The lock's file of a run on another host."""
    folder.mkdir()
    path = folder / NAME
    record = {"command": "process", "host": "other", "machine": "another", "process": 7, "since": "then", "shards": [3]}
    path.write_text(json.dumps(record | changes))
    return path


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_PATIENCE", 0.3)
    monkeypatch.setattr(lock, "_BEAT", 0.05)


@pytest.mark.usefixtures("impatient")
def test_a_run_elsewhere_that_shows_signs_of_life(tmp_path: Path) -> None:
    """Where locks do not reach from host to host, its record and its touch tell of it."""
    path = _elsewhere(tmp_path / "out")
    over = threading.Event()

    def touch() -> None:
        while not over.wait(0.02):
            os.utime(path)

    thread = threading.Thread(target=touch)
    thread.start()
    told: list[str] = []
    try:
        with pytest.raises(InUseError) as error, Folder(path.parent).locked("test", told.append):
            pytest.fail("it was locked")
    finally:
        over.set()
        thread.join()
    assert str(error.value) == "vlmres process, process 7 on other, since then"
    assert len(told) == 1
    assert "locked by vlmres process, process 7 on other, since then" in told[0]
    assert json.loads(path.read_text())["host"] == "other"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("text", [None, "5", "[" * 100_000, '{"shards": "all"}', '{"host": ["\\u001b"]}'])
def test_a_run_elsewhere_that_died(text: str | None, tmp_path: Path) -> None:
    """Or a file that says nothing: after a time without signs of life the folder is free."""
    path = _elsewhere(tmp_path / "out")
    if text is not None:
        path.write_text(text)
    told: list[str] = []
    with Folder(path.parent).locked("test", told.append) as held:
        assert held.unfinished == ([3] if text is None else [])
        assert json.loads(path.read_text())["process"] == os.getpid()
    assert len(told) == 1
    assert not path.exists()


@pytest.mark.parametrize("recorded", [True, False])
def test_a_run_here_that_died(recorded: bool, tmp_path: Path) -> None:
    """The system ended its lock, so there is nothing to wait for."""
    path = _elsewhere(tmp_path / "out", machine=lock._machine())
    if not recorded:
        path.write_text("")
    with Folder(path.parent).locked("test", pytest.fail) as held:
        assert held.unfinished == ([3] if recorded else [])
        with pytest.raises(InUseError), Folder(path.parent).locked("test", pytest.fail):
            pytest.fail("it was locked twice")
    assert not path.exists()


@pytest.mark.usefixtures("impatient")
def test_a_volume_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the record and the signs of life do alone."""

    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    told: list[str] = []
    with (
        Folder(tmp_path).locked("first", pytest.fail),
        pytest.raises(InUseError, match=f"vlmres first, process {os.getpid()} on "),
        Folder(tmp_path).locked("second", told.append),
    ):
        pytest.fail("it was locked")
    assert len(told) == 1
    assert not (tmp_path / NAME).exists()


@pytest.mark.usefixtures("impatient")
def test_a_holder_shows_signs_of_life(tmp_path: Path) -> None:
    with Folder(tmp_path).locked("test", pytest.fail):
        before = (tmp_path / NAME).stat().st_mtime_ns
        end = time.monotonic() + 30
        while (tmp_path / NAME).stat().st_mtime_ns == before:
            assert time.monotonic() < end
            time.sleep(0.01)


@pytest.mark.parametrize("change", ["taken", "removed"])
def test_a_run_that_lost_the_folder_writes_nothing_more(change: str, tmp_path: Path) -> None:
    """As one that was suspended while another took the folder over; the other's lock stays."""
    folder = Folder(tmp_path)
    path = tmp_path / NAME
    with folder.locked("test", pytest.fail):
        if change == "taken":
            other = json.loads(path.read_text()) | {"token": "other", "host": "elsewhere"}
            path.write_text(json.dumps(other))
        else:
            path.unlink()
        with (
            pytest.raises(LostError, match="taken over by vlmres test" if change == "taken" else "no longer locked"),
            folder.replacing("manifest.json") as file,
        ):
            file.write(b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ([NAME] if change == "taken" else [])


def test_unfinished_shards_are_recorded(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with Folder(tmp_path).locked("test", pytest.fail) as held:
        held.begin(4)
        held.begin(11)
        assert json.loads(path.read_text())["shards"] == [4, 11]
        held.end(4)
        assert json.loads(path.read_text())["shards"] == [11]
