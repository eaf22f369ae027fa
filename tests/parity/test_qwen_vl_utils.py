"""Recipes of qwen-vl-utils against the live package, with transformers' processors behind it."""

import random
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import vlmres
from tests.films import decoded, film
from tests.images import image, random_sizes
from vlmres.verify.references import HALF

pytest.importorskip("qwen_vl_utils", reason="pip install -r requirements/test.txt")

from qwen_vl_utils import vision_process as utils


class Pipeline(NamedTuple):
    """What an authors' example runs behind `process_vision_info`."""

    patch_size: int
    images: Any
    videos: Any
    call: dict[str, Any]


def _pipeline(recipe: str) -> Pipeline:
    from transformers import Qwen2VLVideoProcessor, Qwen3VLVideoProcessor
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

    if recipe == "qwen3-vl-utils":
        settings: dict[str, Any] = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, **HALF}
        images, videos = (
            Qwen2VLImageProcessor(**settings),
            Qwen3VLVideoProcessor(**settings, cap_pixels_per_frame=False),
        )
        return Pipeline(16, images, videos, {"do_resize": False})
    # As the checkpoints' files say.
    size = {"shortest_edge": 3136, "longest_edge": 12845056}
    return Pipeline(
        14, Qwen2VLImageProcessor(size=size), Qwen2VLVideoProcessor(size=size, cap_pixels_per_frame=False), {}
    )


RECIPES = ("qwen2.5-vl-utils", "qwen3-vl-utils")


@pytest.fixture(autouse=True)
def _decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchcodec's reader of the package on PyAV's frames."""

    class VideoDecoder:
        def __init__(self, path: str, **_: Any) -> None:
            video = vlmres.Video(path)
            self.metadata = types.SimpleNamespace(average_fps=video.fps, num_frames=video.total_frames)
            self._frames = decoded(Path(path).read_bytes())

        def get_frames_at(self, indices: list[int]) -> Any:
            frames = np.stack([self._frames[index] for index in indices])
            return types.SimpleNamespace(data=torch.from_numpy(frames).permute(0, 3, 1, 2))

    module = types.ModuleType("torchcodec.decoders")
    module.VideoDecoder = VideoDecoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchcodec", types.ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", module)
    monkeypatch.setattr(utils, "get_video_reader_backend", lambda: "torchcodec")
    # An error is no reason to read the file otherwise.
    monkeypatch.setitem(utils.VIDEO_READER_BACKENDS, "torchvision", utils._read_video_torchcodec)


def _messages(**part: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": next(iter(part)), **part}]}]


@pytest.mark.parametrize("recipe", RECIPES)
def test_frames(recipe: str) -> None:
    """Indices of 1,000 videos, of parts of them too."""
    rng = random.Random(1)
    loaded = vlmres.Recipe.load(recipe)
    other = vlmres.Recipe.load("qwen2-vl", sampling="qwen-vl-utils")
    for _ in range(1000):
        total, rate = rng.randint(1, 20_000), rng.choice([0.5, 10.0, 23.976, 24.0, 25.0, 29.97, 30.0, 59.94, 60.0])
        said: dict[str, Any] = rng.choice([{}, {"fps": rng.choice([0.1, 1, 2, 5.5])}, {"nframes": rng.randint(1, 800)}])
        first = rng.choice([0, 0, rng.randint(0, 5000)])
        asked = {{"nframes": "num_frames"}.get(key, key): value for key, value in said.items()}
        try:
            count = utils.smart_nframes(said, total, rate)
        except ValueError:
            with pytest.raises(vlmres.VlmresError, match="cannot be picked"):
                loaded.sample_frames(total, video_fps=rate, first=first, **asked)
            continue
        expected = torch.linspace(first, first + total - 1, count).round().long().tolist()
        for one in (loaded, other):
            assert one.sample_frames(total, video_fps=rate, first=first, **asked).tolist() == expected


@pytest.mark.parametrize("recipe", RECIPES)
def test_sizes_of_videos(recipe: str) -> None:
    """Sizes of 1,000 videos with budgets of their own, from `fetch_video` without its pixels."""
    rng = random.Random(2)
    processor = vlmres.Processor(recipe)
    patch_size = processor.recipe.patch_size
    side = 2 * patch_size
    checked = 0
    for _ in range(1000):
        frames = 2 * rng.randint(1, 384)
        width, height = (int(2 ** rng.uniform(4, 12)) for _ in range(2))
        said: dict[str, Any] = rng.choice(
            [
                {},
                {"max_pixels": rng.randint(100_352, 1_000_000)},
                {"min_pixels": rng.randint(4, 200) * side**2, "max_pixels": rng.randint(250, 800) * side**2},
                {"total_pixels": rng.randint(500, 40_000) * side**2},
                {"resized_height": rng.randint(10, 1000), "resized_width": rng.randint(10, 1000)},
            ]
        )
        try:
            expected = _size(frames, width, height, said, patch_size)
        except (ValueError, AssertionError):
            with pytest.raises(vlmres.VlmresError):
                processor.plan(((frames, width, height), said))
            continue
        plan = processor.plan(((frames, width, height), said))
        assert plan.views[0].canvas == expected, (frames, width, height, said)
        checked += 1
    assert checked > 800


def _size(frames: int, width: int, height: int, said: dict[str, Any], patch_size: int) -> tuple[int, int]:
    """(width, height) that `fetch_video` resizes frames to."""
    seen: list[int] = []

    def resize(video: Any, size: list[int], **_: Any) -> Any:
        seen.extend(size)
        return video

    # A tensor of one byte, seen as all of these.
    video = torch.zeros(1, dtype=torch.uint8).expand(frames, 3, height, width)
    functional = types.SimpleNamespace(resize=resize)
    original, reader = utils.transforms, utils.VIDEO_READER_BACKENDS["torchcodec"]
    utils.transforms = types.SimpleNamespace(functional=functional)
    utils.VIDEO_READER_BACKENDS["torchcodec"] = lambda _: (_Floats(video), {}, 2.0)
    try:
        utils.fetch_video({"video": "a.mp4", **said}, patch_size)
    finally:
        utils.transforms, utils.VIDEO_READER_BACKENDS["torchcodec"] = original, reader
    if not all(seen):
        raise ValueError("a side of no pixels, which no resize makes")
    return seen[1], seen[0]


class _Floats:
    """A video that makes no floats of its bytes."""

    def __init__(self, video: torch.Tensor) -> None:
        self.shape = video.shape

    def float(self) -> "_Floats":
        return self


SETTINGS: list[dict[str, Any]] = [
    {},
    {"fps": 1.0},
    {"nframes": 7},
    {"max_pixels": 120 * 28 * 28, "min_pixels": 16 * 28 * 28},
    {"total_pixels": 600 * 28 * 28, "min_pixels": 16 * 28 * 28, "fps": 4},
    {"min_frames": 10, "max_frames": 12},
    {"resized_height": 100, "resized_width": 190},
    {"video_start": 0.7, "video_end": 2.9},
    {"video_start": 1.0},
    {"video_end": 2.5, "fps": 3},
]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("said", SETTINGS, ids=str)
def test_files_of_videos(recipe: str, said: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(film(100, 224, 130))
    pipeline = _pipeline(recipe)
    messages = _messages(video=str(path), **said)
    _, videos, kwargs = utils.process_vision_info(
        messages, return_video_kwargs=True, return_video_metadata=True, image_patch_size=pipeline.patch_size
    )
    pixels, metadata = videos[0]
    expected = pipeline.videos([pixels], return_tensors="np", **kwargs, **pipeline.call)
    processor = vlmres.Processor(recipe)
    video = vlmres.from_messages(messages).videos[0]
    batch = processor(videos=[video])
    info = batch.video_infos[0]
    assert info is not None
    assert info.frames.tolist() == metadata["frames_indices"]
    for key in ("pixel_values_videos", "video_grid_thw"):
        np.testing.assert_array_equal(batch[key], expected[key])
    planned, plan = processor.plan(video), batch.plans[0]
    assert plan is not None
    assert (planned.frames, planned.size, planned.grid_thw) == (plan.frames, plan.size, plan.grid_thw)
    shapes = {key: (array.shape, str(array.dtype)) for key, array in batch.items()}
    assert processor.shapes([video]) == shapes
    _, rate = utils.fetch_video(messages[0]["content"][0], return_video_sample_fps=True)
    assert info.sampled_fps == pytest.approx(rate)
    if recipe == "qwen2.5-vl-utils":
        np.testing.assert_allclose(batch["second_per_grid_ts"], [2 / rate], rtol=1e-6)
    # What the package gives is taken as it is.
    given = vlmres.Processor(recipe.removesuffix("-utils"))(videos=[(pixels, {"do_resize": False})])
    np.testing.assert_array_equal(given["pixel_values_videos"], expected["pixel_values_videos"])


@pytest.mark.parametrize("recipe", RECIPES)
def test_images(recipe: str) -> None:
    pipeline = _pipeline(recipe)
    processor = vlmres.Processor(recipe)
    for size in random_sizes(40, 900, seed=3, ratio=100):
        messages = _messages(image=image(*size))
        found, _ = utils.process_vision_info(messages, image_patch_size=pipeline.patch_size)
        expected = pipeline.images(found, return_tensors="np", **pipeline.call)
        batch = processor(vlmres.from_messages(messages).images)
        for key in ("pixel_values", "image_grid_thw"):
            np.testing.assert_array_equal(batch[key], expected[key], err_msg=str(size))


def test_images_and_videos_of_messages(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(film(60))
    parts = [
        {"type": "image", "image": image(200, 100)},
        {"type": "video", "video": str(path), "fps": 2.0},
        {"type": "image", "image": image(90, 300), "max_pixels": 40_000},
    ]
    pipeline = _pipeline("qwen3-vl-utils")
    messages = [{"role": "user", "content": parts}]
    images, videos, kwargs = utils.process_vision_info(messages, return_video_kwargs=True, image_patch_size=16)
    expected = pipeline.images(images, do_resize=False, return_tensors="np")
    kwargs.pop("fps")
    expected |= pipeline.videos(videos, do_resize=False, return_tensors="np", **kwargs)
    media = vlmres.from_messages(messages)
    batch = vlmres.Processor("qwen3-vl-utils")(media.images, videos=media.videos)
    assert set(batch) == {"pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw"}
    for key, array in batch.items():
        np.testing.assert_array_equal(array, expected[key], err_msg=key)
