"""Trains a small encoder from scratch by several resolution strategies, and shows at which areas and ratios each fails.

    python examples/train_strategies.py --seeds 3 --steps 1500

Twelve words that differ in a letter or two are drawn all over images of random area and ratio. An encoder of two layers
and a reader of one learn to tell which word it is, from at most 64 tokens of 16x16 pixels an image:

- squash: the image is resized to 128x128, whatever its ratio;
- tiles: up to four tiles of 64x64, in the grid that is nearest to the ratio;
- native: the ratio is kept, in at most 64 patches;
- mixed: each image of the training is in tiles or native, as DeepSeek-OCR's modes are trained together; tested by both.

Accuracy is measured in 7 bins of area and 5 of ratio, as RC-Bench does (arXiv:2506.12776): ACV and RCV are 100 times
the sample standard deviation of the bins' accuracies divided by their mean, over areas and over ratios; smaller is more
even.
Everything follows from the seed. It says nothing about larger models: it shows what a resize leaves to be learned.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import nn
from torch.nn import functional

import vlmres
from vlmres.encoder import EncoderConfig, VisionEncoder
from vlmres.encoder.config import MLP, Attention, Norm, Patch, Rotary, Tower

WORDS = ("cane", "cone", "cove", "cave", "case", "core", "care", "come", "came", "cure", "cube", "code")
AREAS = tuple(128**2 * 2.0**power for power in (-2, -1, 0, 1, 2, 3, 4))
RATIOS = (1 / 5, 1 / 2.2, 1.0, 2.2, 5.0)
# Pixels of the letters, whatever the image: large images are the hard ones.
FONTS = (15, 22)
WIDTH = 64
TOKENS = 64
VALUES = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "arithmetic": "pillow"}
RECIPES = {
    "squash": vlmres.Recipe.load("siglip", image_height=128, image_width=128, patch_size=16, **VALUES),
    "tiles": vlmres.Recipe.load("internvl2", image_size=64, patch_size=16, max_tiles=4, use_thumbnail=False, **VALUES),
    "native": vlmres.Recipe.load("siglip2-naflex", max_num_patches=TOKENS, patch_size=16, **VALUES),
}
# Recipes that a strategy is trained by, and those that it is tested by.
STRATEGIES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "squash": (("squash",), {"squash": "squash"}),
    "tiles": (("tiles",), {"tiles": "tiles"}),
    "native": (("native",), {"native": "native"}),
    "mixed": (("tiles", "native"), {"mixed, tested in tiles": "tiles", "mixed, tested native": "native"}),
}


class Reader(nn.Module):
    """What a language model is to an encoder: it receives an image's tokens in order, and says the word."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.empty(TOKENS + 1, width).normal_(std=0.02))
        self.layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True, norm_first=True)
        self.head = nn.Linear(width, len(WORDS))

    def forward(self, images: list[torch.Tensor]) -> torch.Tensor:
        """Tokens of each image to [images, words]."""
        padded = nn.utils.rnn.pad_sequence(images, batch_first=True)
        lengths = torch.tensor([len(tokens) for tokens in images])
        absent = torch.arange(padded.shape[1])[None] >= lengths[:, None]
        seen = self.layer(padded + self.places[: padded.shape[1]], src_key_padding_mask=absent)
        means = seen.masked_fill(absent[..., None], 0).sum(dim=1) / lengths[:, None]
        words: torch.Tensor = self.head(means)
        return words


@dataclass
class Drawn:
    """Images with their words, and the bins that they are of."""

    images: list[np.ndarray]
    words: torch.Tensor
    bins: list[tuple[int, int]]


def draw(generator: np.random.Generator, count: int, *, even: bool) -> Drawn:
    """Images of random words, areas and ratios; `even` ones have as many in each bin."""
    images, words, bins = [], [], []
    for number in range(count):
        if even:
            area, ratio = number % len(AREAS), number // len(AREAS) % len(RATIOS)
        else:
            area, ratio = (int(generator.integers(len(bound))) for bound in (AREAS, RATIOS))
        word = int(generator.integers(len(WORDS)))
        pixels = AREAS[area] * 2 ** generator.uniform(-0.4, 0.4)
        shape = RATIOS[ratio] * 2 ** generator.uniform(-0.4, 0.4)
        size = (max(24, round((pixels * shape) ** 0.5)), max(24, round((pixels / shape) ** 0.5)))
        images.append(page(WORDS[word], size, generator))
        words.append(word)
        bins.append((area, ratio))
    return Drawn(images, torch.tensor(words), bins)


def page(word: str, size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """A page that says one word over and over, from a random place on."""
    height = int(generator.integers(*FONTS))
    font = ImageFont.load_default(height)
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    step = font.getlength(f"{word} ")
    ink = (int(generator.integers(0, 60)),) * 3
    top = -float(generator.uniform(0, height))
    while top < size[1]:
        left = -float(generator.uniform(0, step))
        pen.text((left, top), f"{word} " * (int(size[0] / step) + 3), fill=ink, font=font)
        top += 1.2 * height
    return np.asarray(picture)


def make_encoder(seed: int) -> VisionEncoder:
    """The encoder, from scratch."""
    norm = Norm("layer", 1e-6)
    attention = Attention(heads=4, head_dim=WIDTH // 4, kv_heads=4, bias=True, out_bias=True)
    mlp = MLP(hidden=2 * WIDTH, activation="gelu", gated=False, bias=True)
    tower = Tower(WIDTH, 2, norm, attention, mlp, rotary=Rotary("axial", 100.0), final_norm=norm)
    return VisionEncoder.from_config(EncoderConfig("small", Patch(16, bias=True), (tower,)), seed=seed)


def train(recipes: tuple[str, ...], seed: int, steps: int, batch: int) -> tuple[VisionEncoder, Reader]:
    """Trains an encoder and its reader on images that are drawn anew for each step."""
    encoder = make_encoder(seed)
    torch.manual_seed(seed)
    reader = Reader(WIDTH)
    generator = np.random.default_rng(seed)
    processors = [vlmres.Processor(RECIPES[name], "packed", num_threads=1) for name in recipes]
    weights = [*encoder.model.parameters(), *reader.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=max(2, steps), pct_start=0.1)
    for step in range(steps):
        drawn = draw(generator, batch, even=False)
        # A batch is of one recipe, and the recipes take turns: each image is as likely to be by one as by the other.
        tokens = encoder(processors[step % len(processors)](drawn.images), grad=True).split()
        loss = functional.cross_entropy(reader(tokens), drawn.words)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
    return encoder, reader


@torch.inference_mode()
def test(encoder: VisionEncoder, reader: Reader, recipe: str, drawn: Drawn) -> np.ndarray:
    """Accuracy in percent by bin, [areas, ratios]."""
    processor = vlmres.Processor(RECIPES[recipe], "packed", num_threads=1)
    right = np.zeros((len(AREAS), len(RATIOS)))
    total = np.zeros_like(right)
    for start in range(0, len(drawn.images), 64):
        part = slice(start, start + 64)
        found = reader(encoder(processor(drawn.images[part])).split()).argmax(dim=1) == drawn.words[part]
        for place, is_right in zip(drawn.bins[part], found.tolist(), strict=True):
            total[place] += 1
            right[place] += is_right
    return 100 * right / total


def variation(bins: np.ndarray) -> float:
    """100 times the sample standard deviation divided by the mean; not a number where nothing was right."""
    return float(100 * bins.std(ddof=1) / bins.mean()) if bins.any() else float("nan")


def run(seed: int, steps: int, batch: int, tests: int) -> dict[str, dict[str, float]]:
    """Accuracy, ACV, RCV and mean tokens of every strategy, of one seed."""
    drawn = draw(np.random.default_rng((seed, 1)), tests, even=True)
    found = {}
    for recipes, tested in STRATEGIES.values():
        encoder, reader = train(recipes, seed, steps, batch)
        for name, recipe in tested.items():
            bins = test(encoder, reader, recipe, drawn)
            tokens = [
                vlmres.plan((image.shape[1], image.shape[0]), RECIPES[recipe]).num_patches for image in drawn.images
            ]
            found[name] = {
                "accuracy": float(bins.mean()),
                "ACV": variation(bins.mean(axis=1)),
                "RCV": variation(bins.mean(axis=0)),
                "tokens": float(np.mean(tokens)),
            }
    return found


def table(results: list[dict[str, dict[str, float]]]) -> str:
    """Means over seeds, and the spread from the least to the most."""
    lines = ["| strategy | accuracy, % | ACV | RCV | tokens |", "|---|---|---|---|---|"]
    for name in results[0]:
        cells = []
        for key in ("accuracy", "ACV", "RCV"):
            values = [result[name][key] for result in results]
            cells.append(f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})")
        lines.append(f"| {name} | {' | '.join(cells)} | {results[0][name]['tokens']:.0f} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Trains, tests, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--steps", type=int, default=1500, help="of each training")
    parser.add_argument("--batch", type=int, default=32, help="images of a step")
    parser.add_argument("--tests", type=int, default=2100, help="images of the test, a multiple of 35")
    parser.add_argument("--json", action="store_true", help="print the numbers of every seed, too")
    given = parser.parse_args(arguments)
    results = []
    for seed in range(given.seeds):
        start = time.process_time()
        results.append(run(seed, given.steps, given.batch, given.tests))
        if given.json:
            print(
                json.dumps({"seed": seed, "cpu_seconds": round(time.process_time() - start), **results[-1]}), flush=True
            )
    print(table(results))


if __name__ == "__main__":
    main()
