"""transformers' auto classes and whole processors, from checkpoints in a folder."""

import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer

from tests.images import image
from tests.integrations.test_transformers_dropin import assert_same, pair
from tests.integrations.tiny import processor, tokenizer
from vlmres.integrations.transformers import accelerate, install, uninstall
from vlmres.integrations.transformers.drop_in import Accelerated
from vlmres.verify import references as hf

Reasons = Callable[[], list[str]]

PROMPT = {"qwen2-vl": "<|vision_start|><|image_pad|><|vision_end|> what is it", "llava-1.5": "<image> what is it"}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder as the Hub has them: the image processor's file, the processor's, the tokenizer's."""
    processor("qwen2-vl", hf.processor("qwen2-vl", "torch")).save_pretrained(tmp_path / "qwen")
    return tmp_path / "qwen"


def from_pretrained_of(*classes: Any) -> list[Any]:
    return [vars(cls)["from_pretrained"] for cls in classes]


@pytest.mark.parametrize("arithmetic", ["torch", "pillow"])
@pytest.mark.parametrize("recipe", sorted(PROMPT))
def test_whole_processors(recipe: str, arithmetic: str, reasons: Reasons, runs: list[int], tmp_path: Path) -> None:
    original = processor(recipe, pair(recipe, arithmetic)[0])
    accelerated = accelerate(original)
    assert type(accelerated) is type(original)
    assert isinstance(accelerated.image_processor, Accelerated)
    assert not isinstance(original.image_processor, Accelerated)
    assert accelerated.tokenizer is original.tokenizer
    assert repr(accelerated) == repr(original)
    assert type(accelerate(accelerated).image_processor) is type(accelerated.image_processor)
    texts, images = [PROMPT[recipe], PROMPT[recipe]], [image(120, 90), image(60, 130)]
    for one in (accelerated, pickle.loads(pickle.dumps(accelerated))):
        for tensors in ("pt", "np"):
            call = {"images": images, "text": texts, "return_tensors": tensors, "padding": True}
            assert_same(one(**call), original(**call))
    assert (reasons(), len(runs)) == ([], 4)
    original.save_pretrained(tmp_path / "original")
    accelerated.save_pretrained(tmp_path / "accelerated")
    for path in (tmp_path / "original").iterdir():
        assert (tmp_path / "accelerated" / path.name).read_bytes() == path.read_bytes(), path.name
    again = type(original).from_pretrained(tmp_path / "accelerated")
    assert not isinstance(again.image_processor, Accelerated)


@pytest.mark.parametrize("backend", ["torchvision", "pil"])
def test_install_and_uninstall(backend: str, checkpoint: Path, runs: list[int]) -> None:
    before = from_pretrained_of(AutoImageProcessor, AutoProcessor)
    original = AutoImageProcessor.from_pretrained(checkpoint, backend=backend)
    for _ in range(2):
        install()
    accelerated = AutoImageProcessor.from_pretrained(checkpoint, backend=backend)
    assert isinstance(accelerated, Accelerated)
    assert isinstance(accelerated, type(original))
    assert_same(accelerated(image(90, 70), return_tensors="pt"), original(image(90, 70), return_tensors="pt"))
    assert runs == [1]
    whole = AutoProcessor.from_pretrained(checkpoint)
    assert isinstance(whole.image_processor, Accelerated)
    assert isinstance(type(whole).from_pretrained(checkpoint).image_processor, Accelerated)  # as vLLM loads them
    one, unused = AutoImageProcessor.from_pretrained(checkpoint, return_unused_kwargs=True, colour=1)
    assert isinstance(one, Accelerated)
    assert "colour" in unused
    assert AutoTokenizer.from_pretrained(checkpoint).vocab_size == whole.tokenizer.vocab_size
    with pytest.raises(OSError, match="nowhere"):
        AutoImageProcessor.from_pretrained(checkpoint / "nowhere")
    for _ in range(2):
        uninstall()
    assert from_pretrained_of(AutoImageProcessor, AutoProcessor) == before
    assert not isinstance(AutoProcessor.from_pretrained(checkpoint).image_processor, Accelerated)


def test_a_tokenizer_is_left_alone(tmp_path: Path) -> None:
    tokenizer(["<image>"]).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    install()
    assert type(AutoProcessor.from_pretrained(tmp_path)).__name__.endswith(("Tokenizer", "TokenizersBackend", "Fast"))


def test_a_wrapper_of_someone_else_stays(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = from_pretrained_of(AutoImageProcessor)
    install()
    inner = vars(AutoImageProcessor)["from_pretrained"].__func__
    calls = []

    def theirs(cls: type, *args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return inner(cls, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(AutoImageProcessor, "from_pretrained", classmethod(theirs))
        uninstall()
        assert not isinstance(AutoImageProcessor.from_pretrained(checkpoint), Accelerated)
        install()
        assert isinstance(AutoImageProcessor.from_pretrained(checkpoint), Accelerated)
        assert len(calls) == 2
    uninstall()
    assert from_pretrained_of(AutoImageProcessor) == before


def test_threads_install_and_uninstall(checkpoint: Path) -> None:
    before = from_pretrained_of(AutoImageProcessor, AutoProcessor)
    errors: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(50):
                install()
                uninstall()
            assert AutoImageProcessor.from_pretrained(checkpoint)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    uninstall()
    assert from_pretrained_of(AutoImageProcessor, AutoProcessor) == before


@pytest.mark.parametrize(("value", "opted_in"), [(None, False), ("0", False), ("", False), ("1", True), ("true", True)])
def test_vllm_plugin(value: str | None, opted_in: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from vlmres.integrations.vllm import register

    monkeypatch.delenv("VLMRES_VLLM", raising=False)
    if value is not None:
        monkeypatch.setenv("VLMRES_VLLM", value)
    before = from_pretrained_of(AutoImageProcessor, AutoProcessor)
    for _ in range(2):
        register()
    assert (from_pretrained_of(AutoImageProcessor, AutoProcessor) != before) is opted_in


def test_no_torch_tensor_is_made_for_numpy(checkpoint: Path) -> None:
    accelerated = accelerate(AutoImageProcessor.from_pretrained(checkpoint, backend="pil"))
    values = accelerated(image(60, 50), return_tensors="np")["pixel_values"]
    assert not isinstance(values, torch.Tensor)
    assert values.flags.owndata or values.base is not None
