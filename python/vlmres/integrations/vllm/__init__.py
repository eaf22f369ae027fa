"""vLLM's plugin: with `VLMRES_VLLM=1` in the environment, what vLLM preprocesses runs on vlmres.

`plugin` switches it on; `gates` is where vLLM loads processors, `constructed` where it makes them; `hooks` replaces
methods of vLLM's own classes, with the table of them in `classes`; `media` decodes.
"""

from vlmres.integrations.operations.switches import asked

ENABLE = "VLMRES_VLLM"


def register() -> None:
    """Called by vLLM in each of its processes; does nothing, and imports nothing, unless `VLMRES_VLLM` asks for it."""
    if asked(ENABLE):
        from vlmres.integrations.vllm.plugin import enable

        enable()
