"""What a machine has, and which kernels load, are right and how fast. Run by `benches/gpu_day.py`, first of all.

    python -m benches.encoder.environment --device cuda

A line for each; what fails is a line. It ends with an error where no kernel is right.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from benches.encoder.devices import device_name, versions
from benches.encoder.peer import relative_error

from vlmres.encoder.layout.segments import Segments
from vlmres.encoder.nn.attention import Backend, _choose, attend, choose_backend

if TYPE_CHECKING:
    from collections.abc import Callable

# Of CLIP, SigLIP so400m, Qwen2-VL, InternViT-6B, and SAM with its relative positions of 64x64 patches.
HEAD_DIMS = (64, 72, 80, 128, 192)
# Of kernels in 16 bits against float32.
NEAR = 2e-2


def say(name: str, value: str) -> None:
    """A line, at once."""
    print(f"{name}: {value}", flush=True)


def attempt(name: str, call: Callable[[], str]) -> bool:
    """A line with what a call gives, or with what went wrong; whether nothing did."""
    try:
        say(name, call())
    except Exception as error:  # of drivers and kernels: whatever it is, it is a line
        say(name, f"failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        return False
    return True


def timed(call: Callable[[], Any], device: torch.device, rounds: int = 5) -> float:
    """Seconds of the fastest of some rounds, after one that warms up."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def driver() -> str:
    """As its tool says."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "no nvidia-smi"
    fields = "--query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit,mig.mode.current"
    return subprocess.run([tool, fields, "--format=csv,noheader"], capture_output=True, text=True, timeout=20).stdout


def properties(device: torch.device) -> str:
    """Of the device, as torch says."""
    if device.type != "cuda":
        return f"{os.cpu_count()} processors, {torch.get_num_threads()} threads of torch"
    found = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    return (
        f"compute capability {found.major}.{found.minor}, {found.multi_processor_count} multiprocessors, "
        f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free, cuDNN {torch.backends.cudnn.version()}"
    )


def products(device: torch.device) -> str:
    """Speed of one large product in bfloat16: what MFU could be at most."""
    side = 8192 if device.type == "cuda" else 256
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return f"{2 * side**3 / timed(lambda: a @ b, device) / 1e12:.1f} TFLOP/s"


def memory(device: torch.device) -> str:
    """Bytes read and written a second by a copy."""
    size = 2**30 if device.type == "cuda" else 2**22
    a = torch.zeros(size, device=device, dtype=torch.uint8)
    b = torch.empty_like(a)
    return f"{2 * size / timed(lambda: b.copy_(a), device) / 1e12:.2f} TB/s"


def kernel(name: Backend, device: torch.device) -> str:
    """Errors against float32 for each head dim, and the speed of the widest use.

    Raises:
        ValueError: It cannot be used here, or is wrong.
    """
    os.environ["VLMRES_ATTENTION"] = name
    _choose.cache_clear()
    dtype = torch.bfloat16
    choose_backend(device, dtype)
    is_large = device.type == "cuda"
    lengths = np.array([4096, 1, 7140, 1024, 1024, 63, 576, 257] if is_large else [40, 1, 17, 8, 8])
    segments = Segments.of(lengths, group=name == "sdpa")
    for field in ("cu_seqlens", "permutation", "inverse"):
        value = getattr(segments, field)
        if value is not None:
            setattr(segments, field, value.to(device))
    errors, found = [], []
    for dim in HEAD_DIMS:
        q, k, v = (torch.randn(int(lengths.sum()), 16, dim, device=device, dtype=dtype) for _ in range(3))
        scale = dim**-0.5

        def call(q: torch.Tensor = q, k: torch.Tensor = k, v: torch.Tensor = v, scale: float = scale) -> torch.Tensor:
            return attend(q, k, v, segments, scale)

        wanted, start = [], 0
        for length in lengths.tolist():
            a, b, c = (part[start : start + length].float().transpose(0, 1) for part in (q, k, v))
            own = torch.nn.functional.scaled_dot_product_attention(a, b, c, scale=scale)
            wanted.append(own.transpose(0, 1))
            start += length
        errors.append(relative_error(call(), torch.cat(wanted)))
        if not errors[-1] <= NEAR:
            raise ValueError(f"its result for heads of {dim} is {errors[-1]:.1e} from float32's")
        flops = 4 * 16 * dim * int((lengths**2).sum())
        found.append(f"{dim}: {flops / timed(call, device) / 1e12:.1f}")
    return f"right to {max(errors):.1e}; TFLOP/s by head dim: {', '.join(found)}"


def main() -> None:
    """All lines."""
    parser = argparse.ArgumentParser("benches.encoder.environment")
    parser.add_argument("--device", type=torch.device, default="cuda")
    device = parser.parse_args().device
    say("versions", ", ".join(f"{name} {version}" for name, version in versions().items()))
    attempt("driver", driver)
    if not attempt("device", lambda: f"{device_name(device)}; {properties(device)}"):
        sys.exit(1)
    with torch.inference_mode():
        attempt("attention by default", lambda: choose_backend(device, torch.bfloat16))
        right = [attempt(f"attention {name}", functools.partial(kernel, name, device)) for name in get_args(Backend)]
        attempt("products in bfloat16", lambda: products(device))
        attempt("copies", lambda: memory(device))
    sys.exit(not any(right))


if __name__ == "__main__":
    main()
