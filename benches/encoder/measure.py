"""Both encoders on the same pixels: how far apart, how fast, and what they need."""

from __future__ import annotations

import importlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from benches.encoder.inputs import decoded, from_batch, jpegs, placed, sizes_of
from benches.encoder.models import MODELS
from benches.encoder.peer import Peer, relative_error
from benches.encoder.timing import Memory

import vlmres
from vlmres.encoder import VisionEncoder, build_layout
from vlmres.encoder.nn.attention import choose_backend
from vlmres.encoder.runtime.chunks import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from benches.encoder.models import Size
    from benches.encoder.timing import Clock

    from vlmres.encoder.layout.batch import Layout

# Lengths that CUDA graphs are captured for.
_GRAPH_STEP = 256
# Of a tiny encoder, so that a few images are several groups.
_TINY_PATCHES = 128


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
    """transformers', of the same rounds."""
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
    flops: int
    copied: dict[str, int]
    """Bytes of what each takes from the host to the device."""


class Duel:
    """A model of transformers with random weights, and the encoder that reads its checkpoint."""

    def __init__(self, name: str, setting: Setting) -> None:
        self.setting, self.device = setting, setting.clock.device
        with tempfile.TemporaryDirectory() as folder:
            module, self.encoder = _make(name, setting, Path(folder))
        assert self.encoder.recipe is not None
        self.recipe = self.encoder.recipe
        self.peer = Peer(MODELS[name], module, self.device, setting.dtype)
        self.processor = MODELS[name].processor(self.recipe)
        self.backend = choose_backend(self.device, setting.dtype)
        self.times_of_choice: dict[str, float] = {}

    @property
    def parts(self) -> dict[str, Callable[[], list[Row]]]:
        """What can be measured, by name."""
        return {"encoder": self._mixed, "pages": self._pages, "small": self._small, "compiled": self._compiled}

    @property
    def notes(self) -> list[str]:
        """What could not be run."""
        return self.peer.notes

    def difference(self, kind: str) -> float:
        """How far tokens of a batch are from transformers'."""
        batch = self._batch(kind, 2)
        return relative_error(self._ours(self.encoder, batch)(), self.peer.tokens(batch.inputs))

    def _mixed(self) -> list[Row]:
        """The encoder on a batch of mixed sizes that is on the device."""
        batch = self._batch("mixed", self.setting.batch)
        self._choose_attention(batch)
        return self._rows("encoder", batch, {"vlmres": self._ours(self.encoder, batch)}, self.backend)

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
        return self._rows("small", batch, calls, self.backend)

    def _compiled(self) -> list[Row]:
        """As `_mixed`, with the blocks of both compiled in place: nothing can be measured without it afterwards."""
        compile_blocks: Any = getattr(self.encoder.model, "compile_blocks", None)
        if compile_blocks is None:
            self.notes.append("no compiled blocks: VisionModel has no compile_blocks")
            return []
        batch = self._batch("mixed", self.setting.batch)
        self._choose_attention(batch)
        compile_blocks()
        self.peer.compile()
        calls = {"vlmres": self._ours(self.encoder, batch)}
        return self._rows("compiled", batch, calls, f"{self.backend}, compiled", ", compiled")

    def _pages(self) -> list[Row]:
        """From JPEG files of pages to tokens: decoding, preprocessing, copies, encoder."""
        setting = self.setting
        files = jpegs(sizes_of(setting.kind("pages"), setting.pages, tiny=setting.tiny))
        if not self.times_of_choice:
            self._choose_attention(self._batch("mixed", setting.batch))
        self.peer.choose_processor(self.processor, files[:8], setting.clock)
        groups = [group.output for group in self.encoder.stream(files, num_threads=setting.threads)]
        tokens = sum(len(output.tokens) for output in groups if output is not None)
        calls: dict[str, Callable[[], Any]] = {
            "vlmres": lambda: self.encoder.encode(files, num_threads=setting.threads),
            "transformers": lambda: self.peer.run_files(self.processor, files, setting.batch),
        }
        times = setting.clock.compare(calls, warm_ups=1, rounds=3)
        how = {
            "vlmres": f"{self.backend}, {len(groups)} groups",
            "transformers": f"{self.peer.attention}, processor on {self.peer.processor_device.type}, "
            f"batches of {setting.batch}",
        }
        return [
            Row("pages", who, how[who], len(files), tokens, seconds, times["transformers"])
            for who, seconds in times.items()
        ]

    def _rows(
        self, part: str, batch: Batch, ours: dict[str, Callable[[], torch.Tensor]], how: str, added: str = ""
    ) -> list[Row]:
        """Our ways and transformers' on what is on the device."""
        clock, peak = self.setting.clock, self.setting.peak
        calls: dict[str, Callable[[], torch.Tensor]] = {**ours, "transformers": lambda: self.peer.tokens(batch.inputs)}
        peaks, tokens = {}, 0
        for who, call in calls.items():
            memory = Memory(self.device)
            tokens = len(call())  # which may make graphs, or compile
            peaks[who] = memory.peak(call)
        times = clock.compare(calls)
        rows = []
        for who, seconds in times.items():
            copied, attention = batch.copied["vlmres"], how
            if who == "transformers":
                copied, attention = batch.copied["transformers"], self.peer.attention + added
            row = Row(part, who, attention, batch.images, tokens, seconds, times["transformers"])
            row.mfu = None if peak is None else batch.flops / sorted(seconds)[len(seconds) // 2] / peak
            row.peak_bytes, row.copied_bytes = peaks[who], copied
            rows.append(row)
        return rows

    def _choose_attention(self, batch: Batch) -> None:
        if not self.times_of_choice:
            self.times_of_choice = self.peer.choose_attention(
                batch.inputs, self.setting.clock, quick=self.setting.quick
            )

    def _batch(self, kind: str, count: int) -> Batch:
        """Images by `sizes_of`."""
        pictures = decoded(jpegs(sizes_of(self.setting.kind(kind), count, tiny=self.setting.tiny)))
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
            copied={"vlmres": part.patches.nbytes, "transformers": _pixel_bytes(values)},
        )

    def _ours(self, encoder: VisionEncoder, batch: Batch) -> Callable[[], torch.Tensor]:
        def call() -> torch.Tensor:
            with torch.inference_mode():
                return encoder.forward(batch.patches, batch.layout).tokens

        return call


def _pixel_bytes(values: dict[str, Any]) -> int:
    return sum(value.nbytes for key, value in values.items() if key.startswith("pixel_values") and value is not None)


def _make(name: str, setting: Setting, folder: Path) -> tuple[Any, VisionEncoder]:
    """The module of transformers with random weights, and the encoder that reads its checkpoint."""
    parent, class_name, config = MODELS[name].build(setting.size)
    kind = getattr(importlib.import_module(parent.__module__), class_name)
    torch.manual_seed(0)
    with setting.clock.device:
        module = kind._from_config(config, dtype=setting.dtype, attn_implementation="sdpa")
    module = module.eval().requires_grad_(False)
    with torch.no_grad():
        for parameter in module.parameters():
            _draw(parameter)
    transformers.utils.logging.disable_progress_bar()
    module.save_pretrained(folder)
    recipe = MODELS[name].recipe(setting.tiny)
    encoder = VisionEncoder.from_pretrained(folder, setting.clock.device, setting.dtype, recipe=recipe)
    if setting.tiny:
        encoder.max_patches = _TINY_PATCHES
    return module, encoder


def _draw(parameter: torch.Tensor) -> None:
    """Many are made as zeros or ones, or so small that a part leaves no trace, which would hide differences."""
    if parameter.ndim == 1:
        parameter.normal_(0.5, 0.3)
    else:
        # Keeps the size of what goes through.
        parameter.normal_(0, 0.8 * parameter[0].numel() ** -0.5)
