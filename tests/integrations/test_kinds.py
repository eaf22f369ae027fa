"""Every class of every version with images of every kind: what it would give, or its own refusal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.image_processing_backends import TorchvisionBackend

from tests.images import image, pixels
from tests.integrations import versions
from tests.integrations.test_transformers_dropin import both, pair
from tests.integrations.tiny import SMALL
from vlmres.integrations.transformers.kinds import Kind, Shape, kind_of, pictures
from vlmres.integrations.transformers.samples import Form
from vlmres.verify import references as hf

Reasons = Callable[[], list[str]]


def _transparent(picture: Image.Image, transparency: Any) -> Image.Image:
    picture.info["transparency"] = transparency
    return picture


def _kinds() -> dict[str, Any]:
    rgba = pixels(60, 50, channels=4)
    gray, planar = rgba[..., :1], np.ascontiguousarray(rgba.transpose(2, 0, 1))
    wide = np.random.default_rng(0).integers(0, 65536, (50, 60), dtype=np.uint16)
    rgb = image(60, 50)
    made = {mode: Image.fromarray(rgba).convert(mode) for mode in ("1", "L", "LA", "RGBA")}
    made |= {mode: rgb.convert(mode) for mode in ("P", "CMYK", "YCbCr", "F")}
    made["I;16"] = Image.fromarray(wide)
    made["L, one gray transparent"] = _transparent(rgb.convert("L"), rgb.convert("L").getpixel((0, 0)))
    made["P, one colour transparent"] = _transparent(rgb.convert("P"), rgb.convert("P").getpixel((0, 0)))
    made["P with alpha"] = _transparent(rgb.convert("P"), bytes(range(256)))
    made["RGB, one colour transparent"] = _transparent(image(60, 50), rgb.getpixel((0, 0)))
    return {
        **made,
        "array HW": gray[..., 0],
        "array HWC1": gray,
        "array HWC4": rgba,
        "array CHW4": planar,
        "tensor CHW1": torch.from_numpy(planar[:1]),
        "tensor CHW4": torch.from_numpy(planar),
        "tensor CHW3, permuted": torch.from_numpy(pixels(60, 50)).permute(2, 0, 1),
    }


KINDS = _kinds()

# What backends convert since transformers 5.21: before, they kept gray arrays and refused those of four channels.
CONVERTED = {kind for kind in KINDS if kind.startswith(("array", "tensor")) and "CHW3" not in kind} - {"array HW"}

# A recipe for each class, where there is one with small views, and settings for smaller ones.
CLASSES = {
    (hf.REFERENCES[recipe].model, arithmetic): (recipe, arithmetic)
    for recipe, arithmetic in sorted(hf.cases(sorted(hf.REFERENCES)), key=lambda case: case[0] in SMALL)
}
SMALLER: dict[str, dict[str, Any]] = {"aria-split": {"split_image": False}, "molmo2": {"max_crops": 1}}


def _taken(original: Any) -> set[str]:
    """The kinds that the class reads as RGB pixels."""
    if not original.do_convert_rgb:
        return {"RGB, one colour transparent", "tensor CHW3, permuted"}
    kinds = set(KINDS) - {"array HW"} - (set() if versions.COMPOSITES else CONVERTED)
    # These two have always composited, but for such images in the first versions.
    first = versions.VERSION < (5, 19) and type(original).__name__.startswith(("Idefics2", "Mllama"))
    return kinds - {"RGB, one colour transparent"} if first else kinds


@pytest.mark.skipif(versions.VERSION not in versions.TESTED, reason="a version of which nothing is known")
def test_classes_that_this_version_lacks() -> None:
    assert {recipe for recipe in hf.REFERENCES if not hf.available(recipe)} == versions.ABSENT


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize(("recipe", "arithmetic"), CLASSES.values())
def test_all_kinds(recipe: str, arithmetic: str, runs: list[int]) -> None:
    original, accelerated = pair(recipe, arithmetic, **SMALLER.get(recipe, {}))
    taken = set()
    for kind, one in KINDS.items():
        runs.clear()
        both((original, accelerated), [one], return_tensors="pt")
        if runs:
            taken.add(kind)
    assert taken == (set() if versions.declines(recipe) else _taken(original))


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("arithmetic", ["torch", "pillow"])
def test_kinds_beside_each_other(arithmetic: str, runs: list[int]) -> None:
    original, accelerated = pair("llava-1.5", arithmetic)
    mixed = [KINDS[kind] for kind in KINDS if kind in _taken(original)]
    both((original, accelerated), mixed, return_tensors="pt")
    both((original, accelerated), [*mixed[::-1], image(60, 50)], return_tensors="pt")
    assert runs == [len(mixed), len(mixed) + 1]


@pytest.mark.parametrize("arithmetic", ["torch", "pillow"])
def test_gray_arrays_of_samples(arithmetic: str, runs: list[int]) -> None:
    """Elsewhere transformers takes their rows for images, or refuses them."""
    both(pair("llava-1.5", arithmetic), [[KINDS["array HW"]]], return_tensors="pt")
    assert runs == ([1] if versions.COMPOSITES and arithmetic == "torch" else [])


def test_a_kind_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trial is a small image, whatever the call's are."""
    original, accelerated = pair("llava-1.5", "torch")
    read: list[tuple[str, tuple[int, int]]] = []
    cls = type(original)
    process_image = cls.process_image

    def counted(self: Any, one: Any, **kwargs: Any) -> Any:
        if isinstance(one, Image.Image):
            read.append((one.mode, one.size))
        return process_image(self, one, **kwargs)

    accelerated(image(60, 50), return_tensors="pt")
    for mode in ("L", "CMYK", "L", "CMYK"):
        with monkeypatch.context() as patched:
            patched.setattr(cls, "process_image", counted)
            accelerated([image(500, 400).convert(mode), image(60, 50)], return_tensors="pt")
    assert [mode for mode, _ in read if mode != "RGB"] == ["L", "CMYK"]
    assert max(max(size) for _, size in read) < 100


def test_alpha_that_a_class_drops_is_no_reason_to_leave_it(reasons: Reasons, runs: list[int]) -> None:
    """Nor is one that it composites: what the installed version does to a transparent image is found out."""
    original, accelerated = pair("qwen2-vl", "torch")
    both((original, accelerated), KINDS["RGBA"], return_tensors="pt")
    assert (reasons(), runs) == ([], [1])


def test_what_is_left_says_why(reasons: Reasons, runs: list[int]) -> None:
    processors = pair("siglip2-naflex", "torch")
    both(processors, KINDS["P, one colour transparent"], return_tensors="pt")
    both(processors, KINDS["array HWC4"], return_tensors="pt")
    assert runs == []
    assert "a PIL image of mode P with a transparent colour" in reasons()[0]
    assert "an array of shape (H, W, 4)" in reasons()[1]


def test_a_kind_that_is_read_as_other_pixels(
    monkeypatch: pytest.MonkeyPatch, reasons: Reasons, runs: list[int]
) -> None:
    """It is left, and others are not."""
    original, accelerated = pair("llava-1.5", "torch")
    read = TorchvisionBackend.process_image

    def inverted(self: Any, one: Any, **kwargs: Any) -> Any:
        pixels = read(self, one, **kwargs)
        return 255 - pixels if isinstance(one, Image.Image) and one.mode == "L" else pixels

    monkeypatch.setattr(TorchvisionBackend, "process_image", inverted)
    both((original, accelerated), KINDS["L"], return_tensors="pt")
    assert runs == []
    assert "transformers reads a PIL image of mode L as other pixels" in reasons()[0]
    both((original, accelerated), KINDS["CMYK"], return_tensors="pt")
    assert runs == [1]


@pytest.mark.parametrize("transparency", [1.5, "white"])
def test_transparency_of_no_known_type(transparency: Any, runs: list[int]) -> None:
    both(pair("llava-1.5", "pillow"), _transparent(image(60, 50), transparency), return_tensors="pt")
    assert runs == []


def test_arrays_of_other_classes(reasons: Reasons, runs: list[int], tmp_path: Path) -> None:
    """Memory maps are arrays; what overrides an array's operations is not tried."""
    processors = pair("llava-1.5", "torch")
    both(processors, np.ma.masked_array(pixels(60, 50)), return_tensors="pt")
    assert runs == []
    assert "an image is a MaskedArray" in reasons()[0]
    mapped = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=(50, 60, 3))
    mapped[:] = pixels(60, 50)
    both(processors, mapped, return_tensors="pt")
    assert runs == [1]


def test_samples_are_of_their_kinds() -> None:
    for one in KINDS.values():
        kind = kind_of(one, None)
        assert {kind_of(sample, None) for sample in pictures(kind)} == {kind}
    kinds = [str(kind_of(one, None)) for one in KINDS.values()]
    assert "a PIL image of mode I;16" in kinds
    assert "a tensor of shape (4, H, W)" in kinds


def test_the_layouts_of_a_call_are_tried_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch has other kernels for tensors that are permuted, and for a batch that mixes them."""
    _, accelerated = pair("llava-1.5", "torch")
    tried = []
    trial = Form.trial

    def noted(self: Form, kinds: Any) -> Any:
        tried.append([kind.source for kind in kinds])
        return trial(self, kinds)

    monkeypatch.setattr(Form, "trial", noted)
    plain, permuted = torch.from_numpy(np.zeros((3, 50, 60), np.uint8)), KINDS["tensor CHW3, permuted"]
    for batch in ([plain], [permuted], [permuted, plain], [plain, permuted], [plain, plain]):
        accelerated(batch, return_tensors="pt")
    assert tried == [["tensor"], ["strided tensor"], ["strided tensor", "tensor"]]
    assert [one.is_contiguous() for one in pictures(Kind("strided tensor", Shape("CHW", 3)))] == [False] * 4
