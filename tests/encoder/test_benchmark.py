"""The benchmark's script runs, whatever fails in it, and what it compares is equal."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from benches import gpu
from benches.encoder import timing
from benches.encoder.devices import peak_products
from benches.encoder.measure import Row
from benches.encoder.models import MODELS, MissingModelError, Size
from benches.encoder.table import HEAD, failure, line
from benches.encoder.timing import Clock, Memory

import vlmres
from tests.encoder.families import family
from vlmres.encoder import VisionModel, load_config
from vlmres.encoder.nn import attention, blocks

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def test_tiny_models_on_the_cpu(tmp_path: Path) -> None:
    script, out = ROOT / "benches" / "gpu.py", tmp_path / "out.json"
    options = ["--tiny", "--device", "cpu", "--dtype", "float32", "--batch", "2", "--seconds", "0.01", "--quick"]
    command = [sys.executable, str(script), *options, "--parts", "encoder", "pages", "small", "--json", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "Tiny models" in done.stdout
    found = json.loads(out.read_text())
    assert {"torch", "transformers", "vlmres", "CUDA"} <= found["versions"].keys()
    assert [result["model"] for result in found["results"]] == list(MODELS)
    for result in found["results"]:
        assert result["difference"] < 1e-5
        assert result["errors"] == {}
        names, whose = ["vlmres", "transformers"], "transformers'"
        if not has_module(result["model"]):
            names, whose = ["vlmres"], "its own in float64 by SDPA"
        assert f"{result['model']}: tokens equal {whose} within {result['difference']:.1e}" in done.stdout
        who = [(row["part"], row["who"]) for row in result["rows"]]
        assert who == [(part, name) for part in ("encoder", "pages", "small") for name in names]
        assert any("no CUDA graphs" in note for note in result["notes"])
        rows = {(row["part"], row["who"]): row for row in result["rows"]}
        ours, pages = rows["encoder", "vlmres"], rows["pages", "vlmres"]
        assert ours["difference"] < 1e-5
        assert pages["difference"] is None
        assert pages["images"] == 6
        assert int(pages["how"].removeprefix("sdpa, ").removesuffix(" groups")) > 1
        if len(names) == 2:
            theirs = rows["encoder", "transformers"]
            # float32 values are four bytes each, and Qwen's processors repeat an image for both frames of a patch.
            assert theirs["copied_bytes"] == ours["copied_bytes"] * (8 if "qwen" in result["model"] else 4)
            assert len(ours["seconds"]) == len(ours["baseline"]) >= 3
    table = done.stdout[done.stdout.index("| model") :].split("\n\n")[0].splitlines()
    assert len(table) == 2 + sum(len(result["rows"]) for result in found["results"])
    assert {row.count("|") for row in table} == {13}


def has_module(name: str) -> bool:
    """Whether this transformers has a model."""
    try:
        with torch.device("meta"):
            MODELS[name].module("tiny", torch.float32)
    except MissingModelError:
        with pytest.raises(pytest.skip.Exception):  # which tests of families know, too
            family(MODELS[name].family)
        return False
    return True


@pytest.mark.parametrize("size", ["real", "shallow", "tiny"])
@pytest.mark.parametrize("name", MODELS)
def test_both_read_the_same_configuration(name: str, size: Size) -> None:
    """Of transformers with all of its defaults; so an encoder without a peer has real sizes."""
    family(MODELS[name].family)
    with torch.device("meta"):
        module = MODELS[name].module(size, torch.float32)
    assert load_config(module.config.to_dict()) == MODELS[name].config(size)


def test_a_model_that_transformers_lacks_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In all parts, compared with itself in a wider type; beside nothing."""
    monkeypatch.setitem(MODELS, "internvl", dataclasses.replace(MODELS["internvl"], family="abacus"))
    monkeypatch.setattr(VisionModel, "compile_blocks", lambda _: None)  # takes long
    out = tmp_path / "out.json"
    with pytest.raises(SystemExit) as done:
        script(monkeypatch, "--parts", *gpu.PARTS, "--dtype", "bfloat16", "--json", str(out))
    text = capsys.readouterr().out
    assert done.value.code == 0, text
    (result,) = json.loads(out.read_text())["results"]
    assert [(row["part"], row["who"]) for row in result["rows"]] == [(part, "vlmres") for part in gpu.PARTS]
    # Rounding of bfloat16, which is no mistake and not nothing.
    assert all(1e-4 < row["difference"] < 2e-2 for row in result["rows"] if row["part"] != "pages")
    assert 1e-4 < result["difference"] < 2e-2
    assert "internvl: tokens equal its own in float32 by SDPA within" in text
    assert f"internvl: transformers {transformers.__version__} has no abacus: vlmres runs alone" in text
    rows = [[cell.strip() for cell in row.split("|")] for row in text.splitlines() if row.startswith("| internvl |")]
    assert [row[8] for row in rows] == [""] * 4


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside transformers"])
def test_a_wrong_kernel_is_a_failure(
    *, alone: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its speed is kept; what it is compared with is right. Half of the scale is enough to be seen."""
    if alone:
        monkeypatch.setitem(MODELS, "internvl", dataclasses.replace(MODELS["internvl"], family="abacus"))
    attend = attention.attend

    def wrong(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, segments: Any, scale: float) -> torch.Tensor:
        return attend(q, k, v, segments, scale / 2 if q.dtype == torch.bfloat16 else scale)

    monkeypatch.setattr(blocks, "attend", wrong)
    with pytest.raises(SystemExit) as done:
        script(monkeypatch, "--parts", "encoder", "--dtype", "bfloat16")
    assert done.value.code == 1
    text = capsys.readouterr().out
    whose = "its own in float32 by SDPA" if alone else "transformers'"
    for part in ("difference", "encoder"):
        pattern = (
            rf"\| internvl \| {part} \| failed: ValueError: vlmres: its tokens are \S+ from {whose}, more than 5e-02"
        )
        assert re.search(pattern, text)
    assert "| internvl | encoder | vlmres | sdpa | 2 |" in text


def script(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    """The script on a tiny InternVL in this process."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)  # the script's to change
    tiny = ["--model", "internvl", "--tiny", "--device", "cpu", "--batch", "2", "--seconds", "0.01", "--quick"]
    monkeypatch.setattr(sys, "argv", ["gpu", *tiny, *options])
    gpu.main()


def test_time_of_a_block(tmp_path: Path) -> None:
    """Beside transformers' and another vlmres, which is this one."""
    command = [sys.executable, "-m", "benches.encoder.block_time", "--tiny", "--model", "internvl", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--before", str(Path(vlmres.__file__).parents[1])],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    rows = [row.strip("| ").split(" | ") for row in done.stdout.splitlines()[2:]]
    assert [(row[0], row[1]) for row in rows] == [
        (f"internvl, {path}.{index}", who)
        for index in range(2)
        for who, path in (
            ("vlmres", "towers.0.blocks"),
            ("transformers", "vision_tower.encoder.layer"),
            ("vlmres, before", "towers.0.blocks"),
        )
    ]
    launches = {row[1]: row[2:6] for row in rows}
    assert launches["vlmres"] == launches["vlmres, before"] == ["12", "4", "1", "7"]
    assert launches["transformers"] == ["14", "6", "1", "7"]
    assert all(float(row[7]) > 0 for row in rows)


def test_check_prints_differences_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        script(monkeypatch, "--check")
    assert done.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert "| model | difference, float32 | from |" in lines
    name, error, whose = lines[-1].strip("| ").split(" | ")
    assert (name, whose) == ("internvl", "transformers'")
    assert 0 < float(error) < 1e-6


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        gpu.parser().parse_args(["--help"])
    assert done.value.code == 0
    assert "python -m benches.gpu --tiny --device cpu" in capsys.readouterr().out
    with pytest.raises(SystemExit) as done:
        gpu.parser().parse_args(["--model", "abacus"])
    assert done.value.code == 2
    assert "invalid choice: 'abacus'" in capsys.readouterr().err


ROW = Row("encoder", "vlmres", "varlen", 16, 3000, [0.2, 0.1, 0.1], [0.3, 0.25, 0.2], 3e-3, 0.5, 2**30, 2**20)


class FakeDuel:
    """Fails for one model, and in one part of another."""

    reference, bound = "transformers'", 5e-2

    def __init__(self, name: str, _: Any) -> None:
        if name == "qwen2-vl":
            raise torch.OutOfMemoryError("CUDA out of memory |")
        self.notes: list[str] = []
        self.parts = {part: lambda: [ROW] for part in gpu.PARTS}
        if name == "internvl":
            self.parts["pages"] = self.fail
        if name == "deepseek-ocr":
            self.parts["encoder"] = self.stop

    def difference(self, _: str) -> float:
        return 1e-3

    def fail(self) -> list[Row]:
        raise ValueError("no such file")

    def stop(self) -> list[Row]:
        raise KeyboardInterrupt


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    """The script in this process."""
    monkeypatch.setattr(sys, "argv", ["gpu", "--device", "cpu", *options])
    monkeypatch.setattr(gpu, "Duel", FakeDuel)
    gpu.main()


def test_what_fails_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    models = ["--model", "qwen2-vl", "--model", "internvl", "--model", "qwen2.5-vl"]
    with pytest.raises(SystemExit) as done:
        run(monkeypatch, *models, "--json", str(out))
    assert done.value.code == 1
    text = capsys.readouterr().out
    assert "| qwen2-vl | making it | failed: OutOfMemoryError: CUDA out of memory / |" in text
    assert "| internvl | pages | failed: ValueError: no such file |" in text
    results = {result["model"]: result for result in json.loads(out.read_text())["results"]}
    assert {name: len(result["rows"]) for name, result in results.items()} == {
        "qwen2-vl": 0,
        "internvl": 2,
        "qwen2.5-vl": 3,
    }
    assert list(results["internvl"]["errors"]) == ["pages"]


def test_what_is_measured_is_kept_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, "--model", "qwen2.5-vl", "--model", "deepseek-ocr", "--json", str(out))
    assert [len(result["rows"]) for result in json.loads(out.read_text())["results"]] == [3]
    assert capsys.readouterr().out.count("| qwen2.5-vl |") == 3


def test_a_budget_leaves_parts_out(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        run(monkeypatch, "--model", "qwen2.5-vl", "--model", "internvl", "--budget", "0")
    assert done.value.code == 0
    text = capsys.readouterr().out
    assert text.count("| encoder | vlmres |") == 2
    assert "| pages |" not in text
    assert "internvl: no time was left for pages\ninternvl: no time was left for small\n" in text


def test_lines() -> None:
    cells = [cell.strip() for cell in line("qwen2-vl", ROW).strip("|").split("|")]
    assert cells[:5] == ["qwen2-vl", "encoder", "vlmres", "varlen", "16"]
    assert cells[5:8] == ["30,000 (15,000 to 30,000)", "160.0", "2.00x (1.50 to 2.50)"]
    assert cells[8:] == ["3.0e-03", "50.0%", "1.00 GiB", "1.0 MiB"]
    lone = [cell.strip() for cell in line("a", dataclasses.replace(ROW, baseline=[])).strip("|").split("|")]
    assert lone[7:] == ["", *cells[8:]]
    assert line("a", ROW).count("|") == failure("a", "b", ValueError("c | d\ne")).count("|") == HEAD.count("|") // 2


def test_peaks_are_the_devices_own() -> None:
    for name, tflops in {
        "NVIDIA H100 80GB HBM3": 989.4,
        "NVIDIA H100 NVL": 835.5,
        "NVIDIA H100 PCIe": 756.5,
        "NVIDIA H200": 989.4,
        "NVIDIA H200 NVL": 835.5,
        "NVIDIA GH200 480GB": 989.4,
        "NVIDIA B200": 2250,
        "NVIDIA A100-SXM4-80GB": 312,
        "NVIDIA A100 80GB PCIe": 312,
        "NVIDIA L40S": 362,
        "NVIDIA L4": 121,
        "NVIDIA GeForce RTX 4090": 165.2,
    }.items():
        assert peak_products(name, "bfloat16") == tflops * 1e12
    assert peak_products("NVIDIA H100 80GB HBM3", "float32") is None
    assert peak_products("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "bfloat16") is None
    assert peak_products("Abacus", "bfloat16") is None


def test_rounds_end_with_the_deadline() -> None:
    calls: list[str] = []
    contestants = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = Clock(CPU, 0, 4).compare(contestants, warm_ups=1)
    assert calls == list("ab" * 5)
    assert [len(values) for values in times.values()] == [4, 4]
    over = Clock(CPU, 60, 4, deadline=time.monotonic() - 1)
    assert [len(values) for values in over.compare(contestants, warm_ups=0).values()] == [1, 1]
    assert list(over.fastest(contestants)) == ["a", "b"]


def test_memory_counts_what_graphs_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"allocated": 1000, "peak": 0}
    segments = [{"segment_pool_id": (0, 0), "total_size": 5000, "allocated_size": 1000}]
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: state["allocated"])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: state["peak"])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: state.update(peak=state["allocated"]))
    monkeypatch.setattr(torch.cuda, "memory_snapshot", lambda: segments)
    memory = Memory(torch.device("cuda"))
    assert memory.peak(lambda: state.update(peak=1300)) == 300
    # A graph keeps 600 bytes, of which its results are 100.
    state["allocated"] += 100
    segments.append({"segment_pool_id": (0, 1), "total_size": 600, "allocated_size": 100})
    assert memory.peak(lambda: state.update(peak=1150)) == 150 + 500
    assert timing.kept_by_graphs(segments) == 500
    # What was kept before is no part of a later contestant's.
    assert Memory(torch.device("cuda")).peak(lambda: state.update(peak=1200)) == 100
    assert Memory(CPU).peak(lambda: None) is None
