"""How messages describe inputs: briefly, and never with their content."""

from __future__ import annotations

# Most characters of a name in a message.
_MOST_SHOWN = 80


def shown(value: object) -> str:
    """The beginning of a value, for a message."""
    text = value if isinstance(value, str) else repr(value)
    text = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}… ({len(text):,} characters)"
    return ascii(text) if not text.isprintable() else repr(text)


def kind(value: object) -> str:
    """The kind of a value, for a message."""
    if value is None or isinstance(value, (bool, int, float, complex)):
        return repr(value)[:_MOST_SHOWN]
    name = type(value).__qualname__
    module = type(value).__module__.partition(".")[0]
    return name if module == "builtins" else f"{module}.{name}"[:_MOST_SHOWN]
