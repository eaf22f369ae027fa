"""vLLM's stand-in, as a package that can be imported, and hooks that follow its source."""

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from vlmres.integrations.vllm import hooks
from vlmres.integrations.vllm.hooks import Hook

Install = Callable[[Hook], ModuleType]


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(Path(__file__).parent / "stand_in")
    yield
    for name in [name for name in sys.modules if name == "vllm" or name.startswith("vllm.")]:
        del sys.modules[name]


def followed(hook: Hook) -> Hook:
    """The hook with the digest of the stand-in's source, as far as that has such functions."""
    module = importlib.import_module(hook.module)
    sources = tuple(name for name in hook.sources if hasattr(module, name.split(".")[0]))
    return replace(hook, sources=sources, digests=frozenset({hooks.digest(module, sources)}))


@pytest.fixture
def install() -> Install:
    """Installs a hook, and returns the module it is for."""

    def run(hook: Hook) -> ModuleType:
        module = importlib.import_module(hook.module)
        hooks.install_hook(followed(hook), module)
        return module

    return run
