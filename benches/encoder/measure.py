"""Both encoders on the same pixels: how far apart, how fast, and what they need."""

from __future__ import annotations

import importlib
import importlib.util
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from benches.encoder.inputs import decoded, from_batch, jpegs, placed
from benches.encoder.models import MODELS

import vlmres
from vlmres.encoder import VisionEncoder, build_layout
from vlmres.encoder.attention import choose_backend
from vlmres.encoder.parts import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Rounds that do not count, and the fewest that do.
WARM_UPS, ROUNDS = 2, 5


@dataclass(frozen=True)
class Setting:
    """On what, and how long."""

    device: torch.device
    dtype: torch.dtype
    batch: int
    seconds: float
    threads: int | None
    graphs: Sequence[int]
    tiny: bool
    peak: float | None
    """The device's products a second, where known."""

    def synchronize(self) -> None:
        """Waits for a CUDA device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def measure(name: str, setting: Setting) -> dict[str, Any]:
    """All numbers of a model."""
    with tempfile.TemporaryDirectory() as folder:
        model, encoder = make(name, setting, Path(folder))
    assert encoder.recipe is not None
    device, dtype = setting.device, setting.dtype
    files = jpegs(setting.batch, tiny=setting.tiny)
    reference = MODELS[name].processor(encoder.recipe)
    # The same pixels for both; transformers' own processors differ in places (docs/exactness.md).
    pictures = decoded(files)
    inputs = placed(from_batch(vlmres.Processor(encoder.recipe, arithmetic="torch")(pictures)), device, dtype)
    batch = vlmres.Processor(encoder.recipe, "packed", "uint8", arithmetic="torch")(pictures)
    part = Part.of(batch)
    backend = choose_backend(device, dtype)
    layout = build_layout(encoder.config, part.grids, part.positions, part.images, group=backend == "sdpa").to(device)
    patches = part.patches.to(device)

    def ours() -> torch.Tensor:
        with torch.inference_mode():
            return encoder.forward(patches, layout).tokens

    def theirs() -> torch.Tensor:
        with torch.inference_mode():
            return MODELS[name].features(model, inputs)

    def ours_end_to_end() -> None:
        encoder.encode(files, num_threads=setting.threads)

    def theirs_end_to_end() -> None:
        with torch.inference_mode():
            found = reference(decoded(files), return_tensors="pt")
            MODELS[name].features(model, placed(dict(found), device, dtype))

    tokens, wanted = ours().float(), theirs().float()
    seconds = rounds({"vlmres": ours, "transformers": theirs}, setting)
    pages = rounds({"vlmres": ours_end_to_end, "transformers": theirs_end_to_end}, setting)
    flops = sum(plan.cost(encoder.config).flops for plan in batch.plans if plan is not None)
    floats = sum(value.nbytes for value in inputs.values() if isinstance(value, torch.Tensor)) * 4 // dtype.itemsize
    copied = {"vlmres": patches.nbytes, "transformers": floats}
    return {
        "model": name,
        "images": len(files),
        "patches": len(patches),
        "tokens": len(tokens),
        "difference": float((tokens - wanted).norm() / wanted.norm()),
        "attention": {"vlmres": backend, "transformers": model.config._attn_implementation},
        "flops": flops,
        "encoder": {
            key: {
                "seconds": value,
                "tokens_per_s": len(tokens) / value,
                "mfu": None if setting.peak is None else flops / value / setting.peak,
                "peak_bytes": peak_memory(ours if key == "vlmres" else theirs, setting),
                "copied_bytes": copied[key],
            }
            for key, value in seconds.items()
        },
        "pages_per_s": {key: len(files) / value for key, value in pages.items()},
    }


def make(name: str, setting: Setting, folder: Path) -> tuple[Any, VisionEncoder]:
    """The module of transformers with random weights, and the encoder that reads its checkpoint."""
    parent, class_name, config = MODELS[name].build(setting.tiny)
    kind = getattr(importlib.import_module(parent.__module__), class_name)
    attention = "sdpa"
    if setting.device.type == "cuda" and kind._supports_flash_attn and importlib.util.find_spec("flash_attn"):
        attention = "flash_attention_2"
    torch.manual_seed(0)
    with setting.device:
        model = kind._from_config(config, dtype=setting.dtype, attn_implementation=attention)
    model = model.eval().requires_grad_(False)
    with torch.no_grad():
        for parameter in model.parameters():
            # Many are made as zeros or ones, which would hide differences.
            parameter.normal_(0, 0.02) if parameter.ndim > 1 else parameter.normal_(0.1, 0.02)
    model.save_pretrained(folder)
    recipe = MODELS[name].recipe(setting.tiny)
    return model, VisionEncoder.from_pretrained(
        folder, setting.device, setting.dtype, recipe=recipe, graphs=setting.graphs
    )


def rounds(contestants: dict[str, Callable[[], Any]], setting: Setting) -> dict[str, float]:
    """Median seconds of each, interleaved."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    count, end = -WARM_UPS, 0.0
    while count < ROUNDS or time.perf_counter() < end:
        if count == 0:
            times = {name: [] for name in contestants}
            end = time.perf_counter() + setting.seconds
        for name, call in contestants.items():
            setting.synchronize()
            start = time.perf_counter()
            call()
            setting.synchronize()
            times[name].append(time.perf_counter() - start)
        count += 1
    return {name: statistics.median(values) for name, values in times.items()}


def peak_memory(call: Callable[[], Any], setting: Setting) -> int | None:
    """Bytes that a call needs beside what is there before it; None on the CPU."""
    if setting.device.type != "cuda":
        return None
    setting.synchronize()
    torch.cuda.reset_peak_memory_stats(setting.device)
    before = torch.cuda.memory_allocated(setting.device)
    call()
    setting.synchronize()
    return torch.cuda.max_memory_allocated(setting.device) - before
