"""Files of videos: the frames that a sequential decoder gives, as few as are needed, and errors that say why."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from transformers.video_utils import read_video_pyav

import vlmres
from tests.films import decoded, film
from vlmres.videos import Video, VideoInfo, is_video

QWEN = vlmres.Recipe.load("qwen3-vl")

FILMS = {
    "h264": film(100, options={"bf": "3"}),
    "open GOP": film(100, options={"bf": "3", "x264-params": "open-gop=1:keyint=20"}),
    "no key frame but the first": film(100, options={"g": "1000"}),
    "key frames alone": film(60, options={"g": "1"}),
    "mpeg4": film(100, codec="mpeg4"),
    "Matroska": film(100, container="matroska"),
    "VP8 with hidden frames": film(
        80,
        codec="libvpx",
        container="webm",
        options={"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime"},
    ),
    "transport stream": film(100, container="mpegts"),
    "AVI": film(100, codec="mpeg4", container="avi"),
    "uneven times": film(
        60, options={"bf": "2"}, times=[3000 * at + 700 * (at % 3) + 9000 * (at // 20) for at in range(60)]
    ),
}


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("step", [1, 7, 19, 40])
def test_frames_are_those_of_a_decoder_that_starts_at_the_beginning(name: str, step: int) -> None:
    everything = decoded(FILMS[name])
    wanted = np.arange(step // 2, len(everything), step)
    frames = Video(FILMS[name], frames=wanted).picked(QWEN)
    assert frames.size == (96, 64)
    assert frames.info.total_frames == len(everything)
    for at, index in enumerate(wanted):
        np.testing.assert_array_equal(frames.frame(at), everything[index])


def test_frames_in_any_order_and_repeated() -> None:
    everything = decoded(FILMS["h264"])
    wanted = [70, 3, 3, 99, 50, 4]
    frames = Video(FILMS["h264"], frames=wanted).picked(QWEN)
    for at in (3, 0, 5, 1, 4, 2):
        np.testing.assert_array_equal(frames.frame(at), everything[wanted[at]])


@pytest.mark.parametrize("recipe", ["qwen2-vl", "qwen2.5-vl", "qwen3-vl", "internvl3"])
def test_the_recipe_picks_as_transformers_does(recipe: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(FILMS["h264"])
    loaded = vlmres.Recipe.load(recipe)
    try:
        frames = Video(path).picked(loaded)
    except vlmres.RecipeError as error:
        assert not loaded.video_reference, error  # noqa: PT017
        return
    pixels, metadata = read_video_pyav(str(path), lambda **_: frames.info.frames)  # type: ignore[arg-type]
    info = frames.info
    assert (info.total_frames, info.fps, info.width, info.height) == (100, 30.0, 96, 64)
    assert info.duration == pytest.approx(metadata.duration)
    assert info.timestamps.tolist() == metadata.timestamps
    assert info.sampled_fps == metadata.sampled_fps
    for at in range(len(frames)):
        np.testing.assert_array_equal(frames.frame(at), pixels[at])


def test_times_between_frames_are_qwens() -> None:
    from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

    for indices in ([0, 15, 30, 45], [0, 12, 25], [7]):
        info = VideoInfo(100, 30.0, 96, 64, np.array(indices))
        own = Qwen3VLProcessor._calculate_timestamps(None, list(indices), 30.0, 2)  # type: ignore[arg-type]
        assert info.times(2).tolist() == own


def test_rates_and_numbers() -> None:
    assert len(Video(FILMS["h264"], fps=6).picked(QWEN)) == 20
    assert len(Video(FILMS["h264"], num_frames=8).picked(QWEN)) == 8
    with pytest.raises(TypeError, match="give one of fps, num_frames and frames"):
        Video(FILMS["h264"], fps=6, num_frames=8)
    with pytest.raises(IndexError, match="has 100 frames, from 0 to 99; got 3 to 100"):
        Video(FILMS["h264"], frames=[3, 100]).picked(QWEN)
    with pytest.raises(TypeError, match="frames are integers, at least one"):
        Video(FILMS["h264"], frames=[]).picked(QWEN)


def test_few_frames_of_a_long_video_need_few_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = Video(FILMS["h264"], frames=[10, 60]).picked(QWEN)
    seen = []
    index_of = frames._decoder._index_of

    def counted(frame: object) -> int | None:
        seen.append(frame)
        return index_of(frame)

    monkeypatch.setattr(frames._decoder, "_index_of", counted)
    for at in range(2):
        frames.frame(at)
    # 11 from the start, and at most those from one key frame to the next, of 61.
    assert 11 < len(seen) < 40


def test_a_cut_file_says_where_it_ends() -> None:
    file = film(100, container="matroska")
    whole = decoded(file)
    cut = file[: len(file) * 2 // 3]
    video = Video(cut, frames=list(range(0, 60, 10)))
    for at, index in enumerate(range(0, 60, 10)):
        np.testing.assert_array_equal(video.picked(QWEN).frame(at), whole[index])
    # The header in front promises the frames that were cut off.
    file = film(100, codec="mpeg4", container="avi")
    frames = Video(file[: len(file) * 2 // 3], frames=[10, 99]).picked(QWEN)
    np.testing.assert_array_equal(frames.frame(0), decoded(file)[10])
    with pytest.raises(vlmres.DecodeError, match=r"frame 99"):
        frames.frame(1)


def test_what_is_no_video() -> None:
    with pytest.raises(vlmres.DecodeError, match="not a video that FFmpeg reads"):
        Video(b"no video at all, but text" * 100)
    with pytest.raises(vlmres.DecodeError, match="not a regular file"):
        Video("/dev/null")
    with pytest.raises(FileNotFoundError):
        Video("none.mp4")


def test_playlists_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(FILMS["transport stream"])
    for name, text in {
        "a.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\na.ts\n#EXT-X-ENDLIST\n",
        "a.ffconcat": "ffconcat version 1.0\nfile a.ts\n",
    }.items():
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(vlmres.DecodeError, match="not a video that FFmpeg reads"):
            Video(path)


def _turned(degrees: int) -> bytes:
    """A film whose header says that it is to be turned: the matrix of the track's header, as telephones write it."""
    file = bytearray(FILMS["mpeg4"])
    at = file.index(b"tkhd") + 4 + 40
    one, minus = (0x10000).to_bytes(4, "big"), (-0x10000 & 0xFFFFFFFF).to_bytes(4, "big")
    none = bytes(4)
    first = {90: [none, one, minus, none], 270: [none, minus, one, none], 180: [minus, none, none, minus]}[degrees]
    a, b, c, d = first
    file[at : at + 36] = a + b + none + c + d + none + none + none + (0x40000000).to_bytes(4, "big")
    return bytes(file)


@pytest.mark.parametrize(("degrees", "turns"), [(90, 3), (180, 2), (270, 1)])
def test_a_turned_video_is_said_or_turned(degrees: int, turns: int) -> None:
    file, plain = _turned(degrees), decoded(FILMS["mpeg4"])
    frames = Video(file, frames=[5]).picked(QWEN)
    with pytest.warns(UserWarning, match=r"declares a rotation of -?\d+ degrees; transformers does not rotate"):
        left = frames.frame(0)
    np.testing.assert_array_equal(left, plain[5])
    np.testing.assert_array_equal(Video(file, frames=[5], rotate=False).picked(QWEN).frame(0), plain[5])
    turned = Video(file, frames=[5], rotate=True).picked(QWEN)
    expected: NDArray[np.uint8] = np.rot90(plain[5], turns)
    np.testing.assert_array_equal(turned.frame(0), expected)
    assert turned.size == expected.shape[1::-1]


def test_formats_by_their_beginning() -> None:
    for name in ("h264", "Matroska", "VP8 with hidden frames", "transport stream", "AVI"):
        assert is_video(FILMS[name][:512]), name
    assert not is_video(b"\x89PNG\r\n\x1a\n" + bytes(300))
    assert not is_video(b"\x00\x00\x00\x1cftypavif" + bytes(300))
    assert not is_video(b"\xff\xd8\xff\xe0" + bytes(300))


@pytest.mark.parametrize("recipe", ["qwen2.5-vl", "qwen3-vl"])
def test_a_file_is_processed_as_its_frames(recipe: str, tmp_path: Path) -> None:
    file = FILMS["h264"]
    path = tmp_path / "film"
    path.write_bytes(file)
    processor = vlmres.Processor(recipe, dtype="uint8")
    frames = Video(file).picked(processor.recipe)
    pixels = np.stack([frames.frame(at) for at in range(len(frames))])
    expected = processor(videos=pixels, fps=frames.info.sampled_fps)
    for given in (file, path, str(path), Video(file), [path]):
        batch = processor(videos=given)
        assert set(batch) == set(expected)
        for key in expected:
            np.testing.assert_array_equal(batch[key], expected[key])
        assert batch.video_infos[0] is not None
        assert batch.video_infos[0].frames.tolist() == frames.info.frames.tolist()


def test_files_equal_transformers_on_the_same_decoder(tmp_path: Path) -> None:
    from transformers import Qwen3VLVideoProcessor

    path = tmp_path / "film.mp4"
    path.write_bytes(film(90, 224, 160))
    reference = Qwen3VLVideoProcessor(
        patch_size=16,
        temporal_patch_size=2,
        merge_size=2,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        do_sample_frames=True,
    )
    pixels, metadata = read_video_pyav(str(path), lambda metadata, **_: reference.sample_frames(metadata))  # type: ignore[arg-type]
    expected = reference([pixels], do_sample_frames=False, video_metadata=[metadata], return_tensors="np")
    batch = vlmres.Processor("qwen3-vl")(videos=path)
    np.testing.assert_array_equal(batch["pixel_values_videos"], expected["pixel_values_videos"])
    np.testing.assert_array_equal(batch["video_grid_thw"], expected["video_grid_thw"])
    assert batch.video_infos[0] is not None
    assert batch.video_infos[0].frames.tolist() == list(metadata.frames_indices)


def test_rates_of_files_and_of_frames() -> None:
    processor = vlmres.Processor("qwen2.5-vl", dtype="uint8")
    batch = processor(videos=[FILMS["h264"], FILMS["mpeg4"]], fps=[3, 6])
    assert [len(info.frames) for info in batch.video_infos if info] == [10, 20]
    np.testing.assert_allclose(batch["second_per_grid_ts"], [2 / 3, 2 / 6], rtol=1e-6)
    mixed = processor(videos=[FILMS["h264"], np.zeros((4, 64, 96, 3), np.uint8)], fps=[3, 8])
    np.testing.assert_allclose(mixed["second_per_grid_ts"], [2 / 3, 2 / 8], rtol=1e-6)
    assert mixed.video_infos[1] is None
    # Without its rate nobody knows the seconds of frames.
    assert "second_per_grid_ts" not in processor(videos=[FILMS["h264"], np.zeros((4, 64, 96, 3), np.uint8)])


def test_a_bad_file_costs_itself() -> None:
    processor = vlmres.Processor("qwen3-vl", dtype="uint8")
    file = film(100, codec="mpeg4", container="avi")
    videos = [FILMS["h264"], file[: len(file) * 2 // 3], b"no video"]
    with pytest.raises(vlmres.DecodeError, match=r"video 2: .*not a video"):
        processor(videos=videos)
    batch = processor(videos=videos, errors="return")
    assert sorted(batch.errors) == [1, 2]
    assert "ends after" in str(batch.errors[1])
    expected = processor(videos=FILMS["h264"])
    for key in expected:
        np.testing.assert_array_equal(batch[key], expected[key])


def test_plans_of_files() -> None:
    video = Video(FILMS["h264"])
    planned = vlmres.plan(video, "qwen3-vl")
    assert planned.frames == len(video.picked(QWEN))
    assert planned.size == (96, 64)


def test_every_handle_on_a_file_is_its_path(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(FILMS["h264"])
    processor = vlmres.Processor("qwen3-vl", dtype="uint8")
    expected = processor(videos=path)
    text = base64.b64encode(FILMS["h264"]).decode()
    with path.open("rb") as file:
        for handle in (io.BytesIO(FILMS["h264"]), file, f"data:video/mp4;base64,{text}", text, path.as_uri()):
            for videos in (handle, [handle]):
                batch = processor(videos=videos)
                assert list(batch) == list(expected)
                for key in expected:
                    np.testing.assert_array_equal(batch[key], expected[key])
    with pytest.raises(vlmres.VlmresError, match=r"video 0: only Processor"):
        processor(videos="https://example.com/clip.mp4")
    for row in ({"bytes": FILMS["h264"], "path": None}, {"bytes": None, "path": str(path)}):
        batch = processor(videos=[row])
        for key in expected:
            np.testing.assert_array_equal(batch[key], expected[key])


def test_the_limit_of_files_holds_for_videos(tmp_path: Path) -> None:
    file = FILMS["h264"]
    path = tmp_path / "clip.mp4"
    path.write_bytes(file)
    text = f"data:video/mp4;base64,{base64.b64encode(file).decode()}"
    limited, enough = (
        vlmres.Processor("qwen3-vl", dtype="uint8", max_file_bytes=limit) for limit in (len(file) - 1, len(file))
    )
    for source in (path, file, bytearray(file), io.BytesIO(file), text, {"bytes": file}):
        with pytest.raises(vlmres.VlmresError, match=r"video 0: .*over the limit of [\d,]+ \(max_file_bytes\)"):
            limited(videos=[source])
        with pytest.raises(vlmres.DecodeError, match="max_file_bytes"):
            Video(source, max_file_bytes=len(file) - 1)
        with pytest.raises(vlmres.VlmresError, match="max_file_bytes"):
            limited.plan(source)
        assert enough(videos=[source]).indices == [0]
        assert Video(source, max_file_bytes=len(file)).total_frames == 100
    batch = limited(videos=[path, np.zeros((4, 64, 96, 3), np.uint8)], errors="return")
    assert list(batch.errors) == [0]


@pytest.mark.parametrize("recipe", ["qwen2.5-vl", "qwen3-vl"])
def test_plans_and_shapes_of_files_and_settings(recipe: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(FILMS["h264"])
    processor = vlmres.Processor(recipe)
    frames = np.zeros((5, 64, 96, 3), np.uint8)
    settings: tuple[dict[str, Any], ...] = (
        {"fps": 6},
        {"nframes": 8},
        {"fps": 3, "max_pixels": 140_000, "min_pixels": 50_000},
        {},
    )
    for said in settings:
        for video in ((path, said), (FILMS["h264"], said)):
            batch = processor(videos=[video])
            plan = processor.plan(video)
            assert batch.plans[0] is not None
            assert plan.views[0].resized == batch.plans[0].views[0].resized
            assert plan.frames == batch.plans[0].frames
            assert vlmres.plan(video, recipe).grid_thw == plan.grid_thw
            shapes = {key: (array.shape, str(array.dtype)) for key, array in batch.items()}
            assert processor.shapes([video]) == shapes
    batch = processor(videos=[path, frames], fps=[3, 8])
    shapes = {key: (array.shape, str(array.dtype)) for key, array in batch.items()}
    assert processor.shapes([path, (5, 96, 64)], fps=[3, 8]) == shapes
    sized = processor(videos=[(frames, {"resized_width": 300, "resized_height": 200})])
    planned = processor.plan(((5, 96, 64), {"resized_width": 300, "resized_height": 200}))
    assert sized.plans[0] is not None
    assert sized.plans[0].views[0].resized == planned.views[0].resized
    assert sized.plans[0].size == planned.size == (96, 64)
    with pytest.raises(TypeError, match="fps is only for videos"):
        processor.shapes([(96, 64)], fps=2)


def test_frames_that_are_resized_already_stay() -> None:
    rng = np.random.default_rng(3)
    frames = rng.integers(0, 256, (4, 64, 96, 3), dtype=np.uint8)
    for recipe in ("qwen3-vl", "qwen3-vl-utils"):
        batch = vlmres.Processor(recipe, dtype="uint8")(videos=[(frames, {"do_resize": False})])
        assert batch["video_grid_thw"].tolist() == [[2, 4, 6]]
        assert batch["pixel_values_videos"].sum() == frames.sum()
    with pytest.raises(vlmres.VlmresError, match="multiples of 32, got 96x60"):
        vlmres.Processor("qwen3-vl")(videos=[(frames[:, :60], {"do_resize": False})])


def test_whole_numbers_in_floats_are_bytes() -> None:
    import torch

    rng = np.random.default_rng(3)
    frames = rng.integers(0, 256, (4, 3, 64, 96), dtype=np.uint8)
    processor = vlmres.Processor("qwen2.5-vl", dtype="uint8")
    expected = processor(videos=[frames])["pixel_values_videos"]
    floats = frames.astype(np.float32)
    for given in (floats, torch.from_numpy(floats), list(floats), list(torch.from_numpy(floats)), floats.astype("f8")):
        np.testing.assert_array_equal(processor(videos=[given])["pixel_values_videos"], expected)
    for value in (0.5, 256.0, -1.0, np.nan, np.inf):
        floats[1, 2, 3, 4] = value
        with pytest.raises(vlmres.VlmresError, match=r"video 0: .*whole numbers from 0 to 255"):
            processor(videos=[floats])


def test_settings_that_cannot_be_followed() -> None:
    processor = vlmres.Processor("qwen3-vl", dtype="uint8")
    frames = np.zeros((4, 64, 96, 3), np.uint8)
    file = FILMS["h264"]
    cases: list[tuple[object, dict[str, object], str]] = [
        (file, {"speed": 2}, "has no setting 'speed'"),
        (file, {"fps": 0}, "fps of a video must be a positive number, got '0'"),
        (file, {"fps": 1, "nframes": 4}, "exclude each other"),
        (file, {"sample_fps": 1}, "sample_fps is for frames"),
        (frames, {"nframes": 4}, "nframes is only for video files"),
        (frames, {"video_start": 1}, "video_start is only for video files"),
        (Video(file), {"fps": 1}, "pass fps to the Video itself"),
        (file, {"video_start": 1.0}, "a part of a video needs sampling"),
        (file, {"total_pixels": 1000}, "the recipe qwen3-vl has no such budget"),
        (frames, {"max_pixels": 1}, "max_pixels"),
        (frames, {"do_resize": False, "resized_width": 64}, "allows no other size"),
    ]
    for video, said, message in cases:
        with pytest.raises(vlmres.VlmresError, match=message):
            processor(videos=[(video, said)])
    utils = vlmres.Processor("qwen3-vl-utils", dtype="uint8")
    with pytest.raises(vlmres.VlmresError, match=r"no frames from 2 to 1 seconds of 3\.3"):
        utils(videos=[(file, {"video_start": 2.0, "video_end": 1.0})])


def test_images_and_videos_of_one_call() -> None:
    rng = np.random.default_rng(5)
    images = [rng.integers(0, 256, (70, 90, 3), dtype=np.uint8), rng.integers(0, 256, (200, 60, 3), dtype=np.uint8)]
    videos = [rng.integers(0, 256, (5, 64, 96, 3), dtype=np.uint8), FILMS["h264"]]
    processor = vlmres.Processor("qwen3-vl", dtype="uint8")
    first, second = processor(images), processor(videos=videos)
    both = processor(images, videos=videos)
    assert [plan and plan.frames for plan in both.plans] == [None, None, 5, 6]
    assert both.num_tokens == first.num_tokens + second.num_tokens
    assert [info is not None for info in both.video_infos] == [False, False, False, True]
    assert "2 images and 2 videos" in repr(both)
    assert list(both) == [*first, *second]
    for part in (first, second):
        for key in part:
            np.testing.assert_array_equal(both[key], part[key])
    both.verify([7, *[9] * both.num_tokens[0], 7, *[9] * both.num_tokens[1]], 9)
    out = {key: np.empty_like(both[key]) for key in ("pixel_values", "pixel_values_videos")}
    written = processor(images, videos=videos, out=out)
    for key, array in out.items():
        assert written[key] is array
        np.testing.assert_array_equal(array, both[key])
    bad = processor([images[0], b"no image"], videos=[b"no video", videos[0]], errors="return")
    assert (sorted(bad.errors), bad.indices) == ([1, 2], [0, 3])
    expected = processor([images[0]], videos=[videos[0]])
    for key in expected:
        np.testing.assert_array_equal(bad[key], expected[key])
    none = processor([b"no image"], videos=[videos[0]], errors="return")
    assert (sorted(none.errors), none.indices) == ([0], [1])
    with pytest.raises(vlmres.DecodeError, match="video 0: "):
        processor(images, videos=[b"no video"])
    with pytest.raises(TypeError, match="in separate calls"):
        vlmres.Processor("qwen3-vl", layout="packed")(images, videos=videos)


def test_every_recipe_with_videos_takes_both() -> None:
    image, video = np.zeros((90, 120, 3), np.uint8), np.zeros((4, 90, 120, 3), np.uint8)
    for name in vlmres.recipes():
        if not vlmres.Recipe.load(name).video_reference:
            continue
        processor = vlmres.Processor(name, dtype="uint8")
        first, second = processor(image), processor(videos=[video])
        if set(first) & set(second):
            with pytest.raises(ValueError, match="in separate calls"):
                processor(image, videos=[video])
            continue
        assert list(processor(image, videos=[video])) == [*first, *second]
