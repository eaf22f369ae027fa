"""Calls that vlmres leaves to the original, and the reasons."""

from __future__ import annotations


class DeclinedError(Exception):
    """vlmres does not take a call. `kind` is the sort of reason, under which it is logged once and counted.

    `failure` is what vlmres raised where it should not have.
    """

    def __init__(self, kind: str, reason: str, failure: Exception | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.failure = failure
