"""Which images the arguments name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUFFIXES = frozenset({".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Files as they are named, folders searched in the order of names; none twice.

    Raises:
        typer.BadParameter: There is no image at all.
    """
    found: dict[str, Path] = {}
    for path in paths:
        for file in _search(path) if path.is_dir() else [path]:
            found.setdefault(os.path.abspath(file), file)  # noqa: PTH100 - resolve() would follow links
    if not found:
        searched = ", ".join(map(str, paths))
        raise typer.BadParameter(f"no images in {searched} (looked for {', '.join(sorted(SUFFIXES))})")
    return list(found.values())


def _search(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            # macOS leaves "._name.jpg" files that are no images.
            if not name.startswith("._") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(parent, name)
