"""Checkpoints of random weights that vLLM serves whole on a CPU."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.integrations import models
from tests.servers.vllm import own
from tests.servers.vllm.checkpoints import make

_FAMILIES = (
    "qwen2-vl",
    "qwen2.5-vl",
    "qwen3-vl",
    "internvl3",
    "idefics3",
    "mistral-small-3",
    "aya-vision",
    "paddleocr-vl",
)


class Served(NamedTuple):
    """A checkpoint, and what is asked of it."""

    make: Callable[[Path], None]
    """Writes its folder."""
    prompt: str


SERVED: dict[str, Served] = {
    **{name: Served(functools.partial(make, name, weights=True), models.FAMILIES[name].prompt) for name in _FAMILIES},
    "internvl-chat": Served(own.small_internvl, own.OWN["internvl-chat"].prompt),
}
