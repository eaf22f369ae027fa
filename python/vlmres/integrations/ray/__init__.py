"""Preprocessing on a Ray cluster.

`preprocess` is what users call. `arrow` (tensors as Arrow), `work` (what a worker does with rows), `files` (finished
parts in a folder), `scheduler` (which rows go where, and what becomes of those whose worker died).
"""

from vlmres.integrations.ray.scheduler import preprocess

__all__ = ["preprocess"]
