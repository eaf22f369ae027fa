"""Libraries that values may be of, without importing them."""

from __future__ import annotations

import sys
from typing import Any


def imported(module: str, name: str) -> Any:
    """A module that has been imported, or None.

    One that another thread is importing has no `name` yet; nothing can be of it so far.
    """
    found = sys.modules.get(module)
    return found if hasattr(found, name) else None
