"""vlmres beside the processors people use today: same pixels, one process, interleaved runs.

    python benches/compare.py                       # one thread, all cases
    python benches/compare.py --threads 2 --runs 15 --case qwen2-vl

Prints a Markdown table: medians in milliseconds, and ratios with the spread (quartiles) of the ratio within a round.
Outputs are recycled (`out=`), as a server or a loader with pinned memory would; `fresh` is a call that allocates.
"""

from __future__ import annotations

import argparse
import importlib
import platform
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import vlmres

IMAGES = Path(__file__).parent.parent / "examples" / "images"
SIZES = [(640, 480), (1024, 1024), (1920, 1080), (1500, 4500), (4032, 3024)]

# recipe with overrides, transformers module and class, its settings
CASES: dict[str, tuple[vlmres.Recipe, str, str, dict[str, Any]]] = {
    "qwen2-vl": (
        vlmres.Recipe.load("qwen2-vl", max_pixels=1280 * 28 * 28),
        "qwen2_vl",
        "Qwen2VLImageProcessor",
        {"size": {"shortest_edge": 3136, "longest_edge": 1280 * 28 * 28}},
    ),
    "internvl2": (
        vlmres.Recipe.load("internvl2"),
        "got_ocr2",
        "GotOcr2ImageProcessor",
        {
            "size": {"height": 448, "width": 448},
            "crop_to_patches": True,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
        },
    ),
    "llava-1.5": (
        vlmres.Recipe.load("llava-1.5"),
        "clip",
        "CLIPImageProcessor",
        {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
    ),
}


def picture(size: tuple[int, int]) -> Image.Image:
    """A real image of this size: the document where it is tall, else the photograph."""
    name = "screenshot.webp" if size[1] > 2 * size[0] else "photo.jpg"
    return Image.open(IMAGES / name).convert("RGB").resize(size)


def contestants(case: str, image: Image.Image, threads: int) -> dict[str, Callable[[], object]]:
    """What runs in a round, by name."""
    recipe, module, name, settings = CASES[case]
    array = np.asarray(image)
    models = f"transformers.models.{module}."
    torchvision = getattr(importlib.import_module(f"{models}image_processing_{module}"), name)(**settings)
    pil = getattr(importlib.import_module(f"{models}image_processing_pil_{module}"), name + "Pil")(**settings)
    fast = vlmres.Processor(recipe, arithmetic="torch", num_threads=threads)
    pillow = vlmres.Processor(recipe, arithmetic="pillow", num_threads=threads)
    packed = vlmres.Processor(recipe, "packed", "uint8", "torch", threads)
    values = {"pixel_values": fast(array)["pixel_values"].copy()}
    patches = packed(array).patches.copy()
    other = np.empty_like(values["pixel_values"])
    return {
        "transformers torchvision": lambda: torchvision(array, return_tensors="pt"),
        "transformers PIL": lambda: pil(array, return_tensors="pt"),
        "vlmres torch f32": lambda: fast(array, out=values),
        "vlmres torch f32 fresh": lambda: fast(array),
        "vlmres pillow f32": lambda: pillow(array, out=values),
        "vlmres torch uint8 packed": lambda: packed(array, out=patches),
        "memcpy of the f32 output": lambda: np.copyto(other, values["pixel_values"]),
    }


def measure(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Milliseconds of every contestant in every round, after a warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if index:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: np.array(values) for name, values in times.items()}


def ratio(over: np.ndarray, under: np.ndarray) -> str:
    """Median ratio within a round, with its quartiles."""
    low, middle, high = np.percentile(over / under, [25, 50, 75])
    return f"**{middle:.1f}x** ({low:.1f} to {high:.1f})"


def machine(threads: int) -> str:
    """Machine and versions."""
    from importlib.metadata import version

    names = ["transformers", "torch", "torchvision", "pillow", "numpy"]
    cpu = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine())
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    simd = vlmres.build_info()["simd"]
    python = platform.python_version()
    return f"vlmres {vlmres.__version__} ({simd}), {versions}, CPython {python}; {cpu}, {threads} thread(s)"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads of every contestant (default: 1)")
    parser.add_argument("--runs", type=int, default=11, help="rounds per size (default: 11)")
    parser.add_argument("--case", choices=CASES, action="append", help="only this recipe; may be given several times")
    arguments = parser.parse_args()
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    print(machine(arguments.threads))
    for case in arguments.case or CASES:
        print(f"\n### {case}\n")
        heads = ["size", "torchvision ms", "PIL ms", "f32 ms", "f32 fresh ms", "pillow f32 ms", "uint8 ms", "memcpy ms"]
        heads += ["f32 vs torchvision", "uint8 vs torchvision", "pillow f32 vs PIL"]
        print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
        for size in SIZES:
            times = measure(contestants(case, picture(size), arguments.threads), arguments.runs)
            cells = [f"{size[0]}x{size[1]}", *(f"{np.median(values):.2f}" for values in times.values())]
            torchvision, pil = times["transformers torchvision"], times["transformers PIL"]
            cells.append(ratio(torchvision, times["vlmres torch f32"]))
            cells.append(ratio(torchvision, times["vlmres torch uint8 packed"]))
            cells.append(ratio(pil, times["vlmres pillow f32"]))
            print("| " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
