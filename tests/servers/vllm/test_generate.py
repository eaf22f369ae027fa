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

import vlmres
from tests.servers.vllm.served import SERVED

# The engine is in the process that preprocesses, so that one process serves all of the checkpoints.
SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "1",  # a function is sent to the engine
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "OMP_NUM_THREADS": "1",
    "VLMRES_NUM_THREADS": "2",
    "HF_HUB_OFFLINE": "1",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The checkpoints."""
    root: Path = tmp_path_factory.mktemp("weights")
    for name, served in SERVED.items():
        (root / name).mkdir()
        served.make(root / name)
    return {name: root / name for name in SERVED}


@pytest.fixture(scope="module")
def answers(folders: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """By mode and family: "plain", and "vlmres" by its plugin."""
    return {mode: asked(folders, VLMRES_VLLM=on)[0] for mode, on in (("plain", "0"), ("vlmres", "1"))}


def asked(folders: dict[str, Path], **settings: str) -> tuple[dict[str, Any], str]:
    """What a process that serves these says, by family, and its log."""
    command = [sys.executable, "-m", "tests.servers.vllm.generate", *(f"{name}={at}" for name, at in folders.items())]
    environment = {**os.environ, **SETTINGS, **settings}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    return {line["name"]: line for line in lines}, done.stdout + done.stderr


@pytest.mark.parametrize("name", SERVED)
def test_answers_are_the_same(name: str, answers: dict[str, dict[str, Any]]) -> None:
    plain, ours = answers["plain"][name], answers["vlmres"][name]
    assert isinstance(plain["answers"], list), plain["answers"]
    assert ours["answers"] == plain["answers"]
    logprobs = [one["logprobs"] for one in ours["answers"]]
    assert all(first != second for first, second in itertools.pairwise(logprobs)), "images do not matter"
    assert (plain["vlmres"], plain["original"]) == (0, 0)
    assert ours["vlmres"] >= len(logprobs)
    assert ours["original"] == 0
    assert (plain["engine"], ours["engine"]) == (
        {"own_process": False, "vlmres": False},
        {"own_process": False, "vlmres": True},
    )


def test_the_engine_in_a_process_of_its_own(folders: dict[str, Path], answers: dict[str, dict[str, Any]]) -> None:
    """As servers run it: vlmres is on in both processes, and the first one's log says so."""
    name = "qwen2-vl"
    settings = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", "VLLM_LOGGING_LEVEL": "INFO", "VLMRES_VLLM": "1"}
    found, log = asked({name: folders[name]}, **settings)
    assert found[name]["answers"] == answers["plain"][name]["answers"]
    assert found[name]["engine"] == {"own_process": True, "vlmres": True}
    assert (found[name]["vlmres"] >= 3, found[name]["original"]) == (True, 0)
    (line,) = [line for line in log.splitlines() if f"vlmres {vlmres.__version__}: on for" in line]
    assert "Qwen2VLImageProcessor" in line
