"""Runs killed at random moments."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.commands import ENVIRONMENT
from tests.jobs.runs import contents

MOMENTS = 10


def check_kills(command: list[str], out: Path) -> None:
    """A run that is killed and then run again leaves what a run leaves that nothing disturbs: byte by byte, no more.

    Args:
        command: The arguments but the folder.
        out: Folders are made in it.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "tests.jobs.zygote", command[0]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Tiny products are slower on more threads.
        env=ENVIRONMENT | {"OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
    ) as zygote:

        def run(folder: Path, moment: int | None = None) -> dict[str, Any]:
            assert zygote.stdin is not None
            assert zygote.stdout is not None
            arguments = [*command, "-o", str(folder)]
            zygote.stdin.write(json.dumps({"arguments": arguments, "moment": moment}) + "\n")
            zygote.stdin.flush()
            answer: dict[str, Any] = json.loads(zygote.stdout.readline())
            return answer

        whole = run(out / "whole")
        assert whole["code"] == 0
        wanted = contents(out / "whole")
        assert "manifest.json" in wanted
        interrupted = 0
        for moment in sorted(random.Random(7).sample(range(whole["steps"] - 100), MOMENTS)):
            folder = out / str(moment)
            assert run(folder, moment)["code"] == -9
            # Something was there that a run which nothing disturbs does not leave, or something was not.
            interrupted += folder.exists() and contents(folder) != wanted
            assert run(folder)["code"] == 0, moment
            assert contents(folder) == wanted, moment
        assert interrupted >= MOMENTS - 2
        assert zygote.stdin is not None
        zygote.stdin.close()
