"""Every place of vLLM's that makes pixels is known: hooked, or left with the reason."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from vlmres.integrations.vllm.classes import HOOKS, LEFT
from vlmres.integrations.vllm.constructed import PLACES
from vlmres.integrations.vllm.hooks import Hook, reason_to_leave

vllm: Any = pytest.importorskip("vllm", reason="run make test-vllm")

RESIZES = re.compile(r"\.resize\(|interpolate\(|ImageOps\.pad\(|\.Resize\(")
# Frames, which a class of the same package resizes; and a word in a comment.
OTHERS = {"vllm.models.dots3_note.common.video", "vllm.models.kimi_k3.common.mm_preprocess"}


def modules_that_resize() -> set[str]:
    root = Path(vllm.__file__).parent
    files = [*root.glob("transformers_utils/processors/*.py"), *root.glob("models/*/common/*.py")]
    found = [file for file in files if RESIZES.search(file.read_text())]
    names = {".".join(file.relative_to(root.parent).with_suffix("").parts) for file in found}
    return {name for name in names if not name.endswith(("vision", "vision_tower", "multimodal"))}


def test_every_module_that_resizes_is_known() -> None:
    known = {hook.module for hook in HOOKS} | {one.module for one in LEFT} | OTHERS
    assert modules_that_resize() - known == set()


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.part)
def test_the_source_of_a_hook_is_followed(hook: Hook) -> None:
    assert reason_to_leave(hook, importlib.import_module(hook.module)) is None


def source(module: str) -> str:
    """That of a module, which may need a GPU to be imported."""
    return Path(vllm.__file__).parent.parent.joinpath(*module.split(".")).with_suffix(".py").read_text()


def test_what_is_left_and_constructed_exists() -> None:
    for one in LEFT:
        assert re.search(rf"^class {one.cls}\b", source(one.module), re.MULTILINE), one
    for place in PLACES:
        module = importlib.import_module(place.module)
        assert all(hasattr(module, name) for name in place.names), place
