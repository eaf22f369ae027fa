"""The segments of a packed sequence, as attention kernels want them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass
class Segments:
    """Bounds of the segments of a packed sequence, for every backend."""

    cu_seqlens: torch.Tensor
    """int32 [n + 1]."""
    max_seqlen: int
    runs: tuple[tuple[int, int], ...]
    """(count, length) of runs of equal segments, after `permutation` where there is one."""
    permutation: torch.Tensor | None = None
    """int64 [tokens]: brings equal segments together, so that SDPA takes them as one batch."""
    inverse: torch.Tensor | None = None

    @classmethod
    def of(cls, lengths: NDArray[np.int64], *, group: bool) -> Segments:
        """Segments of given lengths; `group` where the backend is "sdpa"."""
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        permutation = inverse = None
        ordered = lengths
        runs = 1 + np.count_nonzero(np.diff(lengths))
        if group and runs > len(np.unique(lengths)):
            order = np.argsort(lengths, kind="stable")
            ordered = lengths[order]
            moved = np.arange(bounds[-1]) + np.repeat(bounds[order] - (np.cumsum(ordered) - ordered), ordered)
            permutation = torch.from_numpy(moved)
            inverse = torch.empty_like(permutation)
            inverse[permutation] = torch.arange(len(moved))
        changes = np.flatnonzero(np.diff(ordered)) + 1
        counts = np.diff(np.concatenate([[0], changes, [len(ordered)]]))
        values = ordered[np.concatenate([[0], changes])]
        return cls(
            cu_seqlens=torch.from_numpy(bounds.astype(np.int32)),
            max_seqlen=int(lengths.max()),
            runs=tuple(zip(counts.tolist(), values.tolist(), strict=True)),
            permutation=permutation,
            inverse=inverse,
        )


@dataclass
class QuerySegments:
    """Segments of tokens followed by queries: tokens see tokens, a query all tokens and the queries up to itself."""

    whole: Segments
    tokens: Segments
    queries: Segments
    token_index: torch.Tensor
    """int64: where the tokens are in the whole."""
    query_index: torch.Tensor
    pairs: tuple[tuple[int, int], ...]
    """(tokens, queries) of each segment."""
