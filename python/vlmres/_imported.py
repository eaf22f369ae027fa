"""Optional libraries, looked up without importing them."""

from __future__ import annotations

import sys
from typing import Any


def imported(module: str, name: str) -> Any:
    """A module that has been imported, or None.

    A module that another thread is still importing has no `name` yet and counts as not imported: no value of it can
    exist.
    """
    found = sys.modules.get(module)
    return found if hasattr(found, name) else None
