"""Plans: known answers, live planners of transformers, invariants and errors."""

import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from transformers.image_processing_utils import select_best_resolution

import vlmres
from tests import files
from tests.compare import of_partial_patches
from tests.images import image, random_sizes
from tests.plans import planned
from vlmres.verify import references as hf

# Sizes (height, width) of the table of known answers.
KNOWN_SIZES = [
    (1, 1),
    (28, 28),
    (50, 300),
    (224, 224),
    (336, 336),
    (480, 640),
    (640, 480),
    (768, 768),
    (1080, 1920),
    (1920, 1080),
    (1000, 1250),
    (3000, 4000),
    (200, 6000),
]

KNOWN_CANVASES = {
    "qwen2-vl": [
        (56, 56),
        (56, 56),
        (56, 308),
        (224, 224),
        (336, 336),
        (476, 644),
        (644, 476),
        (756, 756),
        (1092, 1932),
        (1932, 1092),
        (1008, 1260),
        (2996, 4004),
        (196, 5992),
    ],
    "qwen3-vl": [
        (256, 256),
        (256, 256),
        (128, 640),
        (256, 256),
        (320, 320),
        (480, 640),
        (640, 480),
        (768, 768),
        (1088, 1920),
        (1920, 1088),
        (992, 1248),
        (3008, 4000),
        (192, 6016),
    ],
    "siglip2-naflex": [
        (112, 112),
        (256, 256),
        (96, 576),
        (256, 256),
        (256, 256),
        (224, 288),
        (288, 224),
        (256, 256),
        (192, 336),
        (336, 192),
        (224, 288),
        (224, 288),
        (48, 1360),
    ],
}

# (cols, rows) and tokens; InternVL's tokens are not in the table.
INTERNVL = [(1, 1), (1, 1), (6, 1), (1, 1), (1, 1), (4, 3), (3, 4), (2, 2), (4, 2), (2, 4), (4, 3), (4, 3), (12, 1)]
GUNDAM_9 = [((1, 1), 273)] * 7 + [
    ((2, 2), 693),
    ((4, 2), 1093),
    ((2, 4), 1113),
    ((3, 2), 893),
    ((3, 2), 893),
    ((9, 1), 1183),
]
GUNDAM_6 = [((1, 1), 273)] * 7 + [
    ((2, 2), 693),
    ((2, 1), 483),
    ((1, 2), 493),
    ((3, 2), 893),
    ((3, 2), 893),
    ((6, 1), 883),
]
OCR_2 = [((1, 1), 257)] * 8 + [((2, 1), 545), ((1, 2), 545), ((2, 2), 833), ((3, 2), 1121), ((6, 1), 1121)]
LLAVA_NEXT = [
    ((336, 672), 1176),
    ((336, 672), 1176),
    ((336, 672), 968),
    ((336, 672), 1176),
    ((336, 672), 1176),
    ((672, 672), 2340),
    ((672, 672), 2352),
    ((672, 672), 2928),
    ((672, 672), 1948),
    ((672, 672), 1968),
    ((672, 672), 2438),
    ((672, 672), 2340),
    ((336, 1008), 722),
]


@pytest.mark.parametrize("recipe", KNOWN_CANVASES)
def test_known_native_sizes(recipe: str) -> None:
    for (height, width), expected in zip(KNOWN_SIZES, KNOWN_CANVASES[recipe], strict=True):
        plan = vlmres.plan((width, height), recipe)
        assert plan.views[0].canvas == (expected[1], expected[0])
        patch = plan.recipe.params["patch_size"]
        assert plan.grid == (expected[0] // patch, expected[1] // patch)


def test_qwen25_plans_as_qwen2() -> None:
    for height, width in KNOWN_SIZES:
        assert (
            vlmres.plan((width, height), "qwen2.5-vl").views[0].canvas
            == vlmres.plan((width, height), "qwen2-vl").views[0].canvas
        )


@pytest.mark.parametrize("recipe", ["internvl1.5", "internvl2", "internvl2.5", "internvl3"])
def test_known_internvl_grids(recipe: str) -> None:
    for (height, width), (cols, rows) in zip(KNOWN_SIZES, INTERNVL, strict=True):
        plan = vlmres.plan((width, height), recipe)
        tiles = cols * rows + (cols * rows > 1)
        assert (plan.grid, plan.num_tiles, plan.num_tokens) == ((rows, cols), tiles, 256 * tiles + 2)


@pytest.mark.parametrize(
    ("recipe", "known"),
    [
        (vlmres.Recipe.load("deepseek-ocr-gundam"), GUNDAM_9),
        (vlmres.Recipe.load("deepseek-ocr-gundam", max_tiles=6), GUNDAM_6),
        (vlmres.Recipe.load("deepseek-ocr-2"), OCR_2),
    ],
    ids=["gundam", "gundam-max-6", "ocr-2"],
)
def test_known_hybrid_grids(recipe: vlmres.Recipe, known: list[tuple[tuple[int, int], int]]) -> None:
    for (height, width), ((cols, rows), tokens) in zip(KNOWN_SIZES, known, strict=True):
        plan = vlmres.plan((width, height), recipe)
        assert (plan.grid, plan.num_tokens) == ((rows, cols), tokens), (width, height)


def test_known_llava_next() -> None:
    for (height, width), ((best_height, best_width), tokens) in zip(KNOWN_SIZES, LLAVA_NEXT, strict=True):
        plan = vlmres.plan((width, height), "llava-next")
        tiled = next(view for view in plan.views if view.role == "tile")
        assert (tiled.canvas, plan.num_tokens) == ((best_width, best_height), tokens), (width, height)


def test_llava_15_is_576_tokens_of_any_image() -> None:
    for size in random_sizes(20, 3000):
        assert vlmres.plan(size, "llava-1.5").num_tokens == vlmres.plan(size, "llava-1.5-pad").num_tokens == 576


@pytest.mark.parametrize(
    ("mode", "tokens", "visual"), [("tiny", 73, 64), ("small", 111, 100), ("base", 273, 256), ("large", 421, 400)]
)
def test_deepseek_ocr_modes(mode: str, tokens: int, visual: int) -> None:
    for size in [(1, 1), (640, 480), (1000, 3000), (1024, 1024)]:
        plan = vlmres.plan(size, f"deepseek-ocr-{mode}")
        assert (plan.num_tokens, plan.num_visual_tokens, plan.num_tiles) == (tokens, visual, 1)
        width, height = size
        valid = visual
        if mode in ("base", "large"):
            valid = int(visual * (1 - (max(size) - min(size)) / max(size)))
        assert plan.num_valid_tokens == valid, (width, height)


def test_gundam_m() -> None:
    plan = vlmres.plan((1600, 900), "deepseek-ocr-gundam-m")
    rows, cols = plan.grid
    assert plan.num_tokens == 421 + 16 * rows * (16 * cols + 1)
    assert plan.num_visual_tokens == 400 + 256 * rows * cols
    # The authors' threshold is 640 whatever the tile.
    assert vlmres.plan((641, 600), "deepseek-ocr-gundam-m").num_tiles > 1
    assert vlmres.plan((640, 640), "deepseek-ocr-gundam-m").num_tiles == 1


@pytest.mark.parametrize(
    ("recipe", "size", "cols", "rows"),
    [
        ("internvl2", (448, 448), 1, 1),
        ("internvl2", (635, 635), 2, 2),
        ("internvl2", (1000, 1000), 3, 3),
        ("internvl2", (1200, 600), 2, 1),
        ("internvl2", (1600, 800), 4, 2),
        ("deepseek-ocr-gundam", (1250, 1000), 3, 2),
        ("deepseek-ocr-gundam", (1200, 960), 2, 2),
        ("deepseek-ocr-gundam", (2000, 1600), 3, 3),
    ],
)
def test_ratio_ties(recipe: str, size: tuple[int, int], cols: int, rows: int) -> None:
    assert vlmres.plan(size, recipe).grid == (rows, cols)


def test_qwen_vl_utils_rounds_thin_images_differently() -> None:
    assert vlmres.plan((1000, 14), "qwen2-vl").views[0].canvas == (476, 28)
    assert vlmres.plan((1000, 14), "nativeres-llava").views[0].canvas == (1008, 28)


def many_sizes(count: int, most: int, ratio: float) -> list[tuple[int, int]]:
    """Random sizes, and multiples of small ratios and of patch sides, where planners round and tie."""
    rng = np.random.default_rng(11)
    sizes = random_sizes(count, most, seed=11, ratio=ratio)
    for _ in range(count):
        a, b, unit = (
            int(rng.integers(1, 13)),
            int(rng.integers(1, 13)),
            int(rng.choice([1, 7, 14, 16, 28, 32, 84, 112, 224, 336, 448])),
        )
        sizes.append((a * unit, b * unit))
    return sizes


def midpoints(most: int) -> list[tuple[int, int]]:
    """Sizes exactly between the aspect ratios of two adjacent grids, at small and large areas."""
    ratios = sorted(
        {(a, b) for a in range(1, most + 1) for b in range(1, most // a + 1)}, key=lambda grid: grid[0] / grid[1]
    )
    sizes = []
    for (a, b), (c, d) in itertools.pairwise(ratios):
        width, height = a * d + b * c, 2 * b * d
        for factor in (1, 3, 7, 20, 40, 80):
            sizes.append((width * factor, height * factor))
            sizes.append((height * factor, width * factor))
    return [size for size in sizes if max(size) < 20000]


def canvases(sizes: list[tuple[int, int]], recipe: vlmres.Recipe | str) -> list[tuple[int, int]]:
    table = vlmres.plan_many(sizes, recipe)
    return list(zip(table.canvas_width.tolist(), table.canvas_height.tolist(), strict=True))


@pytest.mark.parametrize(
    ("patch", "merge", "low", "high"),
    [(14, 2, 3136, 12845056), (16, 2, 65536, 16777216), (14, 2, 3136, 1003520), (12, 3, 1, 40000), (14, 1, 784, 784)],
)
def test_smart_resize(patch: int, merge: int, low: int, high: int) -> None:
    smart_resize = hf.helper("qwen2_vl", "smart_resize")
    sizes = [size for size in many_sizes(3000, 6000, 200) if max(size) <= 200 * min(size)]
    recipe = vlmres.Recipe.load("qwen2-vl", patch_size=patch, merge_size=merge, min_pixels=low, max_pixels=high)
    for (width, height), got in zip(sizes, canvases(sizes, recipe), strict=True):
        expected = smart_resize(height, width, factor=patch * merge, min_pixels=low, max_pixels=high)
        assert got == (expected[1], expected[0]), (width, height)


@pytest.mark.parametrize(("patch", "budget"), [(16, 256), (16, 1024), (14, 100), (16, 1)])
def test_naflex(patch: int, budget: int) -> None:
    reference = hf.helper("siglip2", "get_image_size_for_max_num_patches")
    sizes = many_sizes(1000, 5000, 150)
    recipe = vlmres.Recipe.load("siglip2-naflex", patch_size=patch, max_num_patches=budget)
    for (width, height), got in zip(sizes, canvases(sizes, recipe), strict=True):
        expected = reference(image_height=height, image_width=width, patch_size=patch, max_num_patches=budget)
        assert got == (expected[1], expected[0]), (width, height)


@pytest.mark.parametrize(
    ("recipe", "tile", "low", "high"),
    [
        ("internvl2", 448, 1, 12),
        ("internvl2", 448, 1, 6),
        ("internvl2", 448, 3, 40),
        ("deepseek-ocr-gundam", 640, 2, 9),
        ("deepseek-ocr-gundam-m", 1024, 2, 9),
        ("deepseek-ocr-2", 768, 2, 6),
    ],
)
def test_tile_grids(recipe: str, tile: int, low: int, high: int) -> None:
    reference = hf.helper("got_ocr2", "get_optimal_tiled_canvas")
    over = {"deepseek-ocr-2": 768}.get(recipe, 640 if recipe.startswith("deepseek") else 0)
    sizes = [size for size in many_sizes(2000, 6000, 150) + midpoints(high) if max(size) > over]
    table = vlmres.plan_many(sizes, vlmres.Recipe.load(recipe, min_tiles=low, max_tiles=high))
    for index, (width, height) in enumerate(sizes):
        expected = reference((height, width), (tile, tile), low, high)
        assert (table.cols[index], table.rows[index]) == expected, (width, height)


@pytest.mark.parametrize(
    ("tile", "pinpoints"),
    [
        (336, hf.PINPOINTS),
        (384, [[384 * rows, 384 * cols] for rows in range(1, 7) for cols in range(1, 7)]),
        (336, [[672, 672], [336, 336], [336, 672]]),
    ],
)
def test_pinpoints(tile: int, pinpoints: list[list[int]]) -> None:
    recipe = of_partial_patches("llava-next", image_size=tile, image_grid_pinpoints=pinpoints)
    sizes = many_sizes(2000, 5000, 150)
    table = vlmres.plan_many(sizes, recipe)
    for index, (width, height) in enumerate(sizes):
        expected = select_best_resolution((height, width), pinpoints)
        assert (table.rows[index] * tile, table.cols[index] * tile) == tuple(expected), (width, height)


sides = st.integers(1, 4000)
names = st.sampled_from(vlmres.recipes())


def row_of(plan: vlmres.Plan) -> dict[str, int]:
    """What a table says of a plan."""
    main = next((view for view in plan.views if view.role == "global"), plan.views[0])
    return {
        "num_tokens": plan.num_tokens,
        "num_visual_tokens": plan.num_visual_tokens,
        "num_valid_tokens": plan.num_valid_tokens,
        "num_patches": plan.num_patches,
        "num_tiles": plan.num_tiles,
        "rows": plan.grid.rows,
        "cols": plan.grid.cols,
        "canvas_width": main.canvas.width,
        "canvas_height": main.canvas.height,
    }


def columns(table: vlmres.PlanTable) -> dict[str, NDArray[np.int64]]:
    return {name: column for name, column in vars(table).items() if name not in ("sizes", "errors")}


@settings(max_examples=300, deadline=None)
@given(sides, sides, names)
def test_invariants(width: int, height: int, name: str) -> None:
    plan = planned(width, height, name)
    table = vlmres.plan_many([(width, height)], name, errors="return")
    if plan is None:
        assert list(table.errors) == [0]
        assert table.num_tokens[0] == -1
        return
    assert plan.size == (width, height)
    assert row_of(plan) == {column: int(values[0]) for column, values in columns(table).items()}
    assert 0 <= plan.num_valid_tokens <= plan.num_visual_tokens <= plan.num_tokens
    assert sum(view.num_tokens for view in plan.views) <= plan.num_tokens
    assert plan.num_patches == sum(view.num_patches for view in plan.views)
    assert plan.num_tiles == sum(view.tiles.rows * view.tiles.cols for view in plan.views)
    for view in plan.views:
        across, down = ((count - 1) * view.overlap for count in (view.tiles.cols, view.tiles.rows))
        covered = (view.tile_size.width * view.tiles.cols - across, view.tile_size.height * view.tiles.rows - down)
        assert view.canvas == covered
        assert view.num_patches == view.tiles.rows * view.tiles.cols * view.patches.rows * view.patches.cols
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert vlmres.plan((width, height), plan.recipe) == plan
    assert repr(plan).startswith(f"Plan({width}x{height}")


def test_thin_images_are_refused_where_the_reference_does() -> None:
    assert vlmres.plan((440, 10), "phi-4").views[0].canvas == (448, 448)
    with pytest.raises(vlmres.PlanError, match="448x9: no side may have fewer than 10 pixels"):
        vlmres.plan((448, 9), "phi-4")


@pytest.mark.parametrize("name", vlmres.recipes())
def test_packed_rows_are_the_plans_patches(name: str) -> None:
    images = [image(300, 200), image(700, 900), image(31, 5)]
    batch = vlmres.Processor(name, layout="packed", dtype="uint8")(images)
    plans = [vlmres.plan(picture.size, batch.plans[0].recipe) for picture in images]  # type: ignore[union-attr]
    assert batch.plans == plans
    assert len(batch.patches) == sum(plan.num_patches for plan in plans)
    assert batch.num_tokens == [plan.num_tokens for plan in plans]
    assert len(batch.cu_seqlens) == sum(plan.num_tiles for plan in plans) + 1


@pytest.mark.parametrize(
    ("size", "recipe", "numbers"),
    [
        ((0, 5), "llava-1.5", ("0x5",)),
        ((5, 0), "qwen2-vl", ("5x0",)),
        ((-3, 7), "internvl2", ("-3x7",)),
        ((10**12, 7), "internvl2", ("1000000000000x7",)),
        ((2010, 10), "qwen2-vl", ("2010x10", "201", "200")),
        ((10, 2010), "qwen3-vl", ("10x2010", "201", "200")),
        ((10, 2001), "nativeres-llava", ("10x2001", "200.1", "200")),
        ((3000, 1), "deepseek-ocr-base", ("3000x1", "1024x0")),
        ((1, 2500), "deepseek-ocr-2", ("1x2500", "0x1024")),
    ],
)
def test_errors_name_the_numbers(size: tuple[int, int], recipe: str, numbers: tuple[str, ...]) -> None:
    with pytest.raises(vlmres.PlanError) as caught:
        vlmres.plan(size, recipe)
    assert all(number in str(caught.value) for number in numbers), caught.value


def test_ratio_of_exactly_200_is_allowed() -> None:
    assert vlmres.plan((2000, 10), "qwen2-vl").num_tokens > 0


@pytest.mark.parametrize(
    "size", [(1.5, 2), (1, 2, 3, 4), (5,), (), 7, None, {640, 480}, np.zeros((480, 640, 3)), ("a", 2)]
)
def test_sizes_of_wrong_types(size: Any) -> None:
    with pytest.raises(TypeError):
        vlmres.plan(size, "qwen2-vl")


def test_any_sequence_of_integers_is_a_size() -> None:
    expected = vlmres.plan((640, 480), "qwen2-vl")
    ways: list[Any] = [
        [640, 480],
        (np.int64(640), np.int32(480)),
        np.array([640, 480]),
        np.array([640, 480], dtype=np.uint16),
        vlmres.Size(640, 480),
        range(640, 479, -160),
    ]
    for size in ways:
        assert vlmres.plan(size, "qwen2-vl") == vlmres.Processor("qwen2-vl").plan(size) == expected
    assert vlmres.plan(np.array([8, 640, 480]), "qwen2-vl") == vlmres.plan((8, 640, 480), "qwen2-vl")


def test_sizes_of_images_and_files(tmp_path: Path) -> None:
    expected = vlmres.plan((480, 640), "qwen2-vl")
    turned, plain = tmp_path / "turned.jpg", image(640, 480)
    plain.save(turned, exif=files.exif(6))
    # A file's orientation is applied and a PIL image's is not, as by `Processor`.
    ways: list[Any] = [turned, str(turned), turned.read_bytes(), bytearray(turned.read_bytes())]
    for size in ways:
        assert vlmres.plan(size, "qwen2-vl") == expected
        assert vlmres.Processor("qwen2-vl")(size).plans == [expected]
    with Image.open(turned) as opened:
        assert vlmres.plan(opened, "qwen2-vl") == vlmres.plan((640, 480), "qwen2-vl")
    with pytest.raises(FileNotFoundError, match="640x480"):
        vlmres.plan("640x480", "qwen2-vl")
    with pytest.raises(vlmres.DecodeError):
        vlmres.plan(b"no image", "qwen2-vl")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_shape_of_an_array_is_no_size(channels: int) -> None:
    reason = rf"size \(480, 640, {channels}\) reads as an array's shape .*here \(640, 480\)"
    array = np.zeros((480, 640, channels), dtype=np.uint8)
    for plan in (lambda size: vlmres.plan(size, "qwen2-vl"), vlmres.Processor("qwen2-vl").plan):
        with pytest.raises(vlmres.PlanError, match=reason):
            plan(array.shape)
    sizes = [(8, 640, 480), array.shape, (0, 5, 5)]
    with pytest.raises(vlmres.PlanError, match=f"row 1: {reason}"):
        vlmres.plan_many(sizes, "qwen2-vl")
    table = vlmres.plan_many(sizes, "qwen2-vl", errors="return")
    assert list(table.errors) == [1, 2]
    assert table.num_tokens.tolist() == [vlmres.plan((8, 640, 480), "qwen2-vl").num_tokens, -1, -1]
    assert vlmres.plan((480, 64, 2), "qwen2-vl").frames == 480


def test_frames_of_few_rows_are_still_frames() -> None:
    batch = vlmres.Processor("qwen2-vl")(
        videos=np.zeros((4, 3, 64, 3), dtype=np.uint8), input_data_format="channels_last"
    )
    (plan,) = batch.plans
    assert plan is not None
    assert (plan.frames, plan.size) == (4, (64, 3))
    assert pickle.loads(pickle.dumps(plan)) == plan


@pytest.mark.parametrize("size", [(True, 480), (640, False), (True, 640, 480), (np.True_, 480)])
def test_a_truth_value_is_no_size(size: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="integer"):
        vlmres.plan(size, "qwen2-vl")


def test_plans_differ_by_size_and_recipe() -> None:
    plan = vlmres.plan((640, 480), "qwen2-vl")
    assert plan != vlmres.plan((480, 640), "qwen2-vl")
    assert plan != vlmres.plan((640, 480), "qwen2.5-vl")
    with pytest.raises(TypeError):
        hash(plan)


def test_plan_many_errors() -> None:
    sizes = [(640, 480), (0, 1), (320, 200), (3000, 2)]
    with pytest.raises(vlmres.PlanError, match=r"row 1: .*0x1"):
        vlmres.plan_many(sizes, "qwen2-vl")
    table = vlmres.plan_many(sizes, "qwen2-vl", errors="return")
    assert sorted(table.errors) == [1, 3]
    assert "1500" in str(table.errors[3])
    assert isinstance(table.errors[1], vlmres.PlanError)
    assert table.num_tokens.tolist() == [391, -1, vlmres.plan((320, 200), "qwen2-vl").num_tokens, -1]
    with pytest.raises(ValueError, match="ignore"):
        vlmres.plan_many(sizes, "qwen2-vl", errors="ignore")  # type: ignore[arg-type]


def test_plan_many_equals_plan_row_by_row() -> None:
    rng = np.random.default_rng(17)
    # Log-uniform from 1 to 20,000, with aspect ratios on both sides of the limit.
    sizes = np.exp(rng.uniform(0, np.log(20_001), (20_000, 2))).astype(np.int64)
    table = vlmres.plan_many(sizes, "qwen2-vl", errors="return")
    np.testing.assert_array_equal(table.sizes, sizes)
    recipe = vlmres.Recipe.load("qwen2-vl")
    expected, errors = [], {}
    for index, (width, height) in enumerate(sizes.tolist()):
        try:
            expected.append(row_of(vlmres.plan((width, height), recipe)))
        except vlmres.PlanError as error:
            errors[index] = str(error)
            expected.append(dict.fromkeys(columns(table), -1))
    for name, column in columns(table).items():
        np.testing.assert_array_equal(column, [row[name] for row in expected], err_msg=name)
    assert {index: str(error) for index, error in table.errors.items()} == errors
    assert 1000 < len(errors) < 10_000


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"])
def test_plan_many_of_any_integers(dtype: str) -> None:
    table = vlmres.plan_many(np.array([[100, 50], [64, 64]], dtype=dtype), "qwen2-vl")
    assert table.num_tokens.tolist() == vlmres.plan_many([(100, 50), (64, 64)], "qwen2-vl").num_tokens.tolist()


@pytest.mark.parametrize(
    "sizes",
    [np.ones((3, 2)), np.ones((3, 4), dtype=int), np.ones(2, dtype=int), [[1.5, 2.0]], [["1", "2"]], [(1, 2, 3, 4)], 5],
)
def test_plan_many_of_wrong_types(sizes: Any) -> None:
    with pytest.raises(TypeError, match=r"integers of shape \(n, 2\)"):
        vlmres.plan_many(sizes, "qwen2-vl")


@pytest.mark.parametrize("sizes", [[], np.empty((0, 2), dtype=np.int64), ()])
def test_plan_many_of_nothing(sizes: Any) -> None:
    table = vlmres.plan_many(sizes, "qwen2-vl")
    assert len(table) == 0
    assert table.num_tokens.shape == (0,)
    assert table.sizes.shape == (0, 2)


def test_plan_many_of_strided_sizes() -> None:
    sizes: NDArray[np.int64] = np.array([[480, 9, 640], [200, 9, 320]])
    assert vlmres.plan_many(sizes[:, ::-2], "qwen2-vl").num_tokens.tolist() == [
        391,
        vlmres.plan((320, 200), "qwen2-vl").num_tokens,
    ]


@pytest.mark.parametrize("size", [(1, 900), (900, 1), (30, 31), (2, 2), (4000, 3), (5, 700)])
def test_crops_of_thin_images(size: tuple[int, int]) -> None:
    for recipe in (
        vlmres.Recipe.load("gemma3", do_pan_and_scan=True, pan_and_scan_min_crop_size=1),
        vlmres.Recipe.load("idefics2", do_image_splitting=True),
        vlmres.Recipe.load("step3"),
    ):
        plan = vlmres.plan(size, recipe)
        picture = Image.new("RGB", size, (200, 200, 200))
        batch = vlmres.Processor(recipe, layout="packed", dtype="uint8")(picture)
        assert len(batch.grids) == plan.num_tiles
        for view in range(len(plan.views)):
            left, top, right, bottom = plan.to_image([0, 0, *plan.views[view].canvas], "pixels", view=view)
            assert -1e-6 <= left < right
            assert -1e-6 <= top < bottom
