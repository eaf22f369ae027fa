"""Checkpoints to models."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch

from vlmres.encoder.checkpoint.config import read_architecture, read_json
from vlmres.encoder.checkpoint.files import TensorFiles
from vlmres.encoder.checkpoint.mapping import TensorReader
from vlmres.encoder.nn.model import VisionModel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def load_model(directory: Path, device: torch.device, dtype: torch.dtype | None, *, fold: bool) -> VisionModel:
    """The encoder of a checkpoint, in evaluation mode, without gradients.

    Args:
        directory: With `config.json` and safetensors files, of a whole model or of a vision tower.
        device: Where tensors are read to.
        dtype: Of the weights; by default that of `config.json`, else of the stored patch embedding.
        fold: As of `PatchEmbed`.

    Raises:
        CheckpointError: Tensors are missing, unexpected, quantised or of another shape; the message names them.
    """
    found, config = read_architecture(directory), read_json(directory / "config.json")
    with torch.device("meta"):
        model = VisionModel(found.config, fold=fold)
    wanted = {name: parameter.shape for name, parameter in model.named_parameters()}
    with contextlib.ExitStack() as stack:
        files = TensorFiles(directory, device, stack)
        reader = TensorReader(files, found, dtype or _dtype(config), _quantisation(config))
        for name, tensor in reader.read(wanted, fold=fold).items():
            module, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(module), leaf, torch.nn.Parameter(tensor, requires_grad=False))
    # What is no parameter: frequencies of rotary positions.
    return model.to(device).eval()


def as_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """A type of weights from its name; None for "auto".

    Raises:
        TypeError: It is no type of torch, or none of floating point.
    """
    if dtype is None or dtype == "auto":
        return None
    found = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise TypeError(f'dtype must be a floating-point torch.dtype or its name, or "auto", got {dtype!r}')
    return found


def _places(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Where a configuration speaks of tensors."""
    found = (config, config.get("vision_config"), config.get("text_config"))
    return [place for place in found if isinstance(place, dict)]


def _dtype(config: Mapping[str, Any]) -> torch.dtype | None:
    for place in _places(config):
        name = place.get("dtype") or place.get("torch_dtype")
        found = getattr(torch, name, None) if isinstance(name, str) else None
        if isinstance(found, torch.dtype):
            return found
    return None


def _quantisation(config: Mapping[str, Any]) -> str | None:
    """The method by which a checkpoint is quantised, perhaps in its language model alone."""
    for place in _places(config):
        if isinstance(place.get("quantization_config"), dict):
            return str(place["quantization_config"].get("quant_method", "unknown"))
    return None
