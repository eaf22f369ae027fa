"""What a forward pass does, operation by operation: launches, bytes moved, FLOPs; and what fusing would leave of it.

Operations are seen as torch runs them, on tensors with or without values. A view moves nothing and is none. Fusing is
counted as a compiler does it that fuses all but products, convolutions and attention: operations that pass tensors to
each other inside one graph are one, which reads what comes from outside and writes what is used outside.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "convolution"}
ATTENTION = {
    "_varlen_attn",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_attention_math_for_mps",
    "scaled_dot_product_attention",
}
# They make a tensor and move nothing.
_NOTHING = {"empty", "new_empty", "empty_like", "empty_strided", "detach", "lift_fresh", "_unsafe_view", "arange"}
_META = torch.device("meta")
_GATHERS = {"index", "index_select", "embedding", "gather"}


@dataclass
class Op:
    """One launch."""

    name: str
    kind: str
    """"product", "attention" or "other"."""
    flops: int
    reads: dict[int, int]
    """Bytes by tensor."""
    writes: dict[int, int]
    graph: int
    """What is compiled together has one number; 0 is not compiled."""

    @property
    def bytes(self) -> int:
        """Read and written."""
        return sum(self.reads.values()) + sum(self.writes.values())


@dataclass
class Counted:
    """All of a pass."""

    ops: list[Op] = field(default_factory=list)

    @property
    def flops(self) -> int:
        """Of products and attention."""
        return sum(op.flops for op in self.ops)

    def of(self, kind: str) -> list[Op]:
        """Launches of a kind."""
        return [op for op in self.ops if op.kind == kind]

    def fused(self) -> Counted:
        """With what a compiler would leave of all other operations."""
        parent = list(range(len(self.ops)))

        def root(index: int) -> int:
            while parent[index] != index:
                index = parent[index]
            return index

        made: dict[int, int] = {}
        users: dict[int, set[int]] = defaultdict(set)
        for index, op in enumerate(self.ops):
            for key in op.reads:
                users[key].add(index)
                before = made.get(key)
                if before is None or not op.graph or op.graph != self.ops[before].graph:
                    continue
                if op.kind == self.ops[before].kind == "other":
                    parent[root(index)] = root(before)
            for key in op.writes:
                made[key] = index
        groups: dict[int, list[int]] = defaultdict(list)
        for index in range(len(self.ops)):
            groups[root(index)].append(index)
        found = []
        for members in groups.values():
            inside = set(members)
            own = {key for index in members for key in self.ops[index].writes}
            reads: dict[int, int] = {}
            writes: dict[int, int] = {}
            for index in members:
                op = self.ops[index]
                for key, size in op.reads.items():
                    if key not in own:
                        reads[key] = max(size, reads.get(key, 0))
                writes |= {key: size for key, size in op.writes.items() if users[key] - inside or not users[key]}
            first = self.ops[members[0]]
            found.append(Op(first.name, first.kind, sum(self.ops[i].flops for i in members), reads, writes, 0))
        return Counted(found)


class Counter(TorchDispatchMode):
    """Counts the operations of a pass. Gradients must be off, and inference mode too, which hides what is composed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counted = Counted()
        self.graph = self._graphs = 0
        self._kept: list[Any] = []  # an address names a tensor while it is alive

    @contextlib.contextmanager
    def compiled(self) -> Iterator[None]:
        """What is run in here would be one graph."""
        self._graphs += 1
        outer, self.graph = self.graph, self._graphs
        yield
        self.graph = outer

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        given = [item for item in tree_leaves((args, kwargs)) if isinstance(item, torch.Tensor)]
        made = [item for item in tree_leaves(out) if isinstance(item, torch.Tensor)]
        self._kept += [given, made]
        keys = {_key(item) for item in given}
        is_view = bool(made) and all(_key(item) in keys for item in made) and not func._schema.is_mutable
        if not made or is_view or name in _NOTHING:
            return out
        kind = "product" if name in PRODUCTS else "attention" if name in ATTENTION else "other"
        self.add(name, kind, given, made[0], _flops(name, given, made[0]))
        return out

    def add(self, name: str, kind: str, given: Sequence[torch.Tensor], made: torch.Tensor, flops: int = 0) -> None:
        """Counts a launch."""
        self._kept += [given, made]
        writes = {_key(made): _size(made)} if _size(made) else {}
        reads: dict[int, int] = defaultdict(int)
        for item in given:  # parts of one tensor among them
            reads[_key(item)] += _size(item)
        if name in _GATHERS:
            # Of a table, the rows that are taken.
            reads = {key: min(size, sum(writes.values())) for key, size in reads.items()}
        self.counted.ops.append(Op(name, kind, flops, reads, writes, self.graph))


class MetaCounter(Counter):
    """Counts code that asks for values of its integers: those stay on the CPU, all else has none."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [item for item in tree_leaves((args, kwargs)) if isinstance(item, torch.Tensor)]
        if kwargs.get("device") == _META and tensors and not any(item.is_meta or _is_float(item) for item in tensors):
            del kwargs["device"]
        elif any(item.is_meta for item in tensors):
            args, kwargs = tree_map(
                lambda item: item.to(_META) if isinstance(item, torch.Tensor) else item, (args, kwargs)
            )
        return super().__torch_dispatch__(func, types, args, kwargs)


def _is_float(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point()


def _key(tensor: torch.Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


def _size(tensor: torch.Tensor) -> int:
    """Bytes of its values, each counted once where it is expanded."""
    found: int = min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
    return found


def _flops(name: str, given: list[torch.Tensor], out: torch.Tensor) -> int:
    """Of products; attention's follow from segments, and are the caller's."""
    if name in ("mm", "bmm"):
        return 2 * out.numel() * given[0].shape[-1]
    if name in ("addmm", "baddbmm"):
        return 2 * out.numel() * given[1].shape[-1]
    if name == "convolution":
        return 2 * out.numel() * given[1][0].numel()
    return 0
