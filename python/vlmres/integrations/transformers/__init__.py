"""A drop-in for transformers' image processors: the same objects, with pixels computed by vlmres.

    >>> from vlmres.integrations.transformers import accelerate
    >>> processor = accelerate(AutoProcessor.from_pretrained("Qwen/Qwen3-VL-2B-Instruct"))  # doctest: +SKIP

or, once at the start of a program that loads its processors itself,

    >>> from vlmres.integrations.transformers import install
    >>> install()  # doctest: +SKIP

What vlmres does not reproduce bit for bit is left to transformers; the logger `vlmres.integrations.transformers` warns
of it once, with the reason.
"""

try:
    import transformers.image_processing_backends  # noqa: F401
except ImportError as error:
    raise ImportError(f"vlmres.integrations.transformers needs transformers 5.16 or later: {error}") from error

from vlmres.integrations.transformers.auto import install, uninstall
from vlmres.integrations.transformers.drop_in import accelerate

__all__ = ["accelerate", "install", "uninstall"]
