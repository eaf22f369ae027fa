"""Runs that stop, meet each other, and find what is not theirs."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import vlmres
from tests.commands import ARGUMENTS, ENVIRONMENT, manifest, run, save, shards, states
from tests.jobs.runs import arguments, contents, save_images, silent, small_processor, stuck, temporaries
from vlmres.cli.jobs import base
from vlmres.cli.jobs.lock import NAME
from vlmres.cli.jobs.process import ProcessJob


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return save_images(tmp_path / "images")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_and_resumed(images: Path, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out"
    with stuck(images, out) as process:
        (half,) = temporaries(out)
        assert half.stat().st_size > 0
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted" in errors
        assert "Traceback" not in errors
        assert not half.exists()
        assert not (out / NAME).exists()
    else:
        assert process.returncode == -number
        assert half.exists()
    finished = states(out)
    assert list(finished) == [f"shard-0000{index}.safetensors" for index in range(2)]
    assert not (out / "manifest.json").exists()
    for path in shards(out):
        assert load_file(path)  # none is half-written
    result = run(*arguments(images, out))
    assert "3 shards written, 2 kept" in result.stdout
    assert not result.stderr
    after = states(out)
    assert len(after) == 5
    assert {name: after[name] for name in finished} == finished
    assert len(manifest(out)["images"]) == 5
    whole = tmp_path / "whole"
    run(*arguments(images, whole))
    assert contents(out) == contents(whole)


def test_two_runs_at_once(images: Path, tmp_path: Path) -> None:
    """One works, the other says why not and takes nothing away, whatever it was asked for."""
    out = tmp_path / "out"
    with stuck(images, out) as process:
        before = contents(out)
        for options in ([], ["--force"], ["--dtype", "uint8", "--force"]):
            result = run(*arguments(images, out), *options, code=2, COLUMNS="1000")
            assert f"is in use by vlmres process, process {process.pid} on " in result.stderr
        assert contents(out) == before
        assert process.poll() is None
    assert "3 shards written, 2 kept" in run(*arguments(images, out)).stdout


def _limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))


def test_a_file_that_cannot_be_written_whole(images: Path, tmp_path: Path) -> None:
    """As on a full disk: a limit on the size of files lets the first shards through."""
    out = tmp_path / "out"
    command = arguments(images, out)
    command[command.index("--shard-size") + 1] = "4"
    small = [*command, "--dtype", "uint8"]
    first = subprocess.run(
        [*ARGUMENTS, *small], capture_output=True, text=True, env=ENVIRONMENT, preexec_fn=_limit_files
    )
    assert first.returncode == 1
    assert first.stderr == f"vlmres: {out / 'shard-00000.safetensors'}: {os.strerror(errno.EFBIG)}\n"
    assert list(out.iterdir()) == []
    run(*small)
    assert_contents_of_another(small, out, tmp_path)


# Room for some of the five shards; then more.
_FULL = """
mount -t tmpfs -o size=256k tmpfs "$1" || exit 77
head -c "$2" /dev/zero > "$1/ballast"
out="$1/out"; shift 2
"$@" -o "$out"; echo "code $?"
ls -A "$out"
rm "$out/../ballast"
"$@" -o "$out"; echo "code $?"
cp -r "$out" "$out/../../copy"
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="there is no unshare to make a small file system with")
def test_a_full_disk(images: Path, tmp_path: Path) -> None:
    """A file system of 256 KiB, of which another file takes most; then that is gone."""
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    command = arguments(images, mounted)
    command = [*command[:2], *command[4:]]
    privileges = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    result = subprocess.run(
        ["unshare", *privileges, "--mount", "sh", "-c", _FULL, "sh", mounted, "196608", *ARGUMENTS, *command],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    if result.returncode in (1, 77) and "code" not in result.stdout:
        pytest.skip(f"no file system can be mounted here: {result.stderr.strip()}")
    assert "Traceback" not in result.stderr
    lines = result.stdout.splitlines()
    made = lines.index("code 0") - 2
    assert made in range(1, 5)
    full = mounted / "out" / f"shard-0000{made}.safetensors"
    assert result.stderr == f"vlmres: {full}: {os.strerror(errno.ENOSPC)}\n"
    assert lines[: made + 1] == ["code 1", *(f"shard-0000{index}.safetensors" for index in range(made))]
    assert f"{5 - made} shard{'s' * (made != 4)} written, {made} kept" in lines[made + 1]
    whole = tmp_path / "whole"
    run(*arguments(images, whole))
    assert contents(tmp_path / "copy") == contents(whole)


def assert_contents_of_another(command: list[str], out: Path, tmp_path: Path) -> None:
    """The folder is what one run that nothing disturbs makes."""
    whole = tmp_path / "whole"
    run(*[str(whole) if text == str(out) else text for text in command])
    assert contents(out) == contents(whole)


def test_shards_end_at_bytes(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors and decoded images of a shard fit into the bound together."""
    files = sorted(images.iterdir())
    processor = small_processor()
    sizes = [vlmres.image_size(path) for path in files]
    costs = [size.width * size.height * 3 + 32 * 32 * 3 * 4 for size in sizes]
    monkeypatch.setattr(base, "_MAX_BYTES", sum(costs[:3]))
    assert _counts(ProcessJob(files, tmp_path / "a", processor, 100)) == [3, 2]
    monkeypatch.setattr(base, "_MAX_BYTES", sum(costs[:3]) - 1)
    assert _counts(ProcessJob(files, tmp_path / "b", processor, 100)) == [2, 2, 1]
    # One image that needs more on its own is a shard.
    monkeypatch.setattr(base, "_MAX_BYTES", 1)
    assert _counts(ProcessJob(files, tmp_path / "c", processor, 100)) == [1] * 5


def _counts(job: ProcessJob) -> list[int]:
    with job.opened(force=False, tell=pytest.fail):
        return [len(shard.images) for shard in job.run(silent)]


def _foreign(path: Path, said: Any) -> None:
    metadata = None if said is None else {"vlmres": said if isinstance(said, str) else json.dumps(said)}
    save_file({"x": np.zeros(3, np.float32)}, path, metadata)


@pytest.mark.parametrize(
    "said",
    [
        None,
        5,
        ["settings"],
        {"settings": {}, "images": []},
        {"fingerprint": "0", "settings": {}},
        {"fingerprint": "0", "settings": {"params": 5}, "images": []},
        {"fingerprint": "0", "settings": {}, "images": [5]},
        {"fingerprint": "0", "settings": {}, "images": [{"path": 5}]},
        {"fingerprint": "0", "settings": {}, "images": [{"path": "a", "tokens": "many"}]},
        "no JSON",
        "[" * 100_000,
    ],
)
def test_foreign_shards_are_refused(said: Any, images: Path, tmp_path: Path) -> None:
    """Nobody else's file is replaced unasked; `--force` replaces it."""
    out = tmp_path / "out"
    out.mkdir()
    shard = out / "shard-00001.safetensors"
    _foreign(shard, said)
    before = contents(out)
    files = sorted(images.iterdir())[:2]
    job = ProcessJob(files, out, small_processor(), 1)
    with (
        pytest.raises(base.OtherContentError, match=r"shard-00001\.safetensors, which no run of vlmres wrote"),
        job.opened(force=False, tell=pytest.fail),
    ):
        pytest.fail("it was opened")
    assert contents(out) == before
    with job.opened(force=True, tell=pytest.fail):
        assert not any(shard.kept for shard in job.run(silent))
    assert len(manifest(out)["images"]) == 2


def test_foreign_files_are_messages(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    mine = out / "manifest.json"
    mine.write_text('{"name": "my web application"}')
    result = run(*arguments(images, out), code=2, COLUMNS="1000")
    assert "holds a manifest.json that no run of vlmres wrote" in result.stderr
    assert "--force" in result.stderr
    os.mkfifo(out / "shard-00000.safetensors")
    result = run(*arguments(images, out), code=2, COLUMNS="1000")
    assert "holds shard-00000.safetensors, which no run of vlmres wrote" in result.stderr
    # What a shard says of itself is not shown as it is.
    (out / "shard-00000.safetensors").unlink()
    said = {"fingerprint": "0", "settings": {"\x1b[31m": "\x1b]0;"}, "images": []}
    _foreign(out / "shard-00000.safetensors", said)
    result = run(*arguments(images, out), code=2, COLUMNS="1000")  # which looks for escape codes
    assert "holds results with" in result.stderr
    assert mine.read_text() == '{"name": "my web application"}'
    run(*arguments(images, out), "--force")
    assert_whole_of_small(out)


def assert_whole_of_small(out: Path) -> None:
    found = manifest(out)
    assert found["shards"] == [path.name for path in shards(out)]
    assert found["num_images"] == 5


@pytest.mark.parametrize("name", ["manifest.json", "shard-00000.safetensors", NAME])
def test_links_are_not_followed(name: str, images: Path, tmp_path: Path) -> None:
    """Whoever can write to the folder could otherwise have any file of the user's overwritten."""
    out, victim = tmp_path / "out", tmp_path / "victim"
    out.mkdir()
    victim.write_text("mine")
    (out / name).symlink_to(victim)
    result = run(*arguments(images, out), "--force", code=2 if name == NAME else 0, COLUMNS="1000")
    assert victim.read_text() == "mine"
    if name == NAME:
        assert f"{out / NAME}: {os.strerror(errno.ELOOP)}" in result.stderr
    else:
        assert not (out / name).is_symlink()
        assert_whole_of_small(out)


# A processor that a file ends with its process, as memory that the system refuses does.
_POISONED = """
import resource
import vlmres
from tests.jobs.poisoned import Poisoned
from vlmres.cli import main

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
vlmres.Processor = Poisoned
main()
"""


def test_a_file_that_ends_the_process_costs_itself(images: Path, tmp_path: Path) -> None:
    """Not at the first run, which it ends, but at the second and all after it."""
    out = tmp_path / "out"
    save(images / "3-poison.png", 30, 30)
    command = arguments(images, out)
    command[command.index("--shard-size") + 1] = "3"

    def attempt(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", _POISONED, *command, *options],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            cwd=Path(__file__).parents[2],
        )

    assert attempt().returncode == -signal.SIGABRT
    assert [path.name for path in shards(out)] == ["shard-00000.safetensors"]
    second = attempt()
    wanted = f"vlmres: {images / '3-poison.png'}: it ended the process that decoded it (SIGABRT)"
    assert (second.returncode, second.stderr.splitlines()) == (1, [wanted])
    assert "5 images, 1 failed; 1 shard written, 1 kept" in second.stdout
    before = states(out)
    third = attempt()
    assert (third.returncode, third.stderr.splitlines()) == (1, [wanted])
    assert states(out) == before
    assert not temporaries(out)
    # All others are those of a run without it.
    (images / "3-poison.png").unlink()
    whole = tmp_path / "whole"
    run(*[str(whole) if text == str(out) else text for text in command])
    rows = {name: load_file(out / name)["pixel_values"] for name in manifest(out)["shards"]}
    assert np.array_equal(
        np.concatenate(list(rows.values())),
        np.concatenate([load_file(path)["pixel_values"] for path in shards(whole)]),
    )
