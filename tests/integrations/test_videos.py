"""transformers' video processors accelerated: the same results, whatever way they are called."""

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoVideoProcessor
from transformers.video_utils import VideoMetadata

from tests.integrations import tiny, versions
from tests.videos import video
from vlmres.integrations.operations.compare import same
from vlmres.integrations.transformers import accelerate, install, memo
from vlmres.verify import references as hf
from vlmres.verify.videos import DISTINCT, video_processor

CLIPS = [video(5, 90, 61), video(5, 200, 55, seed=4)]


def assert_same(got: Any, expected: Any) -> None:
    assert type(got) is type(expected)
    assert list(got) == list(expected)
    for key in expected:
        if key == "video_metadata":
            assert [vars(one) | {"frames_indices": None} for one in got[key]] == [
                vars(one) | {"frames_indices": None} for one in expected[key]
            ]
            assert [list(one.frames_indices) for one in got[key]] == [list(one.frames_indices) for one in expected[key]]
        else:
            assert same(got[key], expected[key]), key


@pytest.mark.parametrize("return_tensors", ["pt", "np", None])
@pytest.mark.parametrize("recipe", DISTINCT)
def test_results(recipe: str, return_tensors: str | None, video_runs: list[int]) -> None:
    original = video_processor(recipe)
    processor = accelerate(original)
    calls: list[tuple[Any, dict[str, Any]]] = [
        (CLIPS, {}),
        (CLIPS[0], {"return_metadata": True}),
        ([torch.from_numpy(clip).permute(0, 3, 1, 2) for clip in CLIPS], {"do_normalize": False}),
        ([list(CLIPS[1])], {"resample": 2}),
        ([[Image.fromarray(frame) for frame in clip] for clip in CLIPS], {}),
    ]
    for clips, settings in calls:
        expected = original(clips, return_tensors=return_tensors, **settings)
        assert_same(processor(clips, return_tensors=return_tensors, **settings), expected)
    assert video_runs == ([] if versions.declines(recipe, videos=True) else [2, 1, 2, 1, 2])


@pytest.mark.parametrize("recipe", ["glm-4v", "kimi-k2.5", "qwen2-vl", "qwen3-vl"])
def test_frames_are_picked_by_transformers(recipe: str, video_runs: list[int]) -> None:
    original = video_processor(recipe)
    clip = video(40, 64, 48)
    metadata = [VideoMetadata(total_num_frames=40, fps=10.0, duration=4.0)]
    for settings in ({"fps": 2}, {"fps": 1.5, "return_metadata": True}):
        call = {"do_sample_frames": True, "return_tensors": "pt", **settings}
        expected = original(clip, video_metadata=copy.deepcopy(metadata), **call)
        got = accelerate(original)(clip, video_metadata=copy.deepcopy(metadata), **call)
        assert_same(got, expected)
        assert len(expected["pixel_values_videos"]) > 0
    assert video_runs == [1, 1]


DECLINED: list[tuple[str, Any, dict[str, Any], str]] = [
    ("qwen2-vl", CLIPS[0].astype(np.float32), {}, "would be resized"),
    ("qwen2-vl", video(5, 448, 448).astype(np.float32) / 2, {}, "not of whole values from 0 to 255"),
    ("qwen2-vl", CLIPS[0].astype(np.int32), {}, "torch.int32, not torch.uint8"),
    ("llava-onevision", CLIPS, {"do_resize": False}, "do_resize=false"),
    ("llava-onevision", [CLIPS[0], CLIPS[1][:3]], {}, "cannot share"),
    (
        "llava-onevision",
        CLIPS,
        {"do_center_crop": True, "crop_size": {"height": 90, "width": 90}},
        "do_center_crop=true",
    ),
    ("qwen2-vl", CLIPS, {"size": {"shortest_edge": 1, "longest_edge": 700}}, "max_pixels"),
    ("qwen3-vl", CLIPS, {"image_mean": [0.5, 0.5, 0.5], "do_rescale": False, "image_std": [1.0, 0.0, 1.0]}, "std"),
]


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(("recipe", "clips", "settings", "reason"), DECLINED, ids=[reason for *_, reason in DECLINED])
def test_what_is_left_to_transformers(
    recipe: str,
    clips: Any,
    settings: dict[str, Any],
    reason: str,
    video_runs: list[int],
    reasons: Callable[[], list[str]],
) -> None:
    original = video_processor(recipe)
    if "crop_size" in settings or not settings.get("do_resize", True):
        clips = video(4, 112, 112)
    try:
        expected = original(clips, **settings)
    except (ValueError, RuntimeError) as error:
        with pytest.raises(type(error)):
            accelerate(original)(clips, **settings)
    else:
        assert_same(accelerate(original)(clips, **settings), expected)
    assert video_runs == []
    (logged,) = reasons()
    assert reason in logged


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("settings", [{}, {"do_resize": False}])
@pytest.mark.parametrize("recipe", ["qwen2-vl", "qwen3-vl"])
def test_frames_of_qwen_vl_utils(
    recipe: str, settings: dict[str, Any], dtype: Any, video_runs: list[int], reasons: Callable[[], list[str]]
) -> None:
    """They have their size and are floats of whole values."""
    original = video_processor(recipe)
    clips = [torch.from_numpy(video(5, *size).astype(dtype)) for size in ((448, 224), (224, 448))]
    assert_same(
        accelerate(original)(clips, return_tensors="pt", **settings), original(clips, return_tensors="pt", **settings)
    )
    assert (reasons(), len(video_runs)) == ([], 1)


def test_gray_videos(video_runs: list[int]) -> None:
    original = video_processor("qwen2-vl")
    assert_same(accelerate(original)(CLIPS[0][..., :1]), original(CLIPS[0][..., :1]))
    # The first version with video processors of this form converts them later, where vlmres has begun.
    assert video_runs == ([1] if versions.VERSION >= (5, 19) else [])


def test_outputs_that_the_samples_did_not_have(video_runs: list[int], reasons: Callable[[], list[str]]) -> None:
    original = video_processor("qwen2-vl")
    processor = accelerate(original)
    assert_same(processor(CLIPS), original(CLIPS))
    (route,) = memo._routes.values()
    del route.lists["video_grid_thw"]
    assert_same(processor(CLIPS), original(CLIPS))
    assert video_runs == [2]
    assert "outputs pixel_values_videos, video_grid_thw where sample videos gave pixel_values_videos" in reasons()[0]


def test_frames_stay_where_they_are() -> None:
    prepared = accelerate(video_processor("qwen2-vl"))._prepare_input_videos(videos=[CLIPS[0]])
    assert prepared[0].shape == (5, 3, 61, 90)
    assert prepared[0].data_ptr() == CLIPS[0].ctypes.data


def test_it_is_its_class(tmp_path: Path) -> None:
    original = video_processor("qwen3-vl", temporal_patch_size=4)
    processor = accelerate(original)
    assert isinstance(processor, type(original))
    assert type(processor) is not type(original)
    assert accelerate(processor) is processor
    assert processor.to_dict() == original.to_dict()
    for copied in (copy.deepcopy(processor), pickle.loads(pickle.dumps(processor))):
        assert type(copied) is type(processor)
        assert copied.to_dict() == original.to_dict()
    processor.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "video_preprocessor_config.json").read_text())
    assert saved["video_processor_type"] == "Qwen3VLVideoProcessor"
    assert type(AutoVideoProcessor.from_pretrained(tmp_path)) is type(original)
    install()
    loaded = AutoVideoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is type(processor)
    assert loaded.temporal_patch_size == 4


def test_a_processor_of_both(video_runs: list[int], runs: list[int]) -> None:
    original = tiny.processor("qwen2.5-vl", hf.processor("qwen2-vl", "torch", **tiny.SMALL["qwen2-vl"]))
    processor = accelerate(original)
    text = ["<|vision_start|><|video_pad|><|vision_end|> what is it"]
    metadata = [VideoMetadata(total_num_frames=5, fps=4.0, frames_indices=list(range(5)))]
    call = {"text": text, "videos": [CLIPS[0]], "video_metadata": metadata, "return_tensors": "pt"}
    expected, got = original(**copy.deepcopy(call)), processor(**copy.deepcopy(call))
    assert "second_per_grid_ts" in expected
    assert_same(got, expected)
    assert (video_runs, runs) == ([1], [])
