"""SGLang's plugin: with `VLMRES_SGLANG=1` in the environment, what SGLang preprocesses runs on vlmres.

SGLang loads processors by transformers' auto classes, which `install` wraps. On CUDA it has the GPU preprocess, by
`device="cuda:N"` in each call; a processor that vlmres accelerates stays on the CPU, and its pixels are the CPU's. It
then has as many workers as SGLang gives to preprocessing on the CPU.
"""

from __future__ import annotations

from typing import Any

from vlmres.integrations.operations.switches import asked

ENABLE = "VLMRES_SGLANG"
LOGGER = "sglang.vlmres"

_BASE = "sglang.srt.multimodal.processors.base_processor.BaseMultimodalProcessor"


def register() -> None:
    """Called by SGLang in each of its processes; does nothing, and imports nothing, unless `VLMRES_SGLANG` asks."""
    if asked(ENABLE):
        enable()


def enable() -> None:
    """Switches on all that vlmres does in SGLang, in this process; called while SGLang loads its plugins.

    Raises:
        ValueError: `VLMRES_VERIFY` is no share.
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
    """The device of a call: none where it would be CUDA's and vlmres does the pixels."""
    chosen: str | None = original(processor, loaded)
    return None if chosen is not None and chosen.startswith("cuda") and _runs_here(loaded) else chosen


def competes(original: Any, processor: Any) -> bool:
    """Whether preprocessing is on the accelerator that serves."""
    return not _runs_here(processor._processor) and bool(original(processor))


def _runs_here(loaded: Any) -> bool:
    """Whether vlmres does the images of a processor of transformers."""
    from vlmres.integrations.transformers.drop_in import Accelerated

    return isinstance(getattr(loaded, "image_processor", None), Accelerated)
