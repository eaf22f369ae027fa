"""The first hour on a GPU, as one script: what it is, that the encoder is right there, and how fast.

    python -m benches.gpu_day                          # CUDA, at most 560 s; results in out/gpu_day/
    python -m benches.gpu_day                          # again: goes on where the first call stopped
    python -m benches.gpu_day --redo tests qwen2-vl    # these once more
    python -m benches.gpu_day --device cpu --tiny      # a rehearsal: that the script runs, nothing else

It takes an installed vlmres, torch, transformers and pytest, and this folder; nothing is downloaded. Steps are
processes of their own, each with a share of the time that is left, so what crashes or hangs is a line and not an end.
A step's output is in `NAME.log`, a benchmark's numbers in `NAME.json`, as they come; `day.jsonl` has a line for each
step that ended. A step that ran out of time is begun again by a later call, once that has more time for it than it had,
with what it had compiled but for the last minute's files, which may be cut.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
BUDGET = 560.0
"""Seconds: a machine's time is often lent in tens of minutes."""
# What a step needs to begin, and to write down what it has before it is stopped.
_LEAST, _MARGIN = 5.0, 10.0
# Of what a stopped step compiled, the files of so many last seconds are dropped.
_CUT = 60.0


@dataclass(frozen=True)
class Step:
    """A process, and its share of the time."""

    name: str
    command: tuple[str, ...]
    share: float
    """Seconds that it gets where they are left; what others leave is shared in proportion."""
    has_budget: bool = False
    """Whether it takes `--budget`, to end by itself."""


@dataclass(frozen=True)
class Outcome:
    """How a step ended."""

    step: str
    status: str
    """One of "ok", "failed" or "time"; of the last, the next call tries again."""
    seconds: float
    detail: str
    """Its last line."""


def steps(device: str, size: list[str], folder: Path) -> list[Step]:
    """What is done, in order: what is least known first, so that little time shows most.

    No kernel for relative positions and no window of different lengths has run on a GPU, and no graph; InternVL's and
    Qwen2-VL's blocks are what others' are.
    """
    python = sys.executable
    found = [
        Step("environment", (python, "-m", "benches.encoder.environment", "--device", device), 40),
        Step("tests", (python, "-m", "pytest", "tests/encoder/test_cuda.py", "-q", "-rfEs", "--tb=short"), 100),
    ]

    def bench(name: str, model: str, parts: list[str], share: float) -> Step:
        command = (python, "-m", "benches.gpu", "--quick", "--device", device, "--model", model, "--parts", *parts)
        return Step(name, (*command, *size, "--json", str(folder / f"{name}.json")), share, has_budget=True)

    models = ("deepseek-ocr", "qwen2.5-vl", "internvl", "qwen2-vl")
    found += [bench(model, model, ["encoder", "small"], 48) for model in models]
    found += [bench(f"{model}-compiled", model, ["compiled"], 55) for model in models[:3]]
    found += [bench(f"{model}-pages", model, ["pages"], 20) for model in ("qwen2.5-vl", "internvl", "deepseek-ocr")]
    return found


class Day:
    """The steps, and what is known of them."""

    def __init__(self, folder: Path, steps: list[Step], budget: float) -> None:
        self.folder, self.steps = folder, steps
        self.end = time.monotonic() + budget
        self.file = folder / "day.jsonl"

    def ended(self) -> dict[str, Outcome]:
        """The last outcome of each step."""
        if not self.file.exists():
            return {}
        lines = [line for line in self.file.read_text().splitlines() if line.endswith("}")]  # a cut line is none
        outcomes = [Outcome(**json.loads(line)) for line in lines]
        return {outcome.step: outcome for outcome in outcomes}

    def forget(self, names: list[str]) -> None:
        """Makes steps that ended be run again."""
        for name in names:
            self._write(Outcome(name, "time", 0.0, "to be done again"))

    def run(self) -> bool:
        """Runs what has not ended, while there is time; whether all ended well."""
        ended = self.ended()
        tried = {name: outcome.seconds for name, outcome in ended.items() if outcome.status == "time"}
        # What was never begun first, then what had least: so most get more time than they had.
        waiting = [step for step in self.steps if step.name not in ended or step.name in tried]
        waiting.sort(key=lambda step: tried.get(step.name, 0.0))
        needs = [max(step.share, 2 * tried.get(step.name, 0.0)) for step in waiting]
        for index, step in enumerate(waiting):
            left = self.end - time.monotonic()
            had = tried.get(step.name, 0.0)
            # What was too little is too little again, but better than a call that does nothing.
            if left < _LEAST or (index > 0 and left <= had):
                say(f"\nno time is left for {', '.join(_told(later.name, tried) for later in waiting[index:])}")
                break
            limit = left * needs[index] / sum(needs[index:])
            self._write(self._process(step, max(limit, min(needs[index], left), _LEAST)))
        found = self.ended()
        say("\n| step | | seconds | |\n|---|---|---|---|")
        for step in self.steps:
            outcome = found.get(step.name, Outcome(step.name, "time", 0.0, "not begun"))
            say(f"| {step.name} | {outcome.status} | {outcome.seconds:.0f} | {outcome.detail.replace('|', '/')} |")
        again = [step.name for step in self.steps if step.name not in found or found[step.name].status == "time"]
        if again:
            say(f"\ncall again for {', '.join(again)}")
        return all(step.name in found and found[step.name].status == "ok" for step in self.steps)

    def _process(self, step: Step, limit: float) -> Outcome:
        command = list(step.command)
        if step.has_budget:
            command += ["--budget", f"{max(limit - _MARGIN, 1):.0f}"]
        say(f"\n== {step.name}: at most {limit:.0f} s: {' '.join(command[1:])}")
        compiled = self.folder / "compiled" / step.name
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(compiled)
        start = time.monotonic()
        with (self.folder / f"{step.name}.log").open("w") as log:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
            except OSError as error:
                return Outcome(step.name, "failed", 0.0, str(error))
            assert process.stdout is not None
            last: list[str] = []
            reader = threading.Thread(target=_copy, args=(process.stdout, log, last), daemon=True)
            reader.start()
            try:
                process.wait(limit)
                status = "ok" if process.returncode == 0 else "failed"
            except subprocess.TimeoutExpired:
                status = "time"
            finally:
                _stop(process)
            reader.join(timeout=5)
        if status == "time":
            _drop(compiled, time.time() - _CUT)
        detail = last[-1] if last else ""
        if status == "time":
            detail = f"{limit:.0f} s were not enough, a later call begins it again: {detail}"
        if status == "failed" and process.returncode < 0:
            detail = f"ended by signal {-process.returncode}: {detail}"
        return Outcome(step.name, status, round(time.monotonic() - start, 1), detail[:200])

    def _write(self, outcome: Outcome) -> None:
        # A line that was cut stays a line of its own.
        begun = self.file.exists() and not self.file.read_text().endswith("\n")
        with self.file.open("a") as file:
            file.write("\n" * begun + json.dumps(asdict(outcome)) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _told(name: str, tried: dict[str, float]) -> str:
    """A step, and how long it had."""
    return f"{name} ({tried[name]:.0f} s were not enough)" if tried.get(name) else name


def _copy(source: IO[str], log: IO[str], last: list[str]) -> None:
    """Lines to the log and the terminal as they come; keeps the last that says something."""
    with source:
        for line in source:
            log.write(line)
            log.flush()
            print(line, end="", flush=True)
            if line.strip(" =\n"):
                last[:] = [line.strip(" =\n")]


def _drop(folder: Path, since: float) -> None:
    """Deletes what was written since: a compiler that was stopped may leave a library cut, which would be loaded."""
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_mtime >= since:
            path.unlink(missing_ok=True)


def _stop(process: subprocess.Popen[str]) -> None:
    """Ends a step and what it began: first asked, then made to."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(3)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def end_with_steps() -> None:
    """Makes a SIGTERM end the step that runs, too, which is in a session of its own."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def say(text: str) -> None:
    """Prints at once."""
    print(text, flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        "benches.gpu_day", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--out", type=Path, default=ROOT / "out" / "gpu_day", metavar="FOLDER", help="of all results")
    found.add_argument("--budget", type=float, default=BUDGET, metavar="S", help=f"seconds of all; {BUDGET:.0f}")
    found.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu; by default cuda")
    sizes = found.add_mutually_exclusive_group()
    sizes.add_argument("--tiny", action="store_true", help="tiny models and images")
    sizes.add_argument("--shallow", action="store_true", help="real widths, a tenth of the blocks, two small images")
    found.add_argument("--redo", nargs="+", default=[], metavar="STEP", help="steps that ended, once more")
    return found


def main() -> None:
    """Runs the day."""
    end_with_steps()
    args = parser().parse_args()
    size = ["--tiny"] * args.tiny + (["--shallow", "--batch", "2", "--pages", "2"] if args.shallow else [])
    args.out.mkdir(parents=True, exist_ok=True)
    if args.device == "cpu":
        os.environ["VLMRES_REHEARSE_CUDA"] = "1"
    todo = steps(args.device, size, args.out.resolve())
    unknown = set(args.redo) - {step.name for step in todo}
    if unknown:
        parser().error(f"no step is called {', '.join(sorted(unknown))}: {', '.join(step.name for step in todo)}")
    day = Day(args.out, todo, args.budget)
    day.forget(args.redo)
    sys.exit(not day.run())


if __name__ == "__main__":
    main()
