"""Counters, their text, and Prometheus's client."""

import os
import subprocess
import sys
import threading
import types
from typing import Any

import pytest

from vlmres.integrations.operations.counters import FALLBACKS, IMAGES, Counters


def add(counters: Counters, amount: float = 1, cls: str = "A", path: str = "vlmres") -> None:
    counters.add(IMAGES, {"class": cls, "path": path}, amount)


def test_sums_over_labels() -> None:
    counters = Counters()
    add(counters, 2)
    add(counters, 3, path="original")
    add(counters, 5, cls="B")
    assert counters.value(IMAGES) == 10
    assert counters.value(IMAGES, path="vlmres") == 7
    assert counters.value(IMAGES, path="vlmres", **{"class": "A"}) == 2
    counters.clear()
    assert counters.value(IMAGES) == 0


def test_text() -> None:
    counters = Counters()
    add(counters, 2)
    counters.add(FALLBACKS, {"class": "A", "reason": 'type "x"\\\n'})
    lines = counters.text().splitlines()
    assert "# TYPE vlmres_images_total counter" in lines
    assert 'vlmres_images_total{class="A",path="vlmres"} 2' in lines
    assert r'vlmres_fallbacks_total{class="A",reason="type \"x\"\\\n"} 1' in lines


def test_a_label_that_is_missing() -> None:
    with pytest.raises(KeyError, match="path"):
        Counters().add(IMAGES, {"class": "A"})


def test_reasons_without_end_are_one_series() -> None:
    counters = Counters()
    for index in range(1000):
        counters.add(FALLBACKS, {"class": "A", "reason": str(index)})
    assert counters.value(FALLBACKS) == 1000
    assert counters.value(FALLBACKS, reason="other") == 800


def test_threads() -> None:
    counters = Counters()

    def work() -> None:
        for _ in range(1000):
            add(counters)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.value(IMAGES) == 4000


def test_the_servers_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}

    class Counter:
        def __init__(self, name: str, _text: str, labels: tuple[str, ...]) -> None:
            assert name not in made, "registered twice"
            made[name] = self
            self.names = labels
            self.values: dict[Any, float] = {}

        def labels(self, *values: str) -> Any:
            def inc(amount: float) -> None:
                self.values[values] = self.values.get(values, 0) + amount

            return types.SimpleNamespace(inc=inc)

    client = types.ModuleType("prometheus_client")
    client.Counter = Counter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "prometheus_client", client)
    counters = Counters()
    for _ in range(2):
        counters.export()
    add(counters, 2)
    add(counters, 3)
    assert sorted(made) == ["vlmres_fallbacks", "vlmres_images", "vlmres_seconds", "vlmres_verified"]
    assert made["vlmres_images"].names == ("class", "path")
    assert made["vlmres_images"].values == {("A", "vlmres"): 5}
    assert counters.value(IMAGES) == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_begins_at_zero() -> None:
    code = (
        "import os\n"
        "from vlmres.integrations.operations.counters import counters, IMAGES\n"
        "counters.add(IMAGES, {'class': 'A', 'path': 'vlmres'}, 2)\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(int(counters.value(IMAGES)))\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), counters.value(IMAGES))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "0 2.0\n"
