"""Recipes, plans and batches in notebooks."""

from html.parser import HTMLParser

import numpy as np
import pytest

import vlmres
from tests.images import EXAMPLES, pixels
from vlmres.draw import canvases, draw
from vlmres.processor import DType

VOID = {"br", "rect", "path"}


class Checked(HTMLParser):
    """Fails where tags are not closed in order; gathers the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - as the base has it
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


@pytest.mark.parametrize("name", vlmres.recipes())
def test_every_recipe_and_plan_has_html(name: str) -> None:
    recipe = vlmres.Recipe.load(name)
    text = Checked(recipe._repr_html_()).text
    assert all(parameter in text for parameter in recipe.params)
    plan = vlmres.plan((900, 500), recipe)
    html = plan._repr_html_()
    text = Checked(html).text
    assert f"{plan.num_tokens:,} tokens" in text
    assert html.count("<g ") == len(plan.views)


def test_html_of_a_plan_draws_its_tiles() -> None:
    plan = vlmres.plan((1240, 1754), "internvl2")
    html = plan._repr_html_()
    assert html.count('stroke="#ff5400"') == 6
    assert html.count('stroke="#008c78"') == 1
    assert "16 frames of 640x360" in Checked(vlmres.plan((16, 640, 360), "qwen3-vl")._repr_html_()).text


def test_html_escapes_what_others_wrote() -> None:
    text = vlmres.Recipe.load("qwen2-vl").to_toml().replace("Qwen2-VL", "<script>", 1)
    assert "<script>" not in vlmres.Recipe.from_toml(text)._repr_html_()


def test_html_of_a_batch_shows_errors() -> None:
    batch = vlmres.Processor("qwen2-vl", dtype="bfloat16")([pixels(60, 60), b"<b>"], errors="return")
    text = Checked(batch._repr_html_()).text
    assert "60x60" in text
    assert "bfloat16 (bits)" in text
    assert str(batch.errors[1]) in text


def test_pictures() -> None:
    page = EXAMPLES / "page.png"
    expected = draw(page, "internvl2").tobytes()
    assert vlmres.Recipe.load("internvl2").show(page).tobytes() == expected
    plan = vlmres.plan(page, "internvl2")
    assert plan.show(page).tobytes() == expected
    assert plan.show().size[0] < plan.show(page).size[0]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_batches_draw_their_own_values(dtype: DType) -> None:
    images = [pixels(200, 120), pixels(90, 300)]
    kinds: list[DType] = ["uint8", dtype]
    batches = [vlmres.Processor("internvl2", "packed", kind)(images) for kind in kinds]
    exact, drawn = (np.asarray(batch.show(1), dtype=int) for batch in batches)
    assert exact.shape == drawn.shape
    assert np.abs(exact - drawn).max() <= 1
    assert exact.std() > 20
    assert canvases(batches[0], 1)[0].shape[2] == 3


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match='layout="packed"'):
        vlmres.Processor("qwen2-vl")(pixels(60, 60)).show()
    frames = np.zeros((4, 60, 60, 3), np.uint8)
    with pytest.raises(ValueError, match="a picture is of an image"):
        vlmres.Processor("qwen2-vl", "packed")(videos=frames).show()
