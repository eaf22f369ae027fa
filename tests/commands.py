"""Commands run as a user runs them, and what they leave in a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

import vlmres
from tests.images import pixels

# CI services make rich and typer believe in a terminal.
ENVIRONMENT = {
    key: value
    for key, value in os.environ.items()
    if key not in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "COLUMNS", "VLMRES_NUM_THREADS")
}
ARGUMENTS = [sys.executable, "-m", "vlmres.cli"]


def run(*arguments: str | Path, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [*ARGUMENTS, *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=ENVIRONMENT | environment,
        timeout=120,
    )
    assert result.returncode == code, result.stdout + result.stderr
    assert "\x1b" not in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result


def save(path: Path, width: int, height: int, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(width, height, seed=seed)).save(path)
    return path


def manifest(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text())


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*.safetensors"))


def states(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in shards(folder)}


def assert_whole(folder: Path) -> None:
    """Every image of the manifest is where it says, equal to what a processor makes of it."""
    found = manifest(folder)
    settings = found["settings"]
    processor = vlmres.Processor(settings["recipe"], settings["layout"], settings["dtype"])
    assert found["shards"] == [path.name for path in shards(folder)]
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    tensors = {name: load_file(folder / name) for name in found["shards"]}
    for image in found["images"]:
        if "error" in image:
            continue
        file, page, number = image["path"].partition("#page=")
        expected = processor(vlmres.Document(file, settings["dpi"], pages=[int(number) - 1]) if page else file)
        assert image["tokens"] == expected.num_tokens[0]
        assert set(image["rows"]) == set(expected)
        for key, (start, stop) in image["rows"].items():
            part = tensors[image["shard"]][key][start:stop]
            if key == "cu_seqlens":
                part = part - part[0]
            if start == stop:  # an image alone without tiles has a tile of zeros instead
                assert not expected[key].any()
            elif key == "image_index":
                assert (part == image["index"]).all()
            else:
                assert part.dtype == expected[key].dtype
                np.testing.assert_array_equal(part, expected[key])


def save_photos(folder: Path) -> Path:
    """A folder with six images, two of the same name, and a file that is no image."""
    for index in range(4):
        save(folder / f"{index}.png", 90 + 40 * index, 70, index)
    save(folder / "more" / "0.png", 64, 200, 9)
    save(folder / "more" / "deep" / "z.jpg", 120, 100, 10)
    (folder / "notes.txt").write_text("no image")
    return folder
