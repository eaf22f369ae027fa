"""vLLM's own classes that vlmres accelerates."""

from __future__ import annotations

from vlmres.integrations.vllm import deepseek, internvl, kimi, media
from vlmres.integrations.vllm.hooks import Hook

HOOKS: tuple[Hook, ...] = (internvl.IMAGES, internvl.VIDEOS, deepseek.OCR, deepseek.VL2, kimi.HOOK, media.LOADER)
