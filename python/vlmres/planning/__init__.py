"""Plans: what preprocessing does to images and videos, known before a pixel is decoded.

`sizes` (of what is passed), `plans` (one image or video), `table` (many at once), `resolution` (which parameters bound
an image's resolution) and `budget` (many images in one prompt).
"""

from vlmres.planning.budget import BudgetFit, fit_budget
from vlmres.planning.plans import plan, planned, tells_rate
from vlmres.planning.resolution import area_bound, bounds, lowered
from vlmres.planning.sizes import Sizable, image_size, size_of
from vlmres.planning.table import PlanTable, plan_many

__all__ = [
    "BudgetFit",
    "PlanTable",
    "Sizable",
    "area_bound",
    "bounds",
    "fit_budget",
    "image_size",
    "lowered",
    "plan",
    "plan_many",
    "planned",
    "size_of",
    "tells_rate",
]
