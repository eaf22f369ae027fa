"""Frames picked of longer videos against transformers' `sample_frames`."""

from typing import Any

import numpy as np
import pytest
from transformers.video_utils import VideoMetadata

import vlmres
from vlmres.verify.videos import DISTINCT, video_processor

RATES = [24.0, 25.0, 29.97, 23.976, 30.0, 60.0, 10.0, 1.0]


def asked(recipe: str, rng: np.random.Generator) -> dict[str, Any]:
    """A rate or a number of frames, where the reference follows it."""
    what = rng.random()
    if what < 0.4 and recipe != "glm-4.6v":
        return {"fps": [0.5, 1.0, 2.0, 4.0, rng.uniform(0.1, 40)][rng.integers(5)]}
    if what < 0.8 and not recipe.startswith("glm"):
        return {"num_frames": [1, 2, 7, 16, int(rng.integers(1, 900))][rng.integers(5)]}
    return {}


@pytest.mark.parametrize("recipe", DISTINCT)
def test_frames(recipe: str) -> None:
    reference, loaded = video_processor(recipe), vlmres.Recipe.load(recipe)
    rng = np.random.default_rng(3)
    compared = 0
    for _ in range(400):
        total = int(np.exp(rng.uniform(0, np.log(300_000 if recipe == "qwen2-vl" else 30_000))))
        video_fps = float(rng.choice([*RATES, rng.uniform(0.5, 120)]))
        duration = total / video_fps * float(rng.uniform(0.9, 1.1)) if rng.random() < 0.4 else None
        settings = asked(recipe, rng)
        if recipe == "qwen2-vl" and not settings:
            continue  # the reference compares None with a number
        metadata = VideoMetadata(total_num_frames=total, fps=video_fps, duration=duration)
        try:
            expected = np.asarray(reference.sample_frames(metadata, **settings)).tolist()
        except (ValueError, ZeroDivisionError, RuntimeError):
            expected = []
        if not expected:
            with pytest.raises(vlmres.VlmresError, match=f"out of {total}"):
                loaded.sample_frames(total, video_fps=video_fps, duration=duration, **settings)
            continue
        got = loaded.sample_frames(total, video_fps=video_fps, duration=duration, **settings)
        assert got.dtype == np.int64
        assert got.tolist() == expected, (total, video_fps, duration, settings)
        compared += 1
    assert compared > 150


def test_without_a_rate() -> None:
    metadata = VideoMetadata(total_num_frames=500)
    # It takes 24 frames a second for granted.
    expected = video_processor("qwen3-vl").sample_frames(metadata)
    assert vlmres.Recipe.load("qwen3-vl").sample_frames(500).tolist() == expected.tolist()
    assert vlmres.Recipe.load("llava-onevision").sample_frames(5).tolist() == [0, 1, 2, 3, 4]
    assert vlmres.Recipe.load("qwen2-vl").sample_frames(5).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(vlmres.VlmresError, match="video_fps is needed"):
        vlmres.Recipe.load("kimi-k2.5").sample_frames(500)


def test_what_cannot_be_followed() -> None:
    def sample(recipe: str, total: int, **settings: Any) -> Any:
        return vlmres.Recipe.load(recipe).sample_frames(total, **settings)

    refused: list[tuple[str, int, dict[str, Any], str]] = [
        ("qwen2-vl", 0, {}, "total_frames must be between 1 and 16777216, got 0"),
        ("qwen2-vl", 10, {"fps": -1.0, "video_fps": 2.0}, "fps must be positive, got -1"),
        ("qwen2-vl", 10, {"fps": 1.0, "num_frames": 3}, "exclude each other"),
        ("qwen2-vl", 10, {"num_frames": 0}, "num_frames must be at least 1, got 0"),
        ("llava-onevision", 10, {"num_frames": 11}, "11 frames cannot be picked out of 10"),
        ("glm-4v", 10, {"num_frames": 3, "video_fps": 2.0}, "num_frames=3 has no effect"),
        ("glm-4.6v", 10, {"fps": 3.0, "video_fps": 2.0}, "fps=3 has no effect"),
        ("pixtral", 10, {}, '"pixtral": takes no videos'),
    ]
    for recipe, total, settings, message in refused:
        with pytest.raises(vlmres.VlmresError, match=message):
            sample(recipe, total, **settings)
