"""Pictures of what encoders see."""

from vlmres.draw.canvases import canvases
from vlmres.draw.comparison import compare
from vlmres.draw.style import contact_sheet
from vlmres.draw.views import draw, draw_batch

__all__ = ["canvases", "compare", "contact_sheet", "draw", "draw_batch"]
