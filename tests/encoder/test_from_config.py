"""Encoders with random weights, and the example that trains them."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import vlmres
from tests.images import pixels
from vlmres.encoder import EncoderConfig, VisionEncoder
from vlmres.encoder.config import MLP, Attention, Norm, Patch, Rotary, Tower
from vlmres.processor import DType

EXAMPLES = Path(__file__).parents[2] / "examples"
NORM = Norm("layer", 1e-6)
TOWER = Tower(
    32,
    2,
    NORM,
    Attention(heads=2, head_dim=16, kv_heads=2, bias=True, out_bias=True),
    MLP(hidden=48, activation="gelu", gated=False, bias=True),
    rotary=Rotary("axial", 100.0),
    final_norm=NORM,
)
CONFIG = EncoderConfig("small", Patch(16, bias=True), (TOWER,))
RECIPE = vlmres.Recipe.load("siglip2-naflex", max_num_patches=64)


def test_random_weights_are_trained() -> None:
    encoder = VisionEncoder.from_config(CONFIG, recipe=RECIPE, seed=3)
    batch = vlmres.Processor(RECIPE, "packed")([pixels(90, 40), pixels(50, 70)])
    assert encoder.model.training
    output = encoder(batch, grad=True)
    assert output.tokens.shape == (len(batch.patches), 32)
    output.tokens.square().mean().backward()
    assert all(parameter.grad is not None for parameter in encoder.model.parameters())


def test_weights_follow_from_the_seed_alone() -> None:
    state = torch.random.get_rng_state()
    one, same, other = (VisionEncoder.from_config(CONFIG, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    for (name, weight), again in zip(one.model.named_parameters(), same.model.parameters(), strict=True):
        assert torch.equal(weight, again), name
    assert not torch.equal(one.model.patch_embed.weight, other.model.patch_embed.weight)


def test_folded_weights_are_those_of_normalised_values() -> None:
    folded, plain = (VisionEncoder.from_config(CONFIG, seed=1, fold=fold) for fold in (True, False))
    plain.model.load_state_dict(
        {**folded.model.state_dict(), **plain.model.patch_embed.state_dict(prefix="patch_embed.")}
    )
    kinds: list[tuple[VisionEncoder, DType]] = [(folded, "uint8"), (plain, "float32")]
    with torch.no_grad():
        tokens = [encoder(vlmres.Processor(RECIPE, "packed", kind)(pixels(120, 80))).tokens for encoder, kind in kinds]
    torch.testing.assert_close(*tokens, atol=1e-4, rtol=1e-4)


def test_types() -> None:
    assert VisionEncoder.from_config(CONFIG, dtype="bfloat16").dtype == torch.bfloat16
    with pytest.raises(TypeError, match="floating-point"):
        VisionEncoder.from_config(CONFIG, dtype="int8")


def test_the_example_of_strategies(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import train_strategies as example  # type: ignore[import-not-found]

    for name, recipe in example.RECIPES.items():
        for size in ((24, 500), (300, 260), (900, 180)):
            assert vlmres.plan(size, recipe).num_patches <= example.TOKENS, name
    page = example.page("river", (300, 90), np.random.default_rng(1))
    assert page.shape == (90, 300, 3)
    assert page.std() > 20
    out = tmp_path / "results.jsonl"
    arguments = ["--seeds", "1", "--steps", "20", "--batch", "8", "--tests", "35", "--out", str(out)]
    example.main(arguments)
    printed = capsys.readouterr().out
    names = ["squash", "tiles", "native", "mixed, tested in tiles", "mixed, tested native"]
    assert [line.split(" | ")[0].removeprefix("| ") for line in printed.splitlines()[2:7]] == names
    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(result["seed"], result["strategy"]) for result in results] == [(1, name) for name in names]
    for result in results:
        assert np.shape(result["bins"]) == (7, 5)
        assert result["accuracy"] == pytest.approx(np.mean(result["bins"]))
    # What the file has is printed, and not trained again.
    monkeypatch.delattr(example, "train")
    example.main(arguments)
    assert capsys.readouterr().out == printed
    with pytest.raises(SystemExit):
        example.main([*arguments, "--steps", "5"])
    assert "at least 20 steps" in capsys.readouterr().err
    sys.modules.pop("train_strategies")


def test_the_example_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two words in one size, which twenty steps tell apart from chance; the measures are those of known heat maps."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import train_strategies as example

    assert example.variation(np.array([50.0, 50.0, 50.0])) == 0
    assert example.variation(np.array([40.0, 60.0])) == pytest.approx(100 * np.std([40, 60], ddof=1) / 50)
    assert np.isnan(example.variation(np.zeros(3)))
    losses = []
    cross_entropy = example.functional.cross_entropy

    def kept(*given: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = cross_entropy(*given)
        losses.append(loss.item())
        return loss

    monkeypatch.setattr(example.functional, "cross_entropy", kept)
    monkeypatch.setattr(example, "WORDS", ("iiii", "mmmm"))
    monkeypatch.setattr(example, "AREAS", (128**2,))
    monkeypatch.setattr(example, "RATIOS", (1.0,))
    example.train(("native",), 0, 40, 16)
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])
    sys.modules.pop("train_strategies")
