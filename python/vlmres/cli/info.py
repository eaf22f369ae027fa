"""`vlmres info`: versions and what the machine offers."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version

import typer

import vlmres
from vlmres._core import default_threads
from vlmres.arithmetic import installed_pillow
from vlmres.cli import output
from vlmres.cli.options import AsJson


def info(as_json: AsJson = False) -> None:
    """Print versions, SIMD level, threads and platform: what a bug report needs."""
    build = vlmres.build_info()
    facts: dict[str, str | int | None] = {
        "vlmres": vlmres.__version__,
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "pillow": _version("pillow"),
        "arithmetic": installed_pillow(),
        "torch": _version("torch"),
        "transformers": _version("transformers"),
        "simd": build["simd"],
        "profile": build["profile"],
        "threads": default_threads(),
        "VLMRES_NUM_THREADS": os.environ.get("VLMRES_NUM_THREADS"),
        "platform": platform.platform(),
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    notes = {
        "arithmetic": 'what arithmetic="pillow-installed" means here',
        "simd": "instructions of the kernels in use",
        "threads": "per call, where it does not say",
    }
    table = output.table("what", "value", "note")
    for key, value in facts.items():
        table.add_row(key, _text(key, value), notes.get(key, ""))
    output.console().print(table)


def _text(key: str, value: str | int | None) -> str:
    if value is None:
        return "not set" if key.isupper() else "not installed"
    return str(value)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
