"""`vlmres.profile`: where the time of calls goes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vlmres
from tests.images import EXAMPLES, pixels
from vlmres.data import Loader

PHOTO = EXAMPLES / "photo.jpg"


@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize("is_path", [True, False])
def test_parts_of_calls_are_measured(num_threads: int, is_path: bool) -> None:
    processor = vlmres.Processor("qwen2-vl", num_threads=num_threads)
    image: Any = PHOTO if is_path else PHOTO.read_bytes()
    with vlmres.profile() as found:
        processor([image] * 3)
        inside = found.as_dict()
        processor([image])
    after = found.as_dict()
    assert (inside["calls"], inside["images"], after["calls"], after["images"]) == (1, 3, 2, 4)
    assert all(after[f"{name}_ms"] > 0 for name in ("open", "decode", "resample", "write", "call"))
    assert after["wait_ms"] == 0
    threads = sum(after[f"{name}_ms"] for name in ("open", "decode", "resample", "write"))
    assert threads <= after["call_ms"] * num_threads * 1.01
    assert after["call_ms"] * 4 <= after["seconds"] * 1000
    processor([image])
    assert found.as_dict() == after
    assert str(found).startswith("4 images in 2 calls, ")


def test_one_image_by_several_threads_is_measured_too() -> None:
    image = pixels(2000, 1500)
    with vlmres.profile() as found:
        vlmres.Processor("internvl2", num_threads=2)([image])
    assert (found.images, found.calls) == (1, 1)
    assert found.as_dict()["resample_ms"] > 0
    assert found.as_dict()["write_ms"] > 0


def test_blocks_in_blocks_and_threads() -> None:
    processor = vlmres.Processor("qwen2-vl")
    with vlmres.profile() as outer:
        processor([PHOTO])
        with vlmres.profile() as inner:
            thread = threading.Thread(target=lambda: processor([PHOTO]))
            thread.start()
            thread.join()
    assert (outer.calls, inner.calls) == (2, 1)
    assert 0 < inner.as_dict()["decode_ms"] * 1.5 < 4 * outer.as_dict()["decode_ms"]


def test_a_loader_and_videos() -> None:
    processor = vlmres.Processor("qwen2-vl", "packed", "uint8")
    with vlmres.profile() as found:
        list(Loader([PHOTO] * 4, processor, batch_size=2))
        processor(videos=[np.stack([pixels(56, 56)] * 4)])
    assert (found.calls, found.images) == (3, 8)
    assert min(found.as_dict()[key] for key in ("decode_ms", "resample_ms", "write_ms", "wait_ms")) > 0


def test_bad_calls_do_not_count_and_pages_are_images() -> None:
    processor = vlmres.Processor("qwen2-vl")
    with vlmres.profile() as found:
        with pytest.raises(vlmres.DecodeError):
            processor([b"no image"])
        processor([PHOTO, b"no image"], errors="return")
    assert (found.calls, found.images) == (1, 1)


def test_calls_that_a_cache_had(tmp_path: Path) -> None:
    processor = vlmres.Processor("qwen2-vl", cache=vlmres.Cache(tmp_path, 1 << 30))
    with vlmres.profile() as found:
        processor([PHOTO])
        processor([PHOTO])
    assert (found.calls, found.cached) == (2, 1)
    assert ", 1 of them cached" in str(found)


def test_nothing_is_measured_where_nobody_asks() -> None:
    processor = vlmres.Processor("qwen2-vl")
    with vlmres.profile() as found:
        pass
    processor([PHOTO])
    assert found.as_dict()["decode_ms"] == 0
    assert str(found).count("0 % of threads' time") == 4
