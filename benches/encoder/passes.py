"""Forward passes on tensors without values, ours and transformers', counted operation by operation.

Ours run with torch's own kernel for attention. RMS norms are one kernel, as on CUDA from torch 2.9 on. transformers'
modules run as their users run them: with FlashAttention 2 where they take it, else SDPA, whose kernels are counted, and
not run. What their code computes from grids it computes from values, on the CPU.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import torch
from benches.encoder.count import Counted, Counter, MetaCounter
from benches.encoder.inputs import from_batch, placed, sizes_of
from benches.encoder.models import MODELS, MissingModelError
from PIL import Image
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

import vlmres
from vlmres.encoder import VisionModel, build_layout
from vlmres.encoder.layout.segments import QuerySegments, Segments
from vlmres.encoder.nn import attention, blocks
from vlmres.encoder.runtime.chunks import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benches.encoder.models import Size

    from vlmres.encoder.config import EncoderConfig

META = torch.device("meta")
# Flash kernels compute heads in steps of so many dimensions.
STEP = 32
# Of transformers' modules, the lists whose modules `Peer.compile` compiles.
LAYERS = ("blocks", "layers", "layer")


@dataclass
class Pass:
    """A forward pass, and its batch."""

    tokens: int
    model_flops: int
    """As of `Plan.cost`."""
    weights: int
    """Bytes."""
    eager: Counted
    compiled: Counted
    has_graphs: bool
    attention: str


def _pictures(kind: str, count: int) -> list[Image.Image]:
    return [Image.new("RGB", size) for size in sizes_of(kind, count, tiny=False)]


def our_pass(name: str, kind: str, count: int) -> Pass:
    """One of ours, on images of a kind."""
    config = MODELS[name].config("real")
    batch = vlmres.Processor(MODELS[name].recipe(False), "packed", "uint8")(_pictures(kind, count))
    counter, fused = Counter(), Counter()
    tokens, model = _run_ours(config, batch, counter)
    _run_ours(config, batch, fused, compiled=True)
    return Pass(
        tokens=tokens,
        model_flops=sum(plan.cost(config).flops for plan in batch.plans if plan is not None),
        weights=sum(parameter.nbytes for parameter in model.parameters()),
        eager=counter.counted,
        compiled=fused.counted.fused(),
        has_graphs=len(config.towers) == 1,
        attention="varlen",
    )


def peer_pass(name: str, kind: str, count: int) -> Pass | None:
    """One of transformers', on the same images; None where it has no such model."""
    batch = vlmres.Processor(MODELS[name].recipe(False), arithmetic="torch")(_pictures(kind, count))
    config = MODELS[name].config("real")
    counter = MetaCounter()
    try:
        tokens, module, how = _run_theirs(name, batch, counter)
    except MissingModelError:
        return None
    return Pass(
        tokens=tokens,
        model_flops=sum(plan.cost(config).flops for plan in batch.plans if plan is not None),
        weights=sum(parameter.nbytes for parameter in module.parameters()),
        eager=counter.counted,
        compiled=counter.counted.fused(),
        has_graphs=False,
        attention=how,
    )


@dataclass
class BlockCount:
    """One block on one image."""

    who: str
    path: str
    patches: int
    eager: Counted
    compiled: Counted


def blocks_of(name: str, size: tuple[int, int]) -> list[BlockCount]:
    """Our blocks on one image, and transformers' where it has the model."""
    picture, recipe = Image.new("RGB", size), MODELS[name].recipe(False)
    config = MODELS[name].config("shallow")
    batch = vlmres.Processor(recipe, "packed", "uint8")([picture])
    eager, fused = _Spans(Counter()), _Spans(Counter())
    _run_ours(config, batch, eager.counter, spans=eager)
    _run_ours(config, batch, fused.counter, compiled=True, spans=fused)
    found = [
        BlockCount("vlmres", path, patches, counted, other.fused())
        for (path, patches, counted), (_, _, other) in zip(eager.counts(), fused.counts(), strict=True)
    ]
    peer = MetaCounter()
    theirs, reference = _Spans(peer), vlmres.Processor(recipe, arithmetic="torch")([picture])
    with contextlib.suppress(MissingModelError):
        _run_theirs(name, reference, peer, size="shallow", flash=False, spans=theirs)
    return found + [
        BlockCount("transformers", path, patches, counted, counted.fused())
        for path, patches, counted in theirs.counts()
    ]


def _run_ours(
    config: EncoderConfig, batch: vlmres.Batch, counter: Counter, *, compiled: bool = False, spans: _Spans | None = None
) -> tuple[int, VisionModel]:
    """Tokens, and the model."""
    part = Chunk.of(batch)
    layout = build_layout(config, part.grids, part.positions, part.images, group=False)
    with META:
        model = VisionModel(config).to(torch.bfloat16).requires_grad_(False)
    model = model.to(META)  # what follows from the configuration alone was made on the CPU
    if compiled:
        for block in model.modules():
            if isinstance(block, blocks.Block):
                block._compiled = _steps(block, counter)
    if spans is not None:
        spans.watch(model, lambda path: path.endswith(".blocks"))
    with torch.no_grad(), _as_on_cuda(counter), counter:
        return len(model(part.patches.to(META), layout.to(META)).tokens), model


def _run_theirs(
    name: str,
    batch: vlmres.Batch,
    counter: MetaCounter,
    *,
    size: Size = "real",
    flash: bool = True,
    spans: _Spans | None = None,
) -> tuple[int, torch.nn.Module, str]:
    """Tokens, the module, and which attention."""
    with META:
        module = MODELS[name].module(size, torch.bfloat16)
    how = "sdpa"
    if flash and module._supports_flash_attn:
        how = "flash_attention_2"
        for part in module.modules():  # without asking whether the package is there
            if hasattr(part, "config"):
                part.config._attn_implementation_internal = how
    values = placed(from_batch(batch), torch.device("cpu"), torch.bfloat16)
    inputs = {
        key: value.to(META) if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for key, value in values.items()
    }
    (spans or _Spans(counter)).watch(module, lambda path: path.rpartition(".")[2] in LAYERS, compiled=True)
    with torch.no_grad(), _kernels(counter), counter:
        return len(MODELS[name].features(module, inputs)), module, how


@contextlib.contextmanager
def _kernels(counter: Counter) -> Iterator[None]:
    """The attention of transformers, as launches that are counted and not run."""

    def record(q: Any, k: Any, v: Any, mask: Any, pairs: int) -> torch.Tensor:
        """q, k and v are [batch, heads, tokens, head_dim]; the result is [batch, tokens, heads, head_dim]."""
        out: torch.Tensor = q.new_empty(q.shape[0], q.shape[2], q.shape[1], v.shape[3])
        given = [q, k, v] if mask is None else [q, k, v, mask]
        counter.add("attention", "attention", given, out, _attention_flops(q.shape[1], q.shape[3], pairs))
        return out

    def sdpa(q: Any, k: Any, v: Any, attn_mask: Any = None, **_: Any) -> torch.Tensor:
        return record(q, k, v, attn_mask, q.shape[0] * q.shape[2] * k.shape[2]).transpose(1, 2)

    def flash(_: Any, q: Any, k: Any, v: Any, *__: Any, cu_seq_lens_q: Any = None, **___: Any) -> Any:
        pairs = (
            q.shape[0] * q.shape[2] * k.shape[2] if cu_seq_lens_q is None else int((cu_seq_lens_q.diff() ** 2).sum())
        )
        return record(q, k, v, None, pairs), None

    with (
        mock.patch.object(torch.nn.functional, "scaled_dot_product_attention", sdpa),
        mock.patch.dict(ALL_ATTENTION_FUNCTIONS._global_mapping, {"flash_attention_2": flash}),
    ):
        yield


def _attention_flops(heads: int, head_dim: int, pairs: int) -> int:
    return 4 * heads * -(-head_dim // STEP) * STEP * pairs


@contextlib.contextmanager
def _as_on_cuda(counter: Counter) -> Iterator[None]:
    """Ours with torch's own kernel, whose FLOPs are those of the segments, or FlexAttention where blocks have it."""

    def counted(q: Any, k: Any, v: Any, segments: Any, scale: float) -> Any:
        first = len(counter.counted.ops)
        out = attention.attend(q, k, v, segments, scale)
        kernels = [op for op in counter.counted.ops[first:] if op.kind == "attention"]
        for kernel, pairs in zip(kernels, _pairs(segments), strict=True):
            kernel.flops = _attention_flops(q.shape[1], q.shape[2], pairs)
        return out

    def rms_norm(_: Any, x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        counter.add("rms_norm", "other", [x], out)
        return out

    with (
        mock.patch.object(blocks, "attend", counted),
        mock.patch.object(blocks, "adds_bias", return_value=True),
        mock.patch.object(attention, "choose_backend", return_value="varlen"),
        mock.patch.object(torch.nn.RMSNorm, "forward", rms_norm),
    ):
        yield


def _steps(block: blocks.Block, counter: Counter) -> blocks.Steps:
    """A block's parts as if they were compiled."""

    def graph(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            with counter.compiled():
                return function(*args)

        return call

    def attend_run(q: Any, k: Any, v: Any, products: Any, bases: Any, places: Any, _: float) -> torch.Tensor:
        segments, length, heads, head_dim = q.shape
        out: torch.Tensor = q.new_empty(segments * length, heads, head_dim)
        flops = _attention_flops(heads, head_dim, segments * length**2)
        counter.add("flex_attention", "attention", [q, k, v, products, bases, places], out, flops)
        return out

    return blocks.Steps(graph(block.before), graph(block.after), attend_run)


def _pairs(segments: Segments | QuerySegments) -> list[int]:
    """Pairs of a query and a key of each launch."""
    if isinstance(segments, QuerySegments):
        tokens = sum(count * length**2 for count, length in segments.tokens.runs)
        return [tokens, sum(queries * (tokens + queries) for tokens, queries in segments.pairs)]
    return [sum(count * length**2 for count, length in segments.runs)]


class _Spans:
    """Where the launches of layers begin and end."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self._found: dict[str, tuple[int, int, int]] = {}

    def watch(self, module: torch.nn.Module, chosen: Callable[[str], bool], *, compiled: bool = False) -> None:
        """Hooks the modules of lists whose path is chosen; `compiled` makes each of them one graph."""
        for path, part in module.named_modules():
            if isinstance(part, torch.nn.ModuleList) and chosen(path) and "language_model" not in path:
                for index, layer in enumerate(part):
                    self._hook(layer, f"{path}.{index}", compiled=compiled)

    def _hook(self, layer: torch.nn.Module, path: str, *, compiled: bool) -> None:
        counter, scope, first = self.counter, contextlib.ExitStack(), []

        def enter(*_: Any) -> None:
            if compiled:
                scope.enter_context(counter.compiled())
            first.append(len(counter.counted.ops))

        def leave(_: Any, __: Any, out: Any) -> None:
            hidden = out[0] if isinstance(out, tuple) else out
            self._found.setdefault(path, (first[-1], len(counter.counted.ops), int(np.prod(hidden.shape[:-1]))))
            scope.close()

        layer.register_forward_pre_hook(enter)
        layer.register_forward_hook(leave)

    def counts(self) -> list[tuple[str, int, Counted]]:
        """(path, patches, what was counted) of the first call of each layer."""
        ops = self.counter.counted.ops
        return [(path, patches, Counted(ops[a:b])) for path, (a, b, patches) in self._found.items()]
