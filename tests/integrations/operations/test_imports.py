"""Something done when a module is imported."""

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from vlmres.integrations.operations import imports
from vlmres.integrations.operations.imports import when_imported


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "__init__.py").write_text("")
    (tmp_path / "served" / "processors.py").write_text("def double(x):\n    return 2 * x\n")
    (tmp_path / "served" / "broken.py").write_text("raise ValueError('no')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, "_actions", {})
    yield
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, imports._Finder)]
    for name in [name for name in sys.modules if name.startswith("served")]:
        del sys.modules[name]


def test_it_waits_for_the_import() -> None:
    seen: list[ModuleType] = []
    when_imported("served.processors", seen.append)
    when_imported("served.processors", lambda module: setattr(module, "hooked", True))
    assert "served" not in sys.modules
    assert seen == []
    module = importlib.import_module("served.processors")
    assert seen == [module]
    assert module.hooked
    assert module.double(2) == 4
    # It is as another finder would have it.
    assert "return 2 * x" in inspect.getsource(module.double)
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__


def test_a_module_that_is_there() -> None:
    module = importlib.import_module("served.processors")
    seen: list[ModuleType] = []
    when_imported("served.processors", seen.append)
    assert seen == [module]


def test_an_import_that_fails_fails_as_before() -> None:
    seen: list[ModuleType] = []
    for name in ("served.broken", "served.absent"):
        when_imported(name, seen.append)
    with pytest.raises(ValueError, match="no"):
        importlib.import_module("served.broken")
    with pytest.raises(ModuleNotFoundError, match=r"served\.absent"):
        importlib.import_module("served.absent")
    assert seen == []
