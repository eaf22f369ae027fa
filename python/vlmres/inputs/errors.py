"""What is said of inputs: never what is in them, and never much."""

from __future__ import annotations

# Of a name that is shown.
_MOST_SHOWN = 80


def shown(value: object) -> str:
    """A value's beginning, for a message."""
    text = value if isinstance(value, str) else repr(value)
    text = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}… ({len(text):,} characters)"
    return ascii(text) if not text.isprintable() else repr(text)


def kind(value: object) -> str:
    """What a value is, for a message."""
    if value is None or isinstance(value, (bool, int, float, complex)):
        return repr(value)[:_MOST_SHOWN]
    name = type(value).__qualname__
    module = type(value).__module__.partition(".")[0]
    return name if module == "builtins" else f"{module}.{name}"[:_MOST_SHOWN]
