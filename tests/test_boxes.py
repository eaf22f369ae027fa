"""Boxes and points between an image and a model's coordinates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import vlmres
from tests.plans import planned

CONVENTIONS = ("pixels", "0-1000", "0-999", "0-1")
points = st.lists(st.tuples(*[st.floats(-100, 5000)] * 2), min_size=0, max_size=5)

sides = st.integers(1, 4000)
names = st.sampled_from(vlmres.recipes())


@settings(max_examples=200, deadline=None)
@given(sides, sides, names, points, points)
def test_boxes_round_trip(
    width: int, height: int, name: str, first: list[tuple[float, float]], second: list[tuple[float, float]]
) -> None:
    plan = planned(width, height, name)
    if plan is None:
        return
    corners = [np.array(rows[: min(len(first), len(second))]).reshape(-1, 2) for rows in (first, second)]
    boxes = np.hstack([np.minimum(*corners), np.maximum(*corners)])
    frames: list[dict[str, int]] = [{}]
    for index, view in enumerate(plan.views):
        last = view.tiles.rows * view.tiles.cols - 1
        frames += [{"view": index}, {"view": index, "tile": 0}, {"view": index, "tile": last}]
    for convention in (None, *CONVENTIONS):
        for frame in frames:
            model = plan.to_model(boxes, convention, **frame)  # type: ignore[arg-type]
            assert model.shape == boxes.shape
            assert model.dtype == np.float64
            back = plan.to_image(model, convention, **frame)  # type: ignore[arg-type]
            np.testing.assert_allclose(back, boxes, rtol=1e-9, atol=1e-6)
            for at in (slice(0, 2), slice(2, 4)):
                np.testing.assert_array_equal(plan.to_model(boxes[:, at], convention, **frame), model[:, at])  # type: ignore[arg-type]
                np.testing.assert_array_equal(plan.to_image(model[:, at], convention, **frame), back[:, at])  # type: ignore[arg-type]
            inside = plan.to_image(model, convention, **frame, clip=True)  # type: ignore[arg-type]
            np.testing.assert_array_equal(inside, np.clip(back, 0, [width, height] * 2))


def test_overlapping_tiles() -> None:
    """Neighbours share 112 pixels: a box in the middle lies in both, each time at its own place."""
    plan = vlmres.plan((644, 644), "molmo2")
    (view,) = (view for view in plan.views if view.role == "tile")
    assert (view.tiles, view.overlap, view.canvas, view.tile_size) == ((2, 2), 112, (644, 644), (378, 378))
    box = np.array([[300, 0, 340, 644]])
    left, right = (plan.to_model(box, "pixels", view=1, tile=tile) for tile in (0, 1))
    np.testing.assert_allclose(left - right, [[266, 0, 266, 0]])
    # The low resolution, and the patches of the canvas by fours, with their rows' ends and four marks.
    assert plan.num_tokens == 14 * 15 + 23 * 24 + 4


def test_boxes_in_every_frame() -> None:
    plan = vlmres.plan((800, 600), "internvl2")
    assert plan.grid == (3, 4)
    whole = [0, 0, 800, 600]
    # The sixth tile is row 1, column 1.
    sixth = [200, 200, 400, 400]
    for got, expected in [
        (plan.to_model(whole), [0, 0, 1000, 1000]),
        (plan.to_model(whole, "0-1"), [0, 0, 1, 1]),
        (plan.to_model(whole, "pixels", view=0), [0, 0, 4 * 448, 3 * 448]),
        (plan.to_model(whole, "pixels", view=1), [0, 0, 448, 448]),
        (plan.to_model(sixth, "pixels", view=0, tile=5), [0, 0, 448, 448]),
        (plan.to_model(sixth, "0-999", view=0, tile=5), [0, 0, 999, 999]),
    ]:
        np.testing.assert_allclose(got, expected, atol=1e-9)


def test_boxes_on_padding_and_crops() -> None:
    padded = vlmres.plan((1000, 500), "deepseek-ocr-base")
    view = padded.views[0]
    assert (view.resized, view.canvas, view.offset, view.fill) == ((1024, 512), (1024, 1024), (0, 256), (127, 127, 127))
    assert padded.to_model([0, 0, 1000, 500], "pixels").tolist() == [0, 256, 1024, 768]
    # DeepSeek-OCR's boxes are relative to the image, not to the padded canvas.
    assert padded.to_model([0, 0, 1000, 500]).tolist() == [0, 0, 999, 999]
    cropped = vlmres.plan((672, 336), "llava-1.5")
    assert cropped.views[0].offset == (-168, 0)
    assert cropped.to_model([168, 0, 504, 336], "pixels").tolist() == [0, 0, 336, 336]
    qwen25 = vlmres.plan((640, 480), "qwen2.5-vl")
    np.testing.assert_allclose(qwen25.to_model([0, 0, 640, 480]), [0, 0, 644, 476])
    np.testing.assert_allclose(vlmres.plan((640, 480), "qwen3-vl").to_model([320, 0, 640, 480]), [500, 0, 1000, 1000])


def test_points_are_the_corners_of_boxes() -> None:
    plan = vlmres.plan((1000, 500), "qwen3-vl")
    assert plan.to_model([250, 125]).tolist() == [250, 250]
    assert plan.to_model([[250, 125], [1000, 500]]).tolist() == [[250, 250], [1000, 1000]]
    assert plan.to_image([500, 500]).tolist() == [500, 250]
    assert plan.to_model(np.empty((0, 2))).shape == (0, 2)


def test_clipped_boxes_stay_inside_their_frame() -> None:
    plan = vlmres.plan((800, 600), "internvl2")
    beyond = [-80, 60, 1600, 700]
    np.testing.assert_allclose(plan.to_model(beyond), [-100, 100, 2000, 700 / 0.6])
    expectations: list[tuple[NDArray[np.float64], list[float]]] = [
        (plan.to_model(beyond, clip=True), [0, 100, 1000, 1000]),
        (plan.to_model(beyond, "0-999", clip=True), [0, 99.9, 999, 999]),
        (plan.to_model(beyond, "pixels", view=1, clip=True), [0, 44.8, 448, 448]),
        (plan.to_model(beyond, "pixels", clip=True), [0, 44.8, 448, 448]),
        (plan.to_model(beyond, "pixels", view=0, clip=True), [0, 134.4, 4 * 448, 3 * 448]),
        (plan.to_model(beyond, "pixels", view=0, tile=5, clip=True), [0, 0, 448, 448]),
        (plan.to_image([-10, 500, 500, 2000], clip=True), [0, 300, 400, 600]),
        (plan.to_image([900, -3], "0-1", clip=True), [800, 0]),
    ]
    for got, expected in expectations:
        np.testing.assert_allclose(got, expected, atol=1e-9)
    # What lies wholly outside is an empty box at the edge.
    assert plan.to_model([900, 0, 1000, 100], clip=True).tolist() == pytest.approx([1000, 0, 1000, 500 / 3])


def test_bad_boxes() -> None:
    plan = vlmres.plan((640, 480), "internvl2")
    with pytest.raises(TypeError, match="shape"):
        plan.to_model([[1, 2, 3]])
    with pytest.raises(vlmres.VlmresError, match="0-100"):
        plan.to_model([0, 0, 1, 1], "0-100")  # type: ignore[arg-type]
    for shape in [(), (2, 2, 2), (0, 3), (1, 2, 4), (5,)]:
        with pytest.raises(TypeError, match=r"boxes must have shape .*, points"):
            plan.to_image(np.zeros(shape))
    problems: list[tuple[list[float], str]] = [
        ([0, 0, np.nan, 1], "finite"),
        ([0, 0, np.inf, 1], "finite"),
        ([5, 0, 4, 1], r"x0 <= x1"),
        ([0, 7, 4, 1], r"y0 <= y1"),
        ([np.nan, 0], "finite"),
    ]
    for row, problem in problems:
        for convert in (plan.to_model, plan.to_image):
            what = "box" if len(row) == 4 else "point"
            with pytest.raises(vlmres.VlmresError, match=f"^{what} 1 is .*{problem}"):
                convert([[0.0] * len(row), row])
            with pytest.raises(vlmres.VlmresError, match=f"^{what} 0 is .*{problem}"):
                convert(row, clip=True)
    with pytest.raises(vlmres.VlmresError, match=r"tile=3 is a tile of a view: pass view= too"):
        plan.to_model([0, 0, 1, 1], tile=3)
    with pytest.raises(IndexError, match="view 7"):
        plan.to_model([0, 0, 1, 1], view=7)
    with pytest.raises(IndexError, match="tile 12"):
        plan.to_model([0, 0, 1, 1], view=0, tile=12)
    for convert in (plan.to_model, plan.to_image):
        with pytest.raises(IndexError, match="view -1 of a plan whose views are 0 to"):
            convert([0, 0, 1, 1], view=-1)
        with pytest.raises(IndexError, match="tile -1 of a view whose tiles are 0 to"):
            convert([0, 0, 1, 1], view=0, tile=-1)


def test_boxes_of_crops() -> None:
    """A crop's coordinates are those of its part of the image."""
    recipe = vlmres.Recipe.load("gemma3", do_pan_and_scan=True)
    plan = vlmres.plan((1500, 500), recipe)
    assert [view.role for view in plan.views] == ["global", "crop", "crop", "crop"]
    np.testing.assert_allclose(plan.to_model([500, 0, 1000, 500], "pixels", view=2), [0, 0, 896, 896])
    np.testing.assert_allclose(plan.to_model([500, 250, 1000, 500], "pixels", view=1), [896, 448, 1792, 896])
    np.testing.assert_allclose(plan.to_image([0, 0, 896, 896], "pixels", view=3), [1000, 0, 1500, 500])
    # Windows are cut from a resized image: 1000 x 800 becomes 1008 x 1008, four windows of 504.
    plan = vlmres.plan((1000, 800), "step3")
    assert [view.role for view in plan.views] == ["crop"] * 4 + ["global"]
    np.testing.assert_allclose(plan.to_image([0, 0, 504, 504], "pixels", view=3), [500, 400, 1000, 800])
