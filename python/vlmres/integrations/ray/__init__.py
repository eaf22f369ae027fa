"""Preprocessing on a Ray cluster.

Users call `preprocess`. `arrow` (tensors as Arrow), `work` (what a worker does with rows), `files` (finished parts in a
folder), `scheduler` (which rows go to which task, and retries when a worker dies).
"""

from vlmres.integrations.ray.scheduler import preprocess

__all__ = ["preprocess"]
