"""transformers' side of the benchmark: the fastest of what is right."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from benches.encoder import timing
from benches.encoder.models import MODELS
from benches.encoder.peer import Peer
from benches.encoder.timing import Clock

CPU = torch.device("cpu")

SECONDS = {"sdpa": 0.02, "flash_attention_2": 0.001, "flash_attention_3": 0.0, "flex_attention": 0.0}
ERRORS = {"flash_attention_3": 0.5}


class Ticks:
    """What `Clock` takes for the time: it passes where a test says so, however busy the machine is."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    monotonic = staticmethod(time.monotonic)


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    found = Ticks()
    monkeypatch.setattr(timing, "time", found)
    return found


class FakePeer(Peer):
    """Kernels of given speeds and errors."""

    def __init__(self, ticks: Ticks, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(MODELS["internvl"], None, None, device, dtype, [])
        self.ticks = ticks

    def _use(self, name: str) -> None:
        if name == "flash_attention_4":
            raise ImportError("the package does not seem to be installed\nreally")
        self.attention = name

    def tokens(self, _: dict[str, Any]) -> torch.Tensor:
        self.ticks.now += SECONDS[self.attention]
        return torch.ones(4, dtype=self.dtype) * (1 + ERRORS.get(self.attention, 0))


def test_the_fastest_attention_that_is_right(ticks: Ticks) -> None:
    peer = FakePeer(ticks, torch.device("cuda"), torch.bfloat16)
    times = peer.choose_attention({}, Clock(CPU, 0, 3))
    assert times.keys() == {"sdpa", "flex_attention", "flash_attention_2"}
    assert peer.attention == "flex_attention"
    notes = "\n".join(peer.notes)
    assert "flash_attention_3 is not taken: its tokens are 5e-01 from SDPA's" in notes
    assert "flash_attention_4 does not run: ImportError: the package does not seem to be installed" in notes
    assert "attention of transformers: sdpa 20.0 ms, flash_attention_2 1.0 ms, flex_attention 0.0 ms" in notes


def test_nothing_is_compiled_in_a_hurry(ticks: Ticks) -> None:
    peer = FakePeer(ticks, torch.device("cuda"), torch.bfloat16)
    assert peer.choose_attention({}, Clock(CPU, 0, 3), quick=True).keys() == {"sdpa", "flash_attention_2"}
    assert any("flex_attention is not tried in --quick" in note for note in peer.notes)


def test_flash_attention_is_not_for_float32(ticks: Ticks) -> None:
    peer = FakePeer(ticks, torch.device("cuda"), torch.float32)
    assert peer.choose_attention({}, Clock(CPU, 0, 3)).keys() == {"sdpa", "flex_attention"}
    assert not any("flash" in note for note in peer.notes)


def test_attention_of_a_module() -> None:
    module = MODELS["internvl"].module("tiny", torch.float32)
    peer = Peer(MODELS["internvl"], module, None, CPU, torch.float32, [])
    peer._use("flex_attention")
    assert peer.attention == module.vision_tower.config._attn_implementation == "flex_attention"
    with pytest.raises(ValueError, match="FlashAttention2"):
        peer._use("flash_attention_2")
    peer._use("sdpa")
    assert peer.attention == module.vision_tower.config._attn_implementation == "sdpa"


def test_the_faster_place_of_the_processor(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = FakePeer(ticks, torch.device("meta"), torch.float32)
    places = {"cpu": 0.01, "meta": 0.0}

    def prepare(_: Any, place: torch.device) -> None:
        ticks.now += places[place.type]

    monkeypatch.setattr(peer, "prepare", prepare)
    monkeypatch.setattr("benches.encoder.peer.decoded", lambda files: files)
    assert peer.choose_processor([b""], Clock(CPU, 0, 3)).keys() == {"cpu", "meta"}
    assert peer.processor_device == torch.device("meta")


def test_pages_in_batches(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = FakePeer(ticks, CPU, torch.float32)
    seen: list[list[bytes]] = []

    def prepare(pictures: list[bytes]) -> dict[str, Any]:
        seen.append(pictures)
        return {}

    monkeypatch.setattr(peer, "prepare", prepare)
    monkeypatch.setattr("benches.encoder.peer.decoded", lambda files: files)
    assert peer.run_files([b"a", b"b", b"c", b"d", b"e"], 2) == 3 * 4
    assert seen == [[b"a", b"b"], [b"c", b"d"], [b"e"]]
