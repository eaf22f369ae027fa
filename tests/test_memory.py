"""Memory of results comes back to the processor that made them, and never while somebody reads it."""

from __future__ import annotations

import copy
import gc
import pickle
import threading

import numpy as np
import pytest

import vlmres
from tests import images

SIZE = (700, 500)


@pytest.fixture
def processor() -> vlmres.Processor:
    return vlmres.Processor("qwen2-vl", num_threads=1)


def test_freed_memory_is_used_again_and_aligned(processor: vlmres.Processor) -> None:
    image = images.pixels(*SIZE)
    first = processor(image)["pixel_values"]
    address, expected = first.ctypes.data, first.copy()
    assert address % 64 == 0
    del first
    gc.collect()
    second = processor(image)["pixel_values"]
    assert second.ctypes.data == address
    np.testing.assert_array_equal(second, expected)


def test_memory_in_use_is_left_alone(processor: vlmres.Processor) -> None:
    one, two = images.pixels(*SIZE, seed=1), images.pixels(*SIZE, seed=2)
    first = processor(one)["pixel_values"]
    part = first[5:9, 3:]
    expected = part.copy()
    del first
    gc.collect()
    for _ in range(3):
        processor(two)
    np.testing.assert_array_equal(part, expected)


def test_torch_tensors_keep_their_memory(processor: vlmres.Processor) -> None:
    torch = pytest.importorskip("torch")
    tensor = processor(images.pixels(*SIZE, seed=1)).torch()["pixel_values"]
    expected = tensor.clone()
    gc.collect()
    for seed in range(2, 5):
        processor(images.pixels(*SIZE, seed=seed))
    assert torch.equal(tensor, expected)


def test_results_outlive_their_processor() -> None:
    image = images.pixels(*SIZE)
    processor = vlmres.Processor("qwen2-vl", num_threads=1)
    values = processor(image)["pixel_values"]
    expected = values.copy()
    del processor
    gc.collect()
    np.testing.assert_array_equal(values, expected)
    values[:] = 0


def test_trimmed_pickled_and_copied_processors_work(processor: vlmres.Processor) -> None:
    image = images.pixels(*SIZE)
    expected = processor(image)["pixel_values"].copy()
    processor.trim()
    for other in (processor, pickle.loads(pickle.dumps(processor)), copy.deepcopy(processor), copy.copy(processor)):
        np.testing.assert_array_equal(other(image)["pixel_values"], expected)


def test_threads_share_a_processors_memory(processor: vlmres.Processor) -> None:
    pictures = [images.pixels(*SIZE, seed=seed) for seed in range(4)]
    expected = [processor(picture)["pixel_values"].copy() for picture in pictures]
    wrong: list[int] = []

    def run(index: int) -> None:
        for _ in range(10):
            if not np.array_equal(processor(pictures[index])["pixel_values"], expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
