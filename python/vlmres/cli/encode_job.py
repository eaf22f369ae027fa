"""A run of `vlmres encode`: images to a folder of shards of tokens."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch

import vlmres
from vlmres.cli import output
from vlmres.cli.job import Job
from vlmres.encoder.parts import EncoderOutput

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from vlmres.encoder import VisionEncoder


class EncodeJob(Job):
    """Images, an encoder, and what becomes of them in a folder."""

    def __init__(
        self,
        files: Sequence[Path],
        folder: Path,
        encoder: VisionEncoder,
        checkpoint: Path,
        shard_size: int,
        threads: int | None,
    ) -> None:
        assert encoder.recipe is not None
        processor = vlmres.Processor(encoder.recipe, "packed", "uint8", num_threads=threads)
        super().__init__(files, folder, processor, shard_size)
        self.encoder, self.threads = encoder, threads
        weights = sorted(checkpoint.glob("*.safetensors"))
        stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in weights]
        self.settings |= {
            "dtype": str(encoder.dtype).removeprefix("torch."),
            "checkpoint": str(checkpoint.resolve()),
            "weights": [list(stamp) for stamp in stamps],
            "encoder": _digest(encoder),
        }

    def make(self, paths: list[str]) -> tuple[dict[str, NDArray[Any]], list[dict[str, Any]]]:
        """Tokens and where images start; and path, index, size and rows of each image, or its error."""
        outputs: list[EncoderOutput] = []
        errors: dict[int, Exception] = {}
        for group in self.encoder.stream(paths, num_threads=self.threads):
            errors |= group.errors
            if group.output is not None:
                outputs.append(group.output)
        images: list[dict[str, Any]] = []
        tensors: dict[str, torch.Tensor] = {}
        if outputs:
            joined = EncoderOutput.join(outputs)
            tensors = {"tokens": joined.tokens, "cu_seqlens": joined.cu_seqlens}
            tensors |= {f"deepstack.{level}": tokens for level, tokens in enumerate(joined.deepstack)}
        bounds = tensors["cu_seqlens"].tolist() if outputs else [0]
        place = 0
        for index, path in enumerate(paths):
            if index in errors:
                images.append({"path": path, "index": index, "error": output.reason(errors[index])})
                continue
            rows = [bounds[place], bounds[place + 1]]
            images.append({"path": path, "index": index, "tokens": rows[1] - rows[0], "rows": {"tokens": rows}})
            place += 1
        return {key: _array(tensor) for key, tensor in tensors.items()}, images


def _digest(encoder: VisionEncoder) -> str:
    """What changes with anything that configuration files say of the encoder: a hash of its pieces."""
    text = f"{encoder.config!r} {encoder.input_dtype}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    """The tensor as an array; bfloat16 as its bits."""
    tensor = tensor.cpu().contiguous()
    array: NDArray[Any] = (tensor.view(torch.uint16) if tensor.dtype is torch.bfloat16 else tensor).numpy()
    return array
