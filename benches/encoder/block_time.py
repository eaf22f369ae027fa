"""One block's CPU time, launches and bytes, beside transformers' module and an older vlmres, in interleaved rounds.

    python -m benches.encoder.block_time                               # beside transformers'
    python -m benches.encoder.block_time --before old/python           # and beside the vlmres that is built there
    python -m benches.encoder.block_time --model qwen2.5-vl --rounds 9

Models have real widths, a tenth of the blocks and random weights; all read one checkpoint and one image. A forward pass
shows what each block is called with; the blocks alone are then called again. Each contestant is a process of its own,
with one thread, and takes its turn in every round, so that a busy machine is as busy for all. Times are user and system
time in float32. Launches and bytes are those of bfloat16, on the CPU, with RMS norms as one kernel.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    Calls = dict[str, list[Callable[[], Any]]]

ROOT = Path(__file__).parents[2]
# Of one image, (width, height), as of the table of launches.
SIZES = {"qwen2.5-vl": (896, 896), "internvl": (448, 448), "deepseek-ocr": (1024, 1024)}
TINY = (112, 112)


def main() -> None:
    """Prints the table, or is one of the contestants."""
    parser = argparse.ArgumentParser(
        "benches.encoder.block_time", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=SIZES, action="append", help="again for more; by default all")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="that holds another vlmres, built")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="by default 7")
    parser.add_argument("--tiny", action="store_true", help="tiny models: this shows that the script runs")
    parser.add_argument("--serve", nargs=2, metavar=("WHO", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        serve(args.model[0], *args.serve, tiny=args.tiny)
        return
    print("| block | who | launches | products | attention | other | other bytes a patch | CPU ms | of ours |")
    print("|---" * 9 + "|", flush=True)
    for name in args.model or SIZES:
        for row in measure(name, args.before, args.rounds, tiny=args.tiny):
            print(row, flush=True)


@dataclass
class Contestant:
    """A process that calls its blocks when it is told to."""

    who: str
    process: subprocess.Popen[str]
    counts: dict[str, list[int]] = field(default_factory=dict)
    """Of each block: launches, products, attention, other, and bytes of the other ones a patch."""
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def ask(self) -> dict[str, Any]:
        """The answer to a line."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise ChildProcessError(f"{self.who} ended with {self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found


def measure(name: str, before: Path | None, rounds: int, *, tiny: bool) -> list[str]:
    """Rows of the table."""
    folders = {"vlmres": str(ROOT / "python"), "transformers": str(ROOT / "python")}
    if before is not None:
        folders["vlmres, before"] = str(before.resolve())
    with tempfile.TemporaryDirectory() as checkpoint:
        _save(name, Path(checkpoint), tiny=tiny)
        contestants = []
        command = [sys.executable, "-m", "benches.encoder.block_time", "--model", name, *["--tiny"] * tiny]
        try:
            for who, folder in folders.items():
                environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "HF_HUB_OFFLINE": "1"}
                environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "VLMRES_ATTENTION": "sdpa"}
                process = subprocess.Popen(
                    [*command, "--serve", who, checkpoint],
                    cwd=checkpoint,  # not a folder with a vlmres of its own
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                contestants.append(Contestant(who, process))
            for contestant in contestants:
                contestant.counts = contestant.ask()
            for _ in range(rounds):
                for contestant in contestants:
                    for path, seconds in contestant.ask().items():
                        contestant.seconds.setdefault(path, []).append(seconds)
        finally:
            for contestant in contestants:
                contestant.process.kill()
                contestant.process.communicate()
    return [row for index in range(len(contestants[0].counts)) for row in _rows(name, contestants, index)]


def _rows(name: str, contestants: list[Contestant], index: int) -> list[str]:
    """A block of all contestants, which have them in one order."""
    rows: list[str] = []
    for contestant in contestants:
        path = list(contestant.counts)[index]
        times = contestant.seconds[path]
        ours = contestants[0].seconds[list(contestants[0].counts)[index]]
        ratio = [own / our for own, our in zip(times, ours, strict=True)]
        *launches, moved = contestant.counts[path]
        cells = [f"{name}, {path}", contestant.who, *map(str, launches), f"{moved:,}"]
        cells += [f"{statistics.median(times) * 1e3:,.1f}"]
        cells += [f"{statistics.median(ratio):.2f} ({min(ratio):.2f} to {max(ratio):.2f})" if rows else ""]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def serve(name: str, who: str, folder: str, *, tiny: bool) -> None:
    """Answers each line on standard input: with counts, then with seconds of a call of each block."""
    import torch

    answers = sys.stdout
    sys.stdout = sys.stderr
    counted, calls = _counts(name, who, folder, tiny=tiny), _calls(name, who, folder, torch.float32, tiny=tiny)
    for own in calls.values():
        _seconds(own)  # a first call sets up kernels
    for index, _ in enumerate(sys.stdin):
        found: dict[str, Any] = counted if index == 0 else {path: _seconds(own) for path, own in calls.items()}
        print(json.dumps(found), file=answers, flush=True)


def _seconds(calls: list[Callable[[], Any]]) -> float:
    start = time.process_time()
    for call in calls:
        call()
    return time.process_time() - start


def _counts(name: str, who: str, folder: str, *, tiny: bool) -> dict[str, list[int]]:
    import torch
    from benches.encoder.count import Counter

    found = {}
    for path, (call, *_) in _calls(name, who, folder, torch.bfloat16, tiny=tiny).items():
        counter = Counter()

        def rms_norm(_: Any, x: torch.Tensor, counter: Counter = counter) -> torch.Tensor:
            out = torch.empty_like(x)
            counter.add("rms_norm", "other", [x], out)
            return out

        with mock.patch.object(torch.nn.RMSNorm, "forward", rms_norm), counter:
            out = call()
        hidden = out[0] if isinstance(out, tuple) else out
        patches = hidden.numel() // hidden.shape[-1]
        kinds = [counter.counted.of(kind) for kind in ("product", "attention", "other")]
        moved = round(sum(op.bytes for op in kinds[2]) / patches)
        found[path] = [len(counter.counted.ops), *map(len, kinds), moved]
    return found


def _calls(name: str, who: str, folder: str, dtype: torch.dtype, *, tiny: bool) -> Calls:
    """By block, its calls in a forward pass. Only what every vlmres has is used of it."""
    import torch
    from benches.encoder.inputs import from_batch, placed
    from benches.encoder.models import MODELS
    from PIL import Image

    import vlmres
    from vlmres.encoder import VisionEncoder

    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    picture = Image.effect_noise(TINY if tiny else SIZES[name], 60).convert("RGB")
    recipe, calls = MODELS[name].recipe(tiny), {}
    if who == "transformers":
        module = _module(name, dtype, tiny=tiny)
        inputs = placed(from_batch(vlmres.Processor(recipe, arithmetic="torch")([picture])), torch.device("cpu"), dtype)
        calls = _watch(module, lambda: MODELS[name].features(module, inputs))
    else:
        encoder = VisionEncoder.from_pretrained(folder, "cpu", dtype, recipe=recipe)
        batch = vlmres.Processor(recipe, "packed", "uint8")([picture])
        # With gradients allowed it is not in inference mode, which hides operations that are composed of others.
        calls = _watch(encoder.model, lambda: encoder(batch, grad=True))
    return calls


def _watch(module: torch.nn.Module, run: Callable[[], Any]) -> Calls:
    """What the layers of lists named as blocks are called with in a forward pass."""
    import torch

    calls: Calls = {}

    def hook(path: str, layer: torch.nn.Module) -> Any:
        def enter(_: Any, args: Any, kwargs: Any) -> None:
            calls.setdefault(path, []).append(lambda: layer(*args, **kwargs))

        return layer.register_forward_pre_hook(enter, with_kwargs=True)

    handles = [
        hook(f"{path}.{index}", layer)
        for path, part in module.named_modules()
        if isinstance(part, torch.nn.ModuleList) and path.rpartition(".")[2] in ("blocks", "layers", "layer")
        for index, layer in enumerate(part)
        if not {"language_model", "projector"} & set(path.split("."))
    ]
    run()
    for handle in handles:
        handle.remove()
    return calls


def _module(name: str, dtype: torch.dtype, *, tiny: bool) -> Any:
    """A module of transformers with random weights."""
    import torch
    from benches.encoder.models import MODELS

    torch.manual_seed(0)
    return MODELS[name].module("tiny" if tiny else "shallow", dtype)


def _save(name: str, folder: Path, *, tiny: bool) -> None:
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    _module(name, torch.float32, tiny=tiny).save_pretrained(folder)


if __name__ == "__main__":
    main()
