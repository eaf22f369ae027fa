"""The rules of legibility and capacity, on published points and by hand."""

import numpy as np
import pytest

import vlmres
from vlmres import legibility


def test_the_capacity_rule_follows_the_published_points() -> None:
    errors = [abs(100 * legibility.capacity(ratio) - precision) for ratio, precision in legibility.DEEPSEEK_OCR]
    assert len(errors) == 14
    assert np.mean(errors) < 2.3
    fitted = legibility.fit_capacity()
    assert fitted.slope == pytest.approx(legibility.Capacity().slope, abs=0.001)
    assert fitted.offset == pytest.approx(legibility.Capacity().offset, abs=0.05)
    assert legibility.Capacity().ratio(0.97) == pytest.approx(8.1, abs=0.05)
    assert legibility.Capacity().ratio(0.90) == pytest.approx(12.9, abs=0.05)


def test_legibility_and_capacity_meet_where_they_were_found_to() -> None:
    limit = legibility.Capacity().ratio(0.97)
    assert legibility.dense_ratio(2.9, 28 * 28) == pytest.approx(limit, abs=0.15)
    assert legibility.dense_ratio(6.7, 64 * 64) == pytest.approx(limit, abs=0.15)


@pytest.mark.parametrize("precision", [0, 1, -0.5, 1.5])
def test_no_ratio_has_an_impossible_precision(precision: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        legibility.Capacity().ratio(precision)


def test_a_curve_needs_points() -> None:
    with pytest.raises(ValueError, match="at least two points"):
        legibility.fit_capacity([(1.0, 50.0)])


def test_the_largest_view_decides_and_the_smaller_scale() -> None:
    plan = vlmres.plan((1240, 1754), "deepseek-ocr-gundam")
    assert legibility.scales(plan) == pytest.approx([1280 / 1240, 724 / 1240], abs=1e-3)
    assert legibility.effective_x_height(plan, 10) == pytest.approx(10 * 1280 / 1240)


def test_what_a_crop_loses_is_not_seen() -> None:
    plan = vlmres.plan((1240, 1754), "llava-1.5")
    assert legibility.effective_x_height(plan, 10, (600, 10, 700, 30)) == 0
    assert legibility.effective_x_height(plan, 10, (600, 800, 700, 830)) == pytest.approx(10 * 475 / 1754, rel=0.01)


def test_a_threshold_divides_lines() -> None:
    fitted = legibility.fit_legibility("reader", [3, 1, 2, 4, 2.2], [True, False, False, True, False])
    assert fitted.x_height == pytest.approx(2.6)
    assert (fitted.right, fitted.lines) == (1.0, 5)
    # One exception stays one.
    fitted = legibility.fit_legibility("reader", [1, 1.5, 2, 3, 4, 5], [False, True, False, True, True, True])
    assert fitted.x_height == pytest.approx(2.5)
    assert fitted.right == pytest.approx(5 / 6)


def test_all_lines_may_be_alike() -> None:
    assert legibility.fit_legibility("reader", [2.0, 3.0], [True, True]).x_height <= 2.0
    assert legibility.fit_legibility("reader", [2.0, 3.0], [False, False]).x_height >= 3.0
    with pytest.raises(ValueError, match="not empty"):
        legibility.fit_legibility("reader", [], [])


def test_han_has_more_tokens_a_character() -> None:
    assert legibility.text_tokens("a b c d e") == pytest.approx(5 * 0.22)
    assert legibility.text_tokens(["漢字", "仮名"]) == pytest.approx(4 * 0.6)
    assert legibility.dense_ratio(2, 784) == pytest.approx(784 / (11.4 * 4))
