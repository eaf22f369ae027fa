"""SGLang's plugin: with `VLMRES_SGLANG=1` in the environment, SGLang preprocesses with vlmres.

SGLang loads processors through transformers' auto classes, which `install` wraps. With CUDA it preprocesses on the GPU
(`device="cuda:N"` in each call). An accelerated processor stays on the CPU instead, and its pixels are those of the CPU
backend. It then uses as many workers as SGLang has for preprocessing on the CPU.
"""

from __future__ import annotations

from typing import Any

from vlmres.integrations.operations.switches import asked

ENABLE = "VLMRES_SGLANG"
LOGGER = "sglang.vlmres"

_BASE = "sglang.srt.multimodal.processors.base_processor.BaseMultimodalProcessor"


def register() -> None:
    """Called by SGLang in each of its processes. It does and imports nothing unless `VLMRES_SGLANG` is set."""
    if asked(ENABLE):
        enable()


def enable() -> None:
    """Switches vlmres on in this process of SGLang; called while SGLang loads its plugins.

    Raises:
        ValueError: `VLMRES_VERIFY` is not a number from 0 to 1.
    """
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    from vlmres.integrations.operations import log, shadow, share
    from vlmres.integrations.operations.counters import counters
    from vlmres.integrations.transformers import install

    shadow.share()
    log.use(LOGGER)
    counters.export()
    share.enable()
    install()
    HookRegistry.register(f"{_BASE}._fast_image_processor_device", device, HookType.AROUND)
    HookRegistry.register(f"{_BASE}._preprocessing_competes_with_the_scheduler", competes, HookType.AROUND)


def device(original: Any, processor: Any, loaded: Any) -> str | None:
    """The device of a call: None if it would be CUDA and vlmres computes the pixels."""
    chosen: str | None = original(processor, loaded)
    return None if chosen is not None and chosen.startswith("cuda") and _runs_here(loaded) else chosen


def competes(original: Any, processor: Any) -> bool:
    """Whether SGLang preprocesses on the accelerator."""
    return not _runs_here(processor._processor) and bool(original(processor))


def _runs_here(loaded: Any) -> bool:
    """Whether vlmres processes the images of a transformers processor."""
    from vlmres.integrations.transformers.drop_in import Accelerated

    return isinstance(getattr(loaded, "image_processor", None), Accelerated)
