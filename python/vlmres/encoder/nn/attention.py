"""Attention inside the segments of a packed sequence, with the best available kernel."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, get_args

import torch
from torch.nn import functional

from vlmres.encoder.devices import check_device
from vlmres.encoder.layout.segments import QuerySegments

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmres.encoder.layout.segments import Segments

P = ParamSpec("P")
T = TypeVar("T")
Backend = Literal["flash3", "varlen", "flash", "sdpa"]

# In the order in which they are tried.
_BACKENDS: tuple[Backend, ...] = get_args(Backend)
_PACKAGES = {"flash3": "flash_attn_interface", "flash": "flash_attn"}

# What the flash kernels take.
_MAX_HEAD_DIM = 256
_FLASH_DTYPES = (torch.bfloat16, torch.float16)


def _constant(function: Callable[P, T]) -> Callable[P, T]:
    """A constant for torch.compile, which must not trace into the function."""
    found: Callable[P, T] = torch.compiler.assume_constant_result(function)
    return found


@_constant
def choose_backend(device: torch.device, dtype: torch.dtype) -> Backend:
    """The kernel for a device and a dtype: the first available one, or the one that `VLMRES_ATTENTION` names.

    On CUDA, from compute capability 8.0 on, bfloat16 and float16 go through "flash3", FlashAttention 3's package (9.0
    alone), else "varlen", torch's own (2.11 and later), else "flash", FlashAttention 2's package. "sdpa" is
    `scaled_dot_product_attention` on each group of equal segments, in any dtype.

    Raises:
        ValueError: The device is neither a CPU nor CUDA; or `VLMRES_ATTENTION` names no backend, or one that cannot be
            used here. The message says why.
    """
    return _choose(device, dtype)


@functools.cache
def _choose(device: torch.device, dtype: torch.dtype) -> Backend:
    check_device(device)
    forced = os.environ.get("VLMRES_ATTENTION")
    if not forced:
        return next(backend for backend in _BACKENDS if _obstacle(backend, device, dtype) is None)
    if forced not in _BACKENDS:
        raise ValueError(f"VLMRES_ATTENTION must be one of {', '.join(_BACKENDS)}, got {forced!r}")
    obstacle = _obstacle(forced, device, dtype)
    if obstacle is not None:
        raise ValueError(f"VLMRES_ATTENTION={forced}: {obstacle}")
    return forced


def _obstacle(backend: Backend, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why a backend cannot be used."""
    if backend == "sdpa":
        return None
    if device.type != "cuda" or dtype not in _FLASH_DTYPES:
        return f"it takes bfloat16 and float16 on CUDA, not {dtype} on {device}"
    if not torch.cuda.is_available():
        # On "meta" there are only tensors without values, which torch's own functions take.
        return _varlen_obstacle() if backend == "varlen" else "there is no CUDA device"
    capability = torch.cuda.get_device_capability(device)
    if backend == "flash3" and (capability[0] != 9 or torch.version.hip is not None):
        return f"it needs compute capability 9.0, {device} has {'.'.join(map(str, capability))}"
    if capability < (8, 0):
        return f"it needs compute capability 8.0, {device} has {'.'.join(map(str, capability))}"
    if backend == "varlen":
        available = torch.backends.cuda.is_flash_attention_available()
        return _varlen_obstacle() if available else "this torch has no flash attention"
    try:
        importlib.import_module(_PACKAGES[backend]).flash_attn_varlen_func  # noqa: B018
    except (ImportError, OSError, AttributeError) as error:
        return f"{_PACKAGES[backend]} cannot be imported: {error}"
    return None


def _varlen_obstacle() -> str | None:
    """Why torch's own kernel cannot be used: torch has none, or its kernel lacks an option."""
    try:
        known = _varlen_options()
    except ImportError:
        return f"torch {torch.__version__} has no varlen_attn"
    missing = [name for name in ("scale", "window_size") if name not in known]
    return f"varlen_attn of torch {torch.__version__} has no {missing[0]}" if missing else None


@_constant
def _varlen_options() -> tuple[str, ...]:
    """The parameters of torch's own kernel."""
    from torch.nn.attention.varlen import varlen_attn

    return _parameters(varlen_attn)


@functools.cache
def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, segments: Segments | QuerySegments, scale: float
) -> torch.Tensor:
    """Attention of every token to its own segment.

    Args:
        q: [tokens, heads, head_dim].
        k: [tokens, kv_heads, head_dim]; kv_heads divides heads.
        v: As k.
        segments: Their bounds.
        scale: What scores are multiplied by.

    Returns:
        [tokens, heads, head_dim].
    """
    if isinstance(segments, QuerySegments):
        out = torch.empty_like(q)
        index = segments.token_index
        out[index] = _full(q[index], k[index], v[index], segments.tokens, scale)
        out[segments.query_index] = _causal(q[segments.query_index], k, v, segments, scale)
        return out
    return _full(q, k, v, segments, scale)


def _full(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, segments: Segments, scale: float) -> torch.Tensor:
    backend = choose_backend(q.device, q.dtype)
    if backend == "sdpa" or q.shape[2] > _MAX_HEAD_DIM:
        return _sdpa(q, k, v, segments, scale)
    return _varlen(backend, q, k, v, segments, segments, scale, causal=False)


def _sdpa(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, segments: Segments, scale: float) -> torch.Tensor:
    if segments.permutation is not None:
        q, k, v = (tensor[segments.permutation] for tensor in (q, k, v))
    outputs, start = [], 0
    for count, length in segments.runs:
        end = start + count * length
        own, keys, values = (tensor[start:end].unflatten(0, (count, length)).transpose(1, 2) for tensor in (q, k, v))
        result = functional.scaled_dot_product_attention(
            own, keys, values, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
        )
        outputs.append(result.transpose(1, 2).flatten(0, 1))
        start = end
    out = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return out if segments.inverse is None else out[segments.inverse]


def _causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, segments: QuerySegments, scale: float) -> torch.Tensor:
    """Queries at the end of each segment, aligned to its last token."""
    backend = choose_backend(q.device, q.dtype)
    if backend != "sdpa":
        return _varlen(backend, q, k, v, segments.queries, segments.whole, scale, causal=True)
    outputs, start, first = [], 0, 0
    for tokens, queries in segments.pairs:
        end, last = start + tokens + queries, first + queries
        mask = torch.ones(queries, tokens + queries, dtype=torch.bool, device=q.device).tril(tokens)
        parts = (q[first:last], k[start:end], v[start:end])
        own, keys, values = (part.transpose(0, 1).unsqueeze(0) for part in parts)
        result = functional.scaled_dot_product_attention(
            own,
            keys,
            values,
            attn_mask=mask,
            scale=scale,
            enable_gqa=q.shape[1] != k.shape[1],
        )
        outputs.append(result.squeeze(0).transpose(0, 1))
        start, first = end, last
    return torch.cat(outputs)


def _varlen(
    backend: Literal["flash3", "varlen", "flash"],
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    queries: Segments,
    keys: Segments,
    scale: float,
    *,
    causal: bool,
) -> torch.Tensor:
    head_dim = q.shape[2]
    # The kernels want head dims that are multiples of 8.
    wanted = -(-head_dim // 8) * 8
    q, k, v = (_widened(tensor, wanted) for tensor in (q, k, v))
    bounds: tuple[Any, ...] = (queries.cu_seqlens, keys.cu_seqlens, queries.max_seqlen, keys.max_seqlen)
    # Imported here, where torch.compile follows them: it does not follow `importlib`.
    out: Any
    if backend == "varlen":
        from torch.nn.attention.varlen import varlen_attn

        extras = _extras(_varlen_options())
        if "enable_gqa" not in extras:
            k, v = (_repeated(tensor, q.shape[1]) for tensor in (k, v))
        # Causal is aligned to the last key, as of flash-attn.
        out = varlen_attn(q, k, v, *bounds, scale=scale, window_size=(-1, 0 if causal else -1), **extras)
    elif backend == "flash3":
        from flash_attn_interface import flash_attn_varlen_func as flash3

        out = flash3(q, k, v, *bounds, softmax_scale=scale, causal=causal)
    else:
        from flash_attn import flash_attn_varlen_func as flash2

        out = flash2(q, k, v, *bounds, softmax_scale=scale, causal=causal)
    # Early versions of FlashAttention 3 give the logarithms of sums of exponentials too.
    result: torch.Tensor = out[0] if isinstance(out, tuple) else out
    return result[..., :head_dim]


def _widened(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Appends zeros to each head's values. Without padding nothing is copied, as `pad` would do."""
    return x if x.shape[2] == dim else functional.pad(x, (0, dim - x.shape[2]))


def _repeated(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Repeats heads of keys or values to match the queries, for kernels without grouped heads."""
    return x if x.shape[1] == heads else x.unsqueeze(2).expand(-1, -1, heads // x.shape[1], -1).flatten(1, 2)


def _extras(known: tuple[str, ...]) -> dict[str, Any]:
    """Options of torch's kernel that not every version has.

    One split of the keys makes a segment's result independent of the others in the batch. It also keeps torch from
    cuDNN's kernel, which builds a plan for every new number of tokens and segments, and so for nearly every batch.
    Where there is no such option, of torch 2.11, there are neither splits nor cuDNN's kernel.
    """
    extras: dict[str, Any] = {"enable_gqa": True, "num_splits": 1}
    if torch.version.hip is not None:
        del extras["num_splits"]
    return {name: value for name, value in extras.items() if name in known}
