"""Readers of lines, which are plug-ins.

A reader has a `name` and a method `read`, from lines (RGB, uint8, each of shape (height, width, 3)) to their texts. A
reader that also has `find`, from a page to boxes of lines, can read pages without text of their own. `FunctionReader`
makes a reader from a function, which may call a model over HTTP.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING

from vlmres.lab.readers.base import Box, Finder, Pixels, Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["BUILT_IN", "Box", "Finder", "FunctionReader", "Pixels", "Reader", "load_reader"]


class FunctionReader:
    """A function that reads lines.

    Args:
        function: From a list of lines (RGB, uint8, shape (height, width, 3)) to a list of their texts.
        name: Its name; by default the function's. Results are stored under it, so change it when the model changes.
        finder: A reader that finds lines on pages without a text layer. Without one, such pages are left out.
    """

    def __init__(
        self,
        function: Callable[[list[Pixels]], Sequence[str]],
        name: str | None = None,
        finder: Finder | None = None,
    ) -> None:
        self._function = function
        self.name = name or str(getattr(function, "__name__", type(function).__name__))
        if finder is not None:
            self.find = finder.find

    def read(self, lines: Sequence[Pixels]) -> list[str]:
        """The text of each line.

        Raises:
            ValueError: The function gives another number of texts than lines.
        """
        texts = list(self._function(list(lines)))
        if len(texts) != len(lines):
            raise ValueError(f"the reader {self.name} was given {len(lines)} lines and gave {len(texts)} texts")
        return texts


BUILT_IN = ("pp-ocrv6", "pp-ocrv4", "tesseract")


def load_reader(name: str) -> Reader:
    """A reader by name.

    `pp-ocrv6` (the package rapidocr), `pp-ocrv4` (the same with the model of rapidocr-onnxruntime), `tesseract`,
    `tesseract:LANGUAGES`, or `FILE.py:FUNCTION`.

    Raises:
        ValueError: There is no such reader.
        ModuleNotFoundError: Its package or program is not installed; the message says how to install it.
        OSError: The file cannot be read.
    """
    kind, colon, rest = name.rpartition(":") if ".py:" in name else name.partition(":")
    if kind.endswith(".py"):
        return _own(kind, rest)
    if name in ("pp-ocrv6", "pp-ocrv4"):
        from vlmres.lab.readers.rapid import RapidReader

        return RapidReader(name)
    if kind == "tesseract" and bool(colon) == bool(rest):
        from vlmres.lab.readers.tesseract import TesseractReader

        return TesseractReader(rest or "eng")
    raise ValueError(f"no reader is called {name!r}; there are {', '.join(BUILT_IN)} and FILE.py:FUNCTION")


def _own(file: str, name: str) -> Reader:
    found = runpy.run_path(file).get(name)
    if found is None:
        raise ValueError(f"{file} has no {name!r}")
    if hasattr(found, "read"):
        reader: Reader = found
        return reader
    if not callable(found):
        raise ValueError(f"{name!r} in {file} is neither a function nor a reader")
    return FunctionReader(found, f"{Path(file).stem}:{name}")
