"""Pages of the site that have their home elsewhere: README.md and its like, the command line's help, drawings.

mkdocs calls these functions; `make docs` runs it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "python" / "vlmres" / "samples"
# Files of the repository's root that are pages of the site.
ROOTED = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)(#[^)]*)?\)")
RECIPES = ("llava-1.5", "internvl2", "qwen2-vl", "deepseek-ocr-gundam")


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages."""
    for source, page in ROOTED.items():
        text = moved((ROOT / source).read_text(encoding="utf-8"), ROOT)
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "cli.md", content=command_line()))
    for name, picture in drawings().items():
        files.append(File.generated(config, name, content=picture))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links that leave docs/ lead to the pages above, or are names of files."""
    source = page.file.src_uri
    return markdown if source in ROOTED.values() else moved(markdown, (ROOT / "docs" / source).parent)


def moved(text: str, folder: Path) -> str:
    """The text with links as the site has them; `folder` is that of the file."""

    def link(match: re.Match[str]) -> str:
        target, anchor = (folder / match[1]).resolve(), match[2] or ""
        if not target.is_relative_to(ROOT):
            return match[0]
        inside = target.relative_to(ROOT).as_posix()
        depth = 0 if folder == ROOT else len(folder.relative_to(ROOT / "docs").parts)
        up = "../" * depth
        if inside in ROOTED:
            return f"]({up}{ROOTED[inside]}{anchor})"
        if target.is_relative_to(ROOT / "docs") and target.suffix != ".py":
            return f"]({up}{target.relative_to(ROOT / 'docs').as_posix()}{anchor})"
        return f"] (`{inside}`)"

    # Of a link to a file of the repository the words stay, and its path.
    return re.sub(r"\[([^\]]*)\] \((`[^`]*`)\)", r"\1 (\2)", LINK.sub(link, text))


def command_line() -> str:
    """The help of every command."""
    command = [sys.executable, "-m", "typer", "vlmres.cli.app", "utils", "docs", "--name", "vlmres"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return text.replace("# `vlmres`", "# Command line", 1)


def drawings() -> dict[str, bytes]:
    """The pictures that gallery.md shows: what four strategies see of a sample image, drawn by `vlmres compare`."""
    asked = re.findall(r"\(gallery/([\w-]+)\.png\)", (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8"))
    options = [part for recipe in RECIPES for part in ("-r", recipe)]
    drawn = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in asked:
            (sample,) = SAMPLES.glob(f"{name}.*")
            out = Path(folder) / f"{name}.png"
            command = [sys.executable, "-m", "vlmres", "compare", str(sample), "--picture", str(out), *options]
            subprocess.run(command, capture_output=True, check=True)
            drawn[f"gallery/{name}.png"] = out.read_bytes()
    return drawn
