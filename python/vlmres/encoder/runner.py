"""The device's share: parts of a batch through a model."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from vlmres.encoder.attention import choose_backend
from vlmres.encoder.graphs import GraphRunner
from vlmres.encoder.layout import build_layout
from vlmres.encoder.model import VisionModel
from vlmres.encoder.parts import EncoderOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.encoder.layout import Layout
    from vlmres.encoder.model import Tokens
    from vlmres.encoder.parts import Part

log = logging.getLogger("vlmres.encoder")


class Runner:
    """Runs a model, or its graphs.

    Args:
        model: A `VisionModel`, or a module around one.
        graphs: As of `GraphRunner`; none without.

    Raises:
        TypeError: There is no `VisionModel`.
        ValueError: It cannot be captured.
    """

    def __init__(self, model: torch.nn.Module, graphs: Sequence[int]) -> None:
        self.model = model
        self.vision = _vision_model(model)
        """Whose configuration, device and type count."""
        if graphs and self.vision is not model:
            raise ValueError(f"graphs run the blocks of a VisionModel, and would pass over a {type(model).__name__}")
        self._forward: Any = GraphRunner(self.vision, graphs) if graphs else model
        self._warned = False

    def forward(self, patches: torch.Tensor, layout: Layout) -> Tokens:
        """Patches and a layout on the device to tokens: the model, or its graphs."""
        tokens: Tokens = self._forward(patches, layout)
        return tokens

    def layout(self, part: Part) -> Layout:
        """What the model computes with, from grids alone."""
        vision = self.vision
        group = choose_backend(vision.device, vision.dtype) == "sdpa"
        return build_layout(vision.config, part.grids, part.positions, part.images, group=group)

    def run(self, part: Part) -> list[EncoderOutput]:
        """One run without gradients, or several smaller ones where memory does not suffice."""
        try:
            # Not in inference mode: what follows the encoder may be trained on its tokens.
            with torch.no_grad():
                patches, layout = self._placed(part)
                return [_output(part, self.forward(patches, layout))]
        except torch.OutOfMemoryError:
            if len(part.images) == 1:
                raise
        torch.cuda.empty_cache()
        log.info("out of memory with %d patches: trying halves", len(part.patches))
        return [output for half in part.halves() for output in self.run(half)]

    def run_with_gradients(self, part: Part) -> EncoderOutput:
        """One run of the model itself, in torch's mode of gradients."""
        embedding = self.vision.patch_embed
        if embedding.fold and embedding.weight.requires_grad and torch.is_grad_enabled() and not self._warned:
            self._warned = True
            log.warning(
                "the patch embedding is trained with normalisation folded into its weights, which are about a hundred "
                "times smaller than the checkpoint's: a step of Adam changes it by as much more. Make the encoder with "
                "fold=False, or freeze it: encoder.model.patch_embed.requires_grad_(False)"
            )
        patches, layout = self._placed(part)
        return _output(part, self.model(patches, layout))

    def _placed(self, part: Part) -> tuple[torch.Tensor, Layout]:
        """Patches and layout on the device."""
        device = self.vision.device
        pin = device.type == "cuda"
        part.layout = part.layout or self.layout(part)
        placed = part.layout.to(device, pin=pin)
        patches = part.patches
        if patches.device != device:
            patches = (patches.pin_memory() if pin else patches).to(device, non_blocking=pin)
        return patches, placed


def _output(part: Part, result: Tokens) -> EncoderOutput:
    assert part.layout is not None
    return EncoderOutput(result.tokens, part.layout.cu_seqlens, result.deepstack)


def _vision_model(model: torch.nn.Module) -> VisionModel:
    """The model itself, or the one that a module is around."""
    found = [module for module in model.modules() if isinstance(module, VisionModel)]
    if len(found) != 1:
        raise TypeError(f"model must be a VisionModel, or a module around one, got {type(model).__name__}")
    return found[0]
