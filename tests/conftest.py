"""Settings and fixtures of the whole suite."""

import importlib.util
import os
from pathlib import Path

import pytest

# `make quick` runs without torch.
if importlib.util.find_spec("torch") is not None:
    import torch

    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def pillow12() -> Path:
    """The folder that has Pillow 12.3."""
    folder = os.environ.get("VLMRES_TEST_PILLOW12")
    if not folder:
        pytest.fail("VLMRES_TEST_PILLOW12 does not name a folder with Pillow 12.3: run the tests by `make test`")
    path = Path(folder)
    if not (path / "PIL").is_dir():
        pytest.fail(f"VLMRES_TEST_PILLOW12={folder} has no PIL: run the tests by `make test`")
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of pictures for the commands."""
    from tests.commands import save_photos  # needs safetensors, which `make quick` does not

    return save_photos(tmp_path / "photos")
