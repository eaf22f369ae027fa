"""`vlmres process`, killed."""

from pathlib import Path

from tests.jobs.killed import check_kills
from tests.jobs.runs import arguments, save_images


def test_killed_at_random_moments(tmp_path: Path) -> None:
    command = arguments(save_images(tmp_path / "images"), tmp_path)
    del command[command.index("-o") : command.index("-o") + 2]
    check_kills(command, tmp_path / "out")
