"""Documents and videos from files to patches, beside pdfium's drawing, FFmpeg's decoding and transformers.

    python -m benches.media [document | video] [--rounds 7]

CPU seconds (user and system) of this process and wall seconds, medians of rounds in turns, one thread of resizing; each
is checked to give the same values before it is timed.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tests.pdf import pdf

import vlmres

PAGES = 20
SECONDS, RATE, WIDTH, HEIGHT = 60, 30, 1920, 1080

Job = Callable[[], Any]


def timed(jobs: Mapping[str, Job], rounds: int) -> dict[str, tuple[float, float]]:
    """CPU and wall seconds of each job, medians of rounds in turns."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    names = list(jobs)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            cpu, wall = time.process_time(), time.perf_counter()
            result = jobs[name]()
            taken[name].append((time.process_time() - cpu, time.perf_counter() - wall))
            del result
    return {name: tuple(map(statistics.median, zip(*each, strict=True))) for name, each in taken.items()}


def rows(found: Mapping[str, tuple[float, float]], base: str) -> str:
    """Lines of a Markdown table; multiples are those of `base`."""
    lines = ["| | CPU s | | wall s | |", "|---|---|---|---|---|"]
    for name, (cpu, wall) in found.items():
        by = [f"{value / of:.2f}x" for value, of in zip((cpu, wall), found[base], strict=True)]
        lines.append(f"| {name} | {cpu:.2f} | {by[0]} | {wall:.2f} | {by[1]} |")
    return "\n".join(lines)


def scan() -> bytes:
    """The same pages as a scanner gives them: JPEG images of 300 dots an inch with some noise."""
    from PIL import Image

    rng = np.random.default_rng(0)
    pages = []
    for page in vlmres.Document(pdf(PAGES), dpi=300):
        noisy = page.draw().astype(np.int16) + rng.integers(-6, 7, (page.size[1], page.size[0], 1), dtype=np.int16)
        pages.append(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))
    buffer = io.BytesIO()
    pages[0].save(buffer, "PDF", save_all=True, append_images=pages[1:], resolution=300, quality=85)
    return buffer.getvalue()


def document(file: bytes, rounds: int) -> str:
    """A document of 20 pages of A4 to DeepSeek-OCR Gundam's tensors."""
    import pypdfium2

    processor = vlmres.Processor("deepseek-ocr-gundam", dtype="bfloat16", num_threads=1)

    def draw() -> list[Any]:
        pages = pypdfium2.PdfDocument(file)
        return [page.render(scale=2, rev_byteorder=True).to_numpy() for page in pages]

    drawn = draw()
    expected, batch = processor([drawn]), processor(vlmres.Document(file))
    for key in expected:
        np.testing.assert_array_equal(batch[key], expected[key])
    del expected, batch
    both = vlmres.Processor("deepseek-ocr-gundam", dtype="bfloat16")
    jobs = {
        "pypdfium2 draws": draw,
        "file to patches": lambda: processor(vlmres.Document(file)),
        "file to patches, all threads": lambda: both(vlmres.Document(file)),
        "drawn pages to patches": lambda: processor([drawn]),
    }
    return rows(timed(jobs, rounds), "pypdfium2 draws")


def film() -> bytes:
    """60 s of 1080p, moving, as an encoder of H.264 with its usual settings writes it."""
    import av

    photo = np.asarray(_photo(WIDTH + 2 * SECONDS * RATE, HEIGHT))
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(SECONDS * RATE):
            pixels = np.ascontiguousarray(photo[:, 2 * index : 2 * index + WIDTH])
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode())
    return file.getvalue()


def _photo(width: int, height: int) -> Any:
    from PIL import Image

    path = Path(__file__).parent.parent / "python" / "vlmres" / "samples" / "photo.jpg"
    return Image.open(path).convert("RGB").resize((width, height))


def video(rounds: int, folder: Path) -> str:
    """60 s of 1080p to Qwen3-VL's tensors, with the frames that its processor picks."""
    import torch
    from transformers import Qwen3VLVideoProcessor
    from transformers.video_utils import VideoMetadata

    torch.set_num_threads(1)
    path = folder / "film.mp4"
    path.write_bytes(film())
    # What the checkpoints' video_preprocessor_config.json says.
    least, most = 4096, 25_165_824
    processor = vlmres.Processor("qwen3-vl", num_threads=1, video_min_pixels=least, video_max_pixels=most)
    info = vlmres.Video(path).picked(processor.recipe).info
    size = {"shortest_edge": least, "longest_edge": most}
    settings: dict[str, Any] = {"size": size, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    reference = Qwen3VLVideoProcessor(**settings, do_sample_frames=False, cap_pixels_per_frame=False)
    metadata = VideoMetadata(info.total_frames, fps=info.fps, frames_indices=info.frames.tolist())

    def decode() -> Any:
        frames = vlmres.Video(path).picked(processor.recipe)
        return np.stack([frames.frame(at) for at in range(len(frames))])

    frames = decode()
    tensor = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()

    def theirs() -> Any:
        return reference([tensor], video_metadata=[metadata], return_tensors="pt")

    expected, batch = theirs(), processor(videos=path)
    np.testing.assert_array_equal(batch["pixel_values_videos"], expected["pixel_values_videos"].numpy())
    del expected, batch
    jobs = {
        "PyAV decodes these frames": decode,
        "file to patches": lambda: processor(videos=path),
        "frames to patches": lambda: processor(videos=[frames]),
        "frames to patches, transformers": theirs,
    }
    return rows(timed(jobs, rounds), "PyAV decodes these frames")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("document", "video"), help="One of the two; both by default.")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} before\n")
    with TemporaryDirectory() as folder:
        if given.what in (None, "document"):
            for name, file in (("of text", pdf(PAGES)), ("scanned", scan())):
                print(f"{PAGES} pages {name}, {len(file) / 1e6:.1f} MB\n\n{document(file, given.rounds)}", end="\n\n")
        if given.what in (None, "video"):
            print(video(given.rounds, Path(folder)), end="\n\n")
    print(f"load {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
