"""The encoder beside transformers' modules, on a GPU: random weights of real sizes, images of mixed sizes.

    python -m benches.gpu                                    # all models, CUDA, bfloat16
    python -m benches.gpu --model qwen2-vl --batch 32 --seconds 10 --json results.json
    python -m benches.gpu --tiny --device cpu                # a smoke test of the script, no measurement

A model of transformers is made with random weights and saved; vlmres reads that checkpoint, so both compute the same
function, and the last column is how far apart their tokens are for the same pixels. Attention of transformers is
flash-attn where it is installed and the model allows it, else SDPA. Rounds are interleaved; numbers are medians.

tokens/s and MFU are of the encoder alone, with its input on the device; FLOPs are those of `Plan.cost` for both. Copied
is what goes to the device: uint8 patches, or transformers' float32 pixel_values. Pages/s are end to end, from JPEG
bytes: decoding, preprocessing, copies, encoder.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benches.encoder.measure import Setting, measure
from benches.encoder.models import MODELS

# Dense bfloat16 products a second, by a word of the device's name.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12, "4090": 165e12}


def show(results: list[dict[str, Any]], setting: Setting) -> None:
    """Prints a Markdown table."""
    kind = str(setting.dtype).removeprefix("torch.")
    print(f"{device_name(setting.device)}, torch {torch.__version__}, {kind}, {setting.batch} images of mixed sizes")
    if setting.tiny:
        print("Tiny models: this shows that the script runs, and nothing else.")
    print("\n| model | | attention | tokens/s | MFU | peak memory | copied | pages/s | difference |")
    print("|---|---|---|---|---|---|---|---|---|")
    for result in results:
        for key, found in result["encoder"].items():
            row = [
                result["model"],
                key,
                result["attention"][key],
                f"{found['tokens_per_s']:,.0f}",
                "n/a" if found["mfu"] is None else f"{found['mfu']:.1%}",
                "n/a" if found["peak_bytes"] is None else f"{found['peak_bytes'] / 2**30:.2f} GiB",
                f"{found['copied_bytes'] / 2**20:.1f} MiB",
                f"{result['pages_per_s'][key]:.1f}",
                f"{result['difference']:.1e}" if key == "vlmres" else "",
            ]
            print(f"| {' | '.join(row)} |")


def device_name(device: torch.device) -> str:
    """For people."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()


def peak_products(device: torch.device, dtype: str) -> float | None:
    """Of a device whose name is known, in 16 bits."""
    if device.type != "cuda" or dtype == "float32":
        return None
    words = device_name(device).replace("-", " ").split()
    return next((peak for word, peak in PEAKS.items() if word in words), None)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        "benches.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--model", choices=MODELS, action="append", help="again for more; by default all")
    found.add_argument("--device", type=torch.device, default="cuda", help="cuda, cuda:1, cpu; by default cuda")
    found.add_argument(
        "--dtype", default="bfloat16", choices=["bfloat16", "float16", "float32"], help="by default bfloat16"
    )
    found.add_argument("--batch", type=int, default=16, metavar="N", help="images; by default 16")
    found.add_argument("--seconds", type=float, default=5, metavar="S", help="of each measurement; by default 5")
    found.add_argument("--threads", type=int, metavar="N", help="of preprocessing; by default all")
    found.add_argument("--peak-tflops", type=float, metavar="T", help="of the device, where its name is not known")
    found.add_argument(
        "--graphs", type=int, nargs="*", default=[], metavar="N", help="sequence lengths to capture as CUDA graphs"
    )
    found.add_argument("--tiny", action="store_true", help="tiny models and images")
    found.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers here")
    return found


def main() -> None:
    """Measures and prints."""
    args = parser().parse_args()
    if args.device.type == "cuda" and not torch.cuda.is_available():
        parser().error("no CUDA device: --tiny --device cpu runs a smoke test")
    setting = Setting(
        device=args.device,
        dtype=getattr(torch, args.dtype),
        batch=args.batch,
        seconds=args.seconds,
        threads=args.threads,
        graphs=args.graphs,
        tiny=args.tiny,
        peak=args.peak_tflops * 1e12 if args.peak_tflops else peak_products(args.device, args.dtype),
    )
    warnings.filterwarnings("ignore")
    results = []
    for name in args.model or MODELS:
        print(f"{name} …", file=sys.stderr)
        results.append(measure(name, setting))
        torch.cuda.empty_cache()
    show(results, setting)
    if args.json:
        versions = {"torch": torch.__version__, "device": device_name(setting.device)}
        args.json.write_text(json.dumps({**versions, "results": results}, indent=1))


if __name__ == "__main__":
    main()
