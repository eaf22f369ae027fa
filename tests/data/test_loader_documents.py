"""`Loader` over PDF files: pages are a sample's images, errors name the file, tokens are those of all pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vlmres
from tests.images import pixels
from tests.pdf import pdf
from vlmres.data import Loader

pytest.importorskip("pypdfium2")

IMAGE = pixels(70, 56)
PAGES = pdf(3, size=(120, 90))


def same(batch: Any, direct: vlmres.Batch) -> None:
    assert all(np.array_equal(batch[key], direct[key]) for key in direct)


@pytest.mark.parametrize("is_open", [False, True])
def test_pages_are_the_images_of_their_item(tmp_path: Path, is_open: bool) -> None:
    (tmp_path / "pages.pdf").write_bytes(PAGES)
    document: Any = vlmres.Document(PAGES) if is_open else str(tmp_path / "pages.pdf")
    items = [IMAGE, document, {"images": [IMAGE, document], "text": "both"}]
    (batch,) = Loader(items, "qwen2-vl", batch_size=3)
    assert batch.image_counts.tolist() == [1, 3, 4]
    assert batch.item_indices.tolist() == [0, 1, 2]
    pages = list(vlmres.Document(PAGES))
    same(batch, vlmres.Processor("qwen2-vl", "packed", "uint8")([IMAGE, *pages, IMAGE, *pages]))


def test_tokens_are_those_of_all_pages() -> None:
    page = vlmres.plan(vlmres.Document(PAGES)[0].size, "qwen2-vl").num_tokens
    items = [PAGES, IMAGE, PAGES]
    for given in (items, iter(items)):
        batches = list(Loader(given, "qwen2-vl", max_tokens=3 * page + 9))
        assert sorted(len(batch.plans) for batch in batches) == [3, 4]
        assert all(sum(batch.num_tokens) <= 3 * page + 9 for batch in batches)
    with pytest.raises(ValueError, match=f"item 0 has {3 * page} tokens"):
        Loader(items, "qwen2-vl", max_tokens=3 * page - 1)


def test_errors_name_the_item_and_not_a_page(tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    items = [PAGES, PAGES, str(bad), IMAGE]
    with pytest.raises(vlmres.DecodeError, match=r"item 2 \(.*bad\.png\)"):
        list(Loader(items, "qwen2-vl", batch_size=4))
    loader = Loader(items, "qwen2-vl", batch_size=4, errors="skip")
    (batch,) = loader
    assert batch.item_indices.tolist() == [0, 1, 3]
    assert batch.image_counts.tolist() == [3, 3, 1]
    assert (loader.stats()["skipped"], loader.stats()["images"]) == (1, 7)
    with pytest.raises(vlmres.DecodeError, match=r"item 1: "):
        list(Loader([PAGES, PAGES[:300]], "qwen2-vl", batch_size=2))


def test_sizes_of_pages_are_checked() -> None:
    size = vlmres.Document(PAGES)[0].size
    known = [[size] * 3, [(70, 56)]]
    (batch,) = Loader([PAGES, IMAGE], "qwen2-vl", max_tokens=400, sizes=known)
    assert batch.image_counts.tolist() == [3, 1]
    with pytest.raises(vlmres.VlmresError, match=r"item 0: its images are .*, sizes say"):
        list(Loader([PAGES, IMAGE], "qwen2-vl", batch_size=2, sizes=[[size] * 2, [(70, 56)]]))


def test_images_with_settings_of_their_own() -> None:
    item = (IMAGE, {"max_pixels": 28 * 28 * 4})
    (batch,) = Loader([item, {"image": item}], "qwen2-vl", batch_size=2)
    same(batch, vlmres.Processor("qwen2-vl", "packed", "uint8")([item, item]))
