"""What continuous integration builds and publishes is pinned."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_commits(path: Path) -> None:
    """A tag moves; the version stands beside the commit for people and for dependabot."""
    uses = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # \S+", action), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_start_without_rights(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "\npermissions:\n  contents: read\n" in text
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")


def test_what_is_published_is_built_from_the_lock_file_without_caches() -> None:
    text = (ROOT / ".github" / "workflows" / "wheels.yml").read_text(encoding="utf-8")
    assert "--release --locked" in text
    assert not re.search(r"sccache: true|rust-cache@|^ +cache:", text, re.MULTILINE)
    assert "attest-build-provenance@" in text


def test_cargo_never_changes_the_lock_file() -> None:
    """In what `make` and continuous integration run."""
    for path in (ROOT / "Makefile", *WORKFLOWS):
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.search(r"cargo (\+\w+ )?(miri )?(test|clippy|bench|build|run)\b", line) and "--version" not in line:
                assert "--locked" in line, f"{path.name}: {line.strip()}"
