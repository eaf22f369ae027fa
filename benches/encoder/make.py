"""Encoders with random weights: with a module of transformers that computes the same, or alone."""

from __future__ import annotations

import copy
import tempfile
from typing import TYPE_CHECKING, Any

import torch
import transformers
from benches.encoder.models import MODELS

from vlmres.encoder import VisionEncoder

if TYPE_CHECKING:
    from benches.encoder.models import Size

WIDER = {torch.bfloat16: torch.float32, torch.float16: torch.float32, torch.float32: torch.float64}
# Of a tiny encoder, so that a few images are several groups.
_TINY_PATCHES = 128


def pair(name: str, size: Size, device: torch.device, dtype: torch.dtype) -> tuple[Any, VisionEncoder]:
    """A module of transformers, and the encoder that reads its checkpoint.

    Raises:
        MissingModelError: transformers has none.
    """
    torch.manual_seed(0)
    with device:
        module = MODELS[name].module(size, dtype)
    with torch.no_grad():
        for path, parameter in module.named_parameters():
            _draw(path, parameter)
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        module.save_pretrained(folder)
        encoder = VisionEncoder.from_pretrained(folder, device, dtype, recipe=MODELS[name].recipe(size == "tiny"))
    return module, _grouped(encoder, size)


def alone(name: str, size: Size, device: torch.device, dtype: torch.dtype) -> VisionEncoder:
    """The encoder without a module of transformers."""
    torch.manual_seed(0)
    model = MODELS[name]
    encoder = VisionEncoder.from_config(
        model.config(size), device, dtype, recipe=model.recipe(size == "tiny"), fold=True
    )
    encoder.model.eval().requires_grad_(False)
    with torch.no_grad():
        for path, parameter in encoder.model.named_parameters():
            if not path.startswith("patch_embed."):  # whose weights fit bytes
                _draw(path, parameter)
    return _grouped(encoder, size)


def widened(encoder: VisionEncoder) -> VisionEncoder:
    """The same weights in a type of twice the bytes."""
    return VisionEncoder(copy.deepcopy(encoder.model).to(WIDER[encoder.dtype]), encoder.recipe)


def _grouped(encoder: VisionEncoder, size: Size) -> VisionEncoder:
    if size == "tiny":
        encoder.max_patches = _TINY_PATCHES
    return encoder


def _draw(path: str, parameter: torch.Tensor) -> None:
    """Draws a parameter so that a wrong kernel shows.

    Many are made as zeros or ones, or so small that a part leaves no trace. Of these, scores are large enough to choose
    between keys: tokens of real sizes in bfloat16 are within 2e-2 of what they should be, and more than 5e-2 from it
    with scores of half the size.
    """
    if parameter.ndim > 1:  # a convolution keeps the size of what goes through
        parameter.normal_(0, (2.4 if parameter.ndim == 2 else 0.8) * parameter[0].numel() ** -0.5)
    else:
        parameter.normal_(0 if path.endswith("bias") else 0.5, 0.3)
