"""Vision encoders: from packed patches of any strategy to the tokens that a language model receives.

Configurations and costs (`Plan.cost`) need only numpy; models and `VisionEncoder` need torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vlmres.encoder.architectures import CheckpointError
from vlmres.encoder.checkpoint.config import load_config
from vlmres.encoder.config import EncoderConfig
from vlmres.encoder.cost import Cost

if TYPE_CHECKING:
    from vlmres.encoder.api import VisionEncoder
    from vlmres.encoder.layout.batch import Layout, build_layout
    from vlmres.encoder.nn.model import VisionModel
    from vlmres.encoder.runtime.output import EncoderOutput

__all__ = [
    "CheckpointError",
    "Cost",
    "EncoderConfig",
    "EncoderOutput",
    "Layout",
    "VisionEncoder",
    "VisionModel",
    "build_layout",
    "load_config",
]

# Names whose modules import torch, and the modules.
_WITH_TORCH = {
    "EncoderOutput": "runtime.output",
    "Layout": "layout.batch",
    "VisionEncoder": "api",
    "VisionModel": "nn.model",
    "build_layout": "layout.batch",
}


def __getattr__(name: str) -> Any:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_WITH_TORCH[name]}")
    except ModuleNotFoundError as error:
        if error.name in ("torch", "safetensors"):
            raise ModuleNotFoundError(
                f"{name} needs {error.name}: pip install 'vlmres[encoder]'", name=error.name
            ) from None
        raise
    return getattr(module, name)
