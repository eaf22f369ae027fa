"""The estimate of an image's text, and the recipes that are chosen by it."""

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import vlmres
from tests.images import EXAMPLES, pixels
from vlmres import legibility
from vlmres.choosing import Chooser, Option, PageText, choose, read_text
from vlmres.data import Loader

TEXT = """A vision language model chooses a resolution before it sees anything and characters that a resize makes
smaller than a few pixels are gone while tokens cost memory and time in the language model behind it so the question is
how many tokens a detail is worth for each of the pages that come along"""
WORDS = TEXT.split()
QWEN = [("qwen3-vl", {"min_pixels": 4096, "max_pixels": tokens * 1024}) for tokens in (64, 128, 256, 512, 1024, 2048)]
DEEPSEEK = ["deepseek-ocr-tiny", "deepseek-ocr-small", "deepseek-ocr-base", "deepseek-ocr-large"]


def page(
    size: int,
    area: tuple[int, int] = (900, 700),
    *,
    ink: str = "black",
    paper: str = "white",
    upper: bool = False,
    lines: int = 12,
) -> tuple[Image.Image, float, int]:
    """A page of text, the height of its "x" in pixels, and how many letters it has."""
    font = ImageFont.load_default(size)
    picture = Image.new("RGB", area, paper)
    pen = ImageDraw.Draw(picture)
    letters, word = 0, 0
    for line in range(lines):
        text = ""
        while font.getlength(text) < area[0] - 12 * size:
            text = f"{text} {WORDS[word % len(WORDS)]}".strip()
            word += 1
        text = text.upper() if upper else text
        pen.text((2 * size, (1.5 + 1.5 * line) * size), text, fill=ink, font=font)
        letters += len(text.replace(" ", ""))
    box = font.getbbox("x")
    return picture, box[3] - box[1], letters


@pytest.mark.parametrize("size", [9, 12, 16, 24, 36])
def test_x_heights_are_found_to_a_pixel(size: int) -> None:
    picture, x_height, letters = page(size, (80 * size // 2, 22 * size))
    text = read_text(picture)
    assert abs(text.smallest(0.5) - x_height) <= 1
    assert text.characters.sum() == pytest.approx(letters, rel=0.3)
    assert 0.9 < text.evidence <= 1


@pytest.mark.parametrize("kind", ["dark", "low contrast", "noise", "blur", "turned", "jpeg"])
def test_x_heights_of_bad_scans(kind: str, tmp_path: object) -> None:
    colours = {"dark": ("#e0e0e0", "#101418"), "low contrast": ("#909090", "#d8d8d8")}.get(kind, ("black", "white"))
    picture, x_height, _ = page(18, ink=colours[0], paper=colours[1])
    if kind == "noise":
        noise = np.random.default_rng(0).normal(0, 25, (picture.height, picture.width, 1))
        picture = Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))
    elif kind == "blur":
        picture = picture.filter(ImageFilter.GaussianBlur(1))
    elif kind == "turned":
        picture = picture.rotate(1.5, Image.Resampling.BICUBIC, fillcolor="white")
    elif kind == "jpeg":
        path = f"{tmp_path}/page.jpg"
        picture.save(path, quality=40)
        picture = Image.open(path)
    text = read_text(picture)
    assert abs(text.smallest(0.5) - x_height) <= 2
    assert len(text.x_heights) >= 11


def test_small_print_counts_beside_large_print() -> None:
    large, small = page(30, (900, 300), lines=4)[0], page(12, (900, 300), lines=12)
    both = Image.new("RGB", (900, 600), "white")
    both.paste(large, (0, 0))
    both.paste(small[0], (0, 300))
    text = read_text(both)
    assert abs(text.smallest(0.05) - small[1]) <= 1
    assert text.smallest(0.95) > 2 * small[1]
    assert (text.boxes[:, 2:] <= text.size).all()
    assert (text.boxes[:, :2] >= 0).all()


def test_capitals_count_as_the_small_letters_that_they_stand_for() -> None:
    upper, x_height, _ = page(24, upper=True)
    assert read_text(upper).smallest(0.5) == pytest.approx(x_height, rel=0.15)


@pytest.mark.parametrize("name", ["photo.jpg", "photo-portrait.jpg"])
def test_photographs_have_no_text(name: str) -> None:
    for factor in (1, 2):
        with Image.open(EXAMPLES / name) as picture:
            assert not read_text(picture.reduce(factor))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (33, 31)])
def test_no_text_in_next_to_nothing(shape: tuple[int, int]) -> None:
    assert not read_text(Image.new("RGB", shape))
    assert not read_text(Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)))


def test_the_cheapest_that_is_legible() -> None:
    picture, x_height, _ = page(16)
    choice = choose(picture, QWEN)
    tokens = [option.num_tokens for option in choice.options]
    index = tokens.index(choice.num_tokens)
    assert 0 < index < len(QWEN) - 1
    for at, option in enumerate(choice.options):
        plan = vlmres.plan(picture.size, option.recipe)
        assert option.num_tokens == plan.num_tokens
        shown = legibility.effective_x_height(plan, x_height)
        assert option.x_height == pytest.approx(shown, rel=0.15)
        assert option.reaches(0.95) is (at >= index)
    assert choice.recipe == choice.options[index].recipe
    assert choice.num_tokens == vlmres.plan(picture.size, choice.recipe).num_tokens
    assert choice.legible is not None
    assert choice.legible >= 0.95
    assert "pixels are too few" in choice.reason
    assert 0.5 < choice.confidence <= 1


def test_smaller_text_takes_more_tokens() -> None:
    chosen = [choose(page(size, (1200, 900))[0], QWEN).num_tokens for size in (40, 20, 15, 11)]
    assert chosen == sorted(chosen)
    assert len(set(chosen)) == 4


def test_dense_pages_are_short_of_tokens_before_pixels() -> None:
    """DeepSeek-OCR's modes: 64 tokens read what they show, but cannot carry it all."""
    sparse, dense = page(44, (1240, 1754), lines=4)[0], page(25, (1240, 1754), lines=45)[0]
    assert choose(sparse, DEEPSEEK).recipe.name == "deepseek-ocr-tiny"
    choice = choose(dense, DEEPSEEK)
    tiny = choice.options[0]
    assert tiny.legible is not None
    assert tiny.capacity is not None
    assert tiny.legible >= 0.95 > tiny.capacity
    assert choice.recipe.name != "deepseek-ocr-tiny"
    assert "tokens are too few" in choice.reason


def test_text_outside_of_a_crop_is_not_legible() -> None:
    picture, _, _ = page(40, (1600, 600), lines=5)
    crop, pad = choose(picture, ["llava-1.5", "llava-1.5-pad"]).options
    assert crop.legible == 0
    assert pad.x_height is not None
    assert pad.x_height > 0


def test_no_text_gives_the_default() -> None:
    photo = EXAMPLES / "photo.jpg"
    choice = choose(photo, QWEN, default="llava-1.5")
    assert choice.recipe.name == "llava-1.5"
    assert choice.num_tokens == 576
    assert choice.legible is None
    assert choice.reason == "no text was found: the default"
    assert choose(photo, QWEN).recipe == Chooser(QWEN).recipes[0]


def test_nothing_is_enough() -> None:
    choice = choose(page(12, (1600, 1200))[0], QWEN[:2])
    assert choice.recipe == Chooser(QWEN).recipes[1]
    assert choice.legible is not None
    assert choice.legible < 0.95
    assert choice.reason.startswith("no candidate keeps 95% of the text legible")


def test_pages_share_a_recipe_that_the_worst_one_needs() -> None:
    coarse, fine = page(40, (900, 900), lines=4)[0], page(14)[0]
    alone = choose(fine, QWEN)
    both = choose([coarse, fine], QWEN)
    assert both.recipe == alone.recipe
    assert both.num_tokens == sum(vlmres.plan(each.size, both.recipe).num_tokens for each in (coarse, fine))
    assert both.legible == pytest.approx(alone.legible)


def test_pages_of_a_document() -> None:
    pytest.importorskip("pypdfium2")
    from tests.pdf import pdf

    choice = choose(pdf(2), QWEN)
    assert len(choice.texts) == 2
    assert choose(vlmres.Document(pdf(2)), QWEN) == choice


def test_a_selector_comes_first() -> None:
    seen: list[int] = []

    def largest(texts: Sequence[PageText], options: Sequence[Option]) -> int | None:
        assert len(texts) == 1
        seen.append(len(options))
        return len(options) - 1 if len(seen) == 1 else None

    picture = page(20)[0]
    chooser = Chooser(QWEN, selector=largest)
    assert chooser(picture).reason == "the selector chose it"
    assert chooser(picture).recipe == choose(picture, QWEN).recipe
    assert seen == [6, 6]
    with pytest.raises(ValueError, match="below 6 or None, got 6"):
        choose(picture, QWEN, selector=lambda *_: 6)


def test_another_reader_has_another_threshold() -> None:
    picture = page(16)[0]
    strict = legibility.Legibility("mine", 2 * legibility.READERS["pp-ocrv4"].x_height, 0.9, 100)
    assert choose(picture, QWEN, reader=strict).num_tokens > choose(picture, QWEN).num_tokens


def test_wrong_arguments() -> None:
    picture = page(20)[0]
    with pytest.raises(ValueError, match="candidates are a list of recipes"):
        choose(picture, [])
    with pytest.raises(ValueError, match=r"target must be between 0.5 and 0.99, got 1"):
        choose(picture, QWEN, target=1)
    with pytest.raises(ValueError, match="reader must be one of pp-ocrv4, pp-ocrv6"):
        choose(picture, QWEN, reader="me")
    with pytest.raises(TypeError, match=r"a candidate is a recipe, a name or \(name, overrides\), got 5"):
        choose(picture, [5])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="there are no pages"):
        choose([], QWEN)


# recipe="auto"


def auto(**settings: object) -> vlmres.Processor:
    return vlmres.Processor("auto", "packed", "uint8", candidates=DEEPSEEK, **settings)  # type: ignore[arg-type]


def test_auto_is_the_chosen_recipe_of_each_image() -> None:
    images = [EXAMPLES / "page.png", EXAMPLES / "photo.jpg", page(44, (1240, 1754), lines=4)[0]]
    batch = auto()(images)
    names = [plan.recipe.name for plan in batch.plans if plan is not None]
    assert names == [choose(image, DEEPSEEK).recipe.name for image in images]
    assert len(set(names)) == 2
    segments = np.repeat(batch.image_index, np.diff(batch.cu_seqlens))
    for index, (image, name) in enumerate(zip(images, names, strict=True)):
        own = vlmres.Processor(name, "packed", "uint8")(image)
        np.testing.assert_array_equal(batch.patches[segments == index], own.patches)
        np.testing.assert_array_equal(batch.grids[batch.image_index == index], own.grids)


def test_auto_chooses_for_a_sample_of_images_together() -> None:
    coarse, fine = page(44, (1240, 1754), lines=4)[0], EXAMPLES / "page.png"
    batch = auto()([[coarse, fine], [coarse]])
    names = [plan.recipe.name for plan in batch.plans if plan is not None]
    assert names == ["deepseek-ocr-base", "deepseek-ocr-base", "deepseek-ocr-tiny"]


def test_auto_leaves_out_bad_images() -> None:
    batch = auto()([EXAMPLES / "page.png", b"no image", EXAMPLES / "absent.png"], errors="return")
    assert list(batch.errors) == [1, 2]
    assert batch.indices == [0]
    with pytest.raises(vlmres.DecodeError, match="image 1"):
        auto()([EXAMPLES / "page.png", b"no image"])


def test_auto_of_documents() -> None:
    pytest.importorskip("pypdfium2")
    from tests.pdf import pdf

    for given in (pdf(2), vlmres.Document(pdf(2))):
        batch = auto()([given])
        assert len(batch.plans) == 2


def test_auto_needs_candidates_for_one_encoder() -> None:
    with pytest.raises(TypeError, match='recipe="auto" needs candidates'):
        vlmres.Processor("auto", "packed")
    with pytest.raises(ValueError, match='needs layout="packed"'):
        vlmres.Processor("auto", candidates=DEEPSEEK)
    with pytest.raises(ValueError, match='decode must be "exact"'):
        vlmres.Processor("auto", "packed", candidates=DEEPSEEK, decode="scaled")
    with pytest.raises(TypeError, match='candidates need recipe="auto"'):
        vlmres.Processor("internvl2", "packed", candidates=DEEPSEEK)
    with pytest.raises(vlmres.VlmresError, match="cannot be in one batch"):
        vlmres.Processor("auto", "packed", candidates=["qwen2-vl", "internvl2"])


def test_auto_in_a_loader() -> None:
    files = [EXAMPLES / "page.png", EXAMPLES / "photo.jpg"] * 2
    with Loader(files, "auto", candidates=DEEPSEEK, batch_size=2) as loader:
        names = [plan.recipe.name for batch in loader for plan in batch.plans]
    assert names == ["deepseek-ocr-base", "deepseek-ocr-tiny"] * 2
    most = max(vlmres.plan(EXAMPLES / "page.png", name).num_tokens for name in DEEPSEEK)
    with Loader(files, "auto", candidates=DEEPSEEK, max_tokens=most) as loader:
        assert all(sum(batch.num_tokens) <= most for batch in loader)
    with pytest.raises(ValueError, match=f"has {most:,} tokens"):
        list(Loader(files, "auto", candidates=DEEPSEEK, max_tokens=most - 1))
    with pytest.raises(TypeError, match="the processor's own"):
        Loader(files, auto(), candidates=DEEPSEEK, batch_size=2)


def test_noise_is_no_text() -> None:
    assert not read_text(pixels(640, 480))
