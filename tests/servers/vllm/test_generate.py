"""Whole models served by vLLM on a CPU: what they answer with vlmres and without, each in a process of its own."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm", reason="run make test-vllm")

from tests.servers.vllm.checkpoints import make

FAMILIES = [
    "qwen2-vl",
    "qwen2.5-vl",
    "qwen3-vl",
    "internvl3",
    "idefics3",
    "mistral-small-3",
    "aya-vision",
    "paddleocr-vl",
]
# The engine is in the process that preprocesses, so that one process serves all of the checkpoints.
SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "OMP_NUM_THREADS": "1",
    "VLMRES_NUM_THREADS": "2",
    "HF_HUB_OFFLINE": "1",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """By mode and family: "plain", and "vlmres" by its plugin."""
    root: Path = tmp_path_factory.mktemp("weights")
    for name in FAMILIES:
        (root / name).mkdir()
        make(name, root / name, weights=True)
    command = [sys.executable, "-m", "tests.servers.vllm.generate", *(f"{name}={root / name}" for name in FAMILIES)]
    found: dict[str, dict[str, Any]] = {}
    for mode, asked in (("plain", "0"), ("vlmres", "1")):
        environment = {**os.environ, **SETTINGS, "VLMRES_VLLM": asked}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
        found[mode] = {line["name"]: line for line in lines}
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_answers_are_the_same(name: str, answers: dict[str, dict[str, Any]]) -> None:
    plain, ours = answers["plain"][name], answers["vlmres"][name]
    assert isinstance(plain["answers"], list), plain["answers"]
    assert ours["answers"] == plain["answers"]
    logprobs = [one["logprobs"] for one in ours["answers"]]
    assert all(first != second for first, second in itertools.pairwise(logprobs)), "images do not matter"
    assert (plain["vlmres"], plain["original"]) == (0, 0)
    assert ours["vlmres"] >= len(logprobs)
    assert ours["original"] == 0
