"""torch's counter of FLOPs, on every supported torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def _attention(q: Sequence[int], k: Sequence[int], v: Sequence[int], *_: Any, **__: Any) -> int:
    """From shapes [batch, heads, tokens, dim]."""
    batch, heads, queries, dim = q
    return 2 * batch * heads * queries * k[2] * (dim + v[3])


def flop_counter() -> FlopCounterMode:
    """A counter that knows the CPU's own attention, which torch's does not before 2.13."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return FlopCounterMode(display=False, custom_mapping={kernel: _attention})


def products(counter: FlopCounterMode) -> int:
    """All FLOPs but those of angles, which some versions of transformers make by a product."""
    angles = [counts for name, counts in counter.get_flop_counts().items() if name.endswith(".rotary_emb")]
    return counter.get_total_flops() - sum(sum(counts.values()) for counts in angles)
