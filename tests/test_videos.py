"""Videos: their plans, what may be passed as one, the packed layout, types, and memory of the caller's."""

import copy
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vlmres
from tests.compare import assert_equal_batches
from tests.images import image
from tests.videos import video

VIDEO_RECIPES = [name for name in vlmres.recipes() if vlmres.Recipe.load(name).video_reference]
# One of each way in which frames lie.
LAYOUTS = ["kimi-k2.5", "llava-onevision", "qwen2-vl"]
DTYPES = ("float32", "bfloat16", "float16", "uint8")


def test_families() -> None:
    assert VIDEO_RECIPES == [
        "glm-4.6v",
        "glm-4v",
        "glm-5-next",
        "kimi-k2.5",
        "llava-onevision",
        "minimax-m3-vl",
        "qwen2-vl",
        "qwen2.5-vl",
        "qwen2.5-vl-utils",
        "qwen3-vl",
        "qwen3-vl-utils",
        "qwen3.5-vl",
    ]


def test_plan() -> None:
    plan = vlmres.plan((5, 640, 360), "qwen2-vl")
    assert (plan.frames, plan.size, plan.grid) == (5, (640, 360), (26, 46))
    assert plan.grid_thw == [(3, 26, 46)]
    assert plan.tubelets == [(0, 1), (2, 3), (4, 4)]
    assert plan.num_patches == 3 * 26 * 46
    assert (plan.num_tokens, plan.num_visual_tokens, plan.num_tiles) == (897, 897, 3)
    (view,) = plan.views
    assert (view.role, view.canvas, view.num_patches) == ("frame", (644, 364), 26 * 46)
    assert "5 frames of 640x360" in repr(plan)
    np.testing.assert_allclose(plan.to_model([0, 0, 640, 360]), [0, 0, 1000, 1000])
    kimi = vlmres.plan((9, 100, 50), "kimi-k2.5")
    assert kimi.grid_thw == [(4, 4, 8), (4, 4, 8), (1, 4, 8)]
    assert (kimi.num_tokens, kimi.num_patches, kimi.tubelets[-1]) == (3 * 8, 9 * 32, (8,))
    assert vlmres.plan((4, 9, 9), "llava-onevision").num_tokens == 4 * 196 + 1


def test_a_plan_of_an_image_has_no_frames() -> None:
    plan = vlmres.plan((640, 360), "qwen2-vl")
    assert (plan.frames, plan.tubelets, plan.grid_thw) == (None, [], [(1, 26, 46)])
    assert vlmres.plan((900, 900), "internvl2").grid_thw == [(1, 32, 32)] * 5
    assert plan != vlmres.plan((1, 640, 360), "qwen2-vl")


def test_plans_are_copied_and_compared() -> None:
    plan = vlmres.plan((5, 640, 360), "qwen3-vl")
    assert pickle.loads(pickle.dumps(plan)) == copy.copy(plan) == plan
    assert plan != vlmres.plan((6, 640, 360), "qwen3-vl")


@pytest.mark.parametrize(
    ("size", "recipe", "error", "message"),
    [
        ((0, 640, 360), "qwen2-vl", vlmres.PlanError, "a video of 0 frames: there must be between 1 and 1048576"),
        ((-3, 640, 360), "qwen2-vl", vlmres.PlanError, "-3 frames"),
        ((1 << 21, 640, 360), "qwen2-vl", vlmres.PlanError, "2097152 frames"),
        ((1, 640, 360), "qwen3-vl", vlmres.PlanError, "a video of 1 frames: there must be at least 2"),
        ((4, 0, 360), "qwen2-vl", vlmres.PlanError, "0x360"),
        ((4, 2010, 10), "qwen2-vl", vlmres.PlanError, "201"),
        ((500_000, 28, 28), "glm-5-next", vlmres.PlanError, "500000 frames: a budget of"),
        ((4, 640, 360), "internvl2", vlmres.RecipeError, '"internvl2": takes no videos'),
        ((4, 640, 360), "dots.ocr", vlmres.RecipeError, "takes no videos"),
        ((4, 640, 360, 3), "qwen2-vl", TypeError, r"\(frames, width, height\), .*, got \(4, 640, 360, 3\)"),
        ((640,), "qwen2-vl", TypeError, r"got \(640,\)"),
    ],
)
def test_plans_that_cannot_be(size: Any, recipe: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        vlmres.plan(size, recipe)


def test_many_plans() -> None:
    sizes = [(2, 640, 480), (7, 100, 30), (0, 10, 10), (16, 1920, 1080)]
    table = vlmres.plan_many(sizes, "qwen3-vl", errors="return")
    assert list(table.errors) == [2]
    assert table.num_tokens[2] == -1
    for index in (0, 1, 3):
        plan = vlmres.plan(sizes[index], "qwen3-vl")
        row = (table.num_tokens[index], table.num_patches[index], table.num_tiles[index], table.rows[index])
        assert row == (plan.num_tokens, plan.num_patches, plan.num_tiles, plan.grid.rows)
    with pytest.raises(vlmres.PlanError, match="row 2: a video of 0 frames"):
        vlmres.plan_many(sizes, "qwen3-vl")
    with pytest.raises(vlmres.PlanError, match="row 0: video size 9223372036854775808x5x5: a side is over"):
        vlmres.plan_many(np.array([(1 << 63, 5, 5)], np.uint64), "qwen3-vl")


FRAMES = video(5, 61, 40)


def as_files(frames: Any) -> list[bytes]:
    files = []
    for frame in frames:
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "PNG")
        files.append(file.getvalue())
    return files


FORMS: dict[str, Any] = {
    "list of arrays": list(FRAMES),
    "list of videos": [FRAMES],
    "list of lists": [list(FRAMES)],
    "channels first": np.ascontiguousarray(FRAMES.transpose(0, 3, 1, 2)),
    "strided": np.stack([FRAMES, FRAMES], axis=1)[:, 0],
    "backwards": FRAMES[::-1].copy()[::-1],
    "five dimensions": FRAMES[None],
    "tensor": torch.from_numpy(FRAMES),
    "tensor, channels first": torch.from_numpy(FRAMES).permute(0, 3, 1, 2),
    "list of tensors": list(torch.from_numpy(FRAMES)),
    "list of images": [Image.fromarray(frame) for frame in FRAMES],
    "tuple of mixed frames": (FRAMES[0], Image.fromarray(FRAMES[1]), torch.from_numpy(FRAMES[2]), *FRAMES[3:]),
    "files of frames": [as_files(FRAMES)],
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str) -> None:
    proc = vlmres.Processor("qwen2-vl")
    expected = proc(videos=FRAMES)
    assert_equal_batches(proc(videos=FORMS[form]).torch(), expected.torch(), form)
    assert [plan.frames for plan in proc(videos=FORMS[form]).plans if plan] == [5]


def test_one_frame() -> None:
    proc = vlmres.Processor("qwen2-vl")
    expected = proc(videos=FRAMES[:1]).torch()
    for one in (FRAMES[0], Image.fromarray(FRAMES[0]), [FRAMES[0]], [[FRAMES[0]]]):
        assert_equal_batches(proc(videos=one).torch(), expected)
    gray = proc(videos=FRAMES[..., :1])
    assert_equal_batches(gray.torch(), proc(videos=np.repeat(FRAMES[..., :1], 3, -1)).torch())
    assert_equal_batches(gray.torch(), proc(videos=[Image.fromarray(frame) for frame in FRAMES[..., 0]]).torch())


@pytest.mark.parametrize(
    ("videos", "error", "message"),
    [
        ([], ValueError, "videos is empty"),
        ([[]], vlmres.VlmresError, "video 0: a video has no frames"),
        (FRAMES[:0], vlmres.VlmresError, "video 0: a video has no frames"),
        (
            FRAMES + np.float32(0.5),
            vlmres.VlmresError,
            "video 0: frames of float32 must be whole numbers from 0 to 255",
        ),
        (torch.from_numpy(FRAMES).int(), vlmres.VlmresError, "video 0: a video must be uint8, got torch.int32"),
        (list(FRAMES.astype(int)), vlmres.VlmresError, "video 0: frame 0: an image must be uint8, got int64"),
        ([FRAMES, FRAMES[0]], TypeError, "mixes videos and frames: item 1 is unlike item 0"),
        ([FRAMES, [FRAMES[0], FRAMES[1, :30]]], vlmres.VlmresError, "video 1: frame 1 is 61x30, the first 61x40"),
        (np.zeros((2, 9, 9, 4), np.uint8), vlmres.VlmresError, r"frame 0: .* 1 or 3 channels .* got shape \(9, 9, 4\)"),
        (np.zeros((2, 9, 9, 2), np.uint8), vlmres.VlmresError, r"got shape \(9, 9, 2\)"),
        ([image(9, 9).convert("RGBA")] * 2, vlmres.VlmresError, "frame 0: a frame has no transparency, got mode RGBA"),
        ([[FRAMES[0], 7]], TypeError, "video 0: frame 1: .* got 7"),
        ([[b"no image"]], vlmres.DecodeError, "video 0: frame 0: cannot decode"),
        ("clip.mp4", FileNotFoundError, "video 0: No such file"),
        ([FRAMES, Path("clip.mp4")], FileNotFoundError, "video 1: No such file"),
        (np.zeros((2, 3), np.uint8), vlmres.PlanError, "video 0: a video of 1 frames"),
    ],
)
def test_what_is_no_video(videos: Any, error: type[Exception], message: str) -> None:
    proc = vlmres.Processor("qwen3-vl")
    with pytest.raises(error, match=message):
        proc(videos=videos)


def test_arguments() -> None:
    proc = vlmres.Processor("qwen2-vl")
    with pytest.raises(TypeError, match="pass images or videos, or both"):
        proc()
    with pytest.raises(TypeError, match="fps is only for videos"):
        proc(image(9, 9), fps=2.0)
    for fps, message in ((0, "positive, got 0"), ([1.0, 2.0], "each of 1 videos, got 2")):
        with pytest.raises(ValueError, match=message):
            proc(videos=FRAMES, fps=fps)
    with pytest.raises(vlmres.RecipeError, match='video 0: recipe "internvl2": takes no videos'):
        vlmres.Processor("internvl2")(videos=FRAMES)
    with pytest.raises(vlmres.VlmresError, match="5 frames of 384x384 and 3 frames of 384x384 cannot share"):
        vlmres.Processor("llava-onevision")(videos=[FRAMES, FRAMES[:3]])


@pytest.mark.parametrize("recipe", LAYOUTS)
def test_bad_videos_are_returned(recipe: str) -> None:
    proc = vlmres.Processor(recipe)
    other = video(5, 90, 30)
    batch = proc(videos=[FRAMES, FRAMES.astype(int), other, FRAMES[:0]], errors="return")
    assert {index: str(error) for index, error in batch.errors.items()} == {
        1: "a video must be uint8, got int64",
        3: "a video has no frames",
    }
    assert batch.indices == [0, 2]
    assert_equal_batches(batch.torch(), proc(videos=[FRAMES, other]).torch())
    packed = vlmres.Processor(recipe, layout="packed")(videos=[FRAMES[:0], other], errors="return")
    assert set(packed.image_index.tolist()) == {1}
    nothing = proc(videos=[[]], errors="return")
    assert (list(nothing), nothing.indices) == ([], [])


def test_seconds_between_patches() -> None:
    proc = vlmres.Processor("qwen2.5-vl")
    assert list(proc(videos=FRAMES)) == ["pixel_values_videos", "video_grid_thw"]
    batch = proc(videos=[FRAMES, FRAMES], fps=[4.0, 0.3])
    assert list(batch) == ["pixel_values_videos", "video_grid_thw", "second_per_grid_ts"]
    np.testing.assert_array_equal(batch["second_per_grid_ts"], np.array([0.5, 2 / 0.3], np.float32), strict=True)
    batch = proc(videos=[[], FRAMES], fps=[4.0, 1.0], errors="return")
    np.testing.assert_array_equal(batch["second_per_grid_ts"], np.array([2.0], np.float32), strict=True)
    assert "second_per_grid_ts" not in vlmres.Processor("qwen2-vl")(videos=FRAMES, fps=2)


# qwen-vl-utils resizes frames in floats.
@pytest.mark.parametrize("recipe", [name for name in VIDEO_RECIPES if not name.endswith("-utils")])
def test_packed(recipe: str) -> None:
    """Frames put together out of packed patches are the resized ones."""
    videos = [video(5, 90, 61), video(3, 200, 55, seed=4)]
    batch = vlmres.Processor(recipe, layout="packed", dtype="uint8")(videos=videos)
    patch, index = vlmres.Recipe.load(recipe).patch_size, 0
    plans = [plan for plan in batch.plans if plan is not None]
    assert batch.times.tolist() == [time for plan in plans for times, _, _ in plan.grid_thw for time in range(times)]
    for number, (frames, plan) in enumerate(zip(videos, plans, strict=True)):
        resized = [vlmres.resize(frame, plan.views[0].resized, arithmetic="torch") for frame in frames]
        for tubelet in plan.tubelets:
            assert (batch.image_index[index], tuple(batch.grids[index])) == (number, plan.grid)
            start, end = batch.cu_seqlens[index : index + 2]
            for slot, frame in enumerate(tubelet):
                canvas = np.zeros((plan.grid.rows * patch, plan.grid.cols * patch, 3), np.uint8)
                patches = batch.patches[start:end].reshape(-1, len(tubelet), patch, patch, 3)[:, slot]
                for values, (row, col) in zip(patches, batch.positions[start:end], strict=True):
                    canvas[row * patch : (row + 1) * patch, col * patch : (col + 1) * patch] = values
                height, width = (
                    min(one, other) for one, other in zip(resized[frame].shape, canvas.shape[:2], strict=False)
                )
                np.testing.assert_array_equal(canvas[:height, :width], resized[frame][:height, :width])
                assert not canvas[height:].any()
                assert not canvas[:, width:].any()
            index += 1
    assert index == len(batch.cu_seqlens) - 1 == sum(plan.num_tiles for plan in plans)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("recipe", LAYOUTS)
def test_layouts_agree(recipe: str, dtype: Any) -> None:
    """Values of the reference's layout are those of the packed one, in every type."""
    videos = [video(5, 90, 61), video(5, 200, 55, seed=4)]
    packed = vlmres.Processor(recipe, layout="packed", dtype=dtype)(videos=videos)
    got = vlmres.Processor(recipe, dtype=dtype)(videos=videos)["pixel_values_videos"]
    patch = vlmres.Recipe.load(recipe).patch_size
    if recipe == "llava-onevision":
        canvas = got[..., : 27 * 14, : 27 * 14].reshape(10, 3, 27, 14, 27, 14)
        wanted = canvas.transpose(0, 2, 4, 3, 5, 1).reshape(packed.patches.shape)
    else:
        temporal = packed.patches.shape[1] // (3 * patch * patch)
        wanted = got.reshape(-1, 3, temporal, patch, patch).transpose(0, 2, 3, 4, 1).reshape(packed.patches.shape)
    np.testing.assert_array_equal(packed.patches, wanted, strict=True)


@pytest.mark.parametrize("recipe", LAYOUTS)
def test_types(recipe: str) -> None:
    """Every type holds the float32 values rounded to it, and bytes are what is normalised."""
    videos = [video(5, 90, 61)]
    of = {dtype: vlmres.Processor(recipe, dtype=dtype)(videos=videos).torch() for dtype in DTYPES}  # type: ignore[arg-type]
    full = of["float32"]["pixel_values_videos"]
    for dtype in ("bfloat16", "float16"):
        assert torch.equal(of[dtype]["pixel_values_videos"], full.to(getattr(torch, dtype)))
    raw = of["uint8"]["pixel_values_videos"]
    plain = vlmres.Processor(vlmres.Recipe.load(recipe, do_normalize=False, rescale_factor=1.0))(videos=videos)
    assert torch.equal(raw.float(), torch.from_numpy(plain["pixel_values_videos"]))


@pytest.mark.parametrize("layout", ["hf", "packed"])
@pytest.mark.parametrize("recipe", LAYOUTS)
def test_out(recipe: str, layout: Any) -> None:
    proc = vlmres.Processor(recipe, layout=layout, dtype="bfloat16")
    expected = proc(videos=FRAMES)
    key = "patches" if layout == "packed" else "pixel_values_videos"
    buffer = np.full(expected[key].shape, 0x7FC0, np.uint16)
    batch = proc(videos=FRAMES, out=buffer)
    assert batch[key] is buffer
    np.testing.assert_array_equal(buffer, expected[key])
    with pytest.raises(vlmres.VlmresError, match="must have shape"):
        proc(videos=FRAMES, out=buffer[:-1])


def test_out_may_not_be_a_frame() -> None:
    shared = np.zeros(2 * 28 * 28 * 3, np.uint8)
    proc = vlmres.Processor("kimi-k2.5", dtype="uint8")
    with pytest.raises(vlmres.VlmresError, match="shares memory"):
        proc(videos=shared.reshape(2, 28, 28, 3), out=shared.reshape(8, 3, 14, 14))


@pytest.mark.parametrize("recipe", VIDEO_RECIPES)
def test_threads_make_no_difference(recipe: str) -> None:
    videos = video(7, 400, 300, "smooth")
    expected = vlmres.Processor(recipe, num_threads=1)(videos=videos)
    for threads in (2, 3, 8):
        got = vlmres.Processor(recipe, num_threads=threads)(videos=videos)
        assert_equal_batches(got.torch(), expected.torch(), f"{threads} threads")


def test_arithmetic() -> None:
    default = vlmres.Processor("qwen2-vl")
    assert (default.arithmetic, default.video_arithmetic) == ("torch", "torch")
    assert default.plan((5, 61, 40)) == default(videos=FRAMES).plans[0]
    assert default.plan((61, 40)) == default(FRAMES[0]).plans[0]
    pillow, torch_ = (vlmres.Processor("qwen2-vl", arithmetic=one) for one in ("pillow", "torch"))
    assert_equal_batches(default(videos=FRAMES).torch(), torch_(videos=FRAMES).torch())
    # Two frames alike are what a still image is.
    still, both = pillow(FRAMES[0]), pillow(videos=FRAMES[[0, 0]])
    resized = vlmres.Recipe.load("qwen2-vl", min_pixels=100352, max_pixels=602112)
    still = vlmres.Processor(resized, arithmetic="pillow")(FRAMES[0])
    np.testing.assert_array_equal(both["pixel_values_videos"], still["pixel_values"])
    assert (both["pixel_values_videos"] != torch_(videos=FRAMES[[0, 0]])["pixel_values_videos"]).any()


def test_a_used_processor_is_copied() -> None:
    proc = vlmres.Processor("qwen3-vl", num_threads=2)
    expected = proc(videos=FRAMES)
    copied = pickle.loads(pickle.dumps(proc))
    assert_equal_batches(copied(videos=FRAMES).torch(), expected.torch())


def test_tokens_are_verified() -> None:
    batch = vlmres.Processor("qwen2-vl")(videos=[FRAMES, FRAMES[:2]])
    first, second = batch.num_tokens
    ids = [1] + [9] * first + [2] + [9] * second
    batch.verify(ids, 9)
    with pytest.raises(ValueError, match="image 1"):
        batch.verify(ids[:-1], 9)


QWEN2 = {"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 3136, "max_pixels": 12845056}
QWEN2_VIDEO = {
    "video_processor_type": "Qwen2VLVideoProcessor",
    "size": {"shortest_edge": 50176, "longest_edge": 200704},
}


def write(directory: Path, **files: Any) -> Path:
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content))
    return directory


def budgets(recipe: vlmres.Recipe) -> list[int]:
    return [recipe.params[name] for name in ("min_pixels", "max_pixels", "video_min_pixels", "video_max_pixels")]


def test_checkpoints(tmp_path: Path) -> None:
    write(tmp_path, preprocessor_config=QWEN2)
    # Without a file of its own, videos go by that of images, as in transformers.
    assert budgets(vlmres.Recipe.from_pretrained(tmp_path)) == [3136, 12845056, 3136, 12845056]
    write(tmp_path, video_preprocessor_config=QWEN2_VIDEO)
    assert budgets(vlmres.Recipe.from_pretrained(tmp_path)) == [3136, 12845056, 50176, 200704]
    nested = {"image_processor": QWEN2, "video_processor": {**QWEN2_VIDEO, "max_frames": 9}}
    write(tmp_path, processor_config=nested)
    recipe = vlmres.Recipe.from_pretrained(tmp_path)
    assert (recipe.params["max_frames"], budgets(recipe)[2:]) == (9, [50176, 200704])


def test_videos_alone(tmp_path: Path) -> None:
    assert budgets(vlmres.Recipe.from_pretrained(write(tmp_path, video_preprocessor_config=QWEN2_VIDEO)))[2:] == [
        50176,
        200704,
    ]
    recipe = vlmres.Recipe.from_pretrained({"video_processor_type": "Qwen3VLVideoProcessor", "patch_size": 14})
    assert (recipe.name, recipe.patch_size) == ("qwen3-vl", 14)
    with pytest.raises(vlmres.RecipeError, match="VivitVideoProcessor"):
        vlmres.Recipe.from_pretrained({"video_processor_type": "VivitVideoProcessor"})
    with pytest.raises(vlmres.RecipeError, match="do_resize=false"):
        vlmres.Recipe.from_pretrained({**QWEN2_VIDEO, "do_resize": False})


@pytest.mark.parametrize(
    ("videos", "reason"),
    [
        ({"patch_size": 16}, "patch_size is 16 for videos and 14 for images"),
        ({"image_mean": [0.5, 0.5, 0.5]}, "image_mean is .* for videos"),
        ({"do_resize": False}, "do_resize=false"),
        ({"video_processor_type": "VivitVideoProcessor"}, "VivitVideoProcessor is not Qwen2VLVideoProcessor"),
        ({"size": {"shortest_edge": 10, "longest_edge": 5}}, "video_min_pixels 10 and video_max_pixels 5"),
    ],
)
def test_images_go_on_where_videos_cannot_be_followed(tmp_path: Path, videos: dict[str, Any], reason: str) -> None:
    write(tmp_path, preprocessor_config=QWEN2, video_preprocessor_config={**QWEN2_VIDEO, **videos})
    recipe = vlmres.Recipe.from_pretrained(tmp_path)
    assert vlmres.plan((640, 480), recipe).num_tokens == 391
    assert recipe.video_reference == ""
    for one in (recipe, pickle.loads(pickle.dumps(recipe)), recipe.replace(min_pixels=784)):
        with pytest.raises(vlmres.RecipeError, match=f'"qwen2-vl": takes no videos: .*{reason}'):
            vlmres.plan((4, 640, 480), one)


def test_a_checkpoint_of_images_alone(tmp_path: Path) -> None:
    write(tmp_path, processor_config={"image_processor": {**QWEN2, "max_pixels": 784000}})
    assert budgets(vlmres.Recipe.from_pretrained(tmp_path)) == [3136, 784000, 100352, 602112]
