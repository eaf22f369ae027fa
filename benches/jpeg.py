"""JPEG decoding beside libjpeg-turbo, and where its time goes: `python -m benches.jpeg --help`.

Needs simplejpeg, which carries libjpeg-turbo. Every file is decoded in turns, libjpeg-turbo into memory kept; the
pixels are its own, or the file is not timed. The parts of a decode are what `perf` (Linux) samples in it.
"""

from __future__ import annotations

import io
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import simplejpeg
import typer
from PIL import Image

import vlmres
from vlmres._core import Source

SIZES = ((64, 48), (640, 480), (1920, 1080), (4032, 3024))
# EXIF's tag.
ORIENTATION = 0x0112
SUBSAMPLED: Mapping[str, Any] = {"subsampling": "4:2:0"}
WHOLE: Mapping[str, Any] = {"subsampling": "4:4:4"}
KINDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    **{f"4:2:0 q{quality}": ("RGB", {"quality": quality, **SUBSAMPLED}) for quality in (75, 85, 90, 95)},
    **{f"4:4:4 q{quality}": ("RGB", {"quality": quality, **WHOLE}) for quality in (75, 85, 90, 95)},
    "4:2:2 q85": ("RGB", {"quality": 85, "subsampling": "4:2:2"}),
    "4:2:0 q85, own codes": ("RGB", {"quality": 85, "optimize": True, **SUBSAMPLED}),
    "4:2:0 q85, restarts": ("RGB", {"quality": 85, "restart_marker_rows": 1, **SUBSAMPLED}),
    "gray q85": ("L", {"quality": 85}),
    "CMYK q85": ("CMYK", {"quality": 85}),
    "4:2:0 q85, progressive": ("RGB", {"quality": 85, "progressive": True, **SUBSAMPLED}),
    "4:2:0 q95, progressive": ("RGB", {"quality": 95, "progressive": True, **SUBSAMPLED}),
    "4:4:4 q90, progressive": ("RGB", {"quality": 90, "progressive": True, **WHOLE}),
}
# Parts of a decode, by what the names of their functions hold.
PARTS: Mapping[str, str] = {
    "entropy": r"jpeg::(scan|stream|huffman|sequential|progressive|coefficients|careful|bits|markers|baseline|decoding)"
    r"|nonzero",
    "transform": r"idct|::fill|reduced|smooth",
    "colours": r"ycc|widen|blend_rows|interleave|inks|jpeg::output",
}

app = typer.Typer(help=__doc__, add_completion=False)


def cut(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of a photograph at a size."""
    width, height = photo.size
    tall = min(height, width * size[1] // size[0])
    top = (height - tall) // 2
    return photo.crop((0, top, width, top + tall)).resize(size, Image.Resampling.LANCZOS)


def encode(picture: Image.Image, mode: str, options: Mapping[str, Any]) -> bytes:
    """A JPEG of a picture in a mode of Pillow's."""
    file = io.BytesIO()
    picture.convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def turbo(data: bytes, mode: str) -> tuple[Callable[[], Any], Any]:
    """A decode by libjpeg-turbo into memory kept, and its result. Inks are not made RGB by it."""
    colours = "CMYK" if mode == "CMYK" else "RGB"
    memory = simplejpeg.decode_jpeg(data, colorspace=colours)
    return lambda: simplejpeg.decode_jpeg(data, colorspace=colours, buffer=memory), memory


def compare(data: bytes, mode: str, rounds: int) -> tuple[float, float, float]:
    """Milliseconds of CPU of vlmres and of libjpeg-turbo, and the median of their ratios in a round."""
    decode, memory = turbo(data, mode)
    ours = Source.decode(data)
    if mode != "CMYK" and not np.array_equal(ours.to_array(), memory):
        raise ValueError("vlmres does not have libjpeg-turbo's pixels")
    times = max(1, 400_000 // (ours.size[0] * ours.size[1]))
    taken: list[tuple[float, float]] = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(times):
            Source.decode(data)
        between = time.process_time()
        for _ in range(times):
            decode()
        taken.append((between - start, time.process_time() - between))
    own, peer = (statistics.median(column) / times * 1000 for column in zip(*taken, strict=True))
    return own, peer, statistics.median(theirs / mine for mine, theirs in taken)


@app.command()
def run(
    photos: Annotated[list[Path], typer.Argument(help="Photographs, as large as the largest size.")],
    kind: Annotated[str, typer.Option(help="Only kinds of files with this text.")] = "",
    rounds: Annotated[int, typer.Option(help="Rounds of a file.")] = 15,
    sizes: Annotated[str, typer.Option(help="Only sizes with this text.")] = "",
) -> None:
    """Times as fast as libjpeg-turbo, a photograph each, and milliseconds of the first."""
    chosen = [size for size in SIZES if sizes in f"{size[0]}x{size[1]}"]
    pictures = [Image.open(path).convert("RGB") for path in photos]
    print("| kind | " + " | ".join(f"{width}x{height}" for width, height in chosen) + " |")
    print("|---" * (len(chosen) + 1) + "|")
    for name, (mode, options) in KINDS.items():
        if kind not in name:
            continue
        cells = []
        for size in chosen:
            found = [compare(encode(cut(picture, size), mode, options), mode, rounds) for picture in pictures]
            ratios = " ".join(f"{ratio:.2f}" for *_, ratio in found)
            cells.append(f"**{ratios}**, {found[0][0]:.3g} ms")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


@app.command()
def patches(
    photos: Annotated[list[Path], typer.Argument(help="Photographs, as large as the largest size.")],
    rounds: Annotated[int, typer.Option(help="Rounds of a file.")] = 15,
    sizes: Annotated[str, typer.Option(help="Only sizes with this text.")] = "",
) -> None:
    """From files, and from their pixels, to patches of bytes (Qwen2-VL, at most 1280 tokens), beside decoding alone.

    Milliseconds are those of the first photograph; how many times as long as decoding a call takes, of each.
    """
    processor = vlmres.Processor("qwen2-vl", layout="packed", dtype="uint8", num_threads=1, max_pixels=1280 * 28 * 28)
    print("| file | decoding | from the file | from pixels | from the file beside decoding |\n|---|---|---|---|---|")
    for size in (size for size in SIZES[1:] if sizes in f"{size[0]}x{size[1]}"):
        for quality in (75, 85, 90, 95):
            name = f"4:2:0 q{quality}"
            pictures = (cut(Image.open(path).convert("RGB"), size) for path in photos)
            found = [calls(processor, encode(picture, *KINDS[name]), rounds) for picture in pictures]
            taken = " | ".join(f"{statistics.median(column):.2f}" for column in zip(*found[0], strict=True))
            ratios = (statistics.median(call / decode for decode, call, _ in of_one) for of_one in found)
            print(
                f"| {size[0]}x{size[1]}, {name} | {taken} | {' '.join(f'{ratio:.2f}' for ratio in ratios)} |",
                flush=True,
            )


@app.command()
def turned(
    photo: Annotated[Path, typer.Argument(help="A photograph, as large as the largest size.")],
    rounds: Annotated[int, typer.Option(help="Rounds of a file.")] = 15,
) -> None:
    """From files that EXIF turns to patches of bytes (Qwen2-VL, at most 1280 tokens), beside those that it does not.

    Milliseconds of a photograph of quality 85; decoding turns it, too.
    """
    processor = vlmres.Processor("qwen2-vl", layout="packed", dtype="uint8", num_threads=1, max_pixels=1280 * 28 * 28)
    print("| file | orientation | decoding | from the file | from pixels |\n|---|---|---|---|---|")
    for size in SIZES[2:]:
        picture = cut(Image.open(photo).convert("RGB"), size)
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[ORIENTATION] = orientation
            data = encode(picture, "RGB", {"quality": 85, "exif": exif, **SUBSAMPLED})
            found = zip(*calls(processor, data, rounds), strict=True)
            times = " | ".join(f"{statistics.median(column):.2f}" for column in found)
            print(f"| {size[0]}x{size[1]} | {orientation} | {times} |", flush=True)


def calls(processor: vlmres.Processor, data: bytes, rounds: int) -> list[tuple[float, float, float]]:
    """Milliseconds of CPU of a decode, of a call from the file, and of one from its pixels, in turns."""
    pixels = Source.decode(data).to_array()
    memory = np.empty_like(processor(data)["patches"])
    work: tuple[Callable[[], Any], ...] = (
        lambda: Source.decode(data),
        lambda: processor(data, out=memory),
        lambda: processor(pixels, out=memory),
    )
    times = max(1, 4_000_000 // pixels[..., 0].size)
    return [(taken(work[0], times), taken(work[1], times), taken(work[2], times)) for _ in range(rounds)]


def taken(work: Callable[[], Any], times: int) -> float:
    """Milliseconds of CPU, after a call that is not timed."""
    work()
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times * 1000


@app.command()
def parts(
    photo: Annotated[Path, typer.Argument(help="A photograph.")],
    seconds: Annotated[float, typer.Option(help="Time to sample a kind for.")] = 3.0,
) -> None:
    """Milliseconds of each part of a decode at 1920x1080, as `perf` samples them, and the bytes of the file."""
    if shutil.which("perf") is None:
        raise typer.BadParameter("perf is not installed")
    size = SIZES[2]
    picture = cut(Image.open(photo).convert("RGB"), size)
    print("| ms | file, kB | all | " + " | ".join(PARTS) + " | a fill of as many bytes |")
    print("|---" * (len(PARTS) + 4) + "|")
    for name, (mode, options) in KINDS.items():
        data = encode(picture, mode, options)
        whole, shares = sample(data, seconds)
        cells = [f"{shares[part] * whole:.2f}" for part in PARTS]
        print(f"| {name} | {len(data) / 1000:.0f} | {whole:.2f} | {' | '.join(cells)} | {fill(size):.2f} |", flush=True)


def fill(size: tuple[int, int]) -> float:
    """Milliseconds to fill an image's memory."""
    memory = np.empty(size[0] * size[1] * 3, np.uint8)
    taken = []
    for _ in range(50):
        start = time.process_time()
        memory.fill(7)
        taken.append(time.process_time() - start)
    return statistics.median(taken) * 1000


def sample(data: bytes, seconds: float) -> tuple[float, dict[str, float]]:
    """Milliseconds of a decode, and the share of each part in what is sampled of the decoder and of copies."""
    with tempfile.TemporaryDirectory() as folder:
        file, samples = Path(folder, "image.jpg"), Path(folder, "perf.data")
        file.write_bytes(data)
        command = [sys.executable, "-m", "benches.jpeg", "loop", str(file), str(seconds)]
        record = ["perf", "record", "-q", "-o", str(samples), *command]
        done = subprocess.run(record, capture_output=True, text=True, check=True)
        report = ["perf", "report", "-i", str(samples), "--stdio", "--percent-limit", "0"]
        lines = subprocess.run(report, capture_output=True, text=True, check=True).stdout.splitlines()
    found = list(_symbols(lines))
    shares = dict.fromkeys(PARTS, 0.0)
    for share, name in found:
        part = next((part for part, pattern in PARTS.items() if re.search(pattern, name)), None)
        if part:
            shares[part] += share / sum(share for share, _ in found)
    return float(done.stdout), shares


def _symbols(lines: list[str]) -> Iterator[tuple[float, str]]:
    for line in lines:
        found = re.match(r"\s*([\d.]+)%\s+\S+\s+(?:_core|libc)\S*\s+\[\.\]\s+(.*)", line)
        if found:
            yield float(found[1]) / 100, found[2]


@app.command()
def loop(file: Path, seconds: float) -> None:
    """Decodes a file again and again, and prints milliseconds of one decode."""
    data = file.read_bytes()
    count, start = 0, time.process_time()
    while (taken := time.process_time() - start) < seconds:
        Source.decode(data)
        count += 1
    print(taken / count * 1000)


if __name__ == "__main__":
    app()
