"""vLLM's settings."""

VLLM_MAX_IMAGE_PIXELS = 1_000_000
