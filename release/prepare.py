"""Makes README.md and pyproject.toml ready for PyPI.

Run `python release/prepare.py https://github.com/OWNER/NAME v0.1.0`. PyPI shows the README apart from the repository,
so links and pictures need whole addresses. The release's workflow runs this in its checkout, where the repository's
address is known; nothing of it is committed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)#\s]+)(#[^)]*)?\)")


def readme(text: str, repository: str, tag: str) -> str:
    """The README with whole addresses of what it links to, at a tag."""

    def link(match: re.Match[str]) -> str:
        is_image, words, target, anchor = match[1], match[2], match[3], match[4] or ""
        if not (ROOT / target).exists():
            raise SystemExit(f"README.md links to {target}, which does not exist")
        kind = "raw" if is_image else "blob"
        return f"{is_image}[{words}]({repository}/{kind}/{tag}/{target}{anchor})"

    return LINK.sub(link, text)


def urls(repository: str, tag: str) -> str:
    """The table of addresses for pyproject.toml."""
    blob = f"{repository}/blob/{tag}"
    return (
        "\n[project.urls]\n"
        f'Repository = "{repository}"\n'
        f'Documentation = "{blob}/docs/tutorial.md"\n'
        f'Changelog = "{blob}/CHANGELOG.md"\n'
        f'Issues = "{repository}/issues"\n'
    )


def check_version(tag: str) -> None:
    """Refuses a tag that is not the version of Cargo.toml, or that the changelog does not know."""
    version = tag.removeprefix("v")
    cargo = re.search(r'^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)
    if cargo is None or cargo[1] != version:
        raise SystemExit(f"the tag is {tag}, Cargo.toml has {cargo[1] if cargo else 'no version'}")
    if f"## [{version}]" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        raise SystemExit(f"CHANGELOG.md has no section [{version}]")


def main() -> None:
    """Rewrites both files in place."""
    if len(sys.argv) != 3 or not sys.argv[1].startswith("https://"):
        raise SystemExit(__doc__)
    repository, tag = sys.argv[1].rstrip("/"), sys.argv[2]
    check_version(tag)
    page, project = ROOT / "README.md", ROOT / "pyproject.toml"
    page.write_text(readme(page.read_text(encoding="utf-8"), repository, tag), encoding="utf-8")
    text = project.read_text(encoding="utf-8")
    if "[project.urls]" in text:
        raise SystemExit("pyproject.toml has addresses already")
    at = text.index("\n[project.scripts]")
    project.write_text(text[:at] + urls(repository, tag) + text[at:], encoding="utf-8")


if __name__ == "__main__":
    main()
