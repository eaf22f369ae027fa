"""vLLM's plugin: with `VLMRES_VLLM=1` in the environment, image processors that vLLM loads run on vlmres."""

import os

ENABLE = "VLMRES_VLLM"

_NO = ("", "0", "false", "no", "off")


def register() -> None:
    """Called by vLLM in each of its processes; does nothing, and imports nothing, unless `VLMRES_VLLM` asks for it."""
    if os.environ.get(ENABLE, "").strip().lower() in _NO:
        return
    from vlmres.integrations.transformers import install

    install()
