"""Exact comparison of batches."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

import vlmres


def of_partial_patches(name: str, **overrides: Any) -> vlmres.Recipe:
    """A recipe whose tiles and canvases need not be whole patches, as those that follow a checkpoint's files."""
    return vlmres.Recipe.from_toml(f'[partial]\nextends = "{name}"\npartial_patches = true', **overrides)


def assert_equal_tensors(got: torch.Tensor, expected: torch.Tensor, what: str) -> None:
    """Same dtype, shape and values, to the last bit."""
    assert got.dtype == expected.dtype, f"{what}: dtype {got.dtype}, reference {expected.dtype}"
    assert got.shape == expected.shape, f"{what}: shape {tuple(got.shape)}, reference {tuple(expected.shape)}"
    if not torch.equal(got, expected):
        difference = (got.double() - expected.double()).abs()
        where = tuple(int(index) for index in np.unravel_index(int(difference.argmax()), got.shape))
        raise AssertionError(
            f"{what}: {int((difference != 0).sum())} of {got.numel()} values differ, "
            f"by up to {float(difference.max())} at {where}: {float(got[where])}, reference {float(expected[where])}"
        )


def assert_equal_batches(got: Mapping[str, torch.Tensor], expected: Mapping[str, Any], what: str = "") -> None:
    """Same keys in the same order, and equal tensors. Some references leave numbers in lists."""
    assert list(got) == list(expected), f"{what}: keys {list(got)}, reference {list(expected)}"
    for key, tensor in got.items():
        assert_equal_tensors(tensor, torch.as_tensor(expected[key]), f"{what} {key}")
