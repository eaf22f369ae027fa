"""Pictures of what encoders see, and the canvases they are drawn from."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

import vlmres
from tests.images import EXAMPLES, image, pixels
from vlmres.draw import canvases, contact_sheet, draw

RECIPES = vlmres.recipes()


def reference_canvases(array: np.ndarray, recipe: str) -> list[np.ndarray]:
    """The canvases of recipes whose views are one resize each, by Pillow."""
    plan = vlmres.plan((array.shape[1], array.shape[0]), recipe)
    return [np.asarray(Image.fromarray(array).resize(view.canvas, Image.Resampling.BICUBIC)) for view in plan.views]


@pytest.mark.parametrize("recipe", ["internvl2", "qwen2-vl", "qwen3-vl"])
def test_canvases_are_the_resized_image(recipe: str) -> None:
    array = pixels(301, 190)
    batch = vlmres.Processor(recipe, "packed", "uint8", arithmetic="pillow")([pixels(50, 60), array])
    seen = canvases(batch, 1)
    expected = reference_canvases(array, recipe)
    assert len(seen) == len(expected)
    for canvas, reference in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(canvas, reference)


def test_canvases_include_padding() -> None:
    array = np.full((16, 128, 3), 255, dtype=np.uint8)
    (canvas,) = canvases(vlmres.Processor("deepseek-ocr-base", "packed", "uint8")(array))
    view = vlmres.plan((128, 16), "deepseek-ocr-base").views[0]
    top = view.offset[1]
    assert canvas.shape == (1024, 1024, 3)
    assert (canvas[:top] == view.fill).all()
    assert (canvas[top : top + view.resized.height] == 255).all()
    assert (canvas[top + view.resized.height :] == view.fill).all()


@pytest.mark.parametrize("recipe", RECIPES)
def test_canvases_of_every_recipe_have_the_planned_size(recipe: str) -> None:
    batch = vlmres.Processor(recipe, "packed", "uint8")(pixels(700, 333))
    plan = batch.plans[0]
    assert plan is not None
    assert [canvas.shape[1::-1] for canvas in canvases(batch)] == [tuple(view.canvas) for view in plan.views]


def test_canvases_need_packed_uint8_of_a_good_image() -> None:
    with pytest.raises(ValueError, match='layout="packed"'):
        canvases(vlmres.Processor("qwen2-vl", "hf", "uint8")(pixels(64, 64)))
    with pytest.raises(ValueError, match='dtype="uint8"'):
        canvases(vlmres.Processor("qwen2-vl", "packed")(pixels(64, 64)))
    batch = vlmres.Processor("qwen2-vl", "packed", "uint8")([pixels(64, 64), b"no image"], errors="return")
    with pytest.raises(ValueError, match="image 1 is not in the batch"):
        canvases(batch, 1)


@pytest.mark.parametrize(
    ("recipe", "stride"),
    [("llava-1.5", 1), ("llava-next", 1), ("internvl2", 2), ("qwen3-vl", 2), ("deepseek-ocr-gundam", 4)],
)
@pytest.mark.parametrize("size", [(128, 16), (1500, 4500), (640, 641)])
def test_token_stride(recipe: str, stride: int, size: tuple[int, int]) -> None:
    assert vlmres.plan(size, recipe).recipe.token_stride == stride


def panel(picture: Image.Image, canvas: np.ndarray) -> np.ndarray | None:
    """Where the picture shows the canvas unchanged, cut out of it."""
    shown = np.asarray(picture)
    height, width = canvas.shape[:2]
    for top in range(shown.shape[0] - height + 1):
        for left in range(shown.shape[1] - width + 1):
            if (shown[top, left : left + width] == canvas[0]).all():
                return shown[top : top + height, left : left + width]
    return None


def test_the_picture_shows_the_engine_s_pixels() -> None:
    array = pixels(400, 300)
    picture = draw(array, "llava-1.5", grid=False, source=False)
    (canvas,) = canvases(vlmres.Processor("llava-1.5", "packed", "uint8")(array))
    shown = panel(picture, canvas)
    assert shown is not None
    np.testing.assert_array_equal(shown, canvas)


def test_borders_leave_the_inside_of_patches_alone() -> None:
    array = pixels(400, 300)
    plain = np.asarray(draw(array, "llava-next", grid=False, source=False, max_size=(1600, 1000)))
    lined = np.asarray(draw(array, "llava-next", source=False, max_size=(1600, 1000)))
    assert plain.shape == lined.shape
    changed = (plain != lined).any(axis=2)
    assert 0.05 < changed.mean() < 0.25  # a pixel in 14, both ways, and the borders of tiles
    tiles = (lined == (255, 84, 0)).all(axis=2)
    left, right = np.flatnonzero(tiles.any(axis=0))[[0, -1]]
    assert right - left + 1 == 672  # two tiles across, drawn in their own size


def test_arithmetic_of_a_processor_is_drawn() -> None:
    array = pixels(500, 420)
    pictures = [draw(array, vlmres.Processor("qwen2-vl", arithmetic=name)) for name in ("pillow", "torch")]
    assert pictures[0].size == pictures[1].size
    assert pictures[0].tobytes() != pictures[1].tobytes()
    assert draw(array, vlmres.plan((500, 420), "qwen2-vl")).tobytes() == draw(array, "qwen2-vl").tobytes()


@pytest.mark.parametrize("recipe", ["llava-1.5-pad", "internvl2", "qwen2-vl", "deepseek-ocr-gundam", "siglip2-naflex"])
@pytest.mark.parametrize("size", [(128, 16), (1500, 4500), (1, 1), (4000, 40)])
def test_pictures_fit(recipe: str, size: tuple[int, int]) -> None:
    picture = draw(image(*size), recipe, max_size=(1200, 800))
    assert picture.mode == "RGB"
    assert 100 < picture.width <= 1200 + 300  # margins and captions
    assert 100 < picture.height <= 800 + 200


def test_small_views_are_not_blown_up() -> None:
    picture = draw(EXAMPLES / "line.png", "qwen2-vl", source=False)
    assert picture.width < 140 * 4 + 100


def test_what_is_cropped_away_is_paled() -> None:
    black = np.zeros((100, 300, 3), dtype=np.uint8)
    cropped, whole = (np.asarray(draw(black, recipe)) for recipe in ("llava-1.5", "llava-1.5-pad"))
    pale = (190, 190, 190)
    assert (cropped == pale).all(axis=2).sum() > 100 * 150
    assert not (whole == pale).all(axis=2).any()


@pytest.mark.parametrize(
    ("recipe", "cropped"), [("llava-1.5", True), ("llava-1.5-pad", False), ("qwen2-vl", False), ("internvl2", False)]
)
def test_the_caption_says_whether_something_is_cropped_away(
    recipe: str, cropped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    text = ImageDraw.ImageDraw.text

    def spy(pen: ImageDraw.ImageDraw, at: Any, line: str, **options: Any) -> None:
        written.append(line)
        text(pen, at, line, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    draw(pixels(300, 100), recipe)
    assert ("pale: cropped away" in written) == cropped
    assert "image 300x100" in written


def test_wrong_plan_and_bad_image() -> None:
    with pytest.raises(ValueError, match="the plan is of an image of 10x20 pixels, the image has 64x48"):
        draw(pixels(64, 48), vlmres.plan((10, 20), "qwen2-vl"))
    with pytest.raises(vlmres.DecodeError):
        draw(b"no image", "qwen2-vl")


def test_contact_sheet_breaks_rows() -> None:
    red, blue = Image.new("RGB", (300, 100), "red"), Image.new("RGB", (250, 60), "blue")
    sheet = contact_sheet([red, blue, red], width=600)
    assert sheet.size == (550, 200)
    assert sheet.getpixel((310, 10)) == (0, 0, 255)
    assert sheet.getpixel((10, 150)) == (255, 0, 0)
    assert contact_sheet([red], width=150).size == (150, 50)
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])


def test_without_pillow_the_message_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['PIL'] = None\n"
        "import vlmres.draw\n"
        "try: vlmres.draw.draw(b'', 'qwen2-vl')\n"
        "except ImportError as error: print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "drawing needs Pillow: pip install 'vlmres[cli]'\n"
