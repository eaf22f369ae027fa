"""Devices on which the encoder runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# ROCm's devices are called "cuda" too; tensors on "meta" have no values.
_KNOWN = ("cpu", "cuda", "meta")


def check_device(device: torch.device) -> None:
    """Refuses unsupported devices: Apple's and Intel's GPUs, and other accelerators.

    Raises:
        ValueError: The device is neither a CPU nor CUDA.
    """
    if device.type not in _KNOWN:
        raise ValueError(f"the encoder runs on cpu and cuda, not on {device.type}; use device='cpu'")
