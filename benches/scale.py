"""What large jobs take, from rates measured here: `python -m benches.scale [--images N]`.

Measured (CPU time of one core, decoding included): milliseconds and bytes of an image. Assumed: the prices. All else
follows from these by multiplication.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from benches.packing import sizes
from PIL import Image

import vlmres

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXAMPLES = Path(__file__).parent.parent / "python" / "vlmres" / "samples"
# Assumed list prices of a cloud, in dollars: an hour of one processor, a month of a GB of object storage.
CORE_HOUR, GB_MONTH = 0.04, 0.02
DAY = 24 * 3600


class Rate(NamedTuple):
    """Means of an image."""

    milliseconds: float
    """CPU time of one core, from the file's bytes to its tensors."""
    header: float
    """Microseconds of CPU time to plan it from its header."""
    read: float
    """Bytes of the file."""
    written: float
    """Bytes of uint8 patches."""
    tokens: float


def web(count: int) -> list[bytes]:
    """JPEG files of the sizes of `benches.packing`'s mix, of one photograph."""
    with Image.open(EXAMPLES / "photo.jpg") as photo:
        photo.load()
        return [_jpeg(photo, size) for size in sizes(count, np.random.default_rng(1))]


def pages(count: int) -> list[bytes]:
    """JPEG files of an A4 page at 150 and 200 dpi."""
    with Image.open(EXAMPLES / "page.png") as page:
        scanned = page.convert("RGB")
    return [_jpeg(scanned, np.array([(1240, 1754), (1654, 2339)][number % 2])) for number in range(count)]


def _jpeg(image: Image.Image, size: NDArray[np.int64]) -> bytes:
    file = io.BytesIO()
    image.resize((int(size[0]), int(size[1])), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def measure(files: list[bytes], recipe: vlmres.Recipe) -> Rate:
    """The median of three rounds."""
    processor = vlmres.Processor(recipe, "packed", "uint8", num_threads=1)
    written = tokens = 0
    rounds, headers = [], []
    for _ in range(3):
        start = time.process_time()
        for file in files:
            vlmres.plan(file, recipe)
        headers.append(time.process_time() - start)
        written = tokens = 0
        start = time.process_time()
        for at in range(0, len(files), 16):
            batch = processor(files[at : at + 16])
            written += batch["patches"].nbytes
            tokens += sum(batch.num_tokens)
        rounds.append(time.process_time() - start)
    count = len(files)
    return Rate(
        1e3 * float(np.median(rounds)) / count,
        1e6 * float(np.median(headers)) / count,
        sum(map(len, files)) / count,
        written / count,
        tokens / count,
    )


def rows(name: str, rate: Rate, count: float, seconds: float) -> list[str]:
    """What `count` images in `seconds` take."""
    core_hours = count * rate.milliseconds / 3.6e6
    cores = count * rate.milliseconds / 1e3 / seconds
    network_in, network_out = (8e-9 * count * size / seconds for size in (rate.read, rate.written))
    disk = count * rate.written / 1e12
    return [
        f"| {name} | measured: {rate.milliseconds:.1f} core-ms, {rate.header:.0f} µs to plan, "
        f"{rate.read / 1e3:,.0f} kB read, {rate.written / 1e3:,.0f} kB written, {rate.tokens:,.0f} tokens an image |",
        f"| | {count / seconds:,.0f} images a second: {cores:,.0f} cores busy, {core_hours:,.0f} core-hours "
        f"(${core_hours * CORE_HOUR:,.0f}) |",
        f"| | network: {network_in:,.1f} Gbit/s of files in, {network_out:,.1f} Gbit/s of patches out |",
        f"| | disk, if patches are kept: {disk:,.0f} TB (${1e3 * disk * GB_MONTH:,.0f} a month); "
        f"files: {count * rate.read / 1e12:,.0f} TB |",
        f"| | ids and counts in the driver: {count * 200 / 1e9:,.0f} GB at 200 bytes an image |",
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=96, help="how many are measured of each kind")
    count = parser.parse_args().images
    native = vlmres.Recipe.load("qwen2-vl", max_pixels=1280 * 28 * 28)
    page = vlmres.Recipe.load("deepseek-ocr-gundam")
    print("| job | what it takes |\n|---|---|")
    found = [
        *rows("10^9 images in 10 days, Qwen2-VL, at most 1280 tokens", measure(web(count), native), 1e9, 10 * DAY),
        *rows("33,000,000 pages a day, DeepSeek-OCR Gundam", measure(pages(count), page), 33e6, DAY),
    ]
    print("\n".join(found))
    print(f"\nAssumed: ${CORE_HOUR} a core-hour, ${GB_MONTH} a GB and month.")


if __name__ == "__main__":
    main()
