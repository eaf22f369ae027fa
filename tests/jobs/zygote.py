"""Commands in forks of one process that has imported all, so that many runs cost little; some are killed.

    python -m tests.jobs.zygote ...    # answers each line of JSON {"arguments", "moment"} with a line of JSON

A moment is a number of steps of the main thread in the package of jobs: calls, returns, and calls of what Python is
written in, such as writing, syncing and renaming files. The answer has the exit code, and how many steps there were.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from vlmres.cli import jobs
from vlmres.cli.app import app


def main() -> None:
    """Serves until there are no more lines."""
    if "encode" in sys.argv:
        import torch

        import vlmres.cli.jobs.encode  # noqa: F401

        torch.empty(1, device="meta").normal_()  # imports much at its first call, as building a model does
    for line in sys.stdin:
        task = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _run(task, writer)
        os.close(writer)
        with os.fdopen(reader) as answer:
            steps = answer.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(json.dumps({"code": code, "steps": int(steps or -1)}) + "\n")
        sys.stdout.flush()


def _run(task: dict[str, Any], writer: int) -> None:
    (package,) = jobs.__path__
    steps = 0

    def count(frame: Any, *_: Any) -> None:
        nonlocal steps
        if frame.f_code.co_filename.startswith(package):
            if steps == task["moment"]:
                os.kill(os.getpid(), signal.SIGKILL)
            steps += 1

    code = 1
    log = os.open(os.devnull, os.O_WRONLY)
    os.dup2(log, 1)
    sys.setprofile(count)
    try:
        app(task["arguments"])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    finally:
        sys.setprofile(None)
        os.write(writer, str(steps).encode())
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
