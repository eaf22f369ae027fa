"""`vlmres doctor`: versions, what the machine offers, and what runs on vlmres."""

from __future__ import annotations

import json
import logging
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

import vlmres
from vlmres._core import default_threads
from vlmres.arithmetic import installed_pillow
from vlmres.cli import output
from vlmres.cli.options import AsJson
from vlmres.cli.servers import SGLANG, VLLM, in_the_way, installed
from vlmres.integrations.operations.report import Part


def doctor(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(help="Examine the processors of a checkpoint's folder.", metavar="DIR", show_default=False),
    ] = None,
    vllm: Annotated[bool, typer.Option("--vllm", help="Examine vLLM's own classes, and its plugin.")] = False,
    sglang: Annotated[bool, typer.Option("--sglang", help="Examine SGLang's plugin.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run the checkpoint's own code, as transformers does.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print versions, SIMD level, threads and platform for a bug report, and which processors run on vlmres.

    For each processor of a checkpoint or server: whether it is accelerated, or else why not, and the speed-up in
        processor time on this machine for one image of 1920x1080.
    """
    facts = _facts()
    parts = _examined(checkpoint, vllm, trust_remote_code)
    servers = [server for server, is_asked in ((VLLM, vllm), (SGLANG, sglang)) if is_asked]
    facts.update({server.name: installed(server) for server in servers})
    hints = {server.name: in_the_way(server) for server in servers}
    if as_json:
        more = {"parts": [part._asdict() for part in parts]} if checkpoint or vllm else {}
        typer.echo(json.dumps({**facts, **({"hints": hints} if servers else {}), **more}))
        return
    notes = {
        "arithmetic": 'what arithmetic="pillow-installed" means here',
        "simd": "instructions of the kernels in use",
        "threads": "per call, where it does not say",
    }
    table = output.table("what", "value", "note")
    for key, value in facts.items():
        table.add_row(key, _text(key, value), notes.get(key, ""))
    console = output.console()
    console.print(table)
    if parts:
        table = output.table("part", "pixels", "times faster", "why", right=["times faster"])
        for part in parts:
            faster = "" if part.faster is None else f"{part.faster:.1f}"
            table.add_row(part.name, "vlmres" if part.reason is None else "left", faster, part.reason or "")
        console.print(table)
    for name, lines in hints.items():
        for line in lines or ["nothing is in the way"]:
            console.print(f"{name}: {line}", soft_wrap=True)


def _examined(checkpoint: Path | None, vllm: bool, trust_remote_code: bool) -> list[Part]:
    parts: list[Part] = []
    # The table has what is left to the original.
    logging.getLogger("vlmres").setLevel(logging.CRITICAL)
    if checkpoint is not None:
        if not checkpoint.is_dir():
            raise typer.BadParameter(f"there is no folder {output.show(checkpoint)}", param_hint="DIR")
        try:
            from vlmres.integrations.transformers import report
        except ImportError as error:
            parts.append(Part(str(checkpoint), f"{error}; pip install 'vlmres[transformers]' torch torchvision"))
        else:
            parts += report.examine(checkpoint, trust_remote_code=trust_remote_code)
    if vllm and installed(VLLM) is not None:
        from vlmres.integrations.vllm import report as servers

        parts += servers.examine()
    return parts


def _facts() -> dict[str, str | int | None]:
    build = vlmres.build_info()
    return {
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


def _text(key: str, value: str | int | None) -> str:
    if value is None:
        return "not set" if key.isupper() else "not installed"
    return str(value)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
