"""Counters of a process, as Prometheus defines them.

>>> from vlmres.integrations.operations.counters import counters
>>> counters.clear()
>>> counters.add("vlmres_images_total", {"class": "Qwen2VLImageProcessor", "path": "vlmres"}, 3)
>>> counters.value("vlmres_images_total", path="vlmres")
3.0
>>> counters.clear()
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

IMAGES = "vlmres_images_total"
"""Images (or videos) by `class` and `path`: "vlmres" or "original"."""
SECONDS = "vlmres_seconds_total"
"""Wall time of the calls with these images."""
FALLBACKS = "vlmres_fallbacks_total"
"""Calls that went to the original, by `class` and kind of `reason`."""
VERIFIED = "vlmres_verified_total"
"""Calls that the original computed, too, by `class` and `result`: "same" or "different"."""

_HELP = {
    IMAGES: "Images or videos by the class that was called and who computed them",
    SECONDS: "Wall time of the calls that the images were in",
    FALLBACKS: "Calls that vlmres left to the original",
    VERIFIED: "Calls of shadow mode, which both computed",
}
_LABELS = {
    IMAGES: ("class", "path"),
    SECONDS: ("class", "path"),
    FALLBACKS: ("class", "reason"),
    VERIFIED: ("class", "result"),
}
# Most series of a metric: a reason may contain a value that a caller sent.
_MOST_SERIES = 200

Labels = tuple[str, ...]


class Counters:
    """Counters with labels. They are thread-safe; a forked child starts at zero."""

    def __init__(self) -> None:
        self._values: dict[str, dict[Labels, float]] = {name: {} for name in _LABELS}
        self._lock = threading.Lock()
        self._mirror: dict[str, Any] = {}

    def add(self, name: str, labels: Mapping[str, str], amount: float = 1) -> None:
        """Adds to the counter `name`, one of this module's, with all its labels."""
        key = tuple(labels[label] for label in _LABELS[name])
        with self._lock:
            values = self._values[name]
            if key not in values and len(values) >= _MOST_SERIES:
                key = (key[0], "other")
            values[key] = values.get(key, 0.0) + amount
        if self._mirror:
            self._mirror[name].labels(*key).inc(amount)

    def value(self, name: str, **labels: str) -> float:
        """The sum of a counter over all series with these labels."""
        wanted = [(_LABELS[name].index(label), value) for label, value in labels.items()]
        with self._lock:
            return sum(
                (value for key, value in self._values[name].items() if all(key[at] == want for at, want in wanted)), 0.0
            )

    def text(self) -> str:
        """All counters in Prometheus's text format."""
        with self._lock:
            values = {name: dict(series) for name, series in self._values.items()}
        lines = []
        for name, series in values.items():
            lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} counter"]
            for key, value in sorted(series.items()):
                labels = ",".join(f'{label}="{_escaped(item)}"' for label, item in zip(_LABELS[name], key, strict=True))
                lines.append(f"{name}{{{labels}}} {value:.10g}")
        return "\n".join(lines) + "\n"

    def clear(self) -> None:
        """Sets all counters to zero."""
        with self._lock:
            self._values = {name: {} for name in _LABELS}

    def export(self) -> None:
        """Exports the counters through prometheus_client, for a server's `/metrics`, summed over processes.

        Does nothing if it is not installed. It may be called repeatedly.
        """
        try:
            from prometheus_client import Counter
        except ImportError:
            return
        with self._lock:
            if not self._mirror:
                self._mirror = {
                    name: Counter(name.removesuffix("_total"), _HELP[name], _LABELS[name]) for name in _LABELS
                }

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self._values = {name: {} for name in _LABELS}


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


counters = Counters()
"""The counters of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=counters._after_fork)
