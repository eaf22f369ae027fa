"""Tiny checkpoints, made once for all tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.encoder.tiny import CASES, randomize

Checkpoint = Callable[[str], tuple[Any, Path]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products are slower on more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """By a case's name its model and the folder that it was saved to."""
    made: dict[str, tuple[Any, Path]] = {}

    def make(name: str) -> tuple[Any, Path]:
        if name not in made:
            model = CASES[name].build().eval().requires_grad_(False)
            randomize(model)
            folder = tmp_path_factory.mktemp(name)
            if CASES[name].raw:
                model.config.save_pretrained(folder)
                save_file(
                    {name: tensor.clone() for name, tensor in model.state_dict().items()}, folder / "model.safetensors"
                )
            else:
                model.save_pretrained(folder)
            made[name] = model, folder
        return made[name]

    return make
