"""`vlmres process --shard I/N`: parts of a job array are disjoint, complete, and folders of their own."""

from pathlib import Path

import pytest

from tests.commands import manifest, run, states
from tests.jobs.runs import SMALL, save_images


def test_parts_together_are_the_whole(tmp_path: Path) -> None:
    images = save_images(tmp_path / "images", 5)
    arguments: list[str | Path] = ["process", images, "-r", "siglip", *SMALL]
    run(*arguments, "-o", tmp_path / "whole")
    whole = {image["path"]: image["tokens"] for image in manifest(tmp_path / "whole")["images"]}
    found: dict[str, int] = {}
    for number in range(2):
        result = run(*arguments, "-o", tmp_path / "out", "--shard", f"{number}/2")
        assert f"{3 - number} images, 0 failed" in result.stdout
        for image in manifest(tmp_path / "out" / f"part-{number:05d}-of-00002")["images"]:
            assert image["path"] not in found
            found[image["path"]] = image["tokens"]
    assert found == whole
    # Run again, a part keeps what it has.
    before = states(tmp_path / "out" / "part-00000-of-00002")
    assert "1 kept" in run(*arguments, "-o", tmp_path / "out", "--shard", "0/2").stdout
    assert states(tmp_path / "out" / "part-00000-of-00002") == before


def test_a_part_without_images_is_no_error(tmp_path: Path) -> None:
    images = save_images(tmp_path / "images", 1)
    result = run("process", images, "-r", "siglip", *SMALL, "-o", tmp_path / "out", "--shard", "1/2")
    assert "part 1/2 has no images" in result.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("shard", "message"),
    [
        ("2/2", "parts are counted from 0, so 0/2 to 1/2; got 2/2"),
        ("1", "expected I/N, such as 0/16"),
        ("-1/2", "expected I/N"),
        ("0/0", "at least 0/1"),
    ],
)
def test_a_part_that_does_not_exist_is_explained(tmp_path: Path, shard: str, message: str) -> None:
    images = save_images(tmp_path / "images", 1)
    result = run("process", images, "-r", "siglip", "-o", tmp_path / "out", f"--shard={shard}", code=2)
    assert message in " ".join(result.stderr.split())
