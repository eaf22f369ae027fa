"""Running batches through a model: the host's part and the device's part."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from vlmres.batch import Batch
from vlmres.encoder.compatibility import check_recipe
from vlmres.encoder.layout.batch import build_layout
from vlmres.encoder.nn.attention import choose_backend
from vlmres.encoder.nn.model import VisionModel
from vlmres.encoder.runtime.chunks import Chunk
from vlmres.encoder.runtime.cuda_graphs import GraphRunner
from vlmres.encoder.runtime.output import EncoderOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres._core import Recipe
    from vlmres.encoder.layout.batch import Layout
    from vlmres.encoder.nn.model import Tokens
    from vlmres.processor import DType

log = logging.getLogger("vlmres.encoder")


class Executor:
    """Runs a model, or its graphs.

    Args:
        model: A `VisionModel`, or a module around one.
        graphs: Sequence lengths of CUDA graphs, as in `GraphRunner`; by default no graphs.
        max_patches: Most patches of one forward pass, unless a single image or part of a video has more.

    Raises:
        TypeError: `model` is not a `VisionModel` and does not wrap one.
        ValueError: It cannot be captured.
    """

    def __init__(self, model: torch.nn.Module, graphs: Sequence[int], max_patches: int) -> None:
        self.model = model
        self.vision = _vision_model(model)
        """The `VisionModel` itself, which defines configuration, device and type."""
        if graphs and self.vision is not model:
            raise ValueError(f"graphs run the blocks of a VisionModel, and would pass over a {type(model).__name__}")
        self.max_patches = max_patches
        self._forward: Any = GraphRunner(self.vision, graphs) if graphs else model
        self._checked: set[Recipe] = set()
        self._warned = False

    @property
    def device(self) -> torch.device:
        """The model's device."""
        return self.vision.device

    @property
    def input_dtype(self) -> DType:
        """The `dtype` that a processor's batches must have."""
        return "uint8" if self.vision.patch_embed.fold else "float32"

    def check_recipe(self, recipe: Recipe) -> None:
        """Refuses a recipe whose batches do not fit this model; each recipe is checked once."""
        if recipe not in self._checked:
            check_recipe(self.vision.config, recipe, fold=self.vision.patch_embed.fold)
            self._checked.add(recipe)

    def prepare(self, batch: Batch) -> list[Chunk]:
        """The host's part: splits a batch into chunks, and computes all that does not need the device.

        Raises:
            TypeError: It is not a batch, or its values are of another type.
            ValueError: The batch is not packed, or was made for another encoder.
        """
        _check_packed(batch, self.input_dtype)
        plan = next((plan for plan in batch.plans if plan is not None), None)
        if plan is None:
            raise ValueError("the batch has no images")
        self.check_recipe(plan.recipe)
        joins = self.vision.config.towers[0].clip_frames is not None
        chunks = Chunk.of(batch, joins=joins).split(self.max_patches)
        for chunk in chunks:
            chunk.layout = self._layout(chunk)
        return chunks

    def run(self, chunks: Sequence[Chunk], patches: torch.Tensor | None = None, *, grad: bool = False) -> EncoderOutput:
        """The device's part: the tokens of the chunks.

        Args:
            chunks: The result of `prepare`.
            patches: The patches of all chunks, if they are on the device already.
            grad: Whether to record gradients of the model.
        """
        outputs, start = [], 0
        for chunk in chunks:
            end = start + len(chunk.patches)
            placed = chunk if patches is None else replace(chunk, patches=patches[start:end])
            outputs += [self._run_with_gradients(placed)] if grad else self._run(placed)
            start = end
        return EncoderOutput.join(outputs).joined([image.ends for chunk in chunks for image in chunk.images])

    def forward(self, patches: torch.Tensor, layout: Layout) -> Tokens:
        """Patches and a layout on the device to tokens: the model, or its graphs."""
        tokens: Tokens = self._forward(patches, layout)
        return tokens

    def _layout(self, chunk: Chunk) -> Layout:
        """The layout of a chunk, from its grids alone."""
        vision = self.vision
        group = choose_backend(vision.device, vision.dtype) == "sdpa"
        return build_layout(vision.config, chunk.grids, chunk.positions, chunk.images, group=group)

    def _run(self, chunk: Chunk) -> list[EncoderOutput]:
        """One forward pass without gradients, or several smaller ones if memory does not suffice."""
        try:
            # Not in inference mode, because a model that follows the encoder may be trained on the tokens.
            with torch.no_grad():
                patches, layout = self._placed(chunk)
                return [_output(chunk, self.forward(patches, layout))]
        except torch.OutOfMemoryError:
            if len(chunk.images) == 1:
                raise
        torch.cuda.empty_cache()
        log.info("out of memory with %d patches: trying halves", len(chunk.patches))
        return [output for half in chunk.halves() for output in self._run(half)]

    def _run_with_gradients(self, chunk: Chunk) -> EncoderOutput:
        """One forward pass of the model itself, under torch's current gradient mode."""
        embedding = self.vision.patch_embed
        if embedding.fold and embedding.weight.requires_grad and torch.is_grad_enabled() and not self._warned:
            self._warned = True
            log.warning(
                "the patch embedding is trained with normalisation folded into its weights, which are about a hundred "
                "times smaller than the checkpoint's: a step of Adam changes it by as much more. Make the encoder with "
                "fold=False, or freeze it: encoder.model.patch_embed.requires_grad_(False)"
            )
        patches, layout = self._placed(chunk)
        return _output(chunk, self.model(patches, layout))

    def _placed(self, chunk: Chunk) -> tuple[torch.Tensor, Layout]:
        """Patches and layout on the device."""
        device = self.vision.device
        pin = device.type == "cuda"
        chunk.layout = chunk.layout or self._layout(chunk)
        placed = chunk.layout.to(device, pin=pin)
        patches = chunk.patches
        if patches.device != device:
            patches = (patches.pin_memory() if pin else patches).to(device, non_blocking=pin)
        return patches, placed


def _output(chunk: Chunk, result: Tokens) -> EncoderOutput:
    assert chunk.layout is not None
    return EncoderOutput(result.tokens, chunk.layout.cu_seqlens, result.deepstack)


def _vision_model(model: torch.nn.Module) -> VisionModel:
    """The model itself, or the model that a module wraps."""
    found = [module for module in model.modules() if isinstance(module, VisionModel)]
    if len(found) != 1:
        raise TypeError(f"model must be a VisionModel, or a module around one, got {type(model).__name__}")
    return found[0]


def _check_packed(batch: object, dtype: str) -> None:
    wanted = f'Processor(recipe, layout="packed", dtype="{dtype}")'
    if not isinstance(batch, Batch):
        got = type(batch).__qualname__
        raise TypeError(f"the encoder takes a batch of {wanted}, got {got}; images and videos go to encode")
    if batch and "patches" not in batch:
        raise ValueError(f"the encoder takes a batch of {wanted}, this one has {', '.join(batch)}")
