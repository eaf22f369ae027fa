"""Tiny checkpoints, made once for all tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import vlmres
from tests.encoder.tiny import CASES, Draw, randomize
from vlmres.encoder import VisionEncoder

Checkpoint = Callable[..., tuple[Any, Path]]
"""By a case's name, and how its parameters are drawn, a model and its folder."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products are slower on more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """By a case's name its model, drawn by `draw`, and the folder that it was saved to."""
    made: dict[tuple[str, Draw], tuple[Any, Path]] = {}

    def make(name: str, draw: Draw = randomize) -> tuple[Any, Path]:
        if (name, draw) not in made:
            model = CASES[name].build().eval().requires_grad_(False)
            draw(model)
            folder = tmp_path_factory.mktemp(name)
            if CASES[name].raw:
                model.config.save_pretrained(folder)
                save_file(
                    {name: tensor.clone() for name, tensor in model.state_dict().items()}, folder / "model.safetensors"
                )
            else:
                model.save_pretrained(folder)
            made[name, draw] = model, folder
        return made[name, draw]

    return make


@pytest.fixture(scope="session")
def recipe() -> vlmres.Recipe:
    """Of small images."""
    return vlmres.Recipe.load("qwen3-vl", min_pixels=1024, max_pixels=16384)


@pytest.fixture
def encoder(checkpoint: Checkpoint, recipe: vlmres.Recipe) -> VisionEncoder:
    """Of `recipe`'s family, in float32 on the CPU."""
    return VisionEncoder.from_pretrained(checkpoint("qwen3-vl")[1], "cpu", torch.float32, recipe=recipe)
