"""vLLM's look at a model's class, which costs a process that imports vLLM and torch anew for each architecture."""

from typing import Any


def inspect_here() -> None:
    """Has this process look at the classes itself, whose modules it imports anyway."""
    from vllm.model_executor.models import registry

    module: Any = registry
    assert callable(module._run_in_subprocess)
    module._run_in_subprocess = lambda function: function()
