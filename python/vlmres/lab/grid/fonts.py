"""Fonts of the system by style: the first that is there."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Literal, NamedTuple

Style = Literal["sans", "serif", "han", "han-serif"]

# Files by style, those with the freest licences first. The number is the font's in a collection.
_FILES: dict[Style, tuple[tuple[str, int], ...]] = {
    "sans": (("DejaVuSans.ttf", 0), ("NotoSans-Regular.ttf", 0), ("LiberationSans-Regular.ttf", 0), ("Arial.ttf", 0)),
    "serif": (
        ("DejaVuSerif.ttf", 0),
        ("NotoSerif-Regular.ttf", 0),
        ("LiberationSerif-Regular.ttf", 0),
        ("Times New Roman.ttf", 0),
        ("times.ttf", 0),
    ),
    "han": (
        ("NotoSansCJK-Regular.ttc", 2),
        ("SourceHanSansSC-Regular.otf", 0),
        ("wqy-microhei.ttc", 0),
        ("wqy-zenhei.ttc", 0),
        ("PingFang.ttc", 0),
        ("msyh.ttc", 0),
    ),
    "han-serif": (
        ("NotoSerifCJK-Regular.ttc", 2),
        ("SourceHanSerifSC-Regular.otf", 0),
        ("Songti.ttc", 0),
        ("simsun.ttc", 0),
    ),
}


class Font(NamedTuple):
    """A font file."""

    path: Path
    number: int


@functools.cache
def find_font(style: Style) -> Font | None:
    """The font of a style, or None where the system has none."""
    files = _installed()
    for name, number in _FILES[style]:
        if (path := files.get(name.lower())) is not None:
            return Font(path, number)
    return None


@functools.cache
def _installed() -> dict[str, Path]:
    return {path.name.lower(): path for folder in _folders() for path in sorted(folder.rglob("*.[tToO][tT][fFcC]"))}


def _folders() -> list[Path]:
    home = Path.home()
    if sys.platform == "darwin":
        found = [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    elif sys.platform == "win32":
        found = [Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts"]
    else:
        found = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local/share/fonts", home / ".fonts"]
    return [folder for folder in found if folder.is_dir()]
