"""The processes of all libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

# Pillow-SIMD calls itself Pillow, so that it lives in a folder of its own.
PILLOW_SIMD = Path(os.environ.get("VLMRES_BENCH_PILLOW_SIMD", Path(sys.prefix) / "pillow-simd"))

# Environments of the processes beside the common one. THP_MEM_ALLOC_ENABLE: torch's allocator asks for huge pages.
PROCESSES: Mapping[str, Mapping[str, str]] = {
    "vlmres": {},
    "vlmres, AVX2": {"VLMRES_FORCE_LEVEL": "avx2"},
    "transformers": {},
    "transformers, huge pages": {"THP_MEM_ALLOC_ENABLE": "1"},
    "hf-processors-rs": {},
    "torch": {},
    "torch, huge pages": {"THP_MEM_ALLOC_ENABLE": "1"},
    "opencv": {},
    "kornia-rs": {},
    "libjpeg-turbo": {},
    "pillow": {},
    "pillow-simd": {"PYTHONPATH": str(PILLOW_SIMD)},
}


class PeerError(Exception):
    """What a contestant raised; `missing` where its library is not installed."""

    def __init__(self, message: str, *, missing: bool) -> None:
        super().__init__(message)
        self.missing = missing


class Fleet:
    """Processes by name, each started when first needed, with the same number of threads."""

    def __init__(self, threads: int) -> None:
        self._threads = str(threads)
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def close(self) -> None:
        """Ends all processes."""
        for process in self._processes.values():
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def ask(self, name: str, do: str, /, **arguments: Any) -> Any:
        """Has a process do something; its answer."""
        process = self._process(name)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            del self._processes[name]
            raise PeerError(f"the process of {name} ended with status {process.wait()}", missing=False)
        reply = json.loads(line)
        if "error" in reply:
            raise PeerError(reply["error"], missing=reply["missing"])
        return reply["value"]

    def clear(self) -> None:
        """Has all processes forget their contestants."""
        for name in list(self._processes):
            self.ask(name, "clear")

    def _process(self, name: str) -> subprocess.Popen[str]:
        if name not in self._processes:
            counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "VLMRES_NUM_THREADS")
            extra = PROCESSES[name]
            paths = (extra.get("PYTHONPATH"), os.environ.get("PYTHONPATH"))
            environment = {
                **os.environ,
                **dict.fromkeys(counts, self._threads),
                **extra,
                "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            }
            command = [sys.executable, "-m", "benches.compare.worker"]
            self._processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        return self._processes[name]
