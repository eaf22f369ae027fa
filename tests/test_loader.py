"""`vlmres.data.Loader`: the bits of direct calls, in order, from any kind of items, and loops that can be resumed."""

import gc
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vlmres
from tests.commands import ENVIRONMENT
from tests.files import png_of
from tests.images import EXAMPLES
from vlmres.data import Loader, LoaderBatch
from vlmres.data import buffers as loader_buffers

RNG = np.random.default_rng(5)
NUM_THREADS = 2


def _image(width: int, height: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


IMAGES = [_image(40 + 9 * at, 60 + 7 * (at % 4)) for at in range(13)]


def _processor(**settings: Any) -> vlmres.Processor:
    return vlmres.Processor("qwen2-vl", layout="packed", dtype="uint8", num_threads=NUM_THREADS, **settings)


def _same(one: Any, other: Any) -> None:
    assert list(one) == list(other)
    for key in other:
        assert one[key].dtype == other[key].dtype
        assert np.array_equal(one[key], other[key]), key


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("vlmres-loader")]


def _order(loader: Loader) -> list[list[int]]:
    return [batch.item_indices.tolist() for batch in loader]


def _all(batches: list[list[int]]) -> list[int]:
    return sorted(number for batch in batches for number in batch)


@pytest.mark.parametrize("prefetch", [1, 2, 5])
@pytest.mark.parametrize(
    ("name", "layout", "dtype"), [("qwen2-vl", "packed", "uint8"), ("llava-next", "hf", "float32")]
)
def test_batches_are_those_of_direct_calls_and_stay_valid(prefetch: int, name: str, layout: Any, dtype: Any) -> None:
    processor = vlmres.Processor(name, layout, dtype)
    kept = list(Loader(IMAGES, name, layout=layout, dtype=dtype, batch_size=3, prefetch=prefetch, num_threads=3))
    assert [len(batch.item_indices) for batch in kept] == [3, 3, 3, 3, 1]
    for number, batch in enumerate(kept):
        _same(batch, processor(IMAGES[3 * number : 3 * number + 3]))
        assert batch.samples == [None] * len(batch.item_indices)


def test_memory_is_used_again_unless_somebody_has_a_view() -> None:
    images = [IMAGES[-1]] * 40
    loader = Loader(images, "siglip", layout="hf", dtype="uint8", batch_size=2, num_threads=1)
    addresses = [batch.pixel_values.ctypes.data for batch in loader]
    assert len(set(addresses)) <= loader.prefetch + 2
    views = [batch.pixel_values[1:] for batch in loader]
    assert len({view.ctypes.data for view in views}) == len(views)
    expected = vlmres.Processor("siglip", dtype="uint8")(images[:2]).pixel_values[1:]
    assert all(np.array_equal(view, expected) for view in views)


def test_shuffling_is_anew_in_each_epoch_and_the_same_again() -> None:
    loader = Loader(IMAGES, _processor(), batch_size=4, shuffle=True, seed=7)
    epochs = [_order(loader) for _ in range(3)]
    assert len({str(epoch) for epoch in epochs}) == 3
    assert all(_all(epoch) == list(range(13)) for epoch in epochs)
    again = Loader(IMAGES, _processor(), batch_size=4, shuffle=True, seed=7)
    again.set_epoch(1)
    assert [_order(again), _order(again)] == epochs[1:]
    assert _order(Loader(IMAGES, _processor(), batch_size=4, shuffle=True, seed=8)) != epochs[0]


def test_ranks_share_an_epoch_and_have_as_many_batches() -> None:
    loaders = [Loader(IMAGES, _processor(), batch_size=2, shuffle=True, rank=rank, world_size=3) for rank in range(3)]
    orders = [_order(loader) for loader in loaders]
    assert [len(order) for order in orders] == [len(loader) for loader in loaders] == [3, 3, 3]
    in_turn = [batch for step in zip(*orders, strict=True) for batch in step]
    whole = _order(Loader(IMAGES, _processor(), batch_size=2, shuffle=True))
    assert in_turn == [*whole, *whole[:2]]


@pytest.mark.parametrize("settings", [{"batch_size": 3}, {"max_tokens": 40}, {"max_tokens": 40, "batch_size": 2}])
def test_a_sequence_goes_on_from_any_point(settings: dict[str, Any]) -> None:
    def make() -> Loader:
        return Loader(IMAGES, _processor(), shuffle=True, seed=3, num_threads=1, **settings)

    loader = make()
    epochs = [_order(loader), _order(loader)]
    whole = epochs[0] + epochs[1]
    for point in range(len(epochs[0]) + 1):
        loader = make()
        loop = iter(loader)
        for _ in range(point):
            next(loop)
        state = json.loads(json.dumps(loader.state_dict()))
        resumed = make()
        resumed.load_state_dict(state)
        rest = _order(resumed)
        if point < len(epochs[0]):
            rest += _order(resumed)
        assert rest == whole[point:], point


def test_a_state_of_something_else_is_refused() -> None:
    state = Loader(IMAGES, _processor(), batch_size=3).state_dict()
    with pytest.raises(ValueError, match="other items or settings"):
        Loader(IMAGES[:-1], _processor(), batch_size=3).load_state_dict(state)
    with pytest.raises(ValueError, match="not of a loader of an iterable"):
        Loader(iter(IMAGES), _processor(), batch_size=3).load_state_dict(state)


def test_packs_have_at_most_so_many_tokens() -> None:
    tokens = [vlmres.plan((image.shape[1], image.shape[0]), "qwen2-vl").num_tokens for image in IMAGES]
    sizes = np.array([(image.shape[1], image.shape[0]) for image in IMAGES])
    for items, known in ((IMAGES, None), (IMAGES, sizes), (iter(IMAGES), None)):
        batches = list(Loader(items, _processor(), max_tokens=max(tokens) * 2, sizes=known))
        assert _all([batch.item_indices.tolist() for batch in batches]) == list(range(13))
        for batch in batches:
            assert sum(batch.num_tokens) == sum(tokens[at] for at in batch.item_indices) <= max(tokens) * 2
            _same(batch, _processor()([IMAGES[at] for at in batch.item_indices]))
    worst = int(np.argmax(tokens))
    for items in (IMAGES, iter(IMAGES)):
        with pytest.raises(ValueError, match=str(worst)):
            list(Loader(items, _processor(), max_tokens=max(tokens) - 1))


class _Stream:
    """An iterable with a state of its own."""

    def __init__(self) -> None:
        self.at = 0
        self.reads: list[int] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        while self.at < len(IMAGES):
            self.reads.append(self.at)
            self.at += 1
            yield IMAGES[self.at - 1]
        self.at = 0

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.at = state["at"]


@pytest.mark.parametrize("settings", [{"batch_size": 3}, {"max_tokens": 40}])
def test_an_iterable_goes_on_by_its_own_state(settings: dict[str, Any]) -> None:
    whole = _order(Loader(_Stream(), _processor(), **settings))
    for point in range(1, len(whole)):
        loader = Loader(_Stream(), _processor(), **settings)
        loop = iter(loader)
        for _ in range(point):
            next(loop)
        state = loader.state_dict()
        loader.close()
        stream = _Stream()
        resumed = Loader(stream, _processor(), **settings)
        resumed.load_state_dict(state)
        assert _order(resumed) == whole[point:]
        assert "batch_size" not in settings or stream.reads[0] == whole[point][0]


def test_other_iterables_go_on_by_skipping_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    whole = _order(Loader(iter(IMAGES), _processor(), batch_size=3))
    loader = Loader(iter(IMAGES), _processor(), batch_size=3)
    next(iter(loader))
    resumed = Loader(iter(IMAGES), _processor(), batch_size=3)
    resumed.load_state_dict(loader.state_dict())
    with caplog.at_level(logging.WARNING, "vlmres.data"):
        assert _order(resumed) == whole[1:]
    assert "skipping 3 samples" in caplog.text
    with pytest.raises(RuntimeError, match="can be used once"):
        list(resumed)


def test_ranks_share_an_iterable() -> None:
    orders = [_order(Loader(iter(IMAGES), _processor(), batch_size=2, rank=rank, world_size=2)) for rank in range(2)]
    assert orders[0] == [[0, 2], [4, 6], [8, 10], [12]]
    assert orders[1] == [[1, 3], [5, 7], [9, 11]]


def test_samples_keep_what_is_no_image() -> None:
    samples = [
        {"image": IMAGES[0], "text": "a"},
        {"images": [IMAGES[1], IMAGES[2]], "text": "b"},
        {"images": None, "text": "c"},
        {"__key__": "k", "left.png": png_of(IMAGES[3]), "json": {"d": 1}},
        {"image": {"bytes": png_of(IMAGES[4]), "path": None}, "label": 3},
        {"image": {"bytes": None, "path": str(EXAMPLES / "line.png")}},
    ]
    seen = []

    def collate(rest: list[Any], batch: LoaderBatch) -> str:
        seen.append((rest, batch))
        return "batch"

    assert list(Loader(samples, _processor(), batch_size=6, collate=collate)) == ["batch"]
    ((rest, batch),) = seen
    plain = [{"text": "a"}, {"text": "b"}, {"text": "c"}, {"__key__": "k", "json": {"d": 1}}, {"label": 3}, {}]
    assert rest == plain == batch.samples
    _same(batch, _processor()([*IMAGES[:5], EXAMPLES / "line.png"]))


def test_references_that_know_samples_get_them() -> None:
    samples = [{"images": [IMAGES[0], IMAGES[1]]}, {"image": IMAGES[2]}]
    (batch,) = Loader(samples, "llava-onevision", layout="hf", batch_size=2)
    direct = vlmres.Processor("llava-onevision", dtype="uint8")([[IMAGES[0], IMAGES[1]], [IMAGES[2]]])
    _same(batch, direct)


def test_videos_come_beside_images() -> None:
    clip = np.stack([_image(64, 56) for _ in range(4)])
    samples = [{"image": IMAGES[0], "video": clip}, {"videos": [clip[:2]], "text": "only a video"}]
    (batch,) = Loader(samples, _processor(), batch_size=2)
    _same(batch, _processor()([IMAGES[0]]))
    assert batch.video_batch is not None
    _same(batch.video_batch, _processor()(videos=[clip, clip[:2]]))
    (alone,) = Loader(samples[1:], _processor(), batch_size=2)
    assert len(alone) == 0
    _same(alone.video_batch, _processor()(videos=[clip[:2]]))


def test_arrow_columns_and_tables() -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"jpg": [png_of(image) for image in IMAGES[:4]], "text": list("abcd")})
    for items in (table["jpg"], table):
        (batch,) = Loader(items, _processor(), batch_size=4)
        _same(batch, _processor()(IMAGES[:4]))
    assert [sample["text"] for sample in batch.samples] == list("abcd")


def test_sizes_from_a_file_and_a_wrong_one(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    sizes = np.array([(image.shape[1], image.shape[0]) for image in IMAGES])
    path = tmp_path / "index.parquet"
    pq.write_table(pa.table({"path": list("abcdefghijklm"), "width": sizes[:, 0], "height": sizes[:, 1]}), path)
    encoded = [png_of(image) for image in IMAGES]
    for known in (path, sizes, sizes.tolist(), [[size] for size in sizes.tolist()]):
        assert len(_order(Loader(encoded, _processor(), batch_size=5, sizes=known))) == 3
    sizes[4] += 1
    with pytest.raises(vlmres.VlmresError, match=r"item 4: its images are 76x60, sizes say 77x61"):
        list(Loader(encoded, _processor(), batch_size=5, sizes=sizes))
    with pytest.raises(ValueError, match="sizes are of 12 samples, items are 13"):
        Loader(encoded, _processor(), batch_size=5, sizes=sizes[1:])


def test_errors_name_their_item(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.jpg")
    with pytest.raises(FileNotFoundError, match=r"item 2 \(.*missing.jpg\)"):
        list(Loader([IMAGES[0], IMAGES[1], missing], _processor(), batch_size=2))
    with pytest.raises(vlmres.DecodeError, match=r"item 1 \(k\): image 1: "):
        list(Loader([IMAGES[0], {"id": "k", "images": [IMAGES[1], b"no"]}], _processor(), batch_size=2))
    with pytest.raises(TypeError, match=r"item 0 \(k\): .*'pixels'"):
        list(Loader([{"id": "k", "pixels": 3}], _processor(), batch_size=2))

    class Bad(list):
        def __getitem__(self, index: Any) -> Any:
            raise LookupError("row is gone")

    with pytest.raises(LookupError, match="item 0: row is gone"):
        list(Loader(Bad([1]), _processor(), batch_size=1))


def test_bad_samples_are_skipped_whole_and_counted() -> None:
    half = png_of(IMAGES[5])[:300]
    items = [IMAGES[0], half, {"images": [IMAGES[1], half]}, IMAGES[2], half, b"no", IMAGES[3]]
    loader = Loader(items, _processor(), batch_size=2, errors="skip")
    batches = list(loader)
    assert [batch.item_indices.tolist() for batch in batches] == [[0], [3], [6]]
    for batch, image in zip(batches, (IMAGES[0], IMAGES[2], IMAGES[3]), strict=True):
        _same(batch, _processor()([image]))
    assert (loader.stats()["skipped"], loader.stats()["images"], loader.stats()["batches"]) == (4, 3, 3)


def test_a_hundred_failures_in_a_row_are_an_error() -> None:
    few = [b"no"] * 99 + [IMAGES[0]] + [b"no"] * 99
    assert _order(Loader(few, _processor(), batch_size=7, errors="skip")) == [[99]]
    with pytest.raises(RuntimeError, match=r"100 samples in a row could not be loaded; the last: item 99:"):
        list(Loader([b"no"] * 200, _processor(), batch_size=7, errors="skip"))
    assert not _threads()


def test_a_loop_that_is_left_ends_its_threads() -> None:
    loader = Loader(IMAGES * 20, _processor(), batch_size=2)
    batch = next(iter(loader))
    assert batch.item_indices.tolist() == [0, 1]
    gc.collect()
    assert not _threads()
    with loader:
        loop = iter(loader)
        next(loop)
        assert _threads()
    assert not _threads()
    assert list(loop) == []
    assert len(_order(loader)) == len(loader)
    one, other = iter(loader), iter(loader)  # a loader has one loop at a time
    assert list(one) == []
    assert len(list(other)) == len(loader)


def test_ctrl_c_ends_a_loop_that_waits() -> None:
    class Slow(list):
        def __getitem__(self, index: Any) -> Any:
            gate.wait()
            return IMAGES[0]

    gate = threading.Event()
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        loop = iter(Loader(Slow(range(9)), _processor(), batch_size=2))
        threading.Timer(0.3, gate.set).start()
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            list(loop)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not _threads()


_EXIT = """
import sys, vlmres
from vlmres.data import Loader
loop = iter(Loader([sys.argv[1]] * 500, "qwen2-vl", batch_size=4, num_threads=2))
kept = [next(loop), next(loop)]
print(kept[1].patches.shape[1])
"""


def test_the_interpreter_exits_in_the_middle_of_a_loop() -> None:
    command = [sys.executable, "-c", _EXIT, str(EXAMPLES / "photo.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "588\n", "")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_gets_an_error_and_may_make_its_own() -> None:
    loader = Loader(IMAGES, _processor(), batch_size=2)
    loop = iter(loader)
    next(loop)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        code = 1
        try:
            next(loop)
        except RuntimeError:
            code = 0 if len(list(Loader(IMAGES, _processor(), batch_size=2))) == 7 else 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(list(loop)) == 6


def test_stats_say_what_the_time_goes_to() -> None:
    photo = (EXAMPLES / "photo.jpg").read_bytes()
    loader = Loader([photo] * 8, _processor(), batch_size=2)
    list(loader)
    stats = loader.stats()
    assert (stats["images"], stats["batches"], stats["skipped"]) == (8, 4, 0)
    assert min(stats[key] for key in ("decode_ms", "resample_ms", "write_ms", "wait_ms")) > 0
    assert stats["bottleneck"] == "loader"

    # A batch is ready before it is wanted.
    made: queue.Queue[int] = queue.Queue()
    loader = Loader(IMAGES[:4], _processor(), batch_size=1, prefetch=4, collate=lambda *_: made.put(1))
    for number, _ in enumerate(loader):
        if number == 0:
            for _ in IMAGES[:4]:
                made.get()
            time.sleep(0.5)
    assert loader.stats()["bottleneck"] == "consumer"


def test_page_locked_batches_are_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    made = []

    def stand_in(shape: tuple[int, ...], dtype: Any) -> Any:
        made.append(torch.empty(shape, dtype=dtype))
        return made[-1]

    monkeypatch.setattr("vlmres.data.loader.has_cuda", lambda: True)
    monkeypatch.setattr(loader_buffers, "page_locked", stand_in)
    half = png_of(IMAGES[5])[:300]
    for dtype in ("uint8", "bfloat16"):
        processor = vlmres.Processor("qwen2-vl", "packed", dtype)
        batches = list(Loader([*IMAGES[:4], half], processor, batch_size=5, errors="skip"))
        direct = processor(IMAGES[:4]).torch()
        assert all(torch.equal(batches[0][key], direct[key]) for key in direct)
        assert batches[0].patches.untyped_storage().data_ptr() == made[-1].data_ptr()


def test_a_bar_on_request(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    list(Loader([*IMAGES, b"no"], _processor(), batch_size=2, progress=True, errors="skip"))
    assert "7/7" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    list(Loader([*IMAGES, b"no"], _processor(), batch_size=2, progress=True, errors="skip"))
    assert "100%" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    with pytest.raises(ModuleNotFoundError, match="needs tqdm or rich"):
        list(Loader(IMAGES, _processor(), batch_size=2, progress=True))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({}, TypeError, "batch_size, max_tokens or both"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be an integer"),
        ({"batch_size": 2, "prefetch": 0}, ValueError, "prefetch must be at least 1"),
        ({"batch_size": 2, "rank": 2, "world_size": 2}, ValueError, "rank must be below world_size, got 2 of 2"),
        ({"batch_size": 2, "errors": "return"}, ValueError, "errors must be"),
        ({"batch_size": 2, "items": iter([]), "shuffle": True}, ValueError, "shuffle needs a sequence"),
        ({"batch_size": 2, "items": "photo.jpg"}, TypeError, "items are a sequence or an iterable"),
        ({"batch_size": 2, "items": 3}, TypeError, "items are a sequence or an iterable"),
    ],
)
def test_arguments(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    items = settings.pop("items", IMAGES)
    with pytest.raises(error, match=message):
        Loader(items, _processor(), **settings)
