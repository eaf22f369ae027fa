"""Page-locking shared memory for CUDA, and knowing when copies from it are done."""

from __future__ import annotations

import logging
from typing import Any

import torch

logger = logging.getLogger("vlmres.integrations.torch")

_said = False


def is_used() -> bool:
    """Whether this process uses CUDA already. It is not begun for the question."""
    return bool(torch.cuda.is_initialized())


def register(address: int, nbytes: int) -> bool:
    """Page-locks memory, so that `pin_memory` copies nothing; whether the driver did."""
    global _said
    code = int(torch.cuda.cudart().cudaHostRegister(address, nbytes, 0))
    if code and not _said:
        _said = True
        logger.warning("shared_collate: CUDA cannot page-lock shared memory (error %d): pinning copies it", code)
    return code == 0


def unregister(address: int) -> None:
    """Ends it."""
    torch.cuda.cudart().cudaHostUnregister(address)


def marks() -> list[Any]:
    """Events behind all that was asked of the devices until now, on the streams that are this thread's current ones."""
    found = []
    for device in range(torch.cuda.device_count()):
        if torch._C._cuda_hasPrimaryContext(device):
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(device))
            found.append(event)
    return found
