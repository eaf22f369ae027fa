"""Who answers a call, and what is counted, logged, compared and switched off."""

import logging
from collections.abc import Callable

import numpy as np
import pytest

from vlmres.integrations.operations import log, parts, switches
from vlmres.integrations.operations.calls import answer
from vlmres.integrations.operations.counters import FALLBACKS, IMAGES, SECONDS, VERIFIED, counters
from vlmres.integrations.operations.decline import DeclinedError

NAME = "SomeImageProcessor"
Reasons = Callable[[], list[str]]


def declining(kind: str = "device") -> str:
    raise DeclinedError(kind, "it is elsewhere")


def failing() -> str:
    raise RuntimeError("a fault of vlmres")


def count(name: str, **labels: str) -> float:
    return counters.value(name, **{"class": NAME, **labels})


def test_vlmres_answers(reasons: Reasons) -> None:
    assert answer(NAME, 3, lambda: "ours", lambda: "theirs") == "ours"
    assert (count(IMAGES, path="vlmres"), count(IMAGES, path="original")) == (3, 0)
    assert count(SECONDS, path="vlmres") > 0
    assert parts.states() == {NAME: None}
    assert reasons() == []


def test_a_declined_call_is_the_originals(reasons: Reasons) -> None:
    for _ in range(2):
        assert answer(NAME, 2, declining, lambda: "theirs") == "theirs"
    assert reasons() == [f"{NAME}: left to transformers: it is elsewhere"]
    assert (count(IMAGES, path="original"), count(FALLBACKS, reason="device")) == (4, 2)
    assert parts.states() == {NAME: "it is elsewhere"}
    answer(NAME, 1, lambda: "ours", lambda: "theirs")
    assert parts.states() == {NAME: None}


def test_a_failure_falls_back_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        assert answer(NAME, 1, failing, lambda: "theirs", whose="vLLM") == "theirs"
    assert count(FALLBACKS, reason="error RuntimeError") == 3
    (record,) = caplog.records
    assert record.getMessage() == f"{NAME}: left to vLLM: vlmres failed: RuntimeError('a fault of vlmres')"
    assert record.exc_info is not None
    assert "failing" in str(caplog.text)


def test_the_originals_own_error_is_raised() -> None:
    def broken() -> str:
        raise KeyError("no such image")

    with pytest.raises(KeyError, match="no such image"):
        answer(NAME, 1, declining, broken)


def test_classes_switched_off_by_the_operator(monkeypatch: pytest.MonkeyPatch, reasons: Reasons) -> None:
    monkeypatch.setenv("VLMRES_DISABLE", f"Another, {NAME}")
    assert answer(NAME, 1, lambda: "ours", lambda: "theirs") == "theirs"
    assert answer("Third", 1, lambda: "ours", lambda: "theirs") == "ours"
    assert count(FALLBACKS, reason="off") == 1
    assert parts.states()[NAME] == "VLMRES_DISABLE names it"
    assert reasons() == []


def test_shadow_mode_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMRES_VERIFY", "1")
    values = np.arange(6.0)
    result = answer(NAME, 1, lambda: {"pixel_values": values}, lambda: {"pixel_values": values.copy()})
    assert result["pixel_values"] is values
    assert (count(VERIFIED, result="same"), count(VERIFIED, result="different")) == (1, 0)


def test_shadow_mode_catches_other_values(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("VLMRES_VERIFY", "1")
    values = np.arange(6.0)
    for _ in range(2):
        result = answer(NAME, 1, lambda: [values + 1e-9], lambda: [values])
        assert result[0] is values
    assert count(VERIFIED, result="different") == 1  # the second call was the original's alone
    assert (count(IMAGES, path="vlmres"), count(IMAGES, path="original")) == (1, 1)
    assert switches.off(NAME) == "VLMRES_VERIFY found a difference"
    assert parts.states() == {NAME: "VLMRES_VERIFY found a difference"}
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "vlmres and the original differ" in caplog.text


def test_an_original_that_fails_where_vlmres_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing() -> str:
        raise ValueError("too thin")

    monkeypatch.setenv("VLMRES_VERIFY", "1")
    with pytest.raises(ValueError, match="too thin"):
        answer(NAME, 1, lambda: "ours", refusing)
    assert count(VERIFIED, result="different") == 1


@pytest.mark.parametrize(("share", "compared"), [("", 0), ("0", 0), ("0.25", 100)])
def test_the_share_of_shadow_mode(share: str, compared: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMRES_VERIFY", share)
    for _ in range(400):
        answer(NAME, 1, lambda: "same", lambda: "same")
    assert abs(count(VERIFIED) - compared) <= compared / 2  # five standard deviations


@pytest.mark.parametrize("share", ["2", "-0.1", "often", "nan"])
def test_a_share_that_is_none(share: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMRES_VERIFY", share)
    with pytest.raises(ValueError, match=f"VLMRES_VERIFY must be a share from 0 to 1, got '{share}'"):
        answer(NAME, 1, lambda: "ours", lambda: "theirs")


def test_one_line_a_process(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "server.vlmres")
    log.use("server.vlmres")
    parts.left("Foreign", "its source is another")
    answer("Decoder", 1, lambda: "ours", lambda: "theirs", announce=False)
    assert caplog.records == []
    for _ in range(2):
        answer(NAME, 1, lambda: "ours", lambda: "theirs")
    (record,) = caplog.records
    assert record.name == "server.vlmres"
    assert record.getMessage().startswith("vlmres ")
    assert record.getMessage().endswith(f": on for Decoder, {NAME}; left alone: Foreign (its source is another)")


def test_no_line_outside_a_server(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answer(NAME, 1, lambda: "ours", lambda: "theirs")
    assert caplog.records == []
