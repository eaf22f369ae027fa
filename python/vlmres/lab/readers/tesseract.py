"""Tesseract, where the program is installed."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.lab.readers.base import Box, Pixels

# Tesseract knows letters from about 20 pixels on (its manual: "x-height of at least 20 pixels"): a line is enlarged to
# this height first.
_HEIGHT = 48
_MOST_ENLARGED = 16
_MARGIN = 10


class TesseractReader:
    """The program tesseract, a process for each call and one thread in it.

    Args:
        languages: As of its option `-l`, such as "eng" or "eng+chi_sim".

    Raises:
        ModuleNotFoundError: It is not installed.
        ValueError: It has not all of these languages.
    """

    def __init__(self, languages: str = "eng") -> None:
        self._program = shutil.which("tesseract") or ""
        if not self._program:
            raise ModuleNotFoundError("the reader tesseract needs the program (Debian: apt install tesseract-ocr)")
        known = self._run(["--list-langs"]).splitlines()[1:]
        missing = [language for language in languages.split("+") if language not in known]
        if missing:
            raise ValueError(f"tesseract has no language {', '.join(missing)}; it has {', '.join(known)}")
        self._languages = languages
        self.name = "tesseract" if languages == "eng" else f"tesseract:{languages}"

    def read(self, lines: Sequence[Pixels]) -> list[str]:
        """The text of each line."""
        if not lines:
            return []
        from PIL import Image, ImageOps

        with tempfile.TemporaryDirectory() as folder:
            names = []
            for index, line in enumerate(lines):
                picture = Image.fromarray(line)
                times = min(_MOST_ENLARGED, max(1.0, _HEIGHT / picture.height))
                size = (round(picture.width * times), round(picture.height * times))
                enlarged = picture.resize(size, Image.Resampling.BICUBIC)
                names.append(str(Path(folder, f"{index}.png")))
                ImageOps.expand(enlarged, _MARGIN, (255, 255, 255)).save(names[-1], compress_level=1)
            listed = Path(folder, "lines.txt")
            listed.write_text("\n".join(names), encoding="utf-8")
            text = self._run([str(listed), "-", "-l", self._languages, "--psm", "7"])
        # Each image's text ends with a form feed.
        pages = [page.strip() for page in text.split("\f")]
        return pages[: len(lines)] + [""] * (len(lines) - len(pages))

    def find(self, page: Pixels) -> list[Box]:
        """Boxes of lines."""
        from PIL import Image

        with tempfile.TemporaryDirectory() as folder:
            name = str(Path(folder, "page.png"))
            Image.fromarray(page).save(name, compress_level=1)
            table = self._run([name, "-", "-l", self._languages, "tsv"])
        boxes: list[Box] = []
        for row in csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["level"] == "4":  # a line
                left, top, width, height = (float(row[key]) for key in ("left", "top", "width", "height"))
                if width > height:
                    boxes.append((left, top, left + width, top + height))
        return boxes

    def _run(self, arguments: list[str]) -> str:
        done = subprocess.run(
            [self._program, *arguments],
            capture_output=True,
            check=False,
            encoding="utf-8",
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        )
        if done.returncode:
            raise OSError(f"tesseract failed: {done.stderr.strip()}")
        return done.stdout
