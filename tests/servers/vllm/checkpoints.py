"""Checkpoints of random weights, small enough to serve on a CPU, made on the spot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from tests.images import image
from tests.integrations import models, tiny
from vlmres.verify import references as hf

Size = tuple[int, int]

# Tokens that vLLM looks for besides those of the families' processors.
_TOKENS = {"gemma3": ("\n", "\n\n", "\n\n\n", "\n\n\n\n"), "glm-4v": ("<|end_of_video|>",)}
# Of the processors of small views.
_ARGUMENTS = {"internvl3": {"image_seq_length": 4}}


class Case(NamedTuple):
    """A checkpoint, and what is asked of it."""

    make: Callable[[Path], None]
    """Writes its folder, without weights."""
    prompt: str
    by: str
    """The class that makes its pixels."""
    of: Callable[[list[Image.Image]], dict[str, Any]] = lambda images: {"image": images}
    """What a request has besides its text: an image, or the frames of a video."""
    frames: int = 1

    def data(self, size: Size) -> dict[str, Any]:
        """That of noise of a size."""
        return self.of([image(*size, seed=seed) for seed in range(self.frames)])


def make(name: str, folder: Path, *, weights: bool) -> None:
    """Writes a checkpoint of transformers' classes: with `weights`, one of small views, and heads that a CPU serves."""
    family = models.FAMILIES[name]
    reference = family.reference or name
    settings: dict[str, Any] = {**(tiny.SMALL.get(reference, {}) if weights else {}), **family.settings}
    arguments = _ARGUMENTS.get(name, {}) if weights else {}
    processor = tiny.processor(name, hf.processor(reference, "torch", **settings), **arguments)
    processor.tokenizer.add_tokens(list(_TOKENS.get(name, ())), special_tokens=True)
    if weights:
        given = family.config
        family = family._replace(config=lambda ids: models.merged(given(ids), _of_wide_heads(given(ids))))
    model = models.make(family, processor.tokenizer.convert_tokens_to_ids)
    processor.save_pretrained(folder)
    if weights:
        model.save_pretrained(folder)
    else:
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(folder)


def _of_wide_heads(config: dict[str, Any]) -> dict[str, Any]:
    """vLLM's attention on CPUs takes heads of 32 values and more."""
    text = {"num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 32}
    given = config.get("text_config", {})
    ropes = {key: {**given[key], "mrope_section": [4, 6, 6]} for key in given if key.startswith("rope")}
    return {"text_config": {**text, **ropes}}


def of_transformers(name: str) -> Case:
    """The case of a family of `tests.integrations.models`."""
    family = models.FAMILIES[name]
    cls = hf.REFERENCES[family.reference or name].name
    return Case(lambda folder: make(name, folder, weights=False), family.prompt, cls)


def of_videos(name: str, cls: str) -> Case:
    """The case of a Qwen family's videos."""
    prompt = models.FAMILIES[name].prompt.replace("image", "video")
    return Case(lambda folder: make(name, folder, weights=False), prompt, cls, video, 6)


def video(frames: list[Image.Image]) -> dict[str, Any]:
    """A video, as vLLM's loader gives it."""
    count = len(frames)
    metadata = {
        "total_num_frames": count,
        "fps": 2.0,
        "duration": count / 2,
        "frames_indices": list(range(count)),
        "video_backend": "opencv",
        "do_sample_frames": False,
    }
    return {"video": [(np.stack([np.asarray(frame) for frame in frames]), metadata)]}
