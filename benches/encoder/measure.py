"""Both encoders on the same pixels, or ours alone: how far apart, how fast, and what they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from benches.encoder.inputs import decoded, from_batch, jpegs, placed, sizes_of
from benches.encoder.make import WIDER, alone, pair, widened
from benches.encoder.models import MODELS, MissingModelError
from benches.encoder.peer import NEAR, Peer, relative_error
from benches.encoder.timing import Memory

import vlmres
from vlmres.encoder import VisionEncoder, build_layout
from vlmres.encoder.nn import attention
from vlmres.encoder.runtime.chunks import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from benches.encoder.models import Size
    from benches.encoder.timing import Clock

    from vlmres.encoder.layout.batch import Layout

# Who is beside ours.
PEER = "transformers"
# Lengths that CUDA graphs are captured for.
_GRAPH_STEP = 256


@dataclass(frozen=True)
class Setting:
    """On what, and how much."""

    clock: Clock
    dtype: torch.dtype
    batch: int
    pages: int
    threads: int | None
    size: Size
    quick: bool
    peak: float | None
    """The device's floating-point operations a second, where known."""

    @property
    def tiny(self) -> bool:
        """Whether images are small too."""
        return self.size == "tiny"

    def kind(self, name: str) -> str:
        """Of `SIZES`: a CPU needs minutes for a page at real widths, so a shallow model gets small images alone."""
        return "small" if self.size == "shallow" else name


@dataclass
class Row:
    """A contestant of a part."""

    part: str
    who: str
    how: str
    """Which attention, and what else was chosen."""
    images: int
    tokens: int
    seconds: list[float]
    """Of interleaved rounds."""
    baseline: list[float]
    """transformers', of the same rounds; none where it has no such model."""
    difference: float | None = None
    """How far its tokens are from those of `Duel.reference`, where that sees the same pixels."""
    mfu: float | None = None
    peak_bytes: int | None = None
    copied_bytes: int | None = None


@dataclass
class Batch:
    """The same pixels for both; transformers' own processors differ in places (docs/exactness.md)."""

    images: int
    patches: torch.Tensor
    layout: Layout
    inputs: dict[str, Any]
    """transformers'; none where it has no such model."""
    flops: int
    copied: dict[str, int]
    """Bytes of what each takes from the host to the device."""


class Duel:
    """A model of transformers with random weights, and the encoder that reads its checkpoint.

    Where this transformers has no such model, the encoder alone, which is compared with itself in a wider type by SDPA.
    """

    def __init__(self, name: str, setting: Setting) -> None:
        self.setting, self.device = setting, setting.clock.device
        self.notes: list[str] = []
        """What could not be run."""
        module, how = None, (setting.size, self.device, setting.dtype)
        try:
            module, self.encoder = pair(name, *how)
        except MissingModelError as error:
            self.encoder = alone(name, *how)
            self.notes.append(f"{error}: vlmres runs alone, with random weights")
        assert self.encoder.recipe is not None
        self.recipe = self.encoder.recipe
        self.peer = None
        if module is not None:
            processor = MODELS[name].processor(self.recipe)
            self.peer = Peer(MODELS[name], module, processor, self.device, setting.dtype, self.notes)
        self.backend = attention.choose_backend(self.device, setting.dtype)

    @property
    def parts(self) -> dict[str, Callable[[], list[Row]]]:
        """What can be measured, by name."""
        return {"encoder": self._mixed, "pages": self._pages, "small": self._small, "compiled": self._compiled}

    @property
    def reference(self) -> str:
        """Whose tokens ours should equal."""
        wider = str(WIDER[self.setting.dtype]).removeprefix("torch.")
        return "transformers'" if self.peer is not None else f"its own in {wider} by SDPA"

    @property
    def bound(self) -> float:
        """How far tokens of kernels that are right may be apart."""
        return NEAR[self.setting.dtype.itemsize]

    def difference(self, kind: str) -> float:
        """How far tokens of a batch are from those of `reference`."""
        batch = self._batch(kind, 2)
        return relative_error(self._ours(self.encoder, batch)(), self._wanted(batch))

    def _wanted(self, batch: Batch) -> torch.Tensor:
        """The tokens of `reference`."""
        if self.peer is not None:
            return self.peer.tokens(batch.inputs)
        with mock.patch.object(attention, "choose_backend", return_value="sdpa"):
            return self._ours(widened(self.encoder), batch)()

    def _mixed(self) -> list[Row]:
        """The encoder on a batch of mixed sizes that is on the device."""
        batch = self._batch("mixed", self.setting.batch)
        self._choose_attention(batch)
        return self._rows("encoder", batch, {"vlmres": self._ours(self.encoder, batch)}, self._wanted(batch))

    def _small(self) -> list[Row]:
        """One small image, where launches cost more than the work; with CUDA graphs too, where they are possible."""
        batch = self._batch("small", 1)
        self._choose_attention(batch)
        calls = {"vlmres": self._ours(self.encoder, batch)}
        segments: Any = batch.layout.towers[0].segments
        bounds = getattr(segments, "whole", segments).cu_seqlens
        length = -(-int(bounds[-1]) // _GRAPH_STEP) * _GRAPH_STEP
        try:
            graphs = VisionEncoder(self.encoder.model, self.recipe, graphs=[length])
        except ValueError as error:
            self.notes.append(f"no CUDA graphs: {error}")
        else:
            calls["vlmres, CUDA graphs"] = self._ours(graphs, batch)
        return self._rows("small", batch, calls, self._wanted(batch))

    def _compiled(self) -> list[Row]:
        """As `_mixed`, with the blocks of both compiled in place: nothing can be measured without it afterwards."""
        compile_blocks: Any = getattr(self.encoder.model, "compile_blocks", None)
        if compile_blocks is None:
            self.notes.append("no compiled blocks: VisionModel has no compile_blocks")
            return []
        batch = self._batch("mixed", self.setting.batch)
        self._choose_attention(batch)
        wanted = self._wanted(batch)
        compile_blocks()
        if self.peer is not None:
            self.peer.compile()
        return self._rows("compiled", batch, {"vlmres": self._ours(self.encoder, batch)}, wanted, ", compiled")

    def _pages(self) -> list[Row]:
        """From JPEG files of pages to tokens: decoding, preprocessing, copies, encoder."""
        setting, peer = self.setting, self.peer
        files = jpegs(sizes_of(setting.kind("pages"), setting.pages, tiny=setting.tiny))
        groups = [group.output for group in self.encoder.stream(files, num_threads=setting.threads)]
        tokens = sum(len(output.tokens) for output in groups if output is not None)
        calls: dict[str, Callable[[], Any]] = {
            "vlmres": lambda: self.encoder.encode(files, num_threads=setting.threads),
        }
        how = {"vlmres": f"{self.backend}, {len(groups)} groups"}
        if peer is not None:
            self._choose_attention(self._batch("mixed", setting.batch))
            peer.choose_processor(files[:8], setting.clock)
            calls[PEER] = lambda: peer.run_files(files, setting.batch)
            place = peer.processor_device.type
            how[PEER] = f"{peer.attention}, processor on {place}, batches of {setting.batch}"
        times = setting.clock.compare(calls, warm_ups=1, rounds=3)
        return [
            Row("pages", who, how[who], len(files), tokens, seconds, times.get(PEER, []))
            for who, seconds in times.items()
        ]

    def _rows(
        self,
        part: str,
        batch: Batch,
        calls: dict[str, Callable[[], torch.Tensor]],
        wanted: torch.Tensor,
        added: str = "",
    ) -> list[Row]:
        """Our ways and transformers' on what is on the device."""
        clock, peak, peer = self.setting.clock, self.setting.peak, self.peer
        how = dict.fromkeys(calls, self.backend + added)
        if peer is not None:
            calls = {**calls, PEER: lambda: peer.tokens(batch.inputs)}
            how[PEER] = peer.attention + added
        peaks, errors = {}, {}
        for who, call in calls.items():
            memory = Memory(self.device)
            errors[who] = relative_error(call(), wanted)  # which may make graphs, or compile
            peaks[who] = memory.peak(call)
        times = clock.compare(calls)
        rows = []
        for who, seconds in times.items():
            row = Row(part, who, how[who], batch.images, len(wanted), seconds, times.get(PEER, []))
            row.difference = None if who == PEER else errors[who]
            row.mfu = None if peak is None else batch.flops / sorted(seconds)[len(seconds) // 2] / peak
            row.peak_bytes, row.copied_bytes = peaks[who], batch.copied[PEER if who == PEER else "vlmres"]
            rows.append(row)
        return rows

    def _choose_attention(self, batch: Batch) -> None:
        """transformers', once."""
        if self.peer is not None and not self.peer.times_of_choice:
            self.peer.choose_attention(batch.inputs, self.setting.clock, quick=self.setting.quick)

    def _batch(self, kind: str, count: int) -> Batch:
        """Images by `sizes_of`."""
        pictures = decoded(jpegs(sizes_of(self.setting.kind(kind), count, tiny=self.setting.tiny)))
        values: dict[str, Any] = {}
        if self.peer is not None:
            values = from_batch(vlmres.Processor(self.recipe, arithmetic="torch")(pictures))
        batch = vlmres.Processor(self.recipe, "packed", "uint8", arithmetic="torch")(pictures)
        part, config = Chunk.of(batch), self.encoder.config
        layout = build_layout(config, part.grids, part.positions, part.images, group=self.backend == "sdpa")
        return Batch(
            images=len(pictures),
            patches=part.patches.to(self.device),
            layout=layout.to(self.device),
            inputs=placed(values, self.device, self.setting.dtype),
            flops=sum(plan.cost(config).flops for plan in batch.plans if plan is not None),
            copied={"vlmres": part.patches.nbytes, PEER: _pixel_bytes(values)},
        )

    def _ours(self, encoder: VisionEncoder, batch: Batch) -> Callable[[], torch.Tensor]:
        def call() -> torch.Tensor:
            with torch.inference_mode():
                return encoder.forward(batch.patches, batch.layout).tokens

        return call


def _pixel_bytes(values: dict[str, Any]) -> int:
    return sum(value.nbytes for key, value in values.items() if key.startswith("pixel_values") and value is not None)
