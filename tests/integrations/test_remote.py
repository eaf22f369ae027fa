"""Image processors of remote code: stand-ins of the authors' classes, by their names and methods."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor

from tests.images import image
from tests.reference.authors_vl import kimi_vl, phi3_v
from vlmres.integrations.operations import parts
from vlmres.integrations.operations.compare import same
from vlmres.integrations.operations.counters import IMAGES, counters
from vlmres.integrations.transformers import accelerate
from vlmres.integrations.transformers.auto import accelerated as accelerated_or_not
from vlmres.integrations.transformers.remote import AcceleratedRemote

Reasons = Callable[[], list[str]]

PICTURES = [image(200, 130), image(90, 333)]


def _listed(images: Any) -> list[Image.Image]:
    return [one.convert("RGB") for one in (images if isinstance(images, list) else [images])]


class KimiVLImageProcessor(BaseImageProcessor):
    def __init__(self, in_token_limit: int = 4096, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.in_token_limit = in_token_limit
        self.patch_size, self.pad_input, self.merge_kernel_size = 14, True, [2, 2]
        self.image_mean, self.image_std = [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]

    def preprocess(self, images: Any, return_tensors: Any = None) -> BatchFeature:
        return BatchFeature(kimi_vl(_listed(images), "pillow", self.in_token_limit), tensor_type=return_tensors)


class Phi3VImageProcessor(BaseImageProcessor):
    def __init__(self, num_crops: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_crops, self.num_img_tokens = num_crops, 144
        self.image_mean, self.image_std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
        self.do_convert_rgb = True

    def preprocess(self, images: Any, return_tensors: Any = None) -> BatchFeature:
        return BatchFeature(phi3_v(_listed(images), "pillow", self.num_crops), tensor_type=return_tensors)


class KimiVLImageProcessorOfAUser(KimiVLImageProcessor):
    """No recipe knows its name."""


def done(path: str = "vlmres") -> float:
    return counters.value(IMAGES, path=path)


@pytest.mark.parametrize(
    "processor", [KimiVLImageProcessor(), KimiVLImageProcessor(in_token_limit=64), Phi3VImageProcessor(4)]
)
@pytest.mark.parametrize("images", [PICTURES, PICTURES[0], [PICTURES[1].convert("L")]], ids=["two", "one", "gray"])
def test_results(processor: Any, images: Any, reasons: Reasons) -> None:
    accelerated = accelerate(processor)
    assert isinstance(accelerated, AcceleratedRemote)
    assert isinstance(accelerated, type(processor))
    assert type(accelerated).__name__ == type(processor).__name__
    assert same(accelerated.preprocess(images, return_tensors="pt"), processor.preprocess(images, return_tensors="pt"))
    assert done() == len(images if isinstance(images, list) else [images])
    assert reasons() == []


def test_it_is_called_as_the_class_is(reasons: Reasons) -> None:
    processor = KimiVLImageProcessor()
    accelerated = accelerate(processor)
    again = pickle.loads(pickle.dumps(accelerate(accelerated)))
    for one in (accelerated, again):
        assert same(one(PICTURES, return_tensors="pt"), processor(PICTURES, return_tensors="pt"))
    assert again.to_dict() == processor.to_dict()
    assert (done(), reasons()) == (4, [])


@pytest.mark.parametrize("images", [[], [PICTURES], PICTURES[0].convert("P")], ids=["none", "nested", "palette"])
def test_what_is_left_is_the_originals(images: Any) -> None:
    processor = Phi3VImageProcessor(4)
    results: list[Any] = []
    for one in (accelerate(processor), processor):
        try:
            results.append(one.preprocess(images, return_tensors="pt"))
        except Exception as error:
            results.append((type(error), str(error)))
    assert same(*results) if isinstance(results[0], BatchFeature) else results[0] == results[1]


def test_a_class_that_computes_otherwise_is_not_followed(reasons: Reasons) -> None:
    class Brighter(KimiVLImageProcessor):
        def preprocess(self, images: Any, return_tensors: Any = None) -> BatchFeature:
            result = super().preprocess(images, return_tensors)
            return BatchFeature({**result, "pixel_values": result["pixel_values"] + 1e-3})

    Brighter.__name__ = "KimiVLImageProcessor"
    processor = Brighter()
    accelerated = accelerate(processor)
    assert isinstance(accelerated, AcceleratedRemote)
    assert same(accelerated.preprocess(PICTURES), processor.preprocess(PICTURES))
    assert (done(), done("original")) == (0, 2)
    assert "gives other values of pixel_values for sample images" in reasons()[0]


def test_a_class_without_a_recipe(reasons: Reasons) -> None:
    processor = KimiVLImageProcessorOfAUser()
    assert accelerate(processor) is processor
    reason = "the class prepares images in a way of its own"
    assert reasons() == [f"KimiVLImageProcessorOfAUser: left to transformers: {reason}"]
    assert parts.states() == {"KimiVLImageProcessorOfAUser": reason}


def test_a_processor_that_cannot_be_accelerated_is_loaded(monkeypatch: pytest.MonkeyPatch, reasons: Reasons) -> None:
    from vlmres.integrations.transformers import auto

    def broken(_processor: Any) -> Any:
        raise RuntimeError("a fault of vlmres")

    monkeypatch.setattr(auto, "accelerate", broken)
    processor = KimiVLImageProcessor()
    assert accelerated_or_not(processor) is processor
    assert reasons() == ["KimiVLImageProcessor: left to transformers: vlmres failed: RuntimeError('a fault of vlmres')"]
