"""Imports run one way, those of type checkers included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import vlmres

PACKAGE = Path(vlmres.__file__).parent

ENCODER = (
    "config",
    "devices",
    "architectures",
    "layout",
    "nn",
    "checkpoint",
    "cost",
    "compatibility",
    "runtime",
    "api",
)
"""Rooms of `vlmres.encoder`: each imports those before it alone."""

ABOVE = ("cli", "encoder", "integrations", "lab")
"""Rooms of `vlmres` that use the encoder, or offer it; the others do not know it."""


def name_of(file: Path) -> str:
    parts = ("vlmres", *file.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in PACKAGE.rglob("*.py")}


def imported(module: str, *, inside_functions: bool = True) -> Iterator[str]:
    """Modules of the package that one imports by name."""
    nodes: list[ast.AST] = [ast.parse(MODULES[module].read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by a relative name"
            for alias in node.names:
                found = f"{node.module}.{alias.name}"
                found = found if found in MODULES else str(node.module)
                if found in MODULES and found != module:
                    yield found
        if inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes.extend(ast.iter_child_nodes(node))


def check_no_circle(imports: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_no_modules_import_each_other() -> None:
    check_no_circle({module: set(imported(module)) for module in MODULES})


def test_no_rooms_import_each_other() -> None:
    """Folders and single files of the package; not what a command imports when it is called."""
    rooms: dict[str, set[str]] = {}
    for module in MODULES:
        if "." in module:
            own = rooms.setdefault(module.split(".")[1], set())
            own |= {other.split(".")[1] for other in imported(module, inside_functions=False) if "." in other}
    for room, others in rooms.items():
        others.discard(room)
    check_no_circle(rooms)


def test_rooms_of_the_encoder_are_in_order() -> None:
    rooms = {module.split(".")[2] for module in MODULES if module.startswith("vlmres.encoder.")}
    assert rooms == set(ENCODER)
    for module in MODULES:
        if not module.startswith("vlmres.encoder."):
            continue
        room = module.split(".")[2]
        allowed = ENCODER[: ENCODER.index(room) + 1]
        for other in imported(module):
            if other.startswith("vlmres.encoder"):
                assert other.count(".") > 1, f"{module} imports the whole encoder"
                assert other.split(".")[2] in allowed, f"{module} imports {other}, of a room above its own"


def test_the_rest_does_not_know_the_encoder() -> None:
    for module in MODULES:
        if module != "vlmres" and module.split(".")[1] not in ABOVE:
            assert not [other for other in imported(module) if other.startswith("vlmres.encoder")], module
