"""Runs of `vlmres process` that stop where a test wants them to."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import vlmres
from tests.commands import ENVIRONMENT, save
from vlmres.cli.jobs.lock import NAME

# The command, stopped for good at a known point: the third shard is half-written.
_STUCK = """
import signal, time
from vlmres.cli import main
from vlmres.cli.jobs import shards

def write(file, arrays, dtype, metadata):
    serialize(file, arrays, dtype, metadata)
    if metadata.images[0]["path"].endswith("2.png"):
        file.truncate(file.tell() // 2)
        print("half-written", flush=True)
        while True:
            time.sleep(60)

# A shell that starts tests in the background has them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
serialize, shards.write = shards.write, write
main()
"""


SMALL = ("--set", "image_width=32", "--set", "image_height=32")


def small_processor() -> vlmres.Processor:
    """What a run of `arguments` processes images with."""
    return vlmres.Processor(vlmres.Recipe.load("siglip", image_width=32, image_height=32))


def save_images(folder: Path, count: int = 5) -> Path:
    """Small images of different sizes."""
    for index in range(count):
        save(folder / f"{index}.png", 20 + 8 * index, 30, index)
    return folder


def arguments(images: Path, out: Path) -> list[str]:
    """Of a run with a small shard for each image."""
    return ["process", str(images), "-o", str(out), "-r", "siglip", *SMALL, "--shard-size", "1"]


@contextlib.contextmanager
def stuck(images: Path, out: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that has half-written its third shard and goes no further; it is killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", _STUCK, *arguments(images, out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "half-written\n"
            yield process
        finally:
            process.kill()


def temporaries(folder: Path) -> list[Path]:
    """Half-written files."""
    return [path for path in folder.iterdir() if path.name.startswith(".") and path.name != NAME]


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """All that is in a folder, hidden files too, with modes."""
    return {path.name: (path.read_bytes(), path.stat().st_mode) for path in folder.iterdir()}


def silent(count: int, *, kept: bool) -> None:
    """Takes a run's progress."""
    assert count >= 0
    assert kept in (True, False)
