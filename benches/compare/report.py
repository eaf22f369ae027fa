"""Results as JSON and Markdown, and their places in the docs."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np
from benches.compare.contestants import CONTESTANTS
from benches.compare.fleet import PILLOW_SIMD, ROOT
from benches.compare.measure import Result
from benches.compare.tables import TABLES, Table

import vlmres

FILES = [ROOT / "README.md", ROOT / "docs" / "performance.md"]
MARK = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Column = dict[str, Result]

_LIBRARIES = (
    "transformers",
    "torch",
    "torchvision",
    "hf-processors-rs",
    "opencv-python-headless",
    "kornia-rs",
    "pillow",
)


@dataclass
class Results:
    """Everything a run measured."""

    about: str = field(default_factory=lambda: about())
    """Machine and versions."""
    tables: dict[str, dict[str, Column]] = field(default_factory=dict)
    """Columns by table and heading."""
    memory: str = ""
    """The table of peak memory, if that was measured."""
    decoding: str = ""
    """The table of decoding by format, if that was measured."""

    def save(self, path: Path) -> None:
        """Writes a JSON file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Results:
        """Reads what `save` wrote."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        tables = {
            table: {
                heading: {name: Result(**fields) for name, fields in column.items()}
                for heading, column in columns.items()
            }
            for table, columns in stored["tables"].items()
        }
        return Results(stored["about"], tables, stored["memory"], stored.get("decoding", ""))


def about() -> str:
    """Machine and versions in a line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    versions = [f"{name} {found}" for name in _LIBRARIES if (found := _version(name))]
    versions += [f"pillow-simd {found}" for found in [_version("pillow-simd", str(PILLOW_SIMD))] if found]
    simd = vlmres.build_info()["simd"]
    return (
        f"{cpu}, {os.cpu_count()} cores, {platform.system()}; CPython {platform.python_version()}, "
        f"vlmres {vlmres.__version__} ({simd}), numpy {np.__version__}, {', '.join(versions)}"
    )


def _version(name: str, *path: str) -> str | None:
    found = metadata.distributions(name=name, path=list(path)) if path else metadata.distributions(name=name)
    return next((distribution.version for distribution in found), None)


def ratio(over: Result, under: Result) -> str:
    """Median of the ratio within a round, with its quartiles."""
    low, middle, high = np.percentile(np.array(over.ms) / np.array(under.ms), [25, 50, 75])
    return f"**{middle:.1f}x** ({low:.1f} to {high:.1f})"


def _time(result: Result) -> str:
    return f"{np.median(result.ms):.2f}"


def table(name: str, columns: Mapping[str, Column]) -> str:
    """A table as Markdown, with lines for what was skipped."""
    described = TABLES[name]
    headings = [heading for heading in described.columns if heading in columns]
    rows = [row for row in described.rows if any(_ran(columns[heading].get(row)) for heading in headings)]
    lines = [f"### {described.title}", "", f"| ms | {' | '.join(headings)} | off by |"]
    lines.append("|---" * (len(headings) + 2) + "|")
    lines += [f"| {row} | {' | '.join(_row(row, [columns[heading] for heading in headings]))} |" for row in rows]
    lines += _skipped(described, columns)
    return "\n".join(lines)


def _ran(result: Result | None) -> bool:
    return result is not None and bool(result.ms)


def _row(name: str, columns: list[Column]) -> list[str]:
    cells = [_cell(name, column) for column in columns]
    known = [result.levels for column in columns if (result := column.get(name)) and result.levels is not None]
    return [*cells, f"{max(known):.2g}" if known else ""]


def _cell(name: str, column: Column) -> str:
    result = column.get(name)
    if result is None or not result.ms:
        return "-"
    versus = CONTESTANTS[name].versus
    ours = column.get(versus) if versus else None
    return f"{_time(result)}, {ratio(result, ours)}" if ours and ours.ms else _time(result)


def _skipped(described: Table, columns: Mapping[str, Column]) -> list[str]:
    reasons = {
        (row, result.skipped)
        for column in columns.values()
        for row in described.rows
        if (result := column.get(row)) and result.skipped
    }
    return [f"\nNot timed: {row} ({reason})." for row, reason in sorted(reasons)]


def full(results: Results) -> str:
    """All tables."""
    parts = [results.about, *(table(name, columns) for name, columns in results.tables.items())]
    if results.memory:
        parts += ["### Peak memory of one call: the output, and what is needed beside it", results.memory]
    return "\n\n".join(parts)


def decoding(results: Results) -> str:
    """Decoding by format."""
    return f"{results.about}\n\n{results.decoding}"


# Rows of the short table: what it is, the table and column it comes from.
_SUMMARY = (
    ("Qwen2-VL, 640x480", "qwen2-vl", "640x480"),
    ("Qwen2-VL, 1920x1080", "qwen2-vl", "1920x1080"),
    ("Qwen2-VL, 4032x3024", "qwen2-vl", "4032x3024"),
    ("Qwen2-VL, 4032x3024, JPEG", "qwen2-vl-jpeg", "4032x3024"),
    ("InternVL2, 1920x1080", "internvl2", "1920x1080"),
    ("LLaVA-1.5, 1920x1080", "llava-1.5", "1920x1080"),
    ("Qwen2-VL, 32 photographs, 2 threads", "batch", "2 threads"),
)
_SUMMARY_PEERS = (
    "transformers torchvision",
    "transformers PIL",
    "hf-processors-rs",
    "torch by hand, tuned",
    "OpenCV + numpy",
    "Pillow-SIMD + numpy",
)


def summary(results: Results) -> str:
    """The short table: vlmres in milliseconds, and how many times as long its peers take."""
    heading = " | ".join(("images to float32 tensors", "vlmres, ms a call", *_SUMMARY_PEERS))
    lines = [f"| {heading} |", "|---" * (2 + len(_SUMMARY_PEERS)) + "|"]
    for what, name, heading in _SUMMARY:
        column = results.tables.get(name, {}).get(heading, {})
        if (ours := column.get("vlmres")) and ours.ms:
            lines.append(f"| {what} | {_time(ours)} | {' | '.join(_short(column, peer) for peer in _SUMMARY_PEERS)} |")
    # kornia-rs is in no column of this table.
    return "\n".join([*lines, "", re.sub(", kornia-rs [^,]*", "", results.about)])


def _short(column: Column, peer: str) -> str:
    versus = column.get(CONTESTANTS[peer].versus or "")
    if not (result := column.get(peer)) or not result.ms or versus is None or not versus.ms:
        return "-"
    return f"{np.median(np.array(result.ms) / np.array(versus.ms)):.1f}x"


_PARTS: Mapping[str, Callable[[Results], str]] = {"full": full, "summary": summary, "decoding": decoding}


def _filled(match: re.Match[str], results: Results) -> str:
    """A part of the docs with its table, or as it is where that was not measured."""
    measured = results.decoding if match[2] == "decoding" else results.tables
    return f"{match[1]}{_PARTS[match[2]](results)}\n{match[3]}" if measured else match[0]


def write(results: Results) -> list[Path]:
    """Puts the tables between their marks in the docs; the files that changed."""
    changed = []
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        new = MARK.sub(lambda match: _filled(match, results), text)
        if new != text:
            path.write_text(new, encoding="utf-8")
            changed.append(path.relative_to(ROOT))
    return changed
