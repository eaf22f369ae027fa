"""`vlmres.data.Loader` over the datasets that people have: Hugging Face's, in memory and streamed, and WebDataset's."""

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vlmres
from tests.files import png_of
from tests.images import pixels
from vlmres.data import Loader

PROCESSOR = vlmres.Processor("qwen2-vl", layout="packed", dtype="uint8", num_threads=2)
IMAGES = [pixels(60 + 9 * at, 70, seed=at) for at in range(12)]


def check(batch: Any, numbers: list[int]) -> None:
    direct = PROCESSOR([IMAGES[number] for number in numbers])
    assert all(np.array_equal(batch[key], direct[key]) for key in direct)
    assert [sample["text"] for sample in batch.samples] == [f"text {number}" for number in numbers]


@pytest.fixture
def dataset() -> Any:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    images = [{"bytes": png_of(image), "path": None} for image in IMAGES]
    rows = {"image": images, "text": [f"text {number}" for number in range(12)]}
    return datasets.Dataset.from_dict(rows, features=features)


def test_a_dataset(dataset: Any) -> None:
    import datasets

    undecoded = dataset.cast_column("image", datasets.Image(decode=False))
    for items in (dataset, undecoded):
        batches = list(Loader(items, PROCESSOR, batch_size=5, shuffle=True))
        assert sorted(number for batch in batches for number in batch.item_indices) == list(range(12))
        for batch in batches:
            check(batch, batch.item_indices.tolist())


def test_a_streamed_dataset_goes_on_by_its_own_state(dataset: Any) -> None:
    def stream() -> Any:
        import datasets

        streamed = dataset.to_iterable_dataset(num_shards=3)
        return streamed.cast_column("image", datasets.Image(decode=False))

    loader = Loader(stream(), PROCESSOR, batch_size=5)
    loop = iter(loader)
    check(next(loop), [0, 1, 2, 3, 4])
    state = loader.state_dict()
    loader.close()
    assert state["items"] is not None
    resumed = Loader(stream(), PROCESSOR, batch_size=5)
    resumed.load_state_dict(state)
    for batch, numbers in zip(list(resumed), ([5, 6, 7, 8, 9], [10, 11]), strict=True):
        check(batch, numbers)


# WebDataset leaves its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_webdataset(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    path = tmp_path / "shard-0.tar"
    with tarfile.open(path, "w") as tar:
        for number, image in enumerate(IMAGES):
            for name, content in (("png", png_of(image)), ("text", f"text {number}".encode())):
                info = tarfile.TarInfo(f"{number:03}.{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))

    def to_text(sample: dict[str, Any]) -> dict[str, Any]:
        return {**sample, "text": sample["text"].decode()}

    samples = webdataset.WebDataset(str(path), shardshuffle=False).map(to_text)
    loader = Loader(samples, PROCESSOR, batch_size=6)
    for batch, numbers in zip(loader, ([0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]), strict=True):
        check(batch, numbers)
        assert [sample["__key__"] for sample in batch.samples] == [f"{number:03}" for number in numbers]
