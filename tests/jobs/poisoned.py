"""A processor that some files end, with its process."""

import os
from typing import Any

import vlmres


class Poisoned(vlmres.Processor):
    """Ends the process when it is given a file with "poison" in its name."""

    def __call__(self, images: Any = None, **settings: Any) -> vlmres.Batch:
        if any("poison" in str(getattr(item, "path", item)) for item in images):
            os.abort()
        return super().__call__(images, **settings)
