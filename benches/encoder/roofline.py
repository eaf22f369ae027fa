"""What a GPU should need, on paper: launches, bytes and FLOPs as torch runs them, and the time that follows.

    python -m benches.encoder.roofline             # the tables of docs/encoder.md
    python -m benches.encoder.roofline --blocks    # one block of each kind beside transformers'

Models are those of `benches.gpu`, at real sizes, on tensors without values: see `benches/encoder/passes.py`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benches.encoder.models import MODELS
from benches.encoder.passes import Pass, blocks_of, our_pass, peer_pass

if TYPE_CHECKING:
    from benches.encoder.count import Counted

How = Literal["eager", "compiled", "graphs"]
"""Op by op; with compiled blocks; and those as CUDA graphs."""


@dataclass(frozen=True)
class Device:
    """How fast a GPU is."""

    name: str
    products: float
    """FLOP/s of large products in bfloat16."""
    memory: float
    """Bytes read and written a second."""


# Of the H200 both were measured; the H100 has the same processors, and 3.35 TB/s for 4.8 on the data sheet.
DEVICES = (Device("H200", 788e12, 4.3e12), Device("H100", 788e12, 3.0e12))
# FlashAttention 2's share of the products' speed on Hopper (arXiv:2407.08608, figure 5: about 350 of 740 TFLOP/s).
# transformers' attention with a bias has it too, though the kernels that take one are slower.
FLASH2 = 0.45
# FlexAttention's share of that, where it does worst (arXiv:2412.05496: 0.68 to 1.43).
FLEX = 0.68
# Of whose blocks launches and bytes are listed, on one image of (width, height).
BLOCKS = {"qwen2.5-vl": (896, 896), "internvl": (448, 448), "deepseek-ocr": (1024, 1024)}
# Seconds that a host needs to launch an operation from Python, and a device between two of a graph.
HOST, GAP = 6e-6, 1.5e-6


def seconds(counted: Counted, device: Device, how: How) -> float:
    """Of a pass: a launch takes the larger of its FLOPs and its bytes; the host may be slower than the device."""
    busy = 0.0
    for op in counted.ops:
        speed = (
            device.products * (FLASH2 if op.kind == "attention" else 1) * (FLEX if op.name == "flex_attention" else 1)
        )
        busy += max(op.flops / speed, op.bytes / device.memory, GAP)
    return busy if how == "graphs" else max(busy, len(counted.ops) * HOST)


def mfu(found: Pass, device: Device, how: How) -> float:
    """The share of the device's products that the model's FLOPs are."""
    counted = found.eager if how == "eager" else found.compiled
    return found.model_flops / seconds(counted, device, how) / device.products


def predictions() -> str:
    """Rows for each model and batch: ours, and transformers' where it has the model."""
    heads = " | ".join(f"{device.name} {how}" for device in DEVICES for how in ("eager", "compiled", "graphs"))
    rows = [
        f"| model, batch | who | launches, eager | fused | other bytes, eager | fused | {heads} |",
        "|---" * (6 + 3 * len(DEVICES)) + "|",
    ]
    for name in MODELS:
        for kind, count in (("mixed", 16), ("small", 1)):
            ours, theirs = our_pass(name, kind, count), peer_pass(name, kind, count)
            about = f"{ours.tokens:,} tokens, {ours.model_flops / 1e12:.2f} TFLOP, {ours.weights / 2**30:.2f} GiB"
            rows.append(_row(f"{name}, {count} {kind}: {about}", "vlmres", ours, theirs))
            if theirs is not None:
                rows.append(_row("", f"transformers, {theirs.attention}", theirs, None))
    return "\n".join(rows)


def _row(label: str, who: str, found: Pass, peer: Pass | None) -> str:
    cells = [label, who]
    cells += [f"{len(each.ops):,}" for each in (found.eager, found.compiled)]
    cells += [f"{sum(op.bytes for op in each.of('other')) / 1e9:.1f} GB" for each in (found.eager, found.compiled)]
    hows: tuple[How, ...] = ("eager", "compiled", "graphs")
    for device in DEVICES:
        for how in hows:
            if how == "graphs" and not found.has_graphs:
                cells.append("n/a")
                continue
            share = mfu(found, device, how)
            rate = share * device.products / found.model_flops * found.tokens
            cell = f"{rate / 1e3:,.0f} k/s, {share:.0%}"
            if peer is not None:
                cell += f", {share / mfu(peer, device, 'eager' if how == 'eager' else 'compiled'):.2f}x"
            cells.append(cell)
    return f"| {' | '.join(cells)} |"


def block_rows() -> str:
    """Launches and bytes of one block of each kind, ours eager and compiled, and transformers'."""
    rows = [
        "| block | patches | who | launches | products | attention | other | other bytes a patch "
        "| compiled: launches | other bytes a patch |",
        "|---" * 10 + "|",
    ]
    for name, size in BLOCKS.items():
        for found in blocks_of(name, size):
            both = (found.eager, found.compiled)
            kinds = [str(len(found.eager.of(kind))) for kind in ("product", "attention", "other")]
            moved = [f"{sum(op.bytes for op in each.of('other')) / found.patches:,.0f}" for each in both]
            cells = [f"{name}, {found.path}", str(found.patches), found.who, str(len(found.eager.ops)), *kinds]
            rows.append(f"| {' | '.join([*cells, moved[0], str(len(found.compiled.ops)), moved[1]])} |")
    return "\n".join(rows)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser("benches.encoder.roofline")
    parser.add_argument("--blocks", action="store_true", help="one block of each kind beside transformers'")
    print(block_rows() if parser.parse_args().blocks else predictions())


if __name__ == "__main__":
    main()
