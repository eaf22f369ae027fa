"""Videos against transformers' video processors with the settings of real checkpoints."""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vlmres._core import Recipe
from vlmres.integrations.transformers.route import own_settings
from vlmres.integrations.transformers.videos import make_video_processor
from vlmres.verify import tokens
from vlmres.verify.cases import Case, VideoSize, draw_pixels, draw_settings, draw_size
from vlmres.verify.references import HALF, Reference
from vlmres.verify.run import Subject
from vlmres.verify.tokens import TokenReference

if TYPE_CHECKING:
    from pathlib import Path

    from vlmres.batch import Batch
    from vlmres.processor import Processor


def _reference(model: str, name: str, settings: dict[str, Any] | None = None, fixed: tuple[str, ...] = ()) -> Reference:
    return Reference(model, name, settings or {}, ("torch",), fixed=fixed)


_LIKE_MOST = _reference("", "")
_QWEN2 = _reference("qwen2_vl", "Qwen2VLVideoProcessor")
_QWEN3 = _reference("qwen3_vl", "Qwen3VLVideoProcessor")

VIDEO_REFERENCES: dict[str, Reference] = {
    "glm-4.6v": _reference("glm46v", "Glm46VVideoProcessor"),
    "glm-4v": _reference("glm4v", "Glm4vVideoProcessor"),
    # The checkpoint's `size` is not used.
    "glm-5-next": _reference("glm5_next", "Glm5NextVideoProcessor", fixed=("size",)),
    "kimi-k2.5": _reference("kimi_k25", "Kimi_K25VideoProcessor"),
    "llava-onevision": _reference("llava_onevision", "LlavaOnevisionVideoProcessor", HALF),
    "minimax-m3-vl": _reference("minimax_m3_vl", "MiniMaxM3VLVideoProcessor"),
    "qwen2-vl": _QWEN2,
    "qwen2.5-vl": _QWEN2,
    "qwen3-vl": _QWEN3,
    "qwen3.5-vl": _QWEN3,
}

# Recipes that process videos as another recipe does.
ALIKE = {"qwen2.5-vl", "qwen3.5-vl"}
DISTINCT = tuple(sorted(set(VIDEO_REFERENCES) - ALIKE))

COUNTERS: dict[str, TokenReference] = {
    "glm-4.6v": TokenReference("glm46v", "Glm46VProcessor"),
    "glm-4v": TokenReference("glm4v", "Glm4vProcessor"),
    "glm-5-next": TokenReference("glm5_next", "Glm5NextProcessor"),
    "kimi-k2.5": TokenReference("kimi_k25", "Kimi_K25Processor"),
    "llava-onevision": TokenReference("llava_onevision", "LlavaOnevisionProcessor", {"num_image_tokens": 729}),
    "minimax-m3-vl": TokenReference("minimax_m3_vl", "MiniMaxM3VLProcessor"),
    "qwen2-vl": TokenReference("qwen2_vl", "Qwen2VLProcessor"),
    "qwen2.5-vl": TokenReference("qwen2_5_vl", "Qwen2_5_VLProcessor"),
    "qwen3-vl": TokenReference("qwen3_vl", "Qwen3VLProcessor"),
    "qwen3.5-vl": TokenReference("qwen3_vl", "Qwen3VLProcessor"),
}

FORMS = ("array", "tensor", "images", "arrays")


def video_processor(recipe: str, **settings: Any) -> Any:
    """The reference video processor of a recipe, without frame sampling."""
    reference = VIDEO_REFERENCES[recipe]
    module = importlib.import_module(f"transformers.models.{reference.model}.video_processing_{reference.model}")
    return getattr(module, reference.name)(**{"do_sample_frames": False, **reference.settings, **settings})


def video_counter(recipe: str) -> Any:
    """The processor that counts the tokens of a recipe's videos."""
    return tokens.light_processor(COUNTERS[recipe], None, video_processor(recipe))


def count(counter: Any, size: VideoSize) -> int:
    """Tokens that a transformers processor counts for a video."""
    frames, width, height = size
    counted = counter._get_num_multimodal_tokens(video_sizes=[(frames, height, width)])
    return int(counted["num_video_tokens"][0])


class VideoSubject(Subject):
    """The videos of a recipe and transformers' video processor with the same settings."""

    @staticmethod
    def of_recipe(name: str) -> VideoSubject:
        """A built-in recipe with a reference for videos in transformers."""

        def reference(_: str, **settings: Any) -> Any:
            return video_processor(name, **settings)

        option = f"--recipe {name} --media videos"
        known = VIDEO_REFERENCES[name]
        recipe = Recipe.load(name)
        subject = VideoSubject(f"{name} (videos)", option, recipe, reference, partial(video_counter, name), known)
        return subject.made_by(VideoSubject.of_recipe, name)

    @staticmethod
    def of_checkpoint(directory: Path) -> VideoSubject:
        """A checkpoint's folder."""

        def reference(_: str, **settings: Any) -> Any:
            from transformers import AutoVideoProcessor

            return AutoVideoProcessor.from_pretrained(directory, do_sample_frames=False, **settings)

        def counter() -> Any | None:
            from transformers import AutoProcessor

            try:
                processor = AutoProcessor.from_pretrained(directory)
                count(processor, (4, 640, 480))
            except Exception:  # no tokenizer in the folder, or the class does not count
                return None
            return processor

        recipe = Recipe.from_pretrained(directory)
        name, option = f"{directory.name} ({recipe.name}, videos)", f"--checkpoint {directory} --media videos"
        known = VIDEO_REFERENCES.get(recipe.name, _LIKE_MOST)
        subject = VideoSubject(name, option, recipe, reference, counter, known)
        return subject.made_by(VideoSubject.of_checkpoint, directory)

    def draw(self, seed: int, number: int, reference: Any) -> Case:
        """The case of this number."""
        return draw(seed, number, reference, self.known.fixed)

    def process(self, processor: Processor, case: Case) -> Batch:
        """The result of vlmres for a case."""
        return processor(videos=case.images)

    def follow(self, reference: Any) -> Processor:
        """The vlmres processor of a reference with settings of its own."""
        return make_video_processor(reference, own_settings(reference))

    def reliable(self, size: Any) -> bool:
        """Every count is correct."""
        return len(size) == 3

    def count(self, size: Any) -> int:
        """Tokens that transformers counts."""
        return count(self.counter, size)


def draw(seed: int, number: int, reference: Any, fixed: tuple[str, ...] = ()) -> Case:
    """The case of this number for a transformers video processor; the same number always gives the same case.

    All videos of a call have one form, as transformers expects.
    """
    rng = np.random.default_rng((seed, number))
    form = str(rng.choice(FORMS))
    frames = [int(rng.integers(1, 9)) for _ in range(int(rng.choice([1, 2], p=[0.75, 0.25])))]
    sizes = [(count, *_size(rng, form)) for count in frames]
    videos = [_video(rng, size, form) for size in sizes]
    settings = {name: value for name, value in draw_settings(rng, reference).items() if name not in fixed}
    if settings and rng.random() < 0.3:
        settings["temporal_patch_size"] = int(rng.integers(1, 5))
    if settings and hasattr(reference, "cap_pixels_per_frame") and rng.random() < 0.3:
        settings["cap_pixels_per_frame"] = True
        settings["max_video_tokens"] = int(rng.choice([16, 300, 4000]))
    return Case(number, settings, videos, sizes, [form] * len(sizes))


def _size(rng: np.random.Generator, form: str) -> tuple[int, int]:
    width, height = draw_size(rng)
    # transformers mistakes one or three rows of pixels for channels.
    return min(width, 400), min(height, 400) if form == "tensor" or height not in (1, 3) else height + 1


def _video(rng: np.random.Generator, size: VideoSize, form: str) -> Any:
    frames, *sides = size
    video = np.stack([draw_pixels(rng, (sides[0], sides[1])) for _ in range(frames)])
    if form == "tensor":
        import torch

        return torch.from_numpy(np.ascontiguousarray(video.transpose(0, 3, 1, 2)))
    if form == "images":
        return [Image.fromarray(frame) for frame in video]
    return list(video) if form == "arrays" else video
