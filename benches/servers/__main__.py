"""What images cost inside vLLM's processors, with vlmres and without.

    python -m benches.servers [families | threads | processes] [--rounds 5] [--only FAMILY ...]

In the environment of `make test-vllm`. Two processes, one with the plugin, do the same request in turns; times are user
and system CPU time and wall time of a request, the least of the rounds: load of others only adds to them. Both must
give the same tensors first.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benches.servers.child import Child
from tests.servers.vllm.checkpoints import Case, make, of_transformers
from tests.servers.vllm.own import OWN

FAMILIES = (
    "qwen2-vl",
    "qwen2.5-vl",
    "qwen3-vl",
    "llava-1.5",
    "llava-next",
    "llava-onevision",
    "idefics3",
    "gemma3",
    "pixtral",
    "mistral-small-3",
    "internvl3",
)
OWN_FAMILIES = (
    "internvl-chat",
    "nvlm-d",
    "h2ovl",
    "nemotron-nano-vl",
    "deepseek-ocr",
    "deepseek-vl2",
    "kimi-k2.5",
    "ovis2 (vLLM's class)",
    "ovis2.5",
    "step3-vl",
    "glm-4v-9b",
    "minicpm-v-4.6",
)
SIZES = {"1080p": (1920, 1080), "12 MP": (4000, 3000)}
THREADS = (1, 2, 4, 6)
REQUESTS = 24
MODES = ("plain", "vlmres")


def cases() -> dict[str, Case]:
    """The families that are measured."""
    return {**{name: of_transformers(name) for name in FAMILIES}, **{name: OWN[name] for name in OWN_FAMILIES}}


@contextmanager
def children(modes: Sequence[str] = MODES) -> Iterator[list[Child]]:
    """Processes that hold vLLM, in these modes."""
    started = [Child(vlmres=mode == "vlmres") for mode in modes]
    try:
        yield started
    finally:
        for child in started:
            child.close()


def in_turns(pair: Sequence[Child], rounds: int, **request: Any) -> list[dict[str, float]]:
    """What a request took each of them, the least of rounds."""
    first = [child.ask(**request) for child in pair]
    if first[0]["digest"] != first[1]["digest"]:
        raise AssertionError(f"the results differ: {request}")
    taken: list[list[dict[str, float]]] = [[], []]
    for number in range(rounds):
        for index in (0, 1) if number % 2 else (1, 0):
            taken[index].append(pair[index].ask(**request))
    keys = ("cpu", "wall", "inside_cpu", "inside_wall")
    return [{key: min(one[key] for one in each) * 1e3 for key in keys} for each in taken]


def families(root: Path, rounds: int, only: Sequence[str]) -> None:
    """The table of the families."""
    print(
        "| | | processor: CPU ms | | wall ms | | vLLM around it: CPU ms | | JPEG file to output: CPU ms | | wall ms | |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    with children() as pair:
        for index, (name, case) in enumerate(cases().items()):
            if only and name not in only:
                continue
            folder = root / str(index)
            folder.mkdir()
            case.make(folder)
            for label, size in SIZES.items():
                request = {"case": name, "folder": str(folder), "size": size}
                plain, ours = in_turns(pair, rounds, **request, file=False)
                columns = [*_compared(plain, ours, "inside_cpu"), *_compared(plain, ours, "inside_wall")]
                columns += [f"{each['cpu'] - each['inside_cpu']:.1f}" for each in (plain, ours)]
                plain, ours = in_turns(pair, rounds, **request, file=True)
                columns += [*_compared(plain, ours, "cpu"), *_compared(plain, ours, "wall")]
                print(f"| {name} | {label} | " + " | ".join(columns) + " |", flush=True)


def _compared(plain: dict[str, float], ours: dict[str, float], key: str) -> tuple[str, str]:
    return f"{plain[key]:.1f} to {ours[key]:.1f}", f"{plain[key] / max(ours[key], 1e-3):.1f}x"


def threads(root: Path, rounds: int, _only: Sequence[str]) -> None:
    """Requests of several Python threads to one processor."""
    make("qwen2-vl", root, weights=False)
    print("| threads | images a second: transformers | vlmres | CPU ms an image: transformers | vlmres |")
    print("|---|---|---|---|---|")
    with children() as pair:
        for count in THREADS:
            request = {"case": "qwen2-vl", "folder": str(root), "threads": count, "requests": REQUESTS}
            for child in pair:
                child.ask(**{**request, "requests": count})
            taken: list[list[dict[str, float]]] = [[], []]
            for number in range(rounds):
                for index in (0, 1) if number % 2 else (1, 0):
                    taken[index].append(pair[index].ask(**request))
            rates = [REQUESTS / min(one["wall"] for one in each) for each in taken]
            costs = [min(one["cpu"] for one in each) / REQUESTS * 1e3 for each in taken]
            print(f"| {count} | {rates[0]:.1f} | {rates[1]:.1f} | {costs[0]:.1f} | {costs[1]:.1f} |", flush=True)


def processes(root: Path, rounds: int, _only: Sequence[str]) -> None:
    """Two servers on the same processors, each of which takes requests without a pause."""
    make("qwen2-vl", root, weights=False)
    print("| processes | threads of a call in each | threads of both | CPU seconds a second, both |")
    print("|---|---|---|---|")
    with children(("vlmres", "vlmres")) as pair:
        request = {"case": "qwen2-vl", "folder": str(root)}
        for count in (1, 2):
            pair[count - 1].ask(**request, seconds=0.5)  # what it needs is made then
            for child in pair[:count]:
                child.send(**request, seconds=float(2 * rounds))
            answers = [child.receive() for child in pair[:count]]
            most = [int(one["threads"]) for one in answers]
            cpu = sum(one["cpu"] / one["wall"] for one in answers)
            print(f"| {count} | {', '.join(map(str, most))} | {sum(most)} | {cpu:.2f} |", flush=True)


PARTS = {"families": families, "threads": threads, "processes": processes}


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", choices=(*PARTS, []), default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[], metavar="FAMILY", choices=list(cases()))
    arguments = parser.parse_args()
    for part in arguments.parts or PARTS:
        with TemporaryDirectory() as root:
            PARTS[part](Path(root), arguments.rounds, arguments.only)
        print()


if __name__ == "__main__":
    main()
