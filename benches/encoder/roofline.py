"""What a GPU should need, on paper: launches, bytes and FLOPs as torch runs them, and the time that follows.

    python -m benches.encoder.roofline             # the tables of docs/encoder.md
    python -m benches.encoder.roofline --blocks    # one block of each kind beside transformers' (on the CPU, minutes)

Models are those of `benches.gpu`, at real sizes, on tensors without values, with torch's own kernel for attention. RMS
norms are counted as their parts: on CUDA they are one kernel from torch 2.9 on, so that eager counts with them are
upper bounds.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import torch
from benches.encoder.count import Counted, Counter
from benches.encoder.inputs import from_batch, placed, sizes_of
from benches.encoder.models import MODELS
from PIL import Image

import vlmres
from vlmres.encoder import VisionModel, attention, blocks, build_layout
from vlmres.encoder.architectures import architecture
from vlmres.encoder.attention import QuerySegments, Segments
from vlmres.encoder.parts import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmres.encoder.config import EncoderConfig

META = torch.device("meta")


@dataclass(frozen=True)
class Device:
    """How fast a GPU is."""

    name: str
    products: float
    """FLOP/s of large products in bfloat16."""
    memory: float
    """Bytes read and written a second."""


# Of the H200 both were measured; the H100 has the same processors, and 3.35 TB/s for 4.8 on the data sheet.
DEVICES = (Device("H200", 788e12, 4.3e12), Device("H100", 788e12, 3.0e12))
# FlashAttention 2's share of the products' speed on Hopper (arXiv:2407.08608, figure 5: about 350 of 740 TFLOP/s); it
# computes heads in steps of 32 dimensions.
FLASH2, STEP = 0.45, 32
# Seconds that a host needs to launch an operation from Python, and a device between two of a graph.
HOST, GAP = 6e-6, 1.5e-6


@dataclass
class Pass:
    """A forward pass, and its batch."""

    images: int
    patches: int
    tokens: int
    segments: int
    model_flops: int
    """As of `Plan.cost`."""
    weights: int
    eager: Counted
    compiled: Counted

    def seconds(self, device: Device, how: str) -> float:
        """Of "eager", "compiled", or "graphs" of compiled blocks."""
        counted = self.eager if how == "eager" else self.compiled
        busy = 0.0
        for op in counted.ops:
            speed = device.products * (FLASH2 if op.kind == "attention" else 1)
            busy += max(op.flops / speed, op.bytes / device.memory, GAP)
        return busy if how == "graphs" else max(busy, len(counted.ops) * HOST)


def settings_of(name: str) -> EncoderConfig:
    """Of a model of real size."""
    _, _, settings = MODELS[name].build("real")
    return architecture(settings.to_dict()).config


def model_pass(name: str, kind: str, count: int) -> Pass:
    """One of ours, on images of a kind."""
    config = settings_of(name)
    recipe = MODELS[name].recipe(False)
    pictures = [Image.new("RGB", size) for size in sizes_of(kind, count, tiny=False)]
    batch = vlmres.Processor(recipe, "packed", "uint8")(pictures)
    part = Part.of(batch)
    layout = build_layout(config, part.grids, part.positions, part.images, group=False)
    with META:
        model = VisionModel(config).to(torch.bfloat16).requires_grad_(False)
    model = model.to(META)
    counter = Counter()
    with torch.no_grad(), _counted(counter), counter:
        tokens = model(part.patches.to(META), layout.to(META)).tokens
    counted = counter.counted
    segments: Any = layout.towers[0].segments
    return Pass(
        images=count,
        patches=len(part.patches),
        tokens=len(tokens),
        segments=len(getattr(segments, "whole", segments).cu_seqlens) - 1,
        model_flops=sum(plan.cost(config).flops for plan in batch.plans if plan is not None),
        weights=sum(parameter.nbytes for parameter in model.parameters()),
        eager=counted,
        compiled=counted.fused(),
    )


class _counted:  # noqa: N801
    """Ours with torch's kernel, whose FLOPs are those of the segments, and blocks as they are compiled."""

    def __init__(self, counter: Counter) -> None:
        before, after, attend = blocks.Block.before, blocks.Block.after, attention.attend

        def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any) -> Any:
                with counter.compiled():
                    return function(*args)

            return call

        def counted(q: Any, k: Any, v: Any, segments: Any, scale: float) -> Any:
            first = len(counter.counted.ops)
            out = attend(q, k, v, segments, scale)
            kernels = [op for op in counter.counted.ops[first:] if op.kind == "attention"]
            for kernel, pairs in zip(kernels, _pairs(segments), strict=True):
                kernel.flops = 4 * q.shape[1] * -(-q.shape[2] // STEP) * STEP * pairs
            return out

        self.patches: list[Any] = [
            mock.patch.object(blocks.Block, "before", compiled(before)),
            mock.patch.object(blocks.Block, "after", compiled(after)),
            mock.patch.object(blocks, "attend", counted),
            mock.patch.object(attention, "choose_backend", return_value="varlen"),
        ]

    def __enter__(self) -> None:
        for patch in self.patches:
            patch.start()

    def __exit__(self, *_: object) -> None:
        for patch in self.patches:
            patch.stop()


def _pairs(segments: Segments | QuerySegments) -> list[int]:
    """Pairs of a query and a key of each launch."""
    if isinstance(segments, QuerySegments):
        tokens = sum(count * length**2 for count, length in segments.tokens.runs)
        return [tokens, sum(queries * (tokens + queries) for tokens, queries in segments.pairs)]
    return [sum(count * length**2 for count, length in segments.runs)]


def predictions() -> str:
    """A row for each model and batch."""
    heads = " | ".join(f"{device.name} {how}" for device in DEVICES for how in ("eager", "compiled", "graphs"))
    rows = [
        "| model, batch | tokens | TFLOP | weights | other bytes, eager | fused | launches, eager | fused | "
        + heads
        + " |",
        "|---" * (8 + 3 * len(DEVICES)) + "|",
    ]
    for name in MODELS:
        for kind, count in (("mixed", 16), ("small", 1)):
            found = model_pass(name, kind, count)
            cells = [f"{name}, {count} {kind}", f"{found.tokens:,}", f"{found.model_flops / 1e12:.2f}"]
            cells.append(f"{found.weights / 2**30:.2f} GiB")
            cells += [
                f"{sum(op.bytes for op in each.of('other')) / 1e9:.1f} GB" for each in (found.eager, found.compiled)
            ]
            cells += [f"{len(each.ops):,}" for each in (found.eager, found.compiled)]
            for device in DEVICES:
                for how in ("eager", "compiled", "graphs"):
                    if how == "graphs" and len(settings_of(name).towers) > 1:
                        cells.append("n/a")
                        continue
                    seconds = found.seconds(device, how)
                    mfu = found.model_flops / seconds / device.products
                    cells.append(f"{found.tokens / seconds / 1e3:,.0f} k/s, {mfu:.0%}")
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def block_rows() -> str:
    """Launches and bytes of one block of each kind, ours eager and compiled, and transformers'."""
    rows = [
        "| block | patches | who | launches | products | attention | other | other bytes a patch "
        "| compiled: launches | other bytes a patch |",
        "|---" * 10 + "|",
    ]
    for name, size in (("qwen2.5-vl", (896, 896)), ("internvl", (448, 448)), ("deepseek-ocr", (1024, 1024))):
        for who, found in _blocks_of(name, size):
            for label, patches, counted in found:
                fused = counted.fused()
                kinds = [str(len(counted.of(kind))) for kind in ("product", "attention", "other")]
                moved = [f"{sum(op.bytes for op in each.of('other')) / patches:,.0f}" for each in (counted, fused)]
                cells = [f"{name}, {label}", str(patches), who, str(len(counted.ops)), *kinds, moved[0]]
                rows.append(f"| {' | '.join([*cells, str(len(fused.ops)), moved[1]])} |")
    return "\n".join(rows)


def _blocks_of(name: str, size: tuple[int, int]) -> list[tuple[str, list[tuple[str, int, Counted]]]]:
    """The first blocks of both, on one image, on the CPU."""
    parent, class_name, settings = MODELS[name].build("shallow")
    kind = getattr(importlib.import_module(parent.__module__), class_name)
    module = kind._from_config(settings, dtype=torch.bfloat16, attn_implementation="sdpa").eval().requires_grad_(False)
    recipe = MODELS[name].recipe(False)
    picture = Image.new("RGB", size)
    values = from_batch(vlmres.Processor(recipe, arithmetic="torch")([picture]))
    inputs = placed(values, torch.device("cpu"), torch.bfloat16)
    config = architecture(settings.to_dict()).config
    part = Part.of(vlmres.Processor(recipe, "packed", "uint8", arithmetic="torch")([picture]))
    layout = build_layout(config, part.grids, part.positions, part.images, group=False)
    with META:
        model = VisionModel(config).to(torch.bfloat16).requires_grad_(False)
    model = model.to(META)
    counter = Counter()
    ours = _by_module(model, counter, lambda path: path.endswith(".blocks"))
    with torch.no_grad(), _counted(counter), counter:
        model(part.patches.to(META), layout.to(META))
    other = Counter()
    last = ("blocks", "layers", "layer")
    theirs = _by_module(module, other, lambda path: path.rpartition(".")[2] in last, compiled=True)
    with torch.no_grad(), other:
        MODELS[name].features(module, inputs)
    return [("vlmres", _named(ours, counter)), ("transformers", _named(theirs, other))]


def _by_module(
    module: torch.nn.Module, counter: Counter, chosen: Callable[[str], bool], *, compiled: bool = False
) -> list[tuple[str, list[int]]]:
    """Where the launches of each layer begin and end, and its patches, call after call; filled as the module runs."""
    found: list[tuple[str, list[int]]] = []
    for path, part in module.named_modules():
        if isinstance(part, torch.nn.ModuleList) and chosen(path) and "language_model" not in path:
            for index, layer in enumerate(part):
                bounds: list[int] = []
                found.append((f"{path}.{index}", bounds))
                scope = contextlib.ExitStack()

                def enter(*_: Any, bounds: list[int] = bounds, scope: contextlib.ExitStack = scope) -> None:
                    if compiled:
                        scope.enter_context(counter.compiled())
                    bounds.append(len(counter.counted.ops))

                def leave(
                    _: Any, __: Any, out: Any, bounds: list[int] = bounds, scope: contextlib.ExitStack = scope
                ) -> None:
                    hidden = out[0] if isinstance(out, tuple) else out
                    bounds += [len(counter.counted.ops), int(np.prod(hidden.shape[:-1]))]
                    scope.close()

                layer.register_forward_pre_hook(enter)
                layer.register_forward_hook(leave)
    return found


def _named(found: list[tuple[str, list[int]]], counter: Counter) -> list[tuple[str, int, Counted]]:
    return [(path, b[2], Counted(counter.counted.ops[b[0] : b[1]])) for path, b in found if b and b[1] > b[0]]


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser("benches.encoder.roofline")
    parser.add_argument("--blocks", action="store_true", help="one block of each kind beside transformers'")
    print(block_rows() if parser.parse_args().blocks else predictions())


if __name__ == "__main__":
    main()
