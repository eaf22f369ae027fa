"""Calls that are left to transformers, and the reasons."""

from __future__ import annotations

import logging

logger = logging.getLogger("vlmres.integrations.transformers")

_logged: dict[tuple[str, str], object] = {}


class DeclinedError(Exception):
    """vlmres does not take a call. `kind` is the sort of reason, under which it is logged once."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


def log_once(name: str, declined: DeclinedError) -> None:
    """Warns on the first call of the processor class `name` that is declined for such a reason."""
    token = object()
    if _logged.setdefault((name, declined.kind), token) is token:  # one thread's token stays
        logger.warning("%s: left to transformers: %s", name, declined.reason)
