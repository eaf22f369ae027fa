"""What a device is called, and how fast it could be."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

import torch

import vlmres

# Dense bfloat16 (and float16) TFLOP/s with float32 sums, of NVIDIA's data sheets, which give twice that "with
# sparsity". Names are words of a device's name; of several that fit, that of most words counts.
PEAKS = {
    # HGX B200 and GB200 at 1000 W and 1200 W.
    "B200": 2250,
    "GB200": 2500,
    # H100: 1979, 1671 and 1513 with sparsity for SXM, NVL and PCIe. H200: SXM as H100's, NVL 1671.
    "H100": 989.4,
    "H100 NVL": 835.5,
    "H100 PCIe": 756.5,
    "H200": 989.4,
    "H200 NVL": 835.5,
    "GH200": 989.4,
    "H20": 148,
    # Ampere's white paper and data sheets: SXM and PCIe alike.
    "A100": 312,
    "A40": 149.7,
    "A30": 165,
    "A10": 125,
    # Ada's data sheets.
    "L40S": 362,
    "L40": 181,
    "L4": 121,
    "4090": 165.2,
}


def peak_products(name: str, dtype: str) -> float | None:
    """Floating-point operations a second of a device in 16 bits; None where it is not known."""
    words = set(name.replace("-", " ").split())
    # A part of a device has a part of its speed.
    if dtype == "float32" or "MIG" in words:
        return None
    fitting = [known for known in PEAKS if words.issuperset(known.split())]
    return PEAKS[max(fitting, key=lambda known: len(known.split()))] * 1e12 if fitting else None


def device_name(device: torch.device) -> str:
    """For people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of what results depend on."""
    found = {"Python": platform.python_version(), "CUDA": torch.version.cuda or "none", "vlmres": vlmres.__version__}
    for name in ("torch", "torchvision", "transformers", "flash-attn", "flash-attn-3", "flash-attn-4"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
