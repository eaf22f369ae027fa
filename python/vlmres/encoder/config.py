"""The configuration of an encoder, as data.

An `EncoderConfig` names components (patch embedding, position schemes, blocks, windows, mergers) and their sizes. The
model reads nothing else: it does not know families. `vlmres.encoder.architectures` makes configurations from the
`config.json` of checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "silu"]


@dataclass(frozen=True)
class Norm:
    """Layer or root-mean-square normalisation over the last axis."""

    kind: Literal["layer", "rms"]
    eps: float


@dataclass(frozen=True)
class Patch:
    """The patch embedding and the normalisation that is folded into it."""

    size: int
    """Side in pixels."""
    bias: bool
    kind: Literal["conv2d", "conv3d", "linear"] = "conv2d"
    """The reference's operation: on (channel, row, col), (channel, frame, row, col) or flat (row, col, channel)."""
    frames: int = 1
    """Frames of the kernel; a still image is repeated."""
    channels: int = 3
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    rescale: float = 1 / 255
    """Factor of a byte before `mean` and `std` apply."""

    @property
    def dim(self) -> int:
        """Values of a patch of an image; a video's patch has as many for each frame."""
        return self.size * self.size * self.channels


@dataclass(frozen=True)
class Table:
    """A learned position table, resampled to each segment's grid."""

    rows: int
    cols: int
    mode: Literal["bilinear", "bicubic"] = "bicubic"
    antialias: bool = False
    align_corners: bool = False


@dataclass(frozen=True)
class Rotary:
    """Rotary positions. A pair of values is rotated by its frequency times one coordinate.

    "axial": half of the pairs by row, half by column, the same frequencies. "split": even frequencies by row, odd by
    column. "interleaved": pairs by column and row in turn. "sequence": all by the place in the sequence.
    """

    kind: Literal["axial", "split", "interleaved", "sequence"]
    theta: float = 10000.0


@dataclass(frozen=True)
class Attention:
    """Multi-head attention inside segments."""

    heads: int
    head_dim: int
    kv_heads: int
    bias: bool
    out_bias: bool
    qk_norm: Norm | None = None
    """Normalises all of q and of k before they are split into heads."""


@dataclass(frozen=True)
class MLP:
    """Two linear layers; or three if gated: down(act(gate(x)) * up(x))."""

    hidden: int
    activation: Activation
    gated: bool = False
    bias: bool = True


@dataclass(frozen=True)
class Windows:
    """Attention inside windows, except in some blocks.

    "cut": windows of the grid of merged cells, smaller at the right and lower edges (Qwen2.5-VL). "pad": windows of
    patches, filled up with zeros that take part (SAM).
    """

    kind: Literal["cut", "pad"]
    size: int
    """Side, in cells of `EncoderConfig.merge` patches for "cut", in patches for "pad"."""
    full: tuple[int, ...]
    """Blocks that attend to the whole segment."""


@dataclass(frozen=True)
class Neck:
    """SAM's convolutions: 1x1, norm, 3x3, norm, then 3x3 of stride 2 each."""

    width: int
    norm: Norm
    strided: tuple[int, ...]
    """Output channels of the strided convolutions."""


@dataclass(frozen=True)
class Tower:
    """Blocks and what surrounds them."""

    width: int
    depth: int
    norm: Norm
    attention: Attention
    mlp: MLP
    layer_scale: bool = False
    cls: bool = False
    """A class token before each segment's patches; it is dropped from the output."""
    queries: tuple[int, ...] = ()
    """Sizes of sets of learned queries, which follow a segment's tokens and replace them in the output. A segment gets
    the smallest set that has at least as many queries as the segment has tokens."""
    table: Table | None = None
    rotary: Rotary | None = None
    relative: int | None = None
    """Grid side of the full blocks' decomposed relative positions (SAM); None if there are none."""
    windows: Windows | None = None
    pre_norm: Norm | None = None
    final_norm: Norm | None = None
    features: tuple[int, ...] = ()
    """After how many blocks to take hidden states to be concatenated; by default after the last and `final_norm`."""
    taps: tuple[int, ...] = ()
    """Blocks after which hidden states also go to the deepstack projectors."""
    clip_frames: int | None = None
    """Most segments along time in a clip: they attend to each other, get sinusoids of their times, and are replaced by
    their mean after the last block (Kimi K2.5). None if segments are independent."""
    neck: Neck | None = None

    def __post_init__(self) -> None:
        for count in self.features:
            if not 0 <= count <= self.depth:
                raise ValueError(f"a tower of {self.depth} blocks has no hidden state after block {count}")
        for block in self.taps:
            if not 0 <= block < self.blocks:
                raise ValueError(f"a tower of {self.blocks} blocks has no block {block}")
        # A pair has one coordinate. Except in "sequence", there are as many pairs for rows as for columns.
        wanted = 0 if self.rotary is None else 2 if self.rotary.kind == "sequence" else 4
        if wanted and self.attention.head_dim % wanted:
            raise ValueError(f"rotary positions need heads of a multiple of {wanted}, got {self.attention.head_dim}")

    @property
    def blocks(self) -> int:
        """Number of blocks that are run."""
        return max(self.features) if self.features else self.depth

    def windows_of(self, block: int) -> Windows | None:
        """The windows in which a block attends; None if it attends to whole segments."""
        return None if self.windows is None or block in self.windows.full else self.windows


@dataclass(frozen=True)
class Layer:
    """A linear layer and what follows it."""

    out: int
    bias: bool = True
    activation: Activation | None = None


@dataclass(frozen=True)
class Projector:
    """Hidden states to the language model's: norm, merge of merge² patches, norm, linear layers."""

    layers: tuple[Layer, ...]
    norm: Norm | None = None
    norm_merged: bool = False
    """Whether the norm is over the merged patches' values."""


@dataclass(frozen=True)
class Arrangement:
    """The order in which the language model receives an image's tokens. Roles are those of `View.role`."""

    transpose: bool = False
    """Whether each tile's tokens follow each other down its columns."""
    stitch: tuple[str, ...] = ()
    """Roles whose tiles are joined into one grid of tokens."""
    newline: tuple[str, ...] = ()
    """Roles whose rows of tokens end with the newline embedding."""
    unpad: tuple[str, ...] = ()
    """Roles whose padding tokens are dropped (LLaVA-NeXT)."""
    lone_newline: bool = False
    """Whether an image of one view ends with one newline instead."""
    separator: bool = False
    """Whether the separator embedding ends an image."""

    @property
    def needs_newline(self) -> bool:
        """Whether there is a newline embedding."""
        return bool(self.newline) or self.lone_newline


@dataclass(frozen=True)
class EncoderConfig:
    """An encoder from patches to the tokens that a language model receives."""

    name: str
    """Its name in messages."""
    patch: Patch
    towers: tuple[Tower, ...]
    """The first reads patches; each other tower reads the tokens of the one before."""
    merge: int = 1
    """Patches per side that the projector merges to one token."""
    concat: bool = False
    """Whether the tokens of all towers are concatenated, the last tower's first."""
    projector: Projector | None = None
    deepstack: Projector | None = None
    """The projectors of the first tower's taps."""
    arrangement: Arrangement = field(default_factory=Arrangement)

    def __post_init__(self) -> None:
        if not self.towers:
            raise ValueError(f"{self.name} has no towers")
        if bool(self.deepstack) != bool(self.towers[0].taps):
            raise ValueError(f"{self.name} needs deepstack projectors exactly where its first tower has taps")

        for index, tower in enumerate(self.towers):
            if tower.windows is not None and tower.windows.kind == "cut" and (tower.table or tower.cls or index):
                raise ValueError(
                    f"{self.name}: windows that reorder patches need a first tower without table or class token"
                )

    @property
    def features(self) -> int:
        """Width of a patch or token before it is merged and projected."""
        widths = []
        for tower in self.towers:
            width = tower.neck.strided[-1] if tower.neck else tower.width
            widths.append(width * max(1, len(tower.features)))
        return sum(widths) if self.concat else widths[-1]

    @property
    def hidden(self) -> int:
        """Width of an output token."""
        return self.projector.layers[-1].out if self.projector else self.features * self.merge**2
