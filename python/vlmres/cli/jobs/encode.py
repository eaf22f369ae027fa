"""A run of `vlmres encode`: shards of tokens."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import vlmres
from vlmres.cli import output
from vlmres.cli.jobs.base import Job
from vlmres.documents import AUTHORS_DPI

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from vlmres._core import Plan
    from vlmres.cli.items import Dpi
    from vlmres.cli.jobs.base import Advance, Source
    from vlmres.encoder import VisionEncoder
    from vlmres.encoder.runtime.settings import Preprocessing
    from vlmres.encoder.runtime.stream import EncodedGroup


class EncodeJob(Job):
    """Images, an encoder, and their tokens in a folder."""

    command = "encode"

    def __init__(
        self,
        files: Sequence[Path],
        folder: Path,
        encoder: VisionEncoder,
        checkpoint: Path,
        shard_size: int,
        preprocessing: Preprocessing,
        dpi: Dpi = AUTHORS_DPI,
    ) -> None:
        assert encoder.recipe is not None
        processor = vlmres.Processor(encoder.recipe, "packed", encoder.input_dtype, **preprocessing)
        super().__init__(files, folder, processor, shard_size, dpi)
        self.encoder, self.preprocessing = encoder, preprocessing
        weights = sorted(checkpoint.glob("*.safetensors"))
        stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in weights]
        self.settings |= {
            "dtype": str(encoder.dtype).removeprefix("torch."),
            "checkpoint": str(checkpoint.resolve()),
            "weights": [list(stamp) for stamp in stamps],
            "encoder": _digest(encoder),
        }

    def tensor_bytes(self, plan: Plan) -> int:
        """Bytes of an image's patches and tokens."""
        return super().tensor_bytes(plan) + self.shard_bytes(plan)

    def shard_bytes(self, plan: Plan) -> int:
        """Bytes of an image's tokens."""
        config = self.encoder.config
        # A bare vision tower has other tokens than the recipe's model: at most one per merged patch.
        tokens = plan.num_tokens if config.projector else plan.num_patches // config.merge**2
        values = tokens * config.hidden * (1 + len(config.towers[0].taps))
        return values * self.encoder.dtype.itemsize

    def make(
        self, wanted: Iterator[list[Source]], advance: Advance
    ) -> Iterator[tuple[dict[str, NDArray[Any]], list[dict[str, Any]]]]:
        """Tokens and starts of images; for each image its index, number and rows of tokens, or its error.

        The device works without a pause between shards. Tokens of one group are copied to the host while the next group
        runs.
        """
        started: deque[_Pieces] = deque()
        first = 0

        def noted() -> Iterator[list[Source]]:
            nonlocal first
            for files in wanted:
                started.append(_Pieces(first, len(files)))
                first += len(files)
                yield files

        before: _Copy | None = None
        groups = self.encoder.stream_lists(noted(), "images", self.preprocessing)
        for group in chain(groups, [None]):
            copy = None if group is None else _Copy(group)
            if before is not None:
                started[0].add(before)
                advance(before.group.count, kept=False)
                if started[0].is_whole:
                    yield started.popleft().result()
            before = copy


class _Copy:
    """A group, and its tensors while they are copied to the host."""

    def __init__(self, group: EncodedGroup) -> None:
        self.group = group
        self._tensors: dict[str, torch.Tensor] = {}
        self._done: torch.cuda.Event | None = None
        found, group.output = group.output, None
        if found is not None:
            levels = {f"deepstack.{level}": tokens for level, tokens in enumerate(found.deepstack)}
            tensors = {"tokens": found.tokens, **levels}
            self.lengths: list[int] = torch.diff(found.cu_seqlens).tolist()
            is_cuda = found.tokens.is_cuda
            self._tensors = {key: tensor.to("cpu", non_blocking=is_cuda) for key, tensor in tensors.items()}
            if is_cuda:
                self._done = torch.cuda.Event()
                self._done.record(torch.cuda.current_stream(found.tokens.device))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The tensors in ordinary memory, so that little memory stays page-locked."""
        if self._done is not None:
            self._done.synchronize()
        return {key: _array(tensor) for key, tensor in self._tensors.items()}


@dataclass
class _Pieces:
    """Collects the tokens of a shard's files, group by group."""

    first: int
    """Index in the run of the first file."""
    size: int
    """How many files there are."""
    count: int = 0
    """How many are done."""
    lengths: dict[int, int] = field(default_factory=dict)
    """Tokens by index in the shard."""
    errors: dict[int, Exception] = field(default_factory=dict)
    pieces: dict[str, list[NDArray[Any]]] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether all are done."""
        return self.count == self.size

    def add(self, copy: _Copy) -> None:
        """Adds a group."""
        group = copy.group
        self.count += group.count
        self.errors |= {index - self.first: error for index, error in group.errors.items()}
        if group.indices:
            indices = (index - self.first for index in group.indices)
            self.lengths |= dict(zip(indices, copy.lengths, strict=True))
        for key, array in copy.arrays().items():
            self.pieces.setdefault(key, []).append(array)

    def result(self) -> tuple[dict[str, NDArray[Any]], list[dict[str, Any]]]:
        """The arrays, and what the manifest says of each image."""
        arrays: dict[str, NDArray[Any]] = {}
        # One key after another, so that only one is in memory twice.
        for key in list(self.pieces):
            arrays[key] = _joined(self.pieces.pop(key))
        if arrays:
            arrays["cu_seqlens"] = np.cumsum([0, *self.lengths.values()], dtype=np.int32)
        images: list[dict[str, Any]] = []
        end = 0
        for index in range(self.size):
            if index in self.errors:
                images.append({"index": index, "error": output.reason(self.errors[index])})
                continue
            start, end = end, end + self.lengths[index]
            rows = {key: [start, end] for key in arrays if key != "cu_seqlens"}
            images.append({"index": index, "tokens": end - start, "rows": rows})
        return arrays, images


def _joined(pieces: list[NDArray[Any]]) -> NDArray[Any]:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _digest(encoder: VisionEncoder) -> str:
    """A hash of the encoder's configuration, which changes with any part of it."""
    text = f"{encoder.config!r} {encoder.input_dtype}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    """A copy of the tensor as an array; bfloat16 as its bits in uint16."""
    array: NDArray[Any] = (tensor.view(torch.uint16) if tensor.dtype is torch.bfloat16 else tensor).numpy()
    return array.copy()
