"""Trains a small encoder from scratch by several resolution strategies, and shows at which areas and ratios each fails.

    python examples/train_strategies.py --out strategies.jsonl

Eight words are drawn all over images of random area and ratio. An encoder of two layers and a reader of one learn to
tell which word it is, from at most 64 tokens of 16x16 pixels an image:

- squash: the image is resized to 128x128, whatever its ratio;
- tiles: up to four tiles of 64x64, in the grid that is nearest to the ratio;
- native: the ratio is kept, in at most 64 patches;
- mixed: batches of the training are in tiles and native by turns, as DeepSeek-OCR's modes are trained together; tested
  by both.

Every strategy has the same images in the same order, and the same weights to begin with. Accuracy is measured in 7 bins
of area and 5 of ratio, as RC-Bench does (arXiv:2506.12776): ACV and RCV are 100 times the sample standard deviation of
the bins' accuracies divided by their mean, over areas and over ratios; smaller is more even.
Everything follows from the seed. A result is a line of JSON in `--out` as soon as it is there, and is not trained
again. It says nothing about larger models: it shows what a resize leaves to be learned.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import nn
from torch.nn import functional

import vlmres
from vlmres.encoder import EncoderConfig, VisionEncoder
from vlmres.encoder.config import MLP, Attention, Norm, Patch, Rotary, Tower

WORDS = ("river", "stone", "cloud", "light", "paper", "house", "music", "train")
# 0.5 to 8 times what squash and native show without making it smaller: the last ones are made up to 2.8 times smaller.
AREAS = tuple(128**2 * 2.0 ** (step * 2 / 3 - 1) for step in range(7))
RATIOS = (1 / 5, 1 / 2.2, 1.0, 2.2, 5.0)
# Pixels an em, whatever the image: large images are the hard ones.
FONTS = (16, 21)
WIDTH = 64
TOKENS = 64
# About those of the pages: with a mean of 0.5 most of a patch is paper, and nothing is learned for hundreds of steps.
VALUES = {"image_mean": [0.9] * 3, "image_std": [0.3] * 3, "arithmetic": "pillow"}
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


Result: TypeAlias = dict[str, Any]
"""Accuracy in percent (mean, and by bin: [areas, ratios]), ACV, RCV and mean tokens of a strategy and a seed."""


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
        pixels = AREAS[area] * 2 ** generator.uniform(-1 / 3, 1 / 3)
        shape = RATIOS[ratio] * 2 ** generator.uniform(-0.5, 0.5)
        size = (max(24, round((pixels * shape) ** 0.5)), max(24, round((pixels / shape) ** 0.5)))
        images.append(page(WORDS[word], size, generator))
        words.append(word)
        bins.append((area, ratio))
    return Drawn(images, torch.tensor(words), bins)


def page(word: str, size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """A page that says one word over and over, from a random place on."""
    cell = printed(word, int(generator.integers(*FONTS)))
    top, left = (int(generator.integers(side)) for side in cell.shape)
    repeats = (-(-(size[1] + top) // cell.shape[0]), -(-(size[0] + left) // cell.shape[1]))
    gray = np.maximum(cell, np.uint8(generator.integers(60)))
    gray = np.tile(gray, repeats)[top : top + size[1], left : left + size[0]]
    return np.ascontiguousarray(np.broadcast_to(gray[..., None], (*gray.shape, 3)))


@functools.cache
def printed(word: str, em: int) -> np.ndarray:
    """A word, the space after it and that between lines: uint8 (height, width)."""
    font = ImageFont.load_default(em)
    cell = Image.new("L", (round(font.getlength(f"{word} ")), round(1.2 * em)), 255)
    ImageDraw.Draw(cell).text((0, 0), word, fill=0, font=font)
    return np.asarray(cell)


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


def run(strategy: str, seed: int, steps: int, batch: int, drawn: Drawn) -> Iterator[Result]:
    """Trains by a strategy, and tests by each recipe that it is tested by."""
    recipes, tested = STRATEGIES[strategy]
    start = time.process_time()
    encoder, reader = train(recipes, seed, steps, batch)
    seconds = time.process_time() - start
    for name, recipe in tested.items():
        bins = test(encoder, reader, recipe, drawn)
        sizes = [image.shape[1::-1] for image in drawn.images]
        tokens = [vlmres.plan(size, RECIPES[recipe]).num_patches for size in sizes]
        yield {
            "strategy": name,
            "accuracy": float(bins.mean()),
            "ACV": variation(bins.mean(axis=1)),
            "RCV": variation(bins.mean(axis=0)),
            "tokens": float(np.mean(tokens)),
            "bins": bins.round(2).tolist(),
            "training_cpu_seconds": round(seconds),
        }


def table(results: list[Result]) -> str:
    """Means over seeds, and the spread from the least to the most."""
    seeds = {result["seed"] for result in results}
    lines = [f"| {len(seeds)} seeds | accuracy, % | ACV | RCV | tokens |", "|---|---|---|---|---|"]
    for _, tested in STRATEGIES.values():
        for name in tested:
            of = [result for result in results if result["strategy"] == name]
            if not of:
                continue
            cells = []
            for key in ("accuracy", "ACV", "RCV"):
                values = [result[key] for result in of]
                cells.append(f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})")
            lines.append(f"| {name} | {' | '.join(cells)} | {of[0]['tokens']:.0f} |")
    return "\n".join(lines)


def by_bin(results: list[Result]) -> str:
    """Accuracy by area and by ratio, means over seeds."""
    heads = [f"{area / 128**2:.1f}" for area in AREAS] + [f"{ratio:.1f}" for ratio in RATIOS]
    lines = [f"| accuracy, % | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name in dict.fromkeys(result["strategy"] for result in results):
        bins = np.mean([result["bins"] for result in results if result["strategy"] == name], axis=0)
        cells = [f"{value:.0f}" for value in (*bins.mean(axis=1), *bins.mean(axis=0))]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Trains, tests, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=700, help="of each training")
    parser.add_argument("--batch", type=int, default=32, help="images of a step")
    parser.add_argument("--tests", type=int, default=2100, help="images of the test, a multiple of 35")
    parser.add_argument(
        "--out", type=Path, help="a file for results, a line of JSON each; what it has is not run again"
    )
    given = parser.parse_args(arguments)
    if given.steps < 20:
        parser.error(f"a schedule has at least 20 steps, got {given.steps}")
    settings = {"steps": given.steps, "batch": given.batch, "tests": given.tests}
    known = (
        [json.loads(line) for line in given.out.read_text().splitlines()] if given.out and given.out.exists() else []
    )
    results: list[Result] = [one for one in known if settings.items() <= one.items() and one["seed"] in given.seeds]
    for seed in given.seeds:
        drawn = draw(np.random.default_rng((seed, 1)), given.tests, even=True)
        for strategy, (_, tested) in STRATEGIES.items():
            if {(seed, name) for name in tested} <= {(one["seed"], one["strategy"]) for one in results}:
                continue
            for found in run(strategy, seed, given.steps, given.batch, drawn):
                results.append({"seed": seed, **settings, **found})
                if given.out:
                    with given.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(results[-1]) + "\n")
    print(table(results))
    print("\n" + by_bin(results))


if __name__ == "__main__":
    main()
