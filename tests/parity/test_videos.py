"""The videos of every recipe that takes them against transformers' video processors: keys, types, all values."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vlmres
from tests.compare import assert_equal_batches
from tests.images import KINDS, random_sizes
from tests.videos import video
from vlmres.verify.videos import DISTINCT, VIDEO_REFERENCES, count, video_counter, video_processor

# (frames, width, height)
SIZES = [
    (1, 64, 48),
    (2, 1, 1),
    (2, 128, 128),
    (3, 333, 200),
    (4, 14, 300),
    (5, 300, 14),
    (8, 97, 130),
    (9, 160, 90),
    *[(3 + index, *size) for index, size in enumerate(random_sizes(5, 500, seed=11, ratio=30))],
]
# Sizes at which a rule of the family turns.
FAMILY_SIZES: dict[str, list[tuple[int, int, int]]] = {
    "glm-4.6v": [(3, 27, 27), (2, 28, 1000), (64, 1920, 1080)],
    "glm-4v": [(2, 200, 1), (5, 56, 56), (7, 42, 70)],
    "glm-5-next": [(3, 28, 28), (4, 113, 56), (5, 5, 900)],
    "kimi-k2.5": [(4, 28, 28), (5, 27, 29), (13, 70, 41), (2, 2000, 1500)],
    "llava-onevision": [(3, 384, 384), (2, 385, 384), (4, 900, 20)],
    "minimax-m3-vl": [(17, 56, 56), (8, 400, 300), (10, 1, 200)],
    "qwen2-vl": [(4, 1200, 900), (2, 200, 1), (7, 42, 70)],
    "qwen3-vl": [(3, 31, 31), (32, 320, 240), (5, 48, 80), (6, 1, 200)],
}


def outcome(run: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    try:
        return run(*arguments, **settings)
    except ValueError as error:
        return error


def check(recipe: str, videos: Any, overrides: dict[str, Any] | None = None, **settings: Any) -> bool:
    """Compares one call; whether both made something of it."""
    ours = vlmres.Processor(vlmres.Recipe.load(recipe, **(overrides or {})))
    expected = outcome(video_processor(recipe, **settings), videos, return_tensors="pt")
    got = outcome(ours, videos=videos)
    if isinstance(expected, ValueError):
        assert isinstance(got, vlmres.VlmresError), (expected, got)
        return False
    assert_equal_batches(got.torch(), expected, recipe)
    return True


@pytest.mark.parametrize("recipe", DISTINCT)
def test_sizes(recipe: str) -> None:
    sizes = SIZES + FAMILY_SIZES[recipe]
    compared = [check(recipe, video(*size, KINDS[index % len(KINDS)])) for index, size in enumerate(sizes)]
    assert sum(compared) >= len(sizes) - 2
    # Those that count frames refuse a video of less than a patch.
    counts_frames = recipe in ("glm-4.6v", "glm-4v", "qwen3-vl")
    assert compared[0] != counts_frames


@pytest.mark.parametrize("recipe", DISTINCT)
def test_batches(recipe: str) -> None:
    frames = (4, 4, 4) if recipe == "llava-onevision" else (3, 6, 4)
    videos = [
        video(count, *size, seed=count) for count, size in zip(frames, [(90, 60), (61, 200), (90, 60)], strict=True)
    ]
    assert check(recipe, videos)
    assert check(recipe, [torch.from_numpy(one).permute(0, 3, 1, 2) for one in videos])
    assert check(recipe, [torch.from_numpy(one) for one in videos])
    assert check(recipe, [[Image.fromarray(frame) for frame in one] for one in videos])
    assert check(recipe, [list(one) for one in videos])
    assert check(recipe, [Image.fromarray(frame) for frame in videos[0]])
    assert check(recipe, np.stack([videos[0], videos[0][::-1]]))
    assert check(recipe, videos[0][..., :1])
    assert check(recipe, videos[2][::2, 1:, 2:50])


SMALL: dict[str, Any] = {"shortest_edge": 4096, "longest_edge": 50176}
EDGES = {"video_min_pixels": 4096, "video_max_pixels": 50176}

OVERRIDES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    *[(recipe, EDGES, {"size": SMALL}) for recipe in ("glm-4v", "qwen2-vl", "qwen3-vl")],
    ("qwen2-vl", {**EDGES, "min_frames": 2, "temporal_patch_size": 3}, {"size": SMALL, "temporal_patch_size": 3}),
    ("qwen2-vl", {**EDGES, "temporal_patch_size": 1}, {"size": SMALL, "temporal_patch_size": 1}),
    ("qwen2-vl", {"cap_pixels_per_frame": True}, {"cap_pixels_per_frame": True}),
    *[
        (
            recipe,
            {**EDGES, "cap_pixels_per_frame": True, "max_video_tokens": count},
            {"size": SMALL, "cap_pixels_per_frame": True, "max_video_tokens": count},
        )
        for recipe in ("qwen2-vl", "qwen3-vl")
        for count in (1, 30, 70, 1000)
    ],
    ("qwen3-vl", {**EDGES, "temporal_patch_size": 4}, {"size": SMALL, "temporal_patch_size": 4}),
    ("qwen3-vl", {"patch_size": 12, "merge_size": 3, **EDGES}, {"patch_size": 12, "merge_size": 3, "size": SMALL}),
    ("glm-5-next", {"min_video_tokens": 4, "max_video_tokens": 9}, {"min_image_tokens": 4, "max_image_tokens": 9}),
    ("glm-5-next", {"max_video_tokens": 16}, {"max_image_tokens": 16}),
    ("kimi-k2.5", {"video_max_patches": 16}, {"max_patches": 16}),
    ("kimi-k2.5", {"chunk_frames": 2, "merge_size": 1}, {"temporal_patch_size": 2, "merge_size": 1}),
    ("kimi-k2.5", {"max_side_patches": 4}, {"size": {"max_height": 4, "max_width": 4}}),
    ("llava-onevision", {"video_size": 56}, {"size": {"height": 56, "width": 56}}),
    ("minimax-m3-vl", {"video_max_pixels": 12544}, {"max_pixels": 12544}),
    ("minimax-m3-vl", {"vision_segment_max_frames": 1}, {"vision_segment_max_frames": 1}),
    *[
        (recipe, overrides, settings)
        for recipe in ("kimi-k2.5", "llava-onevision", "qwen2-vl")
        for overrides, settings in (
            ({"filter": "bilinear"}, {"resample": 2}),
            ({"filter": "lanczos"}, {"resample": 1}),
            ({"do_normalize": False}, {"do_normalize": False}),
            ({"do_rescale": False}, {"do_rescale": False}),
            ({"image_mean": [0.3, 0.2, 0.7]}, {"image_mean": [0.3, 0.2, 0.7]}),
        )
    ],
]


@pytest.mark.parametrize(
    ("recipe", "overrides", "settings"),
    OVERRIDES,
    ids=[
        f"{recipe}-{'-'.join(f'{key}={value}' for key, value in settings.items())}" for recipe, _, settings in OVERRIDES
    ],
)
def test_overrides(recipe: str, overrides: dict[str, Any], settings: dict[str, Any]) -> None:
    if "image_mean" in settings:
        overrides, settings = ({**one, "image_std": [0.2, 1.5, 0.4]} for one in (overrides, settings))
    compared = [
        check(recipe, video(*size), overrides, **settings)
        for size in [(2, 60, 90), (5, 200, 120), (7, 31, 40), (11, 64, 64)]
    ]
    assert sum(compared) >= 3


@pytest.mark.parametrize("recipe", DISTINCT)
def test_random_videos(recipe: str) -> None:
    rng = np.random.default_rng(DISTINCT.index(recipe))
    for index, (width, height) in enumerate(random_sizes(12, 400, seed=len(recipe), ratio=60)):
        check(recipe, video(int(rng.integers(2, 12)), width, height, seed=index))


@pytest.mark.parametrize("recipe", sorted(VIDEO_REFERENCES))
def test_token_counts(recipe: str) -> None:
    sizes = [(2, 640, 480), (3, 100, 100), (768, 1920, 1080), (64, 300, 30), (16, 1280, 720), (5, 28, 28)]
    counter = video_counter(recipe)
    expected = [count(counter, size) for size in sizes]
    assert [vlmres.plan(size, recipe).num_tokens for size in sizes] == expected
    assert vlmres.plan_many(sizes, recipe).num_tokens.tolist() == expected


@pytest.mark.parametrize("recipe", sorted(VIDEO_REFERENCES))
def test_a_reference_is_named(recipe: str) -> None:
    assert vlmres.Recipe.load(recipe).video_reference == f"transformers {VIDEO_REFERENCES[recipe].name}"
