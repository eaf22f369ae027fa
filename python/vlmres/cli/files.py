"""The image files and documents that the arguments name."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vlmres.cli import output
from vlmres.cli.items import is_document_file
from vlmres.inputs.kinds import HEAD, is_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# A file in a folder is recognised as an image or PDF by its content. A file that only has the name of one (empty,
# damaged, or a TGA) is tried, too, so that its error is reported.
_SUFFIXES = frozenset(
    f".{name}"
    for names in (
        ("avif", "bmp", "dib", "gif", "heic", "heif", "ico", "j2k", "jfif", "jp2", "jpe", "jpeg", "jpg", "mpo", "pbm"),
        ("pdf", "pgm", "png", "pnm", "ppm", "psd", "qoi", "tga", "tif", "tiff", "webp"),
    )
    for name in names
)
# Most skipped files that a message names.
_NAMED = 10


@dataclass
class Found:
    """The files that the arguments name."""

    files: list[Path] = field(default_factory=list)
    """Images and PDF files."""
    skipped: list[Path] = field(default_factory=list)
    """Other files in folders, and links to folders."""

    def tell(self, *, quiet: bool) -> None:
        """Reports the skipped files on the standard error."""
        if quiet or not self.skipped:
            return
        kinds = Counter(path.suffix.lower() or "without a suffix" for path in self.skipped if not path.is_dir())
        links = sum(path.is_dir() for path in self.skipped)
        counts = [f"{count:,} {kind}" for kind, count in kinds.most_common(8)]
        counts += [f"{links:,} linked folders (--follow-links)"] * bool(links)
        named = ", ".join(output.show(path) for path in self.skipped[:_NAMED])
        more = f" and {len(self.skipped) - _NAMED:,} more" if len(self.skipped) > _NAMED else ""
        output.console(stderr=True).print(
            f"vlmres: skipped {len(self.skipped):,} (not images: {', '.join(counts)}): {named}{more}",
            soft_wrap=True,
        )


def find_files(paths: Iterable[Path], *, follow_links: bool = False) -> Found:
    """The files that are named, and the files of named folders in order of their names; each file once.

    Args:
        paths: Files and folders.
        follow_links: Whether to search folders that are reached through links.

    Raises:
        typer.BadParameter: There are no files.
    """
    found = Found()
    seen: set[str] = set()
    for path in paths:
        for file, is_wanted in _search(path, found, follow_links) if path.is_dir() else [(path, True)]:
            absolute = os.path.abspath(file)  # noqa: PTH100 - resolve() would follow links
            if absolute not in seen:
                seen.add(absolute)
                (found.files if is_wanted else found.skipped).append(file)
    if not found.files:
        searched = ", ".join(map(str, paths))
        raise typer.BadParameter(f"no images in {searched} ({len(found.skipped):,} other files)")
    return found


def _search(folder: Path, found: Found, follow_links: bool) -> Iterator[tuple[Path, bool]]:
    """Files in a folder, and whether each is wanted."""
    entered: set[tuple[int, int]] = set()

    def complain(error: OSError) -> None:
        output.complain(error.filename or folder, error)

    for parent, folders, files in os.walk(folder, onerror=complain, followlinks=follow_links):
        if follow_links:
            status = os.stat(parent)  # noqa: PTH116
            place = (status.st_dev, status.st_ino)
            if place in entered:  # a link to a folder above, or a second one to the same
                folders.clear()
                continue
            entered.add(place)
        else:
            found.skipped += [path for name in sorted(folders) if (path := Path(parent, name)).is_symlink()]
        folders.sort()
        for name in sorted(files):
            path = Path(parent, name)
            yield path, _is_wanted(path)


def _is_wanted(path: Path) -> bool:
    # macOS leaves "._name.jpg" files that are no images.
    if path.name.startswith("._") or not path.is_file():
        return False
    if path.suffix.lower() in _SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            is_wanted = is_image(file.read(HEAD))
    except OSError:
        return False
    return is_wanted or is_document_file(path)
