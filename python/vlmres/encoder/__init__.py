"""Vision encoders: packed patches of any strategy to the tokens that a language model receives. Needs torch."""

from vlmres.encoder.architectures import CheckpointError
from vlmres.encoder.config import EncoderConfig
from vlmres.encoder.cost import Cost, cost
from vlmres.encoder.layout import Layout, build_layout
from vlmres.encoder.model import VisionModel
from vlmres.encoder.pipeline import EncoderOutput, VisionEncoder
from vlmres.encoder.weights import load_config

__all__ = [
    "CheckpointError",
    "Cost",
    "EncoderConfig",
    "EncoderOutput",
    "Layout",
    "VisionEncoder",
    "VisionModel",
    "build_layout",
    "cost",
    "load_config",
]
