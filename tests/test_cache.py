"""`vlmres.Cache`: the bits of calls without it, by content, within its bound, whatever becomes of its files."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vlmres
from tests.images import pixels
from vlmres.data import Loader, Mix

IMAGES = [pixels(60 + 14 * at, 84, seed=at) for at in range(6)]


def encoded(image: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def processor(cache: vlmres.Cache | None, name: str = "qwen2-vl", **settings: Any) -> vlmres.Processor:
    return vlmres.Processor(name, **{"layout": "packed", "dtype": "uint8", **settings}, cache=cache)


def same(one: Any, other: Any) -> None:
    assert list(one) == list(other)
    for key in other:
        assert one[key].dtype == other[key].dtype
        assert np.array_equal(one[key], other[key]), key
    assert one.plans == other.plans
    assert one.dtype == other.dtype


@pytest.fixture
def cache(tmp_path: Path) -> vlmres.Cache:
    return vlmres.Cache(tmp_path / "cache", 50_000_000)


@pytest.mark.parametrize(
    ("name", "layout", "dtype"),
    [("qwen2-vl", "packed", "uint8"), ("llava-onevision", "hf", "float32"), ("siglip", "hf", "bfloat16")],
)
def test_a_call_is_read_back_as_it_was(cache: vlmres.Cache, tmp_path: Path, name: str, layout: Any, dtype: Any) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(encoded(IMAGES[0]))
    calls: list[Any] = [
        [path, encoded(IMAGES[1]), IMAGES[2]],
        [[path, IMAGES[1]], [IMAGES[2]]],
        Image.fromarray(IMAGES[3]),
    ]
    for call in calls:
        direct = vlmres.Processor(name, layout, dtype)(call)
        for _ in range(2):
            same(processor(cache, name, layout=layout, dtype=dtype)(call), direct)
    assert (len(cache), cache.hits, cache.misses) == (3, 3, 3)


def test_the_key_is_content_and_all_that_changes_a_value(cache: vlmres.Cache, tmp_path: Path) -> None:
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    one.write_bytes(encoded(IMAGES[0]))
    other.write_bytes(encoded(IMAGES[0]))
    processor(cache)([one])
    processor(cache)([other])  # another name, the same content
    processor(cache)([encoded(IMAGES[0])])
    assert (cache.hits, cache.misses) == (2, 1)
    other.write_bytes(encoded(IMAGES[1]))
    same(processor(cache)([other]), processor(None)([IMAGES[1]]))
    processor(cache)([[one]])  # in samples
    for settings in ({"max_pixels": 28 * 28 * 4}, {"dtype": "float32"}, {"layout": "hf"}, {"arithmetic": "pillow"}):
        processor(cache, **settings)([one])
    processor(cache, "qwen2.5-vl")([one])
    processor(cache)([one, other])
    processor(cache)([other, one])
    assert (cache.hits, cache.misses) == (2, 10)


def test_pixels_with_alpha_are_told_apart(cache: vlmres.Cache) -> None:
    rgba = pixels(56, 56, channels=4, seed=1)
    first = processor(cache)([rgba])
    rgba[0, 0, 0] ^= 255
    rgba[0, 0, 3] = 255
    assert not np.array_equal(processor(cache)([rgba]).patches, first.patches)
    assert cache.misses == 2


def test_what_has_no_content_before_it_is_made_is_not_kept(cache: vlmres.Cache) -> None:
    made = processor(cache)
    made([(IMAGES[0], {"max_pixels": 28 * 28 * 4})])
    made(videos=[np.stack([IMAGES[0]] * 2)])
    made([IMAGES[0], b"no image"], errors="return")
    shape, _ = made.shapes([(60, 84)])["patches"]
    made([IMAGES[0]], out=np.empty(shape, np.uint8))
    assert len(cache) == 0
    with pytest.raises(FileNotFoundError, match=r"image 0: .*missing"):
        made(["missing.png"])


def test_the_oldest_make_room(tmp_path: Path) -> None:
    probe = vlmres.Cache(tmp_path / "probe", 1 << 30)
    processor(probe)([IMAGES[0]])
    each = probe.nbytes
    cache = vlmres.Cache(tmp_path / "cache", 3 * each + each // 2)
    made = processor(cache)
    variants = [IMAGES[0] ^ np.uint8(at) for at in range(5)]
    for at in range(3):
        made([variants[at]])
        os.utime(max(cache.folder.glob("*.batch"), key=lambda path: path.stat().st_mtime_ns), ns=(at, at + 1))
    made([variants[0]])  # used again: the second is the oldest now
    made([variants[3]])
    assert len(cache) == 3
    assert cache.nbytes <= cache.max_bytes
    hits = cache.hits
    for at, is_there in ((0, True), (2, True), (3, True), (1, False)):
        made([variants[at]])
        hits += is_there
        assert cache.hits == hits, at
    small = vlmres.Cache(tmp_path / "small", each - 1)
    same(processor(small)([variants[0]]), processor(None)([variants[0]]))
    assert len(small) == 0


@pytest.mark.parametrize("damage", ["cut", "longer", "values", "description", "mark", "empty", "swapped"])
def test_a_damaged_entry_is_made_again(cache: vlmres.Cache, damage: str) -> None:
    direct = processor(None)([IMAGES[0]])
    processor(cache)([IMAGES[0]])
    (path,) = cache.folder.glob("*.batch")
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[{"values": -9, "description": 40, "mark": 2}.get(damage, -1)] ^= 1
    if damage == "swapped":  # another entry's file by this name
        processor(cache)([IMAGES[1]])
        (other,) = set(cache.folder.glob("*.batch")) - {path}
        damaged = bytearray(other.read_bytes())
    contents = {"cut": whole[:-5], "longer": whole + b"0", "empty": b""}
    path.write_bytes(contents.get(damage, bytes(damaged)))
    same(processor(cache)([IMAGES[0]]), direct)
    assert path.read_bytes() == whole
    same(processor(cache)([IMAGES[0]]), direct)
    assert cache.hits == 1


def test_a_file_that_changes_meanwhile_is_not_kept(cache: vlmres.Cache, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(encoded(IMAGES[0]))

    def allocate(_: str, shape: Any, dtype: str) -> Any:
        path.write_bytes(encoded(IMAGES[0] ^ np.uint8(1)))
        return np.empty(shape, dtype)

    processor(cache, allocate=allocate)([path])
    assert len(cache) == 0


def test_a_killed_writer_leaves_what_is_removed(cache: vlmres.Cache) -> None:
    cache.folder.mkdir()
    (cache.folder / "0123.tmp").write_bytes(b"half of it")
    processor(cache)([IMAGES[0]])
    assert sorted(path.suffix for path in cache.folder.iterdir() if path.suffix) == [".batch"]


def test_a_folder_that_cannot_be_written_costs_no_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"")
    made = processor(vlmres.Cache(tmp_path / "file" / "cache", 1000))
    for image in IMAGES[:2]:
        same(made([image]), processor(None)([image]))
    assert caplog.text.count("keeps nothing") == 1


def _work(folder: str, first: int, most: int) -> int:
    cache = vlmres.Cache(folder, most)
    made = processor(cache)
    for at in range(30):
        image = IMAGES[0] ^ np.uint8((first + at) % 12)
        assert np.array_equal(made([image]).patches, processor(None)([image]).patches)
        assert cache.nbytes <= most
    return cache.hits


def test_processes_share_a_folder(tmp_path: Path) -> None:
    probe = vlmres.Cache(tmp_path / "probe", 1 << 30)
    processor(probe)([IMAGES[0]])
    most = 5 * probe.nbytes
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert all(
            hits >= 0 for hits in pool.starmap(_work, [(str(tmp_path / "cache"), at * 4, most) for at in range(2)])
        )
    cache = vlmres.Cache(tmp_path / "cache", most)
    assert len(cache) == 5
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)


def test_a_loader_reads_the_same_batches_again(cache: vlmres.Cache) -> None:
    made = pickle.loads(pickle.dumps(processor(cache)))
    first = list(Loader(IMAGES, made, batch_size=4))
    again = list(Loader(IMAGES, made, batch_size=4))
    assert (made.cache.hits, made.cache.misses) == (2, 2)
    for one, other in zip(again, first, strict=True):
        same(one, other)
        assert one.item_indices.tolist() == other.item_indices.tolist()


def test_drawn_recipes_are_in_the_key(cache: vlmres.Cache) -> None:
    mix = Mix.areas("qwen2-vl", 28 * 28 * 4, 28 * 28 * 16, levels=3)
    for _ in range(2):
        loader = Loader(IMAGES, mix, batch_size=6)
        loader.processor.cache = cache
        batch = next(iter(loader))
        (direct,) = Loader(IMAGES, mix, batch_size=6)
        same(batch, direct)
        loader.set_epoch(1)
        same(next(iter(loader)), next(iter(_at(mix))))
    assert (cache.hits >= 2, len(cache) >= 2) == (True, True)


def _at(mix: Mix) -> Loader:
    loader = Loader(IMAGES, mix, batch_size=6)
    loader.set_epoch(1)
    return loader


@pytest.mark.parametrize(
    ("most", "error", "message"),
    [(0, ValueError, "max_bytes must be at least 1, got 0"), (1.5, TypeError, "max_bytes must be an integer")],
)
def test_arguments(most: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        vlmres.Cache("folder", most)
