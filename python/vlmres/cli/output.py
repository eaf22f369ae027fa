"""Output for people: tables, sizes, file names and reasons."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

# Wide enough that nothing is cut off when the output is a file or a pipe.
_PIPE_WIDTH = 100_000
ORDER = "sizes are width x height, grids are rows x columns"
"""The heading of a column for images and videos."""


def console(*, stderr: bool = False) -> Console:
    """The standard output, or the standard error."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


def complain(path: str | os.PathLike[str], error: BaseException | str, to: Console | None = None) -> None:
    """Reports the error of a file on the standard error."""
    text = error if isinstance(error, str) else reason(error)
    (to or console(stderr=True)).print(f"vlmres: {show(path)}: {text}", soft_wrap=True)


def table(*columns: str, right: Iterable[str] = (), title: str | None = None) -> Table:
    """An empty table; the columns in `right` hold numbers."""
    numbers = set(right)
    result = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        is_number = column in numbers
        result.add_column(column, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    return result


def show(path: str | os.PathLike[str]) -> str:
    """A file's name without control characters."""
    text = os.fspath(path)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def reason(error: BaseException) -> str:
    """An error in one line."""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return " ".join(str(error).split()) or type(error).__name__


def missing(path: str | os.PathLike[str]) -> FileNotFoundError:
    """The error of a path that does not exist."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))


def by(pair: Iterable[int]) -> str:
    """Two numbers as "3x2"."""
    return "x".join(map(str, pair))


def size(count: int) -> str:
    """A number of bytes in the unit that gives the fewest digits."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1000:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
