"""The logger: the server's if vlmres runs in a server, else that of the drop-in."""

from __future__ import annotations

import logging

from vlmres.integrations.operations.decline import DeclinedError

_DEFAULT = "vlmres.integrations.transformers"

_server: logging.Logger | None = None
_logged: dict[tuple[str, str], object] = {}


def use(name: str) -> None:
    """Uses the logger of this name from now on: a server's, with its handlers and its format."""
    global _server
    _server = logging.getLogger(name)


def logger() -> logging.Logger:
    """The logger in use."""
    return _server or logging.getLogger(_DEFAULT)


def in_server() -> bool:
    """Whether a server's logger is in use."""
    return _server is not None


def log_once(name: str, declined: DeclinedError, original: str = "transformers") -> None:
    """Warns when a call of the class `name` is left to `original` for this kind of reason for the first time."""
    token = object()
    if _logged.setdefault((name, declined.kind), token) is token:  # atomic: only one thread inserts its token
        logger().warning("%s: left to %s: %s", name, original, declined.reason, exc_info=declined.failure)
