"""The error with which vlmres leaves a call to the original."""

from __future__ import annotations


class DeclinedError(Exception):
    """vlmres does not take a call. `kind` is the kind of reason, which is logged once and counted.

    `failure` is an unexpected error of vlmres, if that is the reason.
    """

    def __init__(self, kind: str, reason: str, failure: Exception | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.failure = failure
