"""The encoder beside transformers' modules, on a GPU: random weights of real sizes, images of mixed sizes.

    python -m benches.gpu                                          # all models, CUDA, bfloat16
    python -m benches.gpu --quick --budget 540 --json out.json     # numbers of all models in less than ten minutes
    python -m benches.gpu --model qwen2-vl --parts encoder compiled --seconds 10
    python -m benches.gpu --check --device cpu                     # how far apart both are at real sizes, in float32
    python -m benches.gpu --tiny --device cpu                      # a smoke test of the script, no measurement

A model of transformers is made with random weights and saved; vlmres reads that checkpoint, so both compute the same
function. Lines are printed, and `--json` is written, as soon as they are measured; what fails is a line of the table.

Parts: "encoder" is a batch of mixed sizes that is on the device, with all that follows from grids computed before, as
`VisionEncoder` does it beside the device's work. "small" is one image, with CUDA graphs too where they are possible.
"pages" is end to end from JPEG files: decoding, preprocessing, copies, encoder; of transformers the next batch is
prepared on a thread meanwhile. "compiled" is "encoder" with the blocks of both compiled.

A model that this transformers lacks runs alone, with random weights. Difference is how far tokens are from
transformers', or where there are none from its own in a wider type by SDPA; too far is a failure.

transformers has the fastest attention of those that load, run and give SDPA's tokens, and the faster place for its
image processor, both found by measuring. Rounds are interleaved; numbers are medians, with the least and the most in
brackets. Beside transformers is its time over ours. FLOPs of MFU are those of `Plan.cost` for both. Peak memory is
beside weights and input, with what CUDA graphs keep. Copied is what goes to the device: uint8 patches, or float32
pixel_values as transformers' processor gives them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).parents[1]))
# No library may wait for a network that is not there.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benches.encoder.devices import device_name, peak_products, versions
from benches.encoder.measure import Duel, Row, Setting
from benches.encoder.models import MODELS
from benches.encoder.table import HEAD, failure, line
from benches.encoder.timing import Clock

PARTS = ("encoder", "pages", "small", "compiled")


class Report:
    """Lines and a file that grow with what is measured."""

    def __init__(self, args: argparse.Namespace, setting: Setting) -> None:
        self.file: Path | None = args.json
        self.found: dict[str, Any] = {
            "device": device_name(setting.clock.device),
            "versions": versions(),
            "dtype": args.dtype,
            "tiny": args.tiny,
            "shallow": args.shallow,
            "results": [],
        }
        listed = ", ".join(f"{name} {version}" for name, version in self.found["versions"].items())
        self.say(f"{self.found['device']}; {args.dtype}; {listed}")
        if args.tiny:
            self.say("Tiny models: this shows that the script runs, and nothing else.")
        if args.shallow:
            self.say("A tenth of the blocks: this shows that real widths run, and nothing else.")
        self.failed = False

    def begin(self, model: str) -> dict[str, Any]:
        """A model's results, to be added to."""
        result: dict[str, Any] = {"model": model, "reference": "", "difference": None}
        result |= {"rows": [], "errors": {}, "notes": []}
        self.found["results"].append(result)
        return result

    def add(self, result: dict[str, Any], rows: list[Row]) -> None:
        """Prints and keeps rows."""
        for row in rows:
            self.say(line(result["model"], row))
            result["rows"].append(dataclasses.asdict(row))
        self.save()

    def fail(self, result: dict[str, Any], part: str, error: BaseException) -> None:
        """Prints and keeps what went wrong."""
        self.failed = True
        self.say(failure(result["model"], part, error))
        result["errors"][part] = f"{type(error).__name__}: {error}"
        self.save()

    def save(self) -> None:
        """Writes all that there is."""
        if self.file is not None:
            self.file.write_text(json.dumps(self.found, indent=1))

    def end(self, result: dict[str, Any]) -> None:
        """Keeps how far apart both are, and what could not be run."""
        whose, error = result["reference"], result["difference"]
        result["notes"].insert(0, f"tokens equal {whose} within {error:.1e} of their norm, in {self.found['dtype']}")
        self.save()

    def summary(self) -> None:
        """Prints what is beside the table."""
        self.say("")
        for result in self.found["results"]:
            for note in result["notes"]:
                self.say(f"{result['model']}: {note}")

    @staticmethod
    def say(text: str) -> None:
        """Prints at once."""
        print(text, flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        "benches.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--model", choices=MODELS, action="append", help="again for more; by default all")
    found.add_argument("--parts", choices=PARTS, nargs="+", help="by default all but compiled")
    found.add_argument("--device", type=torch.device, default="cuda", help="cuda, cuda:1, cpu; by default cuda")
    found.add_argument(
        "--dtype", choices=["bfloat16", "float16", "float32"], help="by default bfloat16; float32 of --check"
    )
    found.add_argument("--batch", type=int, default=16, metavar="N", help="images of a batch; by default 16")
    found.add_argument("--pages", type=int, metavar="N", help="files of the part pages; by default 64")
    found.add_argument("--seconds", type=float, metavar="S", help="of each comparison; by default 5")
    found.add_argument("--quick", action="store_true", help="three rounds and one second, encoder and pages alone")
    found.add_argument("--budget", type=float, metavar="S", help="seconds of all; each model gets an equal share")
    found.add_argument("--threads", type=int, metavar="N", help="of preprocessing; by default all")
    found.add_argument("--peak-tflops", type=float, metavar="T", help="of the device, where its name is not known")
    found.add_argument("--check", action="store_true", help="differences alone, of two small images")
    sizes = found.add_mutually_exclusive_group()
    sizes.add_argument("--tiny", action="store_true", help="tiny models and images")
    sizes.add_argument("--shallow", action="store_true", help="models of real widths with a tenth of the blocks")
    found.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers here")
    return found


def settle(args: argparse.Namespace) -> None:
    """Fills in what depends on other options."""
    args.dtype = args.dtype or ("float32" if args.check else "bfloat16")
    args.parts = args.parts or PARTS[: 2 if args.quick else 3]
    args.pages = args.pages or (6 if args.tiny else 64)
    args.seconds = (1 if args.quick else 5) if args.seconds is None else args.seconds
    for name in ("batch", "pages"):
        if getattr(args, name) < 1:
            parser().error(f"--{name} must be at least 1, got {getattr(args, name)}")
    if args.device.type == "cuda" and not torch.cuda.is_available():
        parser().error("no CUDA device: --tiny --device cpu runs a smoke test")


def setting_of(args: argparse.Namespace, deadline: float | None) -> Setting:
    """How a model is measured."""
    peak = peak_products(device_name(args.device), args.dtype) if args.device.type == "cuda" else None
    return Setting(
        clock=Clock(args.device, args.seconds, 3 if args.quick else 5, deadline),
        dtype=getattr(torch, args.dtype),
        batch=args.batch,
        pages=args.pages,
        threads=args.threads,
        size="tiny" if args.tiny else "shallow" if args.shallow else "real",
        quick=args.quick,
        peak=args.peak_tflops * 1e12 if args.peak_tflops else peak,
    )


def run(name: str, setting: Setting, args: argparse.Namespace, report: Report) -> None:
    """All of a model, whatever of it fails."""
    result = report.begin(name)
    try:
        duel = Duel(name, setting)
        result["notes"], result["reference"] = duel.notes, duel.reference
        result["difference"] = duel.difference("small" if args.check else "mixed")
    except Exception as error:
        report.fail(result, "making it", error)
        return
    judge(result, "difference", "vlmres", result["difference"], duel, report)
    if args.check:
        report.say(f"| {name} | {result['difference']:.1e} | {duel.reference} |")
    for part in () if args.check else args.parts:
        if setting.clock.is_over and result["rows"]:
            duel.notes.append(f"no time was left for {part}")
            continue
        try:
            rows = duel.parts[part]()
        except Exception as error:
            report.fail(result, part, error)
            continue
        report.add(result, rows)
        for row in rows:
            judge(result, part, row.who, row.difference, duel, report)
    report.end(result)


def judge(result: dict[str, Any], part: str, who: str, difference: float | None, duel: Duel, report: Report) -> None:
    """A line where tokens are too far from what they should be."""
    if difference is not None and not difference <= duel.bound:  # which may be no number
        text = f"{who}: its tokens are {difference:.1e} from {duel.reference}, more than {duel.bound:.0e}"
        report.fail(result, part, ValueError(text))


def main() -> None:
    """Measures and prints."""
    args = parser().parse_args()
    settle(args)
    start, names = time.monotonic(), args.model or list(MODELS)
    if args.dtype == "float32":
        torch.backends.cudnn.allow_tf32 = False
    warnings.filterwarnings("ignore")
    report = Report(args, setting_of(args, None))
    report.say(f"\n| model | difference, {args.dtype} | from |\n|---|---|---|" if args.check else f"\n{HEAD}")
    for index, name in enumerate(names):
        now = time.monotonic()
        share = None if args.budget is None else (start + args.budget - now) / (len(names) - index)
        run(name, setting_of(args, None if share is None else now + share), args, report)
        if args.device.type == "cuda":
            torch.cuda.empty_cache()
    if not args.check:
        report.summary()
    sys.exit(report.failed)


if __name__ == "__main__":
    main()
