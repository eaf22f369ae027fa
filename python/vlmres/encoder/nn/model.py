"""The model: patches of many images in one packed sequence to tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from vlmres.encoder.nn.blocks import Block, Padded, Relative, Scope, make_norm
from vlmres.encoder.nn.patch_embed import PatchEmbed
from vlmres.encoder.nn.positions import PositionTable, RotaryEmbedding, TimeTable, distance_index, one_hot_places
from vlmres.encoder.nn.projectors import Neck, Projector, mean_of_frames

if TYPE_CHECKING:
    from vlmres.encoder.config import EncoderConfig
    from vlmres.encoder.config import Tower as TowerConfig
    from vlmres.encoder.layout.batch import Layout
    from vlmres.encoder.layout.tower import Places, TowerLayout


class Tokens(NamedTuple):
    """What the model gives."""

    tokens: torch.Tensor
    """[total, hidden]."""
    deepstack: tuple[torch.Tensor, ...]
    """[total, hidden] each: what Qwen3-VL adds to the first layers of its language model."""


class Tower(nn.Module):
    """Blocks, and what comes before and after them."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        if config.table is not None:
            self.table = PositionTable(config.table, width, prefix=int(config.cls))
        if config.clip_frames is not None:
            self.times = TimeTable(config.clip_frames, width)
        if config.cls:
            self.cls = nn.Parameter(torch.empty(width).normal_(std=0.02))
        if config.queries:
            self.queries = nn.Parameter(torch.empty(sum(config.queries), width).normal_(std=0.02))
        if config.rotary is not None:
            self.rotary = RotaryEmbedding(config.rotary, config.attention.head_dim)
        self.pre_norm = make_norm(config.pre_norm, width)
        self.blocks = nn.ModuleList(
            Block(config, windows.size if config.relative and windows is not None else config.relative)
            for windows in map(config.windows_of, range(config.blocks))
        )
        self.final_norm = make_norm(None if config.features else config.final_norm, width)
        self.neck = Neck(config.neck, width) if config.neck is not None else None

    def embed(self, x: torch.Tensor, layout: TowerLayout) -> torch.Tensor:
        """Adds learned positions, class tokens and queries: [tokens, width] to a sequence of those that blocks see."""
        config = self.config
        if layout.taps is not None:
            x = x + self.table(layout.taps)
        if layout.times is not None:
            x = x + self.times(layout.times).to(x.dtype)
        if layout.token_index is not None and layout.extra_index is not None:
            sequence = x.new_empty(len(layout.token_index) + len(layout.extra_index), config.width)
            sequence[layout.token_index] = x
            if config.cls:
                extra = self.cls + self.table.weight[0] if config.table else self.cls
            else:
                extra = self.queries[layout.query_index]
            sequence[layout.extra_index] = extra.to(x.dtype)  # which autocast may have chosen
            x = sequence
        normed: torch.Tensor = self.pre_norm(x)
        return normed

    def scopes(self, layout: TowerLayout, dtype: torch.dtype) -> tuple[Scope, Scope]:
        """What full and windowed blocks see, made once for all of them."""
        angles = self.rotary(layout.positions) if self.config.rotary is not None else None
        full = Scope(layout.segments, angles)
        full.relative = self._relative(layout.places, dtype)
        if layout.windows is None:
            return full, full
        windowed = Scope(layout.windows, angles, self._relative(layout.window_places, dtype))
        if layout.padded is not None:
            windowed.padded = Padded(*layout.padded)
        return full, windowed

    def _relative(self, places: Places | None, dtype: torch.dtype) -> Relative | None:
        if places is None:
            return None
        rows, cols = map(max, places.sides)
        # Kernels want heads of whole eights; no key has the columns behind the last.
        dims = rows, cols + -(self.config.attention.head_dim + rows + cols) % 8
        codes = one_hot_places(places.places, dims, dtype)
        return Relative(places.sides, distance_index(places.bases, dims), codes, places.bases, places.places)

    def run_blocks(
        self, x: torch.Tensor, full: Scope, windowed: Scope
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """[tokens, width] to the kept hidden states, concatenated, and the tapped ones."""
        config = self.config
        kept = {0: x} if 0 in config.features else {}
        tapped: dict[int, torch.Tensor] = {}
        for index, block in enumerate(self.blocks):
            x = block(x, full if config.windows_of(index) is None else windowed)
            if index + 1 in config.features:
                kept[index + 1] = x
            if index in config.taps:
                tapped[index] = x
        if config.features:
            x = torch.cat([kept[count] for count in config.features], dim=-1)
        return self.final_norm(x), tuple(tapped[index] for index in config.taps)

    def finish(self, x: torch.Tensor, layout: TowerLayout) -> torch.Tensor:
        """Drops class tokens, or keeps queries alone; then means over clips, or the neck."""
        index = layout.extra_index if self.config.queries else layout.token_index
        if index is not None:
            x = x[index]
        if layout.clips:
            x = mean_of_frames(x, layout.clips)
        return x if self.neck is None else self.neck(x, layout.runs)

    def forward(self, x: torch.Tensor, layout: TowerLayout) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """[tokens, width] in the encoder's order to the tower's tokens and its taps."""
        x = self.embed(x, layout)
        x, taps = self.run_blocks(x, *self.scopes(layout, x.dtype))
        return self.finish(x, layout), taps


class VisionModel(nn.Module):
    """An encoder as its configuration says: `forward` takes patches and the layout made from their grids.

    Nothing in it waits for the device: every number that the host needs is in the layout.
    """

    def __init__(self, config: EncoderConfig, *, fold: bool = True) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config.patch, config.towers[0].width, fold=fold)
        self.towers = nn.ModuleList(Tower(tower) for tower in config.towers)
        self.projector = Projector(config.projector, config.features, config.merge) if config.projector else None
        width = config.towers[0].width
        self.deepstack = nn.ModuleList(
            Projector(config.deepstack, width, config.merge) for _ in config.towers[0].taps if config.deepstack
        )
        if config.arrangement.needs_newline:
            self.newline = nn.Parameter(torch.empty(config.hidden).normal_(std=0.02))
        if config.arrangement.separator:
            self.separator = nn.Parameter(torch.empty(config.hidden).normal_(std=0.02))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.patch_embed.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.patch_embed.weight.dtype

    def compile_blocks(self, **options: Any) -> None:
        """Compiles all blocks in place, for sequences of any length; on a GPU that fuses what is no matrix product.

        The first batches take longer. Graphs are few whatever the batches: one before and one after attention, for
        each kind of block.

        Args:
            **options: Of `torch.compile`; `dynamic` is True unless given.
        """
        for block in self.modules():
            if isinstance(block, Block):
                block.compile(**{"dynamic": True, **options})

    def forward(self, patches: torch.Tensor, layout: Layout) -> Tokens:
        """[N, patch_dim] to the tokens that the language model receives, images in order.

        Args:
            patches: On the model's device; uint8, or normalised values where the model was made with `fold=False`. A
                video's have the values of as many frames as the kernel: (frame, row, column, channel).
            layout: From `build_layout`, on the same device.
        """
        x, outputs, taps = self.embed(patches, layout), [], ()
        for index, (tower, plan) in enumerate(zip(self.towers, layout.towers, strict=True)):
            x, tapped = tower(x, plan)
            taps = tapped if index == 0 else taps
            outputs.append(x)
        if self.config.concat:
            x = torch.cat(outputs[::-1], dim=-1)
        return self.finish(x, taps, layout)

    def embed(self, patches: torch.Tensor, layout: Layout) -> torch.Tensor:
        """[N, patch_dim] to [N, width], in the encoder's order.

        Raises:
            ValueError: There are more or fewer patches than the layout says, or they are of another size.
        """
        patch = self.config.patch
        dims = sorted({patch.dim, patch.dim * patch.frames})
        if patches.ndim != 2 or len(patches) != layout.num_patches or patches.shape[1] not in dims:
            wanted = f"[{layout.num_patches}, {' or '.join(map(str, dims))}]"
            raise ValueError(f"patches must have shape {wanted}, got {list(patches.shape)}")
        if layout.order is not None:
            # Bytes are moved, not vectors that are several times as long.
            patches = patches[layout.order]
        embedded: torch.Tensor = self.patch_embed(patches)
        return embedded

    def finish(self, x: torch.Tensor, taps: tuple[torch.Tensor, ...], layout: Layout) -> Tokens:
        """Merges, projects, and puts tokens into the language model's order."""
        if self.projector is not None:
            x = self.projector(x)
        elif self.config.merge > 1:
            x = x.reshape(-1, self.config.hidden)
        deepstack = tuple(project(tap) for project, tap in zip(self.deepstack, taps, strict=True))
        if layout.output is None:
            return Tokens(x, deepstack)
        arrangement = self.config.arrangement
        if arrangement.needs_newline or arrangement.separator:
            newline = self.newline if arrangement.needs_newline else x.new_zeros(x.shape[1])
            rows = [newline, self.separator] if arrangement.separator else [newline]
            x = torch.cat([x, torch.stack(rows)])
        return Tokens(x[layout.output], tuple(tokens[layout.output] for tokens in deepstack))
