"""Chat messages of every dialect."""

import base64
from typing import Any

import pytest

import vlmres
from tests.compare import assert_equal_batches
from tests.films import film
from tests.images import EXAMPLES, image
from tests.pdf import pdf

PHOTO, PAGE = str(EXAMPLES / "photo.jpg"), str(EXAMPLES / "page.png")
TEXT = base64.b64encode((EXAMPLES / "page.png").read_bytes()).decode()


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": "What is it?"}, *parts]}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{TEXT}", "detail": "high"}},
        {"type": "image_url", "image_url": f"data:image/png;base64,{TEXT}"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{TEXT}", "detail": "auto"},
        {"type": "image", "image": PAGE},
        {"image": f"file://{PAGE}"},
        {"type": "image", "path": PAGE},
        {"type": "image", "base64": TEXT},
        {"type": "image", "image": {"bytes": base64.b64decode(TEXT), "path": None}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": TEXT}},
    ],
)
def test_every_dialect_gives_the_image(part: dict[str, Any]) -> None:
    media = vlmres.from_messages([{"role": "system", "content": "Be brief."}, user(part)])
    assert (len(media.images), media.videos) == (1, [])
    proc = vlmres.Processor("llava-1.5", dtype="uint8")
    assert_equal_batches(proc(media.images).torch(), proc([PAGE]).torch())


def test_order_and_settings() -> None:
    picture = image(40, 30)
    frames = [PHOTO, PHOTO]
    messages = [
        user({"type": "image", "image": picture, "max_pixels": 50_000, "other": 1}, {"type": "text", "text": "and"}),
        {"role": "assistant", "content": "A page."},
        user(
            {"type": "video", "video": frames, "fps": 2.0, "total_pixels": 1_000_000, "nframes": None},
            {"image": PAGE, "resized_height": 280, "resized_width": 420},
        ),
        user({"type": "video_url", "video_url": {"url": "clip.mp4"}}),
    ]
    media = vlmres.from_messages(messages)
    assert media.images == [
        (picture, {"max_pixels": 50_000}),
        (PAGE, {"resized_height": 280, "resized_width": 420}),
    ]
    assert media.videos == [(frames, {"fps": 2.0, "total_pixels": 1_000_000}), "clip.mp4"]
    assert vlmres.from_messages([messages[:2], messages[2:]]) == media


def test_the_order_is_that_of_qwen_vl_utils() -> None:
    utils = pytest.importorskip("qwen_vl_utils.vision_process")
    messages = [
        user({"type": "image", "image": PHOTO}, {"image": PAGE}),
        user({"type": "image_url", "image_url": PAGE}),
    ]
    images, _ = utils.process_vision_info(messages)
    assert [one.size for one in images] == [
        tuple(plan.views[0].resized)
        for plan in (
            vlmres.plan(
                one,
                "qwen2-vl",
            )
            for one in vlmres.from_messages(messages).images
        )
    ]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (["hello"], "conversation is a list of messages, got str"),
        ([{"role": "user"}, 5], "message 1 is 5, not a dict"),
        ([user({"type": "image"})], "message 0, part 1: a part of type image has none of image"),
        ([user({"type": "image_url", "image_url": {"detail": "low"}})], "part 1: the image is a dict of detail"),
        ([user({"type": "image", "base64": b"x"})], "base64 is a text, got bytes"),
        ([user({"type": "file", "file": {"file_id": "f-1"}})], "the file is a dict of file_id"),
        ([user({"type": "input_file", "file_data": "data:text/csv;base64,QQ=="})], "got 'data:text/csv;base64'"),
    ],
)
def test_what_is_not_understood_is_said(messages: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        vlmres.from_messages(messages)


def test_messages_without_images() -> None:
    assert vlmres.from_messages([]) == vlmres.Media([], [])
    assert vlmres.from_messages([{"role": "user", "content": "hi"}, {"role": "tool"}, user("text")]).images == []


def _uri(media: str, content: bytes) -> str:
    return f"data:{media};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize("dialect", ["file", "input_file", "document"])
def test_documents_of_messages_are_their_pages(dialect: str) -> None:
    file = pdf(2, size=(150, 200))
    uri = _uri("application/pdf", file)
    parts: dict[str, dict[str, Any]] = {
        "file": {"file": {"filename": "report.pdf", "file_data": uri}},
        "input_file": {"filename": "report.pdf", "file_data": uri},
        "document": {"source": {"type": "base64", "media_type": "application/pdf", "data": uri.partition(",")[2]}},
    }
    media = vlmres.from_messages([user({"type": "image", "image": PHOTO}, {"type": dialect, **parts[dialect]})])
    proc = vlmres.Processor("llava-1.5", dtype="uint8")
    assert_equal_batches(proc([media.images]).torch(), proc([[PHOTO, *vlmres.Document(file)]]).torch())


def test_videos_follow_their_settings() -> None:
    """Two images and a video in one conversation."""
    file = film(90)
    messages = [
        user(
            {"type": "image", "image": PHOTO},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{TEXT}"}},
            {"type": "video_url", "video_url": {"url": _uri("video/mp4", file)}, "fps": 3},
        )
    ]
    media = vlmres.from_messages(messages)
    proc = vlmres.Processor("qwen2.5-vl", dtype="uint8")
    assert_equal_batches(proc(media.images).torch(), proc([PHOTO, PAGE]).torch())
    got, expected = proc(videos=media.videos), proc(videos=file, fps=3)
    assert_equal_batches(got.torch(), expected.torch())
    assert got.video_infos[0] is not None
    assert len(got.video_infos[0].frames) == 8
    # Of a number of frames, and of frames that have been picked at a rate.
    frames = [image(56, 56, seed=seed) for seed in range(4)]
    got = proc(videos=[(file, {"nframes": 8}), (frames, {"fps": 4.0})])
    assert got.video_infos[0] is not None
    assert len(got.video_infos[0].frames) == 8
    rates = [got.video_infos[0].sampled_fps, 4.0]
    assert got["second_per_grid_ts"].tolist() == pytest.approx([2 / rate for rate in rates])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"total_pixels": 50_000}, "total_pixels of a video: the recipe qwen2-vl has no such budget"),
        ({"raw_fps": 30.0}, r"no setting 'raw_fps' of its own; it may have fps, .*Video\(file, frames="),
        ({"fps": 2, "nframes": 4}, "exclude each other"),
        ({"fps": 0}, "fps of a video must be a positive number, got '0'"),
        ({"nframes": 2.5}, "nframes must be a positive integer, got '2.5'"),
    ],
)
def test_settings_of_videos_that_are_not_followed(settings: dict[str, Any], message: str) -> None:
    (video,) = vlmres.from_messages([user({"type": "video", "video": "clip.mp4", **settings})]).videos
    with pytest.raises(vlmres.VlmresError, match=f"video 0: .*{message}"):
        vlmres.Processor("qwen2-vl")(videos=[video])
