"""Whether a recipe fits an encoder."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres._core import PlanError, plan
from vlmres.encoder.checkpoint.config import normalised
from vlmres.encoder.layout.grids import check_grids, output_grids
from vlmres.encoder.layout.token_order import ImageTokens, arrange

if TYPE_CHECKING:
    from vlmres._core import Plan, Recipe
    from vlmres.encoder.config import EncoderConfig, Tower
    from vlmres.encoder.layout.grids import Grid

log = logging.getLogger("vlmres.encoder")

# (width, height) of images whose plans are tried: with tiles and without, wide and high.
_SIZES = ((1500, 1100), (300, 900), (64, 64))


def check_recipe(config: EncoderConfig, recipe: Recipe, *, fold: bool) -> None:
    """Refuses a recipe whose patches do not fit the encoder, or whose tokens do not fit its language model.

    The check uses the plans of a few sizes. For a bare vision tower, token counts are not checked. A learned position
    table is resampled even if its family does not do so, as in transformers, with a warning.

    Args:
        config: The encoder.
        recipe: The recipe.
        fold: Whether normalisation is part of the encoder's weights.

    Raises:
        ValueError: The recipe does not fit; the message gives the reason.
    """
    _check_values(config, recipe, fold=fold)
    resampled: set[Grid] = set()
    for size in _SIZES:
        try:
            planned = plan(size, recipe)
        except PlanError:
            continue
        try:
            _check_tokens(config, planned)
        except ValueError as error:
            width, height = size
            raise ValueError(
                f"recipe {recipe.name} does not fit the encoder {config.name}: of an image of {width}x{height}, {error}"
            ) from None
        resampled |= {(view.patches.rows, view.patches.cols) for view in planned.views}
    table = _fixed_table(config.towers[0])
    resampled -= {table or (0, 0)}
    if table is not None and resampled:
        grids = ", ".join(f"{rows}x{cols}" for rows, cols in sorted(resampled))
        log.warning(
            "recipe %s: the encoder %s has learned positions of %dx%d patches, which are resampled to %s",
            *(recipe.name, config.name, *table, grids),
        )


def _check_values(config: EncoderConfig, recipe: Recipe, *, fold: bool) -> None:
    patch = config.patch
    values: dict[str, tuple[Any, Any]] = {"patch_size": (recipe.patch_size, patch.size)}
    if fold:
        found = normalised(patch, recipe.params)
        values |= {"image_mean": (found.mean, patch.mean), "image_std": (found.std, patch.std)}
        values |= {"rescale_factor": (found.rescale, patch.rescale)}
    for name, (own, wanted) in values.items():
        if not np.allclose(own, wanted, rtol=1e-6, atol=0):
            raise ValueError(f"recipe {recipe.name} has {name} {own}, the encoder {wanted}")


def _check_tokens(config: EncoderConfig, planned: Plan) -> None:
    """Refuses plans whose grids do not fit, or whose number of tokens differs from the encoder's."""
    tiles = [(view.patches, view.tiles.rows * view.tiles.cols) for view in planned.views]
    grids = [(grid.rows, grid.cols) for grid, count in tiles for _ in range(count)]
    check_grids(config, grids)
    for tower in config.towers:
        grids = list(output_grids(tower, grids))
    if config.projector is None:
        return
    merged = [(rows // config.merge, cols // config.merge) for rows, cols in grids]
    count = len(arrange(config.arrangement, ImageTokens.of(planned), merged)[0])
    # Newlines and separators are made by the encoder, or are tokens of the text.
    wanted = sorted({planned.num_tokens, planned.num_visual_tokens})
    if count not in wanted:
        raise ValueError(f"the encoder makes {count} tokens, the recipe's model receives {wanted[-1]}")


def _fixed_table(tower: Tower) -> Grid | None:
    """Rows and columns of a table for one grid, which is resampled only where a user asks for other sizes.

    Those of CLIP, SigLIP and InternViT. Other families' are resampled in training, with filters of their own or beside
    rotary positions.
    """
    table = tower.table
    if table is None or tower.rotary is not None or table.antialias or table.mode != "bicubic":
        return None
    return table.rows, table.cols
