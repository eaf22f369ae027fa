"""When a route holds, and when the question is asked anew."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from tests.images import image
from tests.integrations.test_transformers_dropin import both, outcome, pair
from vlmres.integrations.transformers import accelerate, memo
from vlmres.integrations.transformers.samples import Form
from vlmres.verify import references as hf

Reasons = Callable[[], list[str]]


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of torch's threads until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_one_thread_is_another_question(
    threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, runs: list[int]
) -> None:
    tried: list[int] = []
    trial = Form.trial

    def noted(self: Form, kinds: Any) -> Any:
        tried.append(torch.get_num_threads())
        return trial(self, kinds)

    monkeypatch.setattr(Form, "trial", noted)
    processors = pair("llava-1.5", "torch")
    for number in (2, 1, 3, 1):
        threads(number)
        both(processors, image(60, 50), return_tensors="pt")
    assert tried == [2, 1]
    assert runs == [1] * 4


@pytest.mark.skipif(not hf.cases(["molmo2"]), reason="this transformers has no Molmo2, or torch rounds otherwise here")
def test_a_class_whose_values_hang_on_threads(
    threads: Callable[[int], None], reasons: Reasons, runs: list[int]
) -> None:
    original, accelerated = pair("molmo2", "torch", max_crops=1)
    picture = image(500, 300)
    values = []
    for number in (2, 1, 2):
        threads(number)
        both((original, accelerated), picture, return_tensors="pt")
        values.append(outcome(original, picture, return_tensors="pt")["pixel_values"])
    assert not torch.equal(values[0], values[1])
    assert (reasons(), runs) == ([], [1, 1, 1])


def test_outputs_that_the_samples_did_not_have(reasons: Reasons, runs: list[int]) -> None:
    """There is no container for them: such a call is left to transformers."""
    processors = pair("qwen2-vl", "torch")
    both(processors, image(60, 50), return_tensors="pt")
    (route,) = memo._routes.values()
    del route.output.structures["image_grid_thw"]
    both(processors, image(60, 50), return_tensors="pt")
    assert runs == [1]
    (reason,) = reasons()
    assert "outputs pixel_values, image_grid_thw where sample images gave pixel_values" in reason


@pytest.mark.parametrize("arithmetic", ["torch", "pillow"])
def test_attributes_of_its_user(arithmetic: str, reasons: Reasons, runs: list[int]) -> None:
    """They are none of the class's settings, so they say nothing of the pixels."""
    original, accelerated = pair("siglip", arithmetic)
    for processor in (original, accelerated):
        processor.note = "mine"
        processor.min_pixels = 3136
    both((original, accelerated), image(60, 50), return_tensors="pt")
    assert (reasons(), runs) == ([], [1])


def test_attributes_that_a_class_reads(reasons: Reasons, runs: list[int]) -> None:
    base: Any = type(hf.processor("siglip", "torch"))

    class Dimmed(base):  # type: ignore[misc]
        def rescale_and_normalize(self, images: Any, *args: Any) -> Any:
            return super().rescale_and_normalize(images, *args) * self.light

    original = type("SiglipImageProcessor", (Dimmed,), {})()
    original.light = 0.5
    accelerated = accelerate(original)
    both((original, accelerated), image(60, 50), return_tensors="pt")
    (reason,) = reasons()
    assert "other values of pixel_values" in reason
    assert runs == []
