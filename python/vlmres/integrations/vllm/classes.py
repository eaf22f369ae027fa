"""vLLM's own classes that make pixels: those that vlmres accelerates, and those that it leaves, with the reason."""

from __future__ import annotations

from typing import NamedTuple

from vlmres.integrations.vllm import deepseek, internvl, kimi, media, ovis, step3
from vlmres.integrations.vllm.hooks import Hook

HOOKS: tuple[Hook, ...] = (
    internvl.IMAGES,
    internvl.VIDEOS,
    internvl.H2OVL,
    internvl.NEMOTRON,
    internvl.NEMOTRON_EMBED,
    deepseek.OCR,
    deepseek.VL2,
    kimi.HOOK,
    ovis.OVIS,
    ovis.OVIS2_5,
    step3.HOOK,
    media.LOADER,
)


class Left(NamedTuple):
    """A class that stays vLLM's."""

    module: str
    cls: str
    models: str
    reason: str


_OWN = "vllm.transformers_utils.processors"
_FLOATS = "no recipe has its rule of sizes, or its resize of float tensors"
_SIZES = "no recipe has its rule of sizes"
_THIN = "its rule for thin images is not that of transformers' class of this name"

LEFT: tuple[Left, ...] = (
    Left(
        f"{_OWN}.pixtral",
        "MistralCommonImageProcessor",
        "Mistral's own checkpoint format",
        "not hooked; `mistral-common` follows the encoder that it calls, where OpenCV runs without IPP",
    ),
    Left(
        f"{_OWN}.nano_nemotron_vl",
        "NanoNemotronVLProcessor",
        "Nemotron Nano VL 2 and Nemotron 3 Nano Omni",
        "torch.compile makes its arithmetic, and the tokens of a prompt decide an image's size",
    ),
    Left(
        "vllm.models.deepseek_v4.common.mm_preprocess",
        "DeepseekV4VLImageProcessor",
        "DeepSeek V4",
        "no recipe has its search for a size",
    ),
    Left(
        "vllm.models.deepseek_v41.common.mm_preprocess",
        "DeepseekV4VLImageProcessor",
        "DeepSeek V4.1",
        "no recipe has its search for a size",
    ),
    Left("vllm.models.dots3_note.common.processor", "Dots3NoteImageProcessor", "dots3-note", _SIZES),
    Left(f"{_OWN}.cosmos3_edge", "Cosmos3EdgeImageProcessor", "Cosmos3 Edge", _FLOATS),
    Left(f"{_OWN}.cosmos3_edge", "Cosmos3EdgeVideoProcessor", "Cosmos3 Edge", _FLOATS),
    Left(f"{_OWN}.inkling", "InklingImageProcessor", "Inkling", _SIZES),
    Left(f"{_OWN}.isaac", "IsaacImageProcessor", "Isaac", _FLOATS),
    Left(f"{_OWN}.minimax_m3", "MiniMaxM3VLImageProcessor", "MiniMax-M3", _THIN),
    Left(f"{_OWN}.minimax_m3", "MiniMaxM3VLVideoProcessor", "MiniMax-M3", _THIN),
    Left(f"{_OWN}.mimo_v2_omni", "MiMoVLProcessor", "MiMo V2 Omni", _FLOATS),
    Left(f"{_OWN}.moondream3", "Moondream3Processor", "Moondream 3", "no recipe has its crops, which overlap"),
    Left(f"{_OWN}.muse_glimmer", "MuseGlimmerImageProcessor", "Muse Glimmer", _SIZES),
    Left(f"{_OWN}.muse_glimmer", "MuseGlimmerVideoProcessor", "Muse Glimmer", _SIZES),
    Left(f"{_OWN}.openvla", "OpenVLAImageProcessor", "OpenVLA", "no recipe normalises one image in two ways"),
)
