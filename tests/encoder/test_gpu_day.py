"""The script of a GPU's first hour: whatever fails in it is a line, and a second call goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from benches import gpu_day
from benches.encoder import environment
from benches.encoder.models import MODELS
from benches.gpu_day import Day, Outcome, Step

ROOT = Path(__file__).parents[2]


def step(name: str, code: str, share: float = 1) -> Step:
    """Some Python in a process."""
    return Step(name, (sys.executable, "-c", code), share)


def statuses(day: Day) -> dict[str, str]:
    """Of what ended."""
    return {name: outcome.status for name, outcome in day.ended().items()}


def test_what_fails_is_a_line_and_a_second_call_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marker = tmp_path / "second"
    hangs = f"""
import pathlib, subprocess, sys, time
print("begun", flush=True)
if not pathlib.Path({str(marker)!r}).exists():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(child.pid, flush=True)
    time.sleep(600)
"""
    todo = [
        step("good", "print('all | well')"),
        step("raises", "raise ValueError('no such kernel')"),
        step("crashes", "import os, signal; print('before'); os.kill(os.getpid(), signal.SIGSEGV)"),
        Step("missing", (str(tmp_path / "no-such-program"),), 1),
        step("hangs", hangs, share=0.01),
        step("last", "print('still here')"),
    ]
    assert not Day(tmp_path, todo, 60).run()
    day = Day(tmp_path, todo, 60)
    assert statuses(day) == {
        "good": "ok",
        "raises": "failed",
        "crashes": "failed",
        "missing": "failed",
        "hangs": "time",
        "last": "ok",
    }
    ended = day.ended()
    assert ended["raises"].detail == "ValueError: no such kernel"
    assert ended["crashes"].detail == "ended by signal 11: before"
    text = capsys.readouterr().out
    assert "| good | ok | 0 | all / well |" in text
    assert re.search(r"\| hangs \| time \| \d+ \| 5 s were not enough, a later call begins it again: \d+ \|", text)
    assert text.endswith("\ncall again for hangs\n")
    begun, child = (tmp_path / "hangs.log").read_text().split()
    assert begun == "begun"
    # What a step began ends with it.
    assert not is_alive(child)
    # The line of a step that was cut while it was written is none.
    with day.file.open("a") as file:
        file.write('{"step": "last", "status": "fai')
    marker.touch()
    assert not day.run()
    text = capsys.readouterr().out
    assert "== hangs" in text
    assert "== good" not in text
    assert "== raises" not in text
    assert statuses(day)["hangs"] == "ok"
    assert "call again" not in text
    day.forget(["raises"])
    assert not day.run()
    assert "== raises" in capsys.readouterr().out


def test_no_step_begins_without_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    todo = [step("first", "pass"), step("second", "pass")]
    start = time.monotonic()
    assert not Day(tmp_path, todo, 0).run()
    assert time.monotonic() - start < 5
    text = capsys.readouterr().out
    assert "no time is left for first, second\n" in text
    assert text.endswith("\ncall again for first, second\n")
    assert "| first | time | 0 | not begun |" in text
    assert Day(tmp_path, todo, 60).run()


def test_a_second_call_gives_more_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twice what was too little, though others wait; after what was never begun, and what had less."""
    todo = [step("slower", "pass"), step("slow", "pass"), *(step(f"other{index}", "pass") for index in range(9))]
    day = Day(tmp_path, todo, 200)
    day._write(Outcome("slower", "time", 60.0, ""))
    day._write(Outcome("slow", "time", 20.0, ""))
    assert day.run()
    begun = re.findall(r"== (\w+): at most (\d+) s", capsys.readouterr().out)
    assert [name for name, _ in begun] == [*(f"other{index}" for index in range(9)), "slow", "slower"]
    day = Day(tmp_path, todo[:2], 100)
    day._write(Outcome("slower", "time", 60.0, ""))
    day._write(Outcome("slow", "time", 20.0, ""))
    assert day.run()
    begun = re.findall(r"== (\w+): at most (\d+) s", capsys.readouterr().out)
    # A fourth of the call is less than that.
    assert begun[0] == ("slow", "40")


def test_what_had_more_than_is_left_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With less time than was too little it would be lost; others that need less are done before."""
    todo = [step("long", "pass"), step("never", "pass"), step("longer", "pass"), step("short", "pass")]
    day = Day(tmp_path, todo, 100)
    for name, seconds in (("longer", 400.0), ("long", 300.0), ("short", 30.0)):
        day._write(Outcome(name, "time", seconds, "cut"))
    assert not day.run()
    text = capsys.readouterr().out
    assert re.findall(r"== (\w+):", text) == ["never", "short"]
    assert "no time is left for long (300 s were not enough), longer (400 s were not enough)\n" in text
    assert "| long | time | 300 | cut |" in text
    assert text.endswith("\ncall again for long, longer\n")
    # Where nothing else can be done it is begun all the same, with all that there is.
    assert not Day(tmp_path, todo, 100).run()
    text = capsys.readouterr().out
    assert re.findall(r"== (\w+):", text) == ["long"]
    assert "no time is left for longer (400 s were not enough)\n" in text
    assert statuses(day) == {"longer": "time", "long": "ok", "short": "ok", "never": "ok"}
    assert Day(tmp_path, todo, 450).run()
    assert statuses(day)["longer"] == "ok"


def test_what_a_stopped_step_compiled_last_is_dropped(tmp_path: Path) -> None:
    """A compiler that is stopped may leave a library cut; what was complete is there for the next call."""
    write = """
import os, pathlib, time
folder = pathlib.Path(os.environ["TORCHINDUCTOR_CACHE_DIR"], "ab")
folder.mkdir(parents=True)
for name, age in (("complete.so", 600), ("cut.so", 0)):
    (folder / name).write_bytes(b"")
    os.utime(folder / name, (time.time() - age, time.time() - age))
"""
    todo = [step("ends", write), step("hangs", write + "time.sleep(60)")]
    assert not Day(tmp_path, todo, 12).run()
    assert kept(tmp_path, "ends") == ["complete.so", "cut.so"]
    assert kept(tmp_path, "hangs") == ["complete.so"]


def kept(folder: Path, name: str) -> list[str]:
    """Libraries of a step."""
    return sorted(path.name for path in (folder / "compiled" / name).rglob("*.so"))


def test_a_step_ends_with_the_day(tmp_path: Path) -> None:
    code = f"""
import pathlib, sys
from benches.gpu_day import Day, Step, end_with_steps
end_with_steps()
hangs = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
Day(pathlib.Path({str(tmp_path)!r}), [Step("hangs", (sys.executable, "-c", hangs), 1)], 600).run()
"""
    with subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as day:
        assert day.stdout is not None
        child = next(line.strip() for line in day.stdout if line.strip().isdigit())
        day.terminate()
        assert day.wait(60) == 128 + signal.SIGTERM
    assert not is_alive(child)


def is_alive(process: str) -> bool:
    """Whether a process still runs, by its id."""
    return Path(f"/proc/{process}").exists() and " Z " not in Path(f"/proc/{process}/stat").read_text()


def test_a_step_is_told_its_time(tmp_path: Path) -> None:
    code = "import sys; print(sys.argv[1:])"
    todo = [Step("told", (sys.executable, "-c", code), 3, has_budget=True), step("other", "pass", share=1)]
    Day(tmp_path, todo, 100).run()
    assert (tmp_path / "told.log").read_text() == "['--budget', '65']\n"


def test_all_models_in_order() -> None:
    names = [found.name for found in gpu_day.steps("cuda", [], Path("out"))]
    assert names[:6] == ["environment", "tests", "deepseek-ocr", "qwen2.5-vl", "internvl", "qwen2-vl"]
    assert set(MODELS) <= set(names)
    assert len(set(names)) == len(names)
    assert sum(found.share for found in gpu_day.steps("cuda", [], Path("out"))) <= gpu_day.BUDGET


def test_one_step_as_it_is_called(tmp_path: Path) -> None:
    """The environment's, on a CPU; the others get no time."""
    out = tmp_path / "day"
    command = [sys.executable, "-m", "benches.gpu_day", "--device", "cpu", "--tiny", "--out", str(out), "--budget", "6"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ})
    assert done.returncode == 1
    assert "== environment: at most" in done.stdout
    assert "call again" in done.stdout
    assert (out / "environment.log").exists()
    wrong = subprocess.run([*command, "--redo", "abacus"], capture_output=True, text=True, cwd=ROOT)
    assert wrong.returncode == 2
    assert "no step is called abacus: environment, tests, deepseek-ocr" in wrong.stderr


def test_kernels_are_compared(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong kernel is a line that says so."""
    monkeypatch.setenv("VLMRES_ATTENTION", "")
    cpu = torch.device("cpu")
    assert environment.attempt("sdpa", lambda: environment.kernel("sdpa", cpu))
    assert "right to" in capsys.readouterr().out
    monkeypatch.setattr(environment, "attend", lambda q, *_: q)
    assert not environment.attempt("sdpa", lambda: environment.kernel("sdpa", cpu))
    assert "sdpa: failed: ValueError: its result for heads of 64 is" in capsys.readouterr().out
    assert not environment.attempt("flash3", lambda: environment.kernel("flash3", cpu))
    assert "it takes bfloat16 and float16 on CUDA" in capsys.readouterr().out


def test_outcomes_are_read_as_written(tmp_path: Path) -> None:
    day = Day(tmp_path, [step("one", "pass")], 60)
    assert day.ended() == {}
    day.forget(["one"])
    assert day.ended() == {"one": Outcome("one", "time", 0.0, "to be done again")}
