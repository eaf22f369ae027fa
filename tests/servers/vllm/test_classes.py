"""vLLM's own classes called by themselves, on random and extreme sizes: the same bits, and by vlmres."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from PIL import Image

from tests.images import image, random_sizes
from vlmres.integrations.operations.compare import same
from vlmres.integrations.operations.counters import FALLBACKS, IMAGES, counters
from vlmres.integrations.transformers import accelerate
from vlmres.integrations.vllm import hooks, internvl, ovis, step3
from vlmres.integrations.vllm.hooks import Hook

pytest.importorskip("vllm", reason="run make test-vllm")

EXTREMES = [
    (1, 1),
    (5, 2),
    (250, 100),
    (1, 300),
    (300, 1),
    (3, 5),
    (56, 56),
    (57, 55),
    (168, 56),
    (500, 500),
    (900, 20),
]
SIZES = [*EXTREMES, *random_sizes(12, 500, seed=11, ratio=40)]
SIDE = 56


class Case(NamedTuple):
    """A hooked class with settings."""

    hook: Hook
    make: Callable[[Any], Any]
    """An instance, of the module."""
    call: Callable[[Any, Any, Image.Image], Any]
    """The result of the method, which is given, for the instance and an image."""


def lists(method: Any, processor: Any, picture: Image.Image) -> Any:
    """A picture by itself, and beside others."""
    return method(processor, [picture]), method(processor, [picture, image(90, 40), picture])


def grid(cls: str, *, most: int, fewest: int = 1, thumbnail: bool = True, **settings: Any) -> Callable[[Any], Any]:
    return lambda module: getattr(module, cls)(SIDE, fewest, most, True, thumbnail, **settings)


def ovis_processor(cls: str, backend: str, **attributes: Any) -> Callable[[Any], Any]:
    """A processor of Ovis without a tokenizer."""

    def make(module: Any) -> Any:
        made = object.__new__(getattr(module, cls))
        tokens = ("image_start", "image_end", "video_start", "video_end", "visual_atom", "image_pad", "image_prefix")
        more = ("image_atom", "image_col_sep", "image_row_sep")
        vars(made).update(attributes, extra_special_tokens={name: at for at, name in enumerate((*tokens, *more))})
        names = {"torch": ("", "SiglipImageProcessor"), "pil": ("_pil", "SiglipImageProcessorPil")}
        suffix, name = names[backend]
        siglip = importlib.import_module(f"transformers.models.siglip.image_processing{suffix}_siglip")
        made.image_processor = getattr(siglip, name)(size={"height": 112, "width": 112})
        return made

    return make


def one_ovis(method: Any, processor: Any, picture: Image.Image) -> Any:
    return method(processor, picture, 9, 0.9, True, "pt")


def one_ovis2_5(method: Any, processor: Any, picture: Image.Image) -> Any:
    limits: dict[str, Any] = {"min_pixels": 128 * 128, "max_pixels": 512 * 512}
    frames = [picture, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    return method(processor, images=picture, **limits), method(processor, video=frames, **limits)


OVIS_2_5 = {"patch_size": 16, "hidden_stride": 2, "temporal_patch_size": 1}
CASES = {
    "internvl": Case(internvl.IMAGES, grid("InternVLImageProcessor", most=12), lists),
    "internvl, four tiles": Case(internvl.IMAGES, grid("InternVLImageProcessor", fewest=4, most=4), lists),
    "h2ovl": Case(internvl.H2OVL, grid("H2OVLImageProcessor", most=6, use_msac=True), lists),
    "h2ovl, one pass": Case(internvl.H2OVL, grid("H2OVLImageProcessor", most=4, use_msac=False), lists),
    "nemotron": Case(internvl.NEMOTRON, grid("LlamaNemotronNanoVLImageProcessor", most=12), lists),
    "nemotron, no thumbnail": Case(
        internvl.NEMOTRON, grid("LlamaNemotronNanoVLImageProcessor", most=6, thumbnail=False), lists
    ),
    "nemotron embed": Case(internvl.NEMOTRON_EMBED, grid("LlamaNemotronVLEmbedImageProcessor", most=6), lists),
    "nemotron embed, bytes": Case(
        internvl.NEMOTRON_EMBED,
        grid("LlamaNemotronVLEmbedImageProcessor", most=6, do_rescale=False, do_normalize=False),
        lists,
    ),
    "ovis": Case(ovis.OVIS, ovis_processor("OvisProcessor", "torch", image_segment_len=3), one_ovis),
    "ovis, pil": Case(ovis.OVIS, ovis_processor("OvisProcessor", "pil", image_segment_len=3), one_ovis),
    "ovis2.5": Case(ovis.OVIS2_5, ovis_processor("Ovis2_5Processor", "torch", **OVIS_2_5), one_ovis2_5),
    "ovis2.5, pil": Case(ovis.OVIS2_5, ovis_processor("Ovis2_5Processor", "pil", **OVIS_2_5), one_ovis2_5),
    "step3": Case(
        step3.HOOK,
        lambda module: module.Step3VLImageProcessor(image_size=224),
        lambda method, processor, picture: method(processor, [picture, image(800, 90)], "pt"),
    ),
}


@pytest.fixture(autouse=True)
def _counted() -> Iterator[None]:
    counters.clear()
    yield
    counters.clear()


@pytest.mark.parametrize("name", CASES)
def test_a_class_is_the_same(name: str) -> None:
    case = CASES[name]
    module = importlib.import_module(case.hook.module)
    hooks.install_hook(case.hook, module)
    cls = getattr(module, case.hook.cls)
    method = vars(cls)[case.hook.method]
    processor = case.make(module)
    check(
        case.hook.part,
        lambda picture: case.call(method, processor, picture),
        lambda picture: case.call(method._vlmres_original, processor, picture),
    )


def test_glm_4v() -> None:
    make = importlib.import_module("vllm.transformers_utils.processors.glm4v").GLM4VImageProcessorFast
    theirs = make(size={"height": 224, "width": 224})
    ours = accelerate(theirs)
    check(
        "GLM4VImageProcessorFast",
        lambda picture: dict(ours(picture, return_tensors="pt")),
        lambda picture: dict(theirs(picture, return_tensors="pt")),
    )


def test_minimax_m3_is_not_taken_for_transformers_class() -> None:
    """They have one name, and other sizes for an image of 4x146."""
    make = importlib.import_module("vllm.transformers_utils.processors.minimax_m3").MiniMaxM3VLImageProcessor
    processor, picture = make(), image(4, 146)
    expected = dict(processor(picture, return_tensors="pt"))
    assert same(dict(accelerate(processor)(picture, return_tensors="pt")), expected)


def check(part: str, ours: Callable[[Image.Image], Any], theirs: Callable[[Image.Image], Any]) -> None:
    """Fails unless both give the same bits for all sizes, or the same sort of error, and vlmres makes its own."""
    differing, refused = [], 0
    for size in SIZES:
        picture = image(*size)
        try:
            expected = theirs(picture)
        except (ValueError, ZeroDivisionError, AssertionError) as error:
            refused += 1
            with pytest.raises(type(error)):
                ours(picture)
            continue
        if not same(ours(picture), expected):
            differing.append(size)
    assert differing == []
    assert counters.value(IMAGES, path="vlmres", **{"class": part}) >= len(SIZES) - refused > 10, counters.text()
    assert refused or counters.value(IMAGES, path="original") == 0, counters.text()


def test_what_is_left() -> None:
    """Calls that no recipe follows are vLLM's, with the reason."""
    without = step3.HOOK, (lambda module: module.Step3VLImageProcessor(enable_patch=False)), CASES["step3"].call
    several = {**OVIS_2_5, "temporal_patch_size": 2}
    tubes = ovis.OVIS2_5, ovis_processor("Ovis2_5Processor", "torch", **several), CASES["ovis2.5"].call
    for hook, make, call in (without, tubes):
        module = importlib.import_module(hook.module)
        hooks.install_hook(hook, module)
        method = vars(getattr(module, hook.cls))[hook.method]
        processor = make(module)
        got, expected = (call(one, processor, image(300, 200)) for one in (method, method._vlmres_original))
        assert same(got, expected), hook.part
        assert counters.value(IMAGES, path="vlmres", **{"class": hook.part}) == 0
    assert counters.value(FALLBACKS, reason="enable_patch") == 1
    assert counters.value(FALLBACKS, reason="temporal_patch_size") == 2
