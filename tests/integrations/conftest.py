"""What the tests of integrations share."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vlmres.integrations.transformers import decline, route, uninstall

LOGGER = "vlmres.integrations.transformers"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing remembered from other tests."""
    monkeypatch.setattr(decline, "_logged", {})
    monkeypatch.setattr(route, "_routes", {})
    yield
    uninstall()


@pytest.fixture
def reasons(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings of calls that were left to transformers, so far."""
    caplog.set_level(logging.WARNING, LOGGER)
    return lambda: [record.getMessage() for record in caplog.records if record.name == LOGGER]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of every call that vlmres answered, sample images left out."""
    counts: list[int] = []
    run = route.Route.run

    def counted(self: route.Route, images: Any, data_format: Any) -> Any:
        outputs = run(self, images, data_format)
        if [id(image) for image in images] != [id(image) for image in route._samples()]:
            counts.append(len(images))
        return outputs

    monkeypatch.setattr(route.Route, "run", counted)
    return counts
