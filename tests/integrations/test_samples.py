"""Processors that keep the images of samples apart: lists of lists in, padded rows and ragged lists out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BatchFeature

from tests.images import EXAMPLES, image, pixels
from tests.integrations.test_transformers_dropin import both, pair
from vlmres.integrations.transformers.kinds import plain
from vlmres.integrations.transformers.samples import Call
from vlmres.verify import references as hf

Reasons = Callable[[], list[str]]

# Recipes whose classes know samples, and calls of them.
KNOWING: dict[str, list[dict[str, Any]]] = {
    "granite-docling": [{"max_patches": 2}, {"min_patches": 2}],
    "idefics2": [{"do_image_splitting": True}, {"size": {"shortest_edge": 40, "longest_edge": 100}}],
    "idefics3": [
        {"return_row_col_info": True},
        {"do_image_splitting": False},
        {"do_image_splitting": False, "return_row_col_info": True},
        {"max_image_size": {"longest_edge": 40}, "size": {"longest_edge": 160}, "return_row_col_info": True},
    ],
    "smolvlm": [{"return_row_col_info": True}, {"do_image_splitting": False}],
    "mllama": [{"max_image_tiles": 2}, {"size": {"height": 70, "width": 70}}],
    "llava-onevision": [{"image_grid_pinpoints": [[56, 168], [168, 56]]}],
    "llama4": [{"max_patches": 4}],
}
COMMON: list[dict[str, Any]] = [
    {},
    {"do_normalize": False},
    {"rescale_factor": 1 / 127.5, "resample": 2},
    {"image_mean": [0.1, 0.5, 0.9], "image_std": (0.3, 0.2, 0.1), "disable_grouping": True},
    {"do_convert_rgb": True, "device": "cpu", "resample": 3},
]
CASES = [(name, arithmetic) for name, arithmetic in hf.cases(sorted(KNOWING))]


def images(*counts: int) -> list[list[Any]]:
    made = iter(image(40 + 61 * index % 300, 30 + 97 * index % 260, seed=index) for index in range(sum(counts)))
    return [[next(made) for _ in range(count)] for count in counts]


@pytest.mark.parametrize("tensors", ["pt", "np", None])
@pytest.mark.parametrize(("name", "arithmetic"), CASES)
def test_lists_of_lists(name: str, arithmetic: str, tensors: str | None, reasons: Reasons, runs: list[int]) -> None:
    processors = pair(name, arithmetic)
    for call in (images(1), images(2, 1), images(1, 3, 2), images(2, 2)):
        both(processors, call, return_tensors=tensors)
    both(processors, images(3)[0], return_tensors=tensors)
    both(processors, images(1)[0][0], return_tensors=tensors)
    both(processors, tuple(map(tuple, images(1, 2))), return_tensors=tensors)
    # numpy has no bfloat16, and no arrays of ragged lists: such results are transformers' own.
    if not (tensors == "np" and reasons()):
        assert (reasons(), runs) == ([], [1, 3, 6, 4, 3, 1, 3])


@pytest.mark.parametrize("kwargs", COMMON, ids=str)
@pytest.mark.parametrize(("name", "arithmetic"), CASES)
def test_settings_of_a_call(
    name: str, arithmetic: str, kwargs: dict[str, Any], reasons: Reasons, runs: list[int]
) -> None:
    processors = pair(name, arithmetic)
    for more in [{}, *KNOWING[name]]:
        both(processors, images(1, 2), return_tensors="pt", **{**kwargs, **more})
    if name == "llava-onevision" and "image_mean" in kwargs:  # several images are padded with its own mean
        assert "other values of pixel_values" in reasons()[0]
    else:
        assert (reasons(), runs) == ([], [3] * (1 + len(KNOWING[name])))


@pytest.mark.parametrize(("name", "arithmetic"), CASES)
def test_samples_without_images(name: str, arithmetic: str, runs: list[int]) -> None:
    """As the class has it: a row of padding, no row, or an error."""
    processors = pair(name, arithmetic)
    for counts in ([1, 0, 2], [0, 1], [0, 2, 0, 1], [2, 0], [0, 0], [0, 1, 0], [0]):
        for tensors in ("pt", None):
            both(processors, images(*counts), return_tensors=tensors)
    both(processors, [], return_tensors="pt")
    assert 3 in runs  # with one between others, all of them do something


@pytest.mark.parametrize(("name", "arithmetic"), CASES)
def test_inputs(name: str, arithmetic: str, runs: list[int]) -> None:
    processors = pair(name, arithmetic)
    last = pixels(120, 90)
    first = np.ascontiguousarray(last.transpose(2, 0, 1))
    batches: list[Any] = [
        [[last, image(50, 60)], [torch.from_numpy(first)]],
        [[str(EXAMPLES / "line.png")], [first, last[::2, 1::3]]],
        np.stack([last, last]),
        [np.stack([last, last]), np.stack([last])],
        torch.from_numpy(np.stack([first, first])),
    ]
    for batch in batches:
        both(processors, batch, return_tensors="pt")
    both(processors, [[last]], return_tensors="pt", input_data_format="channels_last")
    both(processors, [[image(20, 30), last.astype(np.float32)]], return_tensors="pt")
    both(
        processors, [[image(20, 30)], [image(20, 30).convert("RGBA"), image(40, 30).convert("L")]], return_tensors="pt"
    )
    both(processors, [[image(20, 30)], image(20, 30)], return_tensors="pt")
    both(processors, [["no such file.png"]], return_tensors="pt")
    assert len(runs) >= 4


def test_rows_and_columns_of_lfm2(reasons: Reasons, runs: list[int]) -> None:
    """It knows no samples, and its processor asks for the tiles' rows and columns."""
    processors = pair("lfm2-vl", "torch")
    for tensors in ("pt", "np", None):
        both(processors, images(1, 2), return_tensors=tensors, return_row_col_info=True)
    assert (reasons(), runs) == ([], [3, 3, 3])


def test_what_else_a_result_holds() -> None:
    """Granite-Docling's keeps its lists when it is made into tensors later."""
    original, accelerated = pair("granite-docling", "torch")
    results: list[BatchFeature] = [one(images(1, 2)) for one in (original, accelerated)]
    for result in results:
        result.convert_to_tensors("np")
        assert isinstance(result["rows"], list)
        assert isinstance(result["pixel_values"], np.ndarray)
    assert vars(results[0]).keys() == vars(results[1]).keys()
    assert results[1].skip_tensor_conversion == ["rows", "cols"]


def test_images_beside_each_other_are_not_tiled(runs: list[int]) -> None:
    """LLaVA-OneVision cuts an image alone in its sample, and pads one of several."""
    original, accelerated = pair("llava-onevision", "torch")
    wide = image(300, 100)
    for call in ([[wide], [wide, wide]], [[wide, wide], [wide, wide, wide]], [wide, wide]):
        both((original, accelerated), call, return_tensors="pt")
    assert runs == [3, 5, 2]
    result = accelerated([[wide], [wide, wide]], return_tensors="pt")
    assert result["batch_num_images"].tolist() == [1, 2]
    assert result["pixel_values"].shape[:2] == (3, 3)


def test_arguments_that_are_not_understood(reasons: Reasons) -> None:
    original, accelerated = pair("llava-onevision", "torch")
    stack = np.stack([pixels(60, 50)] * 2)  # two images, of which the class counts one
    both((original, accelerated), stack, return_tensors="pt")
    assert "positional arguments ([1],)" in reasons()[0]


def test_calls() -> None:
    call = Call.of([["a"], ["b", "c"]], ())
    assert (call.images, call.counts, call.arguments) == (["a", "b", "c"], [1, 2], ([["a"], ["b", "c"]],))
    call = Call.of(["a", "b", "c"], ([1, 2],))
    assert (call.samples, call.arguments) == ([["a"], ["b", "c"]], (["a", "b", "c"], [1, 2]))
    call = Call.of(("a", "b"), ())
    assert (call.samples, call.counts, call.arguments) == (["a", "b"], None, (["a", "b"],))
    forms = [Call.of([["a"] * count for count in counts], ()).form for counts in ([0, 1], [1, 0, 1], [1, 0], [0, 0])]
    empties = [(form.starts_empty, form.has_empty, form.ends_empty) for form in forms]
    assert empties == [(True, False, False), (False, True, False), (False, False, True), (True, False, True)]
    for form in forms:
        trial = form.trial([plain("PIL image", None)])
        assert trial.counts is not None
        assert Call.of(trial.samples, ()).form == form
        assert sum(trial.counts) == len(trial.images) == 4
