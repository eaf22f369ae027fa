"""An accelerated image processor is the original with other insides: its results, to the bit and to the type."""

import copy
import pickle
import re
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from transformers import BatchFeature
from transformers.image_utils import ChannelDimension

from tests.images import EXAMPLES, image, pixels
from tests.integrations import versions
from tests.integrations.tiny import SMALL
from vlmres.integrations.operations.compare import same
from vlmres.integrations.transformers import accelerate
from vlmres.verify import references as hf

ARITHMETICS = ("torch", "pillow")
TENSORS = ("pt", "np", None)

Reasons = Callable[[], list[str]]


def assert_same(got: Any, expected: Any, what: str = "") -> None:
    assert type(got) is type(expected), what
    assert isinstance(got, BatchFeature), what
    assert list(got) == list(expected), what
    for key in expected:
        assert same(got[key], expected[key]), f"{what}: {key}"


def pair(recipe: str, arithmetic: str, **settings: Any) -> tuple[Any, Any]:
    """transformers' processor and the accelerated one."""
    if not hf.available(recipe):
        pytest.skip(f"this transformers has no class for {recipe}")
    original = hf.processor(recipe, arithmetic, **{**SMALL.get(recipe, {}), **settings})
    return original, accelerate(original)


def both(processors: tuple[Any, Any], images: Any, **kwargs: Any) -> None:
    """One call gives the same from both, an error included."""
    expected, got = (outcome(processor, images, **kwargs) for processor in processors)
    if isinstance(expected, str):
        assert got == expected
    else:
        assert_same(got, expected, f"{kwargs}")


def outcome(processor: Any, images: Any, **kwargs: Any) -> Any:
    """What a call returns, or the error that it raises."""
    try:
        return processor(images, **kwargs)
    except Exception as error:
        # Some messages have an object's address.
        return re.sub("0x[0-9a-f]+", "0x", f"{type(error)}: {error}")


@pytest.mark.parametrize(("recipe", "arithmetic"), hf.cases(sorted(hf.REFERENCES)))
def test_settings_of_checkpoints(recipe: str, arithmetic: str, reasons: Reasons, runs: list[int]) -> None:
    original = hf.processor(recipe, arithmetic)
    both((original, accelerate(original)), [image(300, 200), image(800, 900)], return_tensors="pt")
    if versions.declines(recipe):
        assert (len(reasons()), runs) == (1, [])
    else:
        assert (reasons(), runs) == ([], [2])


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("recipe", hf.CORE)
def test_results(recipe: str, arithmetic: str, reasons: Reasons, runs: list[int]) -> None:
    processors = pair(recipe, arithmetic)
    batches = [
        image(300, 200),
        [image(300, 200), image(320, 410), image(20, 30), image(300, 200, seed=1)],
        [[image(300, 200)], [image(40, 60), image(400, 170)]],
        (image(90, 80), image(80, 90)),
    ]
    for batch in batches:
        for tensors in TENSORS:
            both(processors, batch, return_tensors=tensors)
    assert reasons() == []
    assert runs == [1] * 3 + [4] * 3 + [3] * 3 + [2] * 3


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("recipe", hf.CORE)
def test_arrays_and_tensors(recipe: str, arithmetic: str, reasons: Reasons, runs: list[int]) -> None:
    processors = pair(recipe, arithmetic)
    last = pixels(120, 90)
    first = np.ascontiguousarray(last.transpose(2, 0, 1))
    batches: list[Any] = [
        [last, first],
        np.stack([last, last]),
        torch.from_numpy(np.stack([first, first])),
        [torch.from_numpy(first), torch.from_numpy(last), last[::2, 1::3], image(50, 60)],
        [str(EXAMPLES / "line.png")],
    ]
    for batch in batches:
        both(processors, batch, return_tensors="pt")
    both(processors, [last], return_tensors="pt", input_data_format="channels_last")
    both(processors, [first], return_tensors="pt", input_data_format=ChannelDimension.FIRST)
    assert reasons() == []
    assert len(runs) == 7


MODES = ("1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "YCbCr")


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("recipe", ["llava-1.5", "qwen2-vl", "internvl2", "siglip2-naflex"])
def test_modes(recipe: str, arithmetic: str) -> None:
    """Where the family does not convert colours, the original's rules and errors hold."""
    processors = pair(recipe, arithmetic)
    for mode in MODES:
        picture = Image.fromarray(pixels(60, 50, channels=4)).convert("L" if mode == "I;16" else mode)
        both(processors, [picture.convert("I;16") if mode == "I;16" else picture], return_tensors="pt")
    for channels in (1, 4):
        both(processors, [pixels(60, 50, channels=channels)], return_tensors="pt")


CALLS: list[tuple[str, dict[str, Any]]] = [
    *[
        (recipe, kwargs)
        for recipe in hf.CORE
        for kwargs in (
            {"do_normalize": False},
            {"do_rescale": False},
            {"rescale_factor": 1 / 127.5},
            {"image_mean": [0.1, 0.5, 0.9], "image_std": (0.3, 0.2, 0.1)},
            {"resample": 0, "disable_grouping": False},
            {"resample": 2, "disable_grouping": True},
            {"resample": 1},
            {"do_convert_rgb": recipe == "siglip2-naflex", "device": "cpu"},
        )
    ],
    ("llava-1.5", {"size": {"shortest_edge": 70}, "crop_size": {"height": 56, "width": 84}}),
    ("llava-1.5", {"size": 100}),
    ("llava-1.5-pad", {"size": {"shortest_edge": 70}, "crop_size": 70}),
    ("llava-next", {"image_grid_pinpoints": [[56, 168], [168, 56]]}),
    ("internvl2", {"min_patches": 2, "max_patches": 6}),
    ("internvl2", {"size": {"height": 112, "width": 112}}),
    ("qwen2-vl", {"size": {"shortest_edge": 3136, "longest_edge": 50176}}),
    ("qwen3-vl", {"size": {"shortest_edge": 50176, "longest_edge": 100352}, "patch_size": 14}),
    ("qwen2-vl", {"temporal_patch_size": 1, "merge_size": 4}),
    ("siglip2-naflex", {"max_num_patches": 64, "patch_size": 8}),
    ("deepseek-ocr-2", {"max_patches": 4, "tile_size": 64}),
]


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize(("recipe", "kwargs"), CALLS, ids=[f"{recipe}-{kwargs}" for recipe, kwargs in CALLS])
def test_settings_of_a_call(
    recipe: str, kwargs: dict[str, Any], arithmetic: str, reasons: Reasons, runs: list[int]
) -> None:
    processors = pair(recipe, arithmetic)
    images = [image(200, 130), image(130, 201, "checker"), image(200, 130, seed=4)]
    both(processors, images, return_tensors="pt", **kwargs)
    both(processors, images, return_tensors="pt")
    assert reasons() == []
    assert runs == [3, 3]


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("recipe", ["llava-1.5", "qwen2-vl", "siglip2-naflex"])
def test_neither_rescaled_nor_normalised(recipe: str, arithmetic: str, reasons: Reasons, runs: list[int]) -> None:
    """uint8 pixels, or those in float32 where a PIL class makes them that."""
    original, accelerated = pair(recipe, arithmetic)
    settings: dict[str, Any] = {"return_tensors": "pt", "do_rescale": False, "do_normalize": False}
    both((original, accelerated), image(60, 50), **settings)
    values = accelerated(image(60, 50), **settings)["pixel_values"]
    assert values.dtype == (torch.float32 if (recipe, arithmetic) == ("qwen2-vl", "pillow") else torch.uint8)
    assert (reasons(), runs) == ([], [1, 1])


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_deprecated_pixel_budgets(arithmetic: str, runs: list[int]) -> None:
    original, accelerated = pair("qwen2-vl", arithmetic)
    for kwargs in ({"min_pixels": 6272, "max_pixels": 50176}, {"max_pixels": 50176}):
        told = []
        made = []
        for processor in (original, accelerated):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                made.append(processor(image(300, 200), return_tensors="pt", **kwargs))
            told.append([(one.category, str(one.message)) for one in caught])
        assert_same(made[1], made[0])
        assert told[1] == told[0]
        # 5.17 says nothing yet.
        assert versions.VERSION < (5, 19) or told[0][0][0] is FutureWarning
    assert runs == [1, 1]


def test_lists_of_lists_of_settings_and_other_instances(runs: list[int]) -> None:
    """A class may read an attribute of its instance where a call gave another value: DeepSeek-OCR 2 does."""
    gray, blue = pair("deepseek-ocr-2", "torch"), pair("deepseek-ocr-2", "torch", background_color=[0, 0, 250])
    both(blue, image(60, 90), return_tensors="pt")
    both(gray, image(60, 90), return_tensors="pt", background_color=[0, 0, 250])
    both(gray, image(60, 90), return_tensors="pt")
    blue[0].background_color = blue[1].background_color = [9, 9, 9]
    both(blue, image(60, 90), return_tensors="pt")
    assert runs == [1, 1, 1]


FALLBACKS: list[tuple[str, str, Any, dict[str, Any], str]] = [
    ("float images", "llava-1.5", np.full((50, 60, 3), 0.25, np.float32), {"do_rescale": False}, "float32, not uint8"),
    ("float tensors", "qwen2-vl", torch.full((3, 50, 60), 0.25, dtype=torch.float64), {}, "float64, not uint8"),
    ("ambiguous shape", "llava-1.5", np.zeros((3, 40, 3), np.uint8), {}, "channels first or last"),
    ("no resize", "qwen2-vl", image(60, 56), {"do_resize": False}, "no whole merged patches"),
    ("no resize to one size", "llava-1.5", image(56, 56), {"do_resize": False}, "do_resize=false"),
    ("no crop", "llava-1.5", image(60, 60), {"do_center_crop": False}, "do_center_crop=false"),
    ("a step set to None", "llava-1.5", image(60, 60), {"do_center_crop": None}, "do_center_crop=null"),
    ("padding", "llava-1.5", image(60, 50), {"do_pad": True, "pad_size": {"height": 350, "width": 350}}, "do_pad=true"),
    ("ragged tiles", "llava-next", image(60, 50), {"do_pad": False}, "do_pad=false"),
    ("two edges", "llava-1.5", image(60, 50), {"size": {"shortest_edge": 50, "longest_edge": 60}}, "longest_edge"),
    ("a gray image where colours stay", "siglip2-naflex", image(60, 50).convert("L"), {}, "mode L"),
    ("no images", "llava-1.5", [], {}, "no images"),
    ("a mean for all channels", "llava-1.5", image(60, 50), {"image_mean": 0.5, "image_std": 0.5}, "image_mean"),
    ("extreme ratio", "qwen2-vl", image(1, 300), {}, "ratio"),
    ("half a budget", "qwen2-vl", image(60, 50), {"size": {"shortest_edge": 3136}}, "transformers itself fails"),
    ("an unknown data format", "llava-1.5", pixels(60, 50), {"input_data_format": "planes"}, "'planes' is unknown"),
    ("three and four channels", "llava-1.5", pixels(60, 50), {"image_mean": [0.5] * 4, "image_std": [0.5] * 4}, "4"),
    ("no padding", "idefics3", [[image(60, 50)]], {"do_pad": False}, "do_pad=false"),
    ("pages on a fine route", "granite-docling", image(60, 50), {"fine_route": True}, "fine_route=true"),
    ("no images in samples", "idefics2", [[], []], {}, "no images"),
]


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize(
    ("recipe", "images", "kwargs", "reason"), [row[1:] for row in FALLBACKS], ids=[row[0] for row in FALLBACKS]
)
def test_fallback(
    recipe: str, images: Any, kwargs: dict[str, Any], reason: str, arithmetic: str, reasons: Reasons, runs: list[int]
) -> None:
    """What vlmres does not take is transformers' to answer, and said once."""
    processors = pair(recipe, arithmetic)
    for _ in range(3):
        both(processors, images, return_tensors="pt", **kwargs)
    assert runs == []
    assert len(reasons()) == 1
    assert reason in reasons()[0]
    assert reasons()[0].startswith(f"{type(processors[0]).__name__}: left to transformers: ")
    both(processors, image(60, 50), return_tensors="pt")
    assert runs == [1]


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("recipe", ["qwen2-vl", "qwen3-vl", "glm-4v"])
def test_images_that_have_their_size(recipe: str, arithmetic: str, reasons: Reasons, runs: list[int]) -> None:
    """As after qwen-vl-utils: with do_resize=False, of any number of whole merged patches."""
    processors = pair(recipe, arithmetic)
    side = 2 * processors[0].patch_size
    sizes = [(side, side), (3 * side, 7 * side), (40 * side, side)]
    images = [image(*size) for size in sizes]
    both(processors, images, return_tensors="pt", do_resize=False)
    both(processors, images[1], return_tensors="pt", do_resize=False, do_rescale=False, do_normalize=False)
    assert (reasons(), runs) == ([], [3, 1])


def test_negative_strides(reasons: Reasons) -> None:
    """torch refuses such arrays, Pillow reads them."""
    for arithmetic in ARITHMETICS:
        both(pair("llava-1.5", arithmetic), pixels(60, 50)[::-1], return_tensors="pt")
    assert [reason.split(": ")[0] for reason in reasons()] == ["CLIPImageProcessor"]
    assert "negative strides" in reasons()[0]


def test_another_device(reasons: Reasons, runs: list[int]) -> None:
    _, accelerated = pair("llava-1.5", "torch")
    assert accelerated(image(60, 50), return_tensors="pt", device="meta")["pixel_values"].device.type == "meta"
    assert accelerated([torch.zeros((3, 9, 9), dtype=torch.uint8, device="meta")], return_tensors="pt")
    assert runs == []
    assert reasons() == ["CLIPImageProcessor: left to transformers: device='meta' is not the CPU"]


def test_defaults_of_torch(runs: list[int]) -> None:
    """A new default is a new question, whatever was found before."""
    original, accelerated = pair("qwen2-vl", "torch")
    accelerated(image(60, 50), return_tensors="pt")
    with torch.device("meta"):
        assert accelerated(image(60, 50), return_tensors="pt")["image_grid_thw"].device.type == "meta"
    assert runs == [1]
    torch.set_default_dtype(torch.float64)
    try:
        fresh = hf.processor("qwen2-vl", "torch", **SMALL["qwen2-vl"])
        both((fresh, accelerate(fresh)), image(60, 50), return_tensors="pt")
    finally:
        torch.set_default_dtype(torch.float32)
    both((original, accelerated), image(60, 50), return_tensors="pt")


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_refused_settings(arithmetic: str) -> None:
    processors = pair("llava-1.5", arithmetic)
    both(processors, image(60, 50), return_tensors="pt", colour="red")
    both(processors, image(60, 50), return_tensors="pt", size={"height": "tall"})
    both(processors, "no such file.png", return_tensors="pt")
    both(processors, {"image": 1}, return_tensors="pt")
    both(processors, image(60, 50), return_tensors="jax")


def test_a_class_changed_by_its_user_is_not_followed(reasons: Reasons, runs: list[int]) -> None:
    """Under a known name, the sample images give it away; under another, no recipe follows it."""
    base: Any = type(hf.processor("llava-1.5", "torch"))

    class Inverted(base):  # type: ignore[misc]
        def rescale_and_normalize(self, images: Any, *args: Any) -> Any:
            return -super().rescale_and_normalize(images, *args)

    for cls in (type("CLIPImageProcessor", (Inverted,), {}), Inverted):
        original = cls(**hf.REFERENCES["llava-1.5"].settings)
        both((original, accelerate(original)), image(60, 50), return_tensors="pt")
    assert runs == []
    assert "other values of pixel_values for sample images" in reasons()[0]
    assert "no recipe follows configuration: image_processor_type=Inverted" in reasons()[1]


def test_a_class_that_reads_images_in_its_own_way_is_returned(reasons: Reasons) -> None:
    base: Any = type(hf.processor("llava-1.5", "torch"))

    class Own(base):  # type: ignore[misc]
        def process_image(self, image: Any, *args: Any, **kwargs: Any) -> Any:
            return super().process_image(image, *args, **kwargs).flip(-1)

    original = Own()
    assert accelerate(original) is original
    assert reasons() == ["Own: left to transformers: the class prepares images in a way of its own"]


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("recipe", hf.CORE)
def test_it_is_what_it_was(recipe: str, arithmetic: str, tmp_path: Path) -> None:
    original, accelerated = pair(recipe, arithmetic)
    cls = type(original)
    assert isinstance(accelerated, cls)
    assert (type(accelerated).__name__, type(accelerated).__module__) == (cls.__name__, cls.__module__)
    assert vars(accelerated) == vars(original)
    assert vars(accelerated) is not vars(original)
    assert repr(accelerated) == repr(original)
    assert accelerated.to_dict() == original.to_dict()
    assert accelerated.to_json_string() == original.to_json_string()
    assert accelerated.model_input_names == original.model_input_names
    assert accelerated.backend == original.backend
    assert accelerate(accelerated) is accelerated

    original.save_pretrained(tmp_path / "original")
    accelerated.save_pretrained(tmp_path / "accelerated")
    saved = [(tmp_path / name / "preprocessor_config.json").read_bytes() for name in ("original", "accelerated")]
    assert saved[0] == saved[1]
    loaded = cls.from_pretrained(tmp_path / "accelerated")
    assert type(loaded) is cls
    assert loaded.to_dict() == original.to_dict()
    again = type(accelerated).from_pretrained(tmp_path / "original")
    assert type(again) is type(accelerated)


def test_the_original_stays(runs: list[int]) -> None:
    original, accelerated = pair("llava-1.5", "torch")
    accelerated.size["shortest_edge"] = 40
    assert original.size["shortest_edge"] == 56
    original(image(60, 50), return_tensors="pt")
    assert runs == []


def test_tensors_share_the_memory_of_one_buffer() -> None:
    _, accelerated = pair("qwen2-vl", "torch")
    tensor = accelerated(image(60, 50), return_tensors="pt")["pixel_values"]
    assert not tensor.untyped_storage().resizable()  # it is numpy's
    _, accelerated = pair("llava-1.5", "torch")
    parts = accelerated([image(60, 50), image(50, 60)], return_tensors=None)["pixel_values"]
    assert parts[1].data_ptr() - parts[0].data_ptr() == parts[0].nbytes


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_copies_and_pickles(arithmetic: str, runs: list[int]) -> None:
    original, accelerated = pair("llava-next", arithmetic)
    accelerated.note = [1]
    copies = [pickle.loads(pickle.dumps(accelerated, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    copies += [copy.copy(accelerated), copy.deepcopy(accelerated)]
    for other in copies:
        assert type(other) is type(accelerated)
        assert vars(other) == vars(accelerated)
        both((original, other), image(60, 50), return_tensors="pt")
    assert copies[-1].note is not accelerated.note
    assert len(runs) == len(copies)


def test_threads() -> None:
    original, accelerated = pair("qwen2-vl", "torch")
    images = [image(40 + 10 * index, 90 - 5 * index) for index in range(8)]
    budgets = [{"shortest_edge": 3136, "longest_edge": 50176 + 784 * index} for index in range(4)]
    work = [(picture, size) for picture in images for size in budgets]
    expected = [original(picture, size=size, return_tensors="pt") for picture, size in work]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(2):
            results = pool.map(lambda one: accelerated(one[0], size=one[1], return_tensors="pt"), work)
            for got, wanted in zip(results, expected, strict=True):
                assert_same(got, wanted)


class Images(Dataset[torch.Tensor]):
    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> torch.Tensor:
        tensor: torch.Tensor = self.processor(image(60, 40, seed=index), return_tensors="pt")["pixel_values"]
        return tensor


@pytest.mark.parametrize("start", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_data_loader_workers(start: str) -> None:
    original, accelerated = pair("llava-1.5", "torch")
    loader = DataLoader(Images(accelerated), batch_size=2, num_workers=1, multiprocessing_context=start)
    got = torch.cat(list(loader))
    expected = torch.stack(
        [original(image(60, 40, seed=index), return_tensors="pt")["pixel_values"] for index in range(6)]
    )
    assert torch.equal(got, expected)


def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="got str"):
        accelerate("qwen2-vl")


def test_many_settings_are_forgotten(monkeypatch: pytest.MonkeyPatch, runs: list[int]) -> None:
    from vlmres.integrations.transformers import memo

    monkeypatch.setattr(memo, "_MOST_ROUTES", 3)
    processors = pair("llava-1.5", "torch")
    for scale in range(1, 8):
        both(processors, image(60, 50), return_tensors="pt", rescale_factor=1 / scale)
        assert len(memo._routes) <= 3
    assert len(runs) == 7


def test_what_is_the_same() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    for dtype in (torch.float32, torch.bfloat16, torch.int64, torch.bool):
        assert same(values.to(dtype), values.to(dtype).T.contiguous().T)
    assert same(torch.tensor(3), torch.tensor(3))
    assert not same(torch.tensor(0.0), torch.tensor(-0.0))
    assert not same(values, values.double())
    assert not same(values, values.reshape(4))
    assert not same(values, values.numpy())
    assert not same(values, values.to("meta"))
    assert same([values.numpy(), (1, 2)], [values.numpy().T.copy().T, (1, 2)])
    assert not same([1, 2], (1, 2))
    assert not same([1], [1, 2])
