"""Modules of transformers that not every supported version has."""

from __future__ import annotations

from typing import Any

import pytest
import transformers
from packaging.version import Version

# Those after the oldest supported version, and since when.
SINCE = {"unlimited_ocr": "5.20"}


def family(name: str) -> Any:
    """`transformers.models.NAME`; its tests are skipped, by name, where this transformers is too old for it."""
    if name in SINCE and Version(transformers.__version__) < Version(SINCE[name]):
        pytest.skip(f"transformers {transformers.__version__} has no {name}")
    return getattr(transformers.models, name)
