"""The share of a line that a reader read correctly."""

from __future__ import annotations

import unicodedata

LEGIBLE = 0.9
"""A line counts as legible if at least this share is read correctly: a character error rate of at most 10 %."""


def accuracy(reading: str, truth: str) -> float:
    """1 - the character error rate, from 0 to 1. Spaces, and forms of one character (NFKC), do not count.

    Raises:
        ValueError: The truth has no characters.
    """
    read, known = normalised(reading), normalised(truth)
    if not known:
        raise ValueError("the truth of a line has no characters")
    return max(0.0, 1 - edit_distance(read, known) / len(known))


def normalised(text: str) -> str:
    """A text reduced to the characters that are compared."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def edit_distance(first: str, second: str) -> int:
    """How many characters are inserted, deleted or replaced (Levenshtein), by the bits of Myers and Hyyrö."""
    if not first or not second:
        return len(first) + len(second)
    places: dict[str, int] = {}
    for at, letter in enumerate(first):
        places[letter] = places.get(letter, 0) | 1 << at
    full, last = (1 << len(first)) - 1, 1 << (len(first) - 1)
    more, less, distance = full, 0, len(first)
    for letter in second:
        match = places.get(letter, 0)
        same = (((match & more) + more) ^ more) | match | less
        up, down = (less | ~(same | more)) & full, more & same
        distance += bool(up & last) - bool(down & last)
        up = (up << 1 | 1) & full
        more, less = ((down << 1) | ~(same | up)) & full, up & same
    return distance
