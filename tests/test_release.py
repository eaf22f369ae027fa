"""What a release prints on PyPI."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PREPARE = runpy.run_path(str(ROOT / "release" / "prepare.py"))
REPOSITORY = "https://example.org/owner/vlmres"


def test_every_link_of_the_readme_is_whole() -> None:
    text = PREPARE["readme"]((ROOT / "README.md").read_text(encoding="utf-8"), REPOSITORY, "v0.1.0")
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert len(targets) > 10
    assert all(target.startswith("https://") for target in targets), targets
    assert "![" in text
    assert f"{REPOSITORY}/raw/v0.1.0/docs/" in text


def test_a_tag_is_the_version() -> None:
    with pytest.raises(SystemExit, match=r"the tag is v9\.9\.9, Cargo\.toml has"):
        PREPARE["check_version"]("v9.9.9")


def test_addresses_are_of_the_repository() -> None:
    assert f'Repository = "{REPOSITORY}"' in PREPARE["urls"](REPOSITORY, "v0.1.0")
