"""`vlmres encode`, killed."""

import json
import shutil
from pathlib import Path

from tests.encoder.conftest import Checkpoint
from tests.encoder.test_cli import PROCESSOR
from tests.images import image
from tests.jobs.killed import check_kills


def test_killed_at_random_moments(checkpoint: Checkpoint, tmp_path: Path) -> None:
    copied = tmp_path / "checkpoint"
    shutil.copytree(checkpoint("qwen3-vl")[1], copied)
    (copied / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    images = tmp_path / "images"
    images.mkdir()
    for index in range(3):
        image(64 + 16 * index, 48, seed=index).save(images / f"{index}.png")
    check_kills(
        ["encode", str(images), "-c", str(copied), "--device", "cpu", "--shard-size", "1", "--max-patches", "30"],
        tmp_path / "out",
    )
