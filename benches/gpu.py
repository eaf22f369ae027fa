"""The encoder beside transformers' modules, on a GPU: random weights of real sizes, images of mixed sizes.

    python benches/gpu.py                                    # all models, CUDA, bfloat16
    python benches/gpu.py --model qwen2-vl --batch 32 --seconds 10 --json results.json
    python benches/gpu.py --tiny --device cpu                # a smoke test of the script, no measurement

A model of transformers is made with random weights and saved; vlmres reads that checkpoint, so both compute the same
function, and the last column is how far apart their tokens are for the same pixels. Attention of transformers is
flash-attn where it is installed and the model allows it, else SDPA. Rounds are interleaved; numbers are medians.

tokens/s and MFU are of the encoder alone, with its input on the device; FLOPs are those of `Plan.cost` for
both. Copied is what goes to the device: uint8 patches, or transformers' float32 pixel_values. Pages/s are end to end,
from JPEG bytes: decoding, preprocessing, copies, encoder.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import platform
import statistics
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

import vlmres
from vlmres.encoder import VisionEncoder, build_layout
from vlmres.encoder.attention import choose_backend
from vlmres.encoder.parts import Part

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES = Path(__file__).parent.parent / "examples" / "images"
# Pages, screenshots, photographs, thumbnails and lines of text.
SIZES = [(1240, 1754), (1500, 4500), (2048, 1536), (640, 480), (300, 200), (1024, 1024), (512, 64), (1920, 1080)]
TINY_SIZES = [(124, 175), (150, 320), (96, 64), (200, 60)]

# Dense bfloat16 products a second, by name of device.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12, "4090": 165e12}


@dataclass
class Model:
    """A model of transformers, its recipe, and how both see images."""

    build: Callable[[bool], Any]
    recipe: Callable[[bool], vlmres.Recipe]
    processor: Callable[[vlmres.Recipe], Any]
    features: Callable[[Any, dict[str, Any]], torch.Tensor]


def _text(module: str, **settings: Any) -> dict[str, Any]:
    """A language model that is as small as it can be: it is not run."""
    return {"model_type": module, "num_hidden_layers": 1, "vocab_size": 64, "pad_token_id": None, **settings}


def _qwen2_vl(tiny: bool) -> Any:
    from transformers.models import qwen2_vl

    config = qwen2_vl.configuration_qwen2_vl.Qwen2VLVisionConfig()
    if tiny:
        config.depth, config.embed_dim, config.num_heads, config.hidden_size = 2, 64, 4, 48
    return qwen2_vl.Qwen2VLPreTrainedModel, "Qwen2VisionTransformerPretrainedModel", config


def _qwen2_5_vl(tiny: bool) -> Any:
    from transformers.models import qwen2_5_vl

    # The class's default width is not the checkpoints'.
    config = qwen2_5_vl.configuration_qwen2_5_vl.Qwen2_5_VLVisionConfig(hidden_size=1280, out_hidden_size=3584)
    if tiny:
        config.depth, config.hidden_size, config.num_heads, config.out_hidden_size = 2, 64, 4, 48
        config.intermediate_size, config.fullatt_block_indexes = 96, [1]
    return qwen2_5_vl.Qwen2_5_VLPreTrainedModel, "Qwen2_5_VisionTransformerPretrainedModel", config


def _internvl(tiny: bool) -> Any:
    from transformers.models import internvl

    vision: dict[str, Any] = {"attention_bias": True}
    hidden = 2048
    if tiny:
        hidden = 48
        vision |= {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
        vision |= {"image_size": [112, 112]}
    text = _text("qwen2", hidden_size=hidden, intermediate_size=64, num_attention_heads=2, num_key_value_heads=2)
    config = internvl.InternVLConfig(vision_config={"model_type": "internvl_vision", **vision}, text_config=text)
    return internvl.InternVLPreTrainedModel, "InternVLModel", config


def _deepseek_ocr(tiny: bool) -> Any:
    from transformers.models import unlimited_ocr

    vision: dict[str, Any] = {}
    hidden = 1280
    if tiny:
        hidden = 64
        small = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        vision["sam_config"] = {**small, "image_size": 256, "window_size": 5, "global_attn_indexes": [1], "mlp_dim": 96}
        vision["sam_config"] |= {"output_channels": 32, "downsample_channels": [48, 64]}
        vision["encoder_config"] = {**small, "intermediate_size": 96}
    text = _text("unlimited_ocr_text", hidden_size=hidden, intermediate_size=64, mlp_layer_types=["dense"])
    text |= {"num_attention_heads": 2, "num_key_value_heads": 2}
    config = unlimited_ocr.UnlimitedOcrConfig(vision_config=vision, text_config=text)
    return unlimited_ocr.UnlimitedOcrPreTrainedModel, "UnlimitedOcrModel", config


def _qwen_recipe(name: str) -> Callable[[bool], vlmres.Recipe]:
    return lambda tiny: vlmres.Recipe.load(name, max_pixels=(64 if tiny else 2048) * 28 * 28)


def _qwen_processor(recipe: vlmres.Recipe) -> Any:
    from transformers import Qwen2VLImageProcessor

    size = {"shortest_edge": recipe.params["min_pixels"], "longest_edge": recipe.params["max_pixels"]}
    return Qwen2VLImageProcessor(size=size)


def _internvl_processor(recipe: vlmres.Recipe) -> Any:
    from transformers import GotOcr2ImageProcessor

    side, params = recipe.params["image_size"], recipe.params
    return GotOcr2ImageProcessor(
        size={"height": side, "width": side},
        crop_to_patches=True,
        max_patches=params["max_tiles"],
        image_mean=list(params["image_mean"]),
        image_std=list(params["image_std"]),
    )


def _deepseek_processor(recipe: vlmres.Recipe) -> Any:
    from transformers.models.unlimited_ocr import UnlimitedOcrImageProcessor

    base, params = recipe.params["base_size"], recipe.params
    return UnlimitedOcrImageProcessor(
        size={"height": base, "width": base}, tile_size=params["tile_size"], max_patches=params["max_tiles"]
    )


def _qwen_features(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    tokens: torch.Tensor = model(inputs["pixel_values"], grid_thw=inputs["image_grid_thw"]).pooler_output
    return tokens


def _internvl_features(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    tokens: torch.Tensor = model.get_image_features(inputs["pixel_values"]).pooler_output.flatten(0, 1)
    return tokens


def _deepseek_features(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    names = ("pixel_values", "pixel_values_local", "num_local_patches", "patches_grid")
    known = {name: inputs[name] for name in names if name in inputs}
    return torch.cat(list(model.get_image_features(**known).pooler_output))


MODELS = {
    "qwen2-vl": Model(_qwen2_vl, _qwen_recipe("qwen2-vl"), _qwen_processor, _qwen_features),
    "qwen2.5-vl": Model(_qwen2_5_vl, _qwen_recipe("qwen2.5-vl"), _qwen_processor, _qwen_features),
    "internvl": Model(
        _internvl,
        lambda tiny: vlmres.Recipe.load("internvl2", **({"image_size": 112, "max_tiles": 4} if tiny else {})),
        _internvl_processor,
        _internvl_features,
    ),
    "deepseek-ocr": Model(
        _deepseek_ocr,
        lambda tiny: vlmres.Recipe.load(
            "deepseek-ocr-gundam", **({"base_size": 256, "tile_size": 160, "tile_over": 160} if tiny else {})
        ),
        _deepseek_processor,
        _deepseek_features,
    ),
}


def make(name: str, args: argparse.Namespace, folder: Path) -> tuple[Any, VisionEncoder]:
    """The module of transformers with random weights, and the encoder that reads its checkpoint."""
    _, class_name, config = MODELS[name].build(args.tiny)
    package = importlib.import_module(MODELS[name].build(args.tiny)[0].__module__)
    kind = getattr(package, class_name)
    attention = "sdpa"
    if args.device != "cpu" and kind._supports_flash_attn and importlib.util.find_spec("flash_attn") is not None:
        attention = "flash_attention_2"
    torch.manual_seed(0)
    with torch.device(args.device):
        model = kind._from_config(config, dtype=args.torch_dtype, attn_implementation=attention)
    model = model.eval().requires_grad_(False)
    with torch.no_grad():
        for parameter in model.parameters():
            # Many are made as zeros or ones, which would hide differences.
            parameter.normal_(0, 0.02) if parameter.ndim > 1 else parameter.normal_(0.1, 0.02)
    model.save_pretrained(folder)
    recipe = MODELS[name].recipe(args.tiny)
    encoder = VisionEncoder.from_pretrained(folder, args.device, args.torch_dtype, recipe=recipe, graphs=args.graphs)
    return model, encoder


def jpegs(args: argparse.Namespace) -> list[bytes]:
    """Real pictures of mixed sizes, as files."""
    sizes = TINY_SIZES if args.tiny else SIZES
    pictures = [Image.open(IMAGES / name).convert("RGB") for name in ("photo.jpg", "page.png", "screenshot.webp")]
    files = []
    for index in range(args.batch):
        size = sizes[index % len(sizes)]
        buffer = io.BytesIO()
        pictures[index % len(pictures)].resize(size).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    return files


def synchronize(device: str) -> None:
    """Waits for a CUDA device."""
    if device != "cpu":
        torch.cuda.synchronize()


def rounds(contestants: dict[str, Callable[[], Any]], args: argparse.Namespace) -> dict[str, float]:
    """Median seconds of each, interleaved, after two rounds that do not count."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    end = None
    while end is None or time.perf_counter() < end or len(next(iter(times.values()))) < 5:
        for name, call in contestants.items():
            synchronize(args.device)
            start = time.perf_counter()
            call()
            synchronize(args.device)
            times[name].append(time.perf_counter() - start)
        if end is None and len(times[name]) == 2:
            times = {name: [] for name in contestants}
            end = time.perf_counter() + args.seconds
    return {name: statistics.median(values) for name, values in times.items()}


def peak_memory(call: Callable[[], Any], device: str) -> int | None:
    """Bytes that a call needs beside what is there before it; None on the CPU."""
    if device == "cpu":
        return None
    synchronize(device)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    synchronize(device)
    return torch.cuda.max_memory_allocated() - before


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """All numbers of a model."""
    with tempfile.TemporaryDirectory() as folder:
        model, encoder = make(name, args, Path(folder))
    assert encoder.recipe is not None
    files, device = jpegs(args), args.device
    pillow = [Image.open(io.BytesIO(file)).convert("RGB") for file in files]
    reference = MODELS[name].processor(encoder.recipe)
    # The same pixels for both; transformers' own processors differ in places (docs/exactness.md).
    inputs = _place(_inputs(vlmres.Processor(encoder.recipe, arithmetic="torch")(pillow)), args)
    copied = sum(value.nbytes for value in inputs.values() if isinstance(value, torch.Tensor))
    copied = copied * 4 // args.torch_dtype.itemsize
    batch = vlmres.Processor(encoder.recipe, "packed", "uint8", arithmetic="torch")(pillow)
    part = Part.of(batch)
    group = choose_backend(torch.device(device), args.torch_dtype) == "sdpa"
    layout = build_layout(encoder.config, part.grids, part.positions, part.images, group=group)
    placed, patches = layout.to(torch.device(device)), part.patches.to(device)

    def ours() -> torch.Tensor:
        with torch.inference_mode():
            return encoder._forward(patches, placed).tokens

    def theirs() -> torch.Tensor:
        with torch.inference_mode():
            return MODELS[name].features(model, inputs)

    def ours_end_to_end() -> None:
        encoder.encode(files, num_threads=args.threads)

    def theirs_end_to_end() -> None:
        images = [Image.open(io.BytesIO(file)).convert("RGB") for file in files]
        with torch.inference_mode():
            MODELS[name].features(model, _place(dict(reference(images, return_tensors="pt")), args))

    tokens, wanted = ours().float(), theirs().float()
    seconds = rounds({"vlmres": ours, "transformers": theirs}, args)
    pages = rounds({"vlmres": ours_end_to_end, "transformers": theirs_end_to_end}, args)
    plans = [plan for plan in batch.plans if plan is not None]
    flops = sum(plan.cost(encoder.config).flops for plan in plans)
    return {
        "model": name,
        "images": len(files),
        "patches": len(patches),
        "tokens": len(tokens),
        "difference": float((tokens - wanted).norm() / wanted.norm()),
        "attention": {
            "vlmres": choose_backend(torch.device(device), args.torch_dtype),
            "transformers": model.config._attn_implementation,
        },
        "flops": flops,
        "encoder": {
            key: {
                "seconds": value,
                "tokens_per_s": len(tokens) / value,
                "mfu": None if args.peak is None else flops / value / args.peak,
                "peak_bytes": peak_memory(ours if key == "vlmres" else theirs, device),
                "copied_bytes": patches.nbytes if key == "vlmres" else copied,
            }
            for key, value in seconds.items()
        },
        "pages_per_s": {key: len(files) / value for key, value in pages.items()},
    }


def _inputs(batch: vlmres.Batch) -> dict[str, Any]:
    """What a module of transformers is called with."""
    inputs: dict[str, Any] = batch.torch()
    if "images_crop" in inputs:
        grids = inputs.pop("images_spatial_crop").tolist()
        counts = [cols * rows if cols * rows > 1 else 0 for cols, rows in grids]
        tiles = inputs.pop("images_crop")
        inputs |= {"num_local_patches": counts, "patches_grid": grids}
        inputs["pixel_values_local"] = tiles if sum(counts) else None
    return inputs


def _place(inputs: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Inputs of transformers on the device; values in the model's type."""
    placed: dict[str, Any] = {}
    for key, value in inputs.items():
        if isinstance(value, torch.Tensor) and key != "num_local_patches":
            value = value.to(args.device)
            value = value.to(args.torch_dtype) if value.is_floating_point() else value
        placed[key] = value
    if isinstance(placed.get("num_local_patches"), torch.Tensor):
        placed["num_local_patches"] = placed["num_local_patches"].tolist()
    return placed


def show(results: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """Prints a Markdown table."""
    device = torch.cuda.get_device_name() if args.device != "cpu" else platform.processor() or platform.machine()
    print(f"{device}, torch {torch.__version__}, {args.dtype}, {args.batch} images of mixed sizes")
    if args.tiny:
        print("Tiny models: this shows that the script runs, and nothing else.")
    print("\n| model | | attention | tokens/s | MFU | peak memory | copied | pages/s | difference |")
    print("|---|---|---|---|---|---|---|---|---|")
    for result in results:
        for key, found in result["encoder"].items():
            mfu = "n/a" if found["mfu"] is None else f"{found['mfu']:.1%}"
            peak = "n/a" if found["peak_bytes"] is None else f"{found['peak_bytes'] / 2**30:.2f} GiB"
            row = [
                result["model"],
                key,
                result["attention"][key],
                f"{found['tokens_per_s']:,.0f}",
                mfu,
                peak,
                f"{found['copied_bytes'] / 2**20:.1f} MiB",
                f"{result['pages_per_s'][key]:.1f}",
                f"{result['difference']:.1e}" if key == "vlmres" else "",
            ]
            print(f"| {' | '.join(row)} |")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", choices=MODELS, action="append", help="by default all")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float16", "float32"])
    parser.add_argument("--batch", type=int, default=16, help="images")
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--threads", type=int, help="of preprocessing; by default all")
    parser.add_argument("--peak-tflops", type=float, help="of the device, where its name is not known")
    parser.add_argument("--graphs", type=int, nargs="*", default=[], help="sequence lengths to capture as CUDA graphs")
    parser.add_argument("--tiny", action="store_true", help="tiny models and images")
    parser.add_argument("--json", type=Path, help="also write all numbers here")
    args = parser.parse_args()
    if args.device != "cpu" and not torch.cuda.is_available():
        parser.error("no CUDA device: --tiny --device cpu runs a smoke test")
    args.torch_dtype = getattr(torch, args.dtype)
    name = torch.cuda.get_device_name() if args.device != "cpu" else ""
    known = next((peak for key, peak in PEAKS.items() if key in name.split()), None)
    known = known or next((peak for key, peak in PEAKS.items() if key in name), None)
    args.peak = args.peak_tflops * 1e12 if args.peak_tflops else known
    return args


def main() -> None:
    """Measures and prints."""
    args = arguments()
    warnings.filterwarnings("ignore")
    results = []
    for name in args.model or MODELS:
        print(f"{name} …", file=sys.stderr)
        results.append(measure(name, args))
        with contextlib.suppress(AttributeError):
            torch.cuda.empty_cache()
    show(results, args)
    if args.json:
        args.json.write_text(json.dumps({"numpy": np.__version__, "results": results}, indent=1))


if __name__ == "__main__":
    main()
