"""What the tests of integrations share."""

import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vlmres import threads
from vlmres.integrations.operations import imports, log, parts, switches
from vlmres.integrations.operations.counters import counters
from vlmres.integrations.transformers import memo, route, samples, uninstall, videos

LOGGER = "vlmres.integrations.transformers"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing remembered from other tests."""
    monkeypatch.setattr(log, "_logged", {})
    monkeypatch.setattr(log, "_server", None)
    monkeypatch.setattr(parts, "_states", {})
    monkeypatch.setattr(parts, "_announced", None)
    monkeypatch.setattr(switches, "_off", {})
    monkeypatch.setattr(memo, "_routes", {})
    monkeypatch.setattr(imports, "_actions", {})
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(threads, "share", None)
    counters.clear()
    yield
    uninstall()


@pytest.fixture
def reasons(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings of calls that were left to transformers, so far."""
    caplog.set_level(logging.WARNING, LOGGER)
    return lambda: [record.getMessage() for record in caplog.records if record.name == LOGGER]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of every call that vlmres answered."""
    counts: list[int] = []
    run = route.Route.run

    def counted(self: route.Route, call: samples.Call, *args: Any) -> Any:
        outputs = run(self, call, *args)
        counts.append(len(call.images))
        return outputs

    monkeypatch.setattr(route.Route, "run", counted)
    return counts


@pytest.fixture
def video_runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of videos of every call that vlmres answered, sample videos left out."""
    counts: list[int] = []
    run = videos.VideoRoute.run

    def counted(self: videos.VideoRoute, clips: Any, return_tensors: Any) -> Any:
        outputs = run(self, clips, return_tensors)
        if all(clips[0] is not videos._samples(sizes)[0] for sizes in (videos._SAMPLE_SIZES, videos._WHOLE_SIZES)):
            counts.append(len(clips))
        return outputs

    monkeypatch.setattr(videos.VideoRoute, "run", counted)
    return counts
