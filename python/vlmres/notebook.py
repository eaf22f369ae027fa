"""Recipes, plans and batches as HTML, for notebooks: tables, and drawings of the views as SVG."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres._help import coordinates

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from PIL.Image import Image

    from vlmres._core import Plan, Recipe, View
    from vlmres.batch import Batch

# Pixels of the longest side of a drawn view, and of the space between two views.
_SIDE = 180
_GAP = 14
# Borders of patches that are closer than this are left out.
_CLOSE = 3
# The colours of `vlmres.draw`, visible on white and on black.
_TILE = "#ff5400"
_WHOLE = "#008c78"
_PATCH = "#2878ff"
# Rows of a batch that are shown.
_MOST = 20


def recipe_html(recipe: Recipe) -> str:
    """A recipe and its parameters."""
    head = (
        f"<b>{escape(recipe.name)}</b> {escape(recipe.title)}, {recipe.strategy}; equal to {escape(recipe.reference)}"
    )
    rows = [
        (
            f"<code>{escape(name)}</code>",
            f"<b>{escape(_short(parameter.value))}</b>"
            if name in recipe.overrides
            else escape(_short(parameter.value)),
            escape("; ".join(filter(None, (parameter.meaning, parameter.unit, parameter.limits)))),
        )
        for name, parameter in recipe.parameters.items()
    ]
    facts = f"patches of {recipe.patch_size} px, {recipe.token_stride**2} to a token; boxes: {coordinates(recipe)}"
    return f"<div>{head}<br>{escape(facts)}{_table(('parameter', 'value', 'meaning'), rows)}</div>"


def plan_html(plan: Plan) -> str:
    """A plan: its numbers, and a drawing of its views at one scale."""
    frames = "" if plan.frames is None else f"{plan.frames} frames of "
    head = f"<b>{escape(plan.recipe.name)}</b> {frames}{_by(plan.size)}: <b>{plan.num_tokens:,} tokens</b>"
    rows = [
        (
            view.role,
            _by(view.resized),
            _by(view.canvas),
            f"{view.tiles.cols}x{view.tiles.rows} of {_by(view.tile_size)}",
            f"{view.num_patches:,}",
            f"{view.num_tokens:,}",
        )
        for view in plan.views
    ]
    columns = ("view", "resized to", "canvas", "tiles", "patches", "tokens")
    return f"<div>{head}, {plan.num_patches:,} patches{_svg(plan)}{_table(columns, rows)}</div>"


def batch_html(batch: Batch) -> str:
    """The arrays of a batch, and its images."""
    arrays = [
        (f"<code>{escape(key)}</code>", escape(str(tuple(array.shape))), escape(_dtype(batch, key)))
        for key, array in batch.items()
    ]
    images = []
    for index, plan in enumerate(batch.plans[:_MOST]):
        if plan is None:
            images.append((str(index), "", "", escape(str(batch.errors.get(index, "left out")))))
        else:
            images.append((str(index), _by(plan.size), f"{plan.num_tokens:,}", escape(plan.recipe.name)))
    more = f"<br>… and {len(batch.plans) - _MOST} more" if len(batch.plans) > _MOST else ""
    total = f"{sum(batch.num_tokens):,} tokens, {batch.nbytes / 1e6:,.1f} MB"
    return (
        f"<div><b>Batch</b> of {len(batch.indices)}: {total}{_table(('array', 'shape', 'dtype'), arrays)}"
        f"{_table(('image', 'size', 'tokens', 'recipe'), images)}{more}</div>"
    )


def show_plan(plan: Plan, image: Any) -> Image:
    """As `Plan.show`."""
    from vlmres.draw import draw

    if image is not None:
        return draw(image, plan)
    width, height = plan.size
    return draw(np.full((height, width, 3), 236, np.uint8), plan, source=False)


def _svg(plan: Plan) -> str:
    """The views side by side at one scale: the resized image filled, tiles bold, tokens thin."""
    scale = _SIDE / max(max(view.canvas) for view in plan.views)
    parts, left = [], 1.0
    for view in plan.views:
        parts.append(f'<g transform="translate({left:.1f} 1)">{_view(view, scale, plan.recipe.token_stride)}</g>')
        left += view.canvas.width * scale + _GAP
    height = max(view.canvas.height for view in plan.views) * scale + 2
    sizes = f'width="{left - _GAP + 1:.0f}" height="{height:.0f}"'
    names = ", ".join(f"{view.role} {_by(view.canvas)}" for view in plan.views)
    return f'<br><svg {sizes} role="img" aria-label="{escape(names)}" style="margin:6px 0">{"".join(parts)}</svg>'


def _view(view: View, scale: float, stride: int) -> str:
    width, height = view.canvas.width * scale, view.canvas.height * scale
    x0, y0 = (max(0, offset) * scale for offset in view.offset)
    x1 = min(width, (view.offset[0] + view.resized.width) * scale)
    y1 = min(height, (view.offset[1] + view.resized.height) * scale)
    drawn = [f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}" fill="#8882"/>']
    step = view.tile_size.width / view.patches.cols * stride * scale
    if step >= _CLOSE:
        lines = [f"M{at * step:.1f} 0V{height:.1f}" for at in range(1, int(width / step) + 1)]
        lines += [f"M0 {at * step:.1f}H{width:.1f}" for at in range(1, int(height / step) + 1)]
        drawn.append(f'<path d="{"".join(lines)}" stroke="{_PATCH}" stroke-opacity=".35" stroke-width=".5"/>')
    colour = _TILE if view.tiles.rows * view.tiles.cols > 1 else _WHOLE
    tile = tuple((side - view.overlap) * scale for side in view.tile_size)
    for row in range(view.tiles.rows):
        for col in range(view.tiles.cols):
            box = f'x="{col * tile[0]:.1f}" y="{row * tile[1]:.1f}"'
            size = f'width="{view.tile_size.width * scale:.1f}" height="{view.tile_size.height * scale:.1f}"'
            drawn.append(f'<rect {box} {size} fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return "".join(drawn)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def cells(tag: str, values: Sequence[str]) -> str:
        left = 'style="text-align:left;vertical-align:top;padding:1px 14px 1px 0"'
        return "<tr>" + "".join(f"<{tag} {left}>{value}</{tag}>" for value in values) + "</tr>"

    body = "".join(cells("td", row) for row in rows)
    return f"<table><thead>{cells('th', columns)}</thead><tbody>{body}</tbody></table>"


def _by(size: Iterable[int]) -> str:
    return "x".join(map(str, size))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _dtype(batch: Batch, key: str) -> str:
    array = batch[key]
    is_bfloat16 = isinstance(array, np.ndarray) and batch.dtype == "bfloat16" and array.dtype.itemsize == 2
    return "bfloat16 (bits)" if is_bfloat16 else str(array.dtype)
