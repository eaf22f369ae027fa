"""ACV and RCV of published tables, intervals, and scores of lines."""

import math
import random

import numpy as np
import pytest

from vlmres.lab import score, statistics

# RC-Bench's heat maps on the project page of NativeRes-LLaVA (arXiv:2506.12776): rows by ratio, columns by area; then
# the published ACV and RCV. Cells are rounded to 0.01, which moves either by up to 0.3.
PUBLISHED = {
    "NativeRes-LLaVA, native": (
        """.41 .12 .50 .72 .68 .66 .59  .48 .32 .65 .74 .77 .58 .64  .84 .41 .72 .63 .58 .70 .54
        .92 .62 .62 .65 .69 .56 .40  .64 .72 .58 .68 .54 .48 .49""",
        14.2,
        7.2,
    ),
    "NativeRes-LLaVA, fixed 378": (
        """.30 .14 .37 .42 .41 .30 .18  .30 .34 .56 .58 .43 .09 .26  .82 .70 .62 .43 .41 .38 .24
        .88 .64 .56 .65 .54 .35 .41  .58 .64 .62 .57 .33 .38 .40""",
        25.5,
        25.2,
    ),
    "InternVL3-8B": (
        """.22 .16 .75 .90 .72 .67 .64  .20 .48 .75 .90 .80 .66 .68  .24 .68 .81 .80 .69 .74 .54
        .38 .52 .66 .55 .73 .67 .38  .46 .46 .67 .75 .55 .68 .66""",
        28.3,
        5.9,
    ),
    "Qwen2.5-VL-7B": (
        """.83 .83 .71 .94 .78 .74 .74  .84 .76 .80 .94 .86 .73 .77  .94 .72 .82 .80 .70 .81 .67
        .94 .84 .76 .90 .79 .69 .74  .84 .84 .82 .77 .78 .80 .90""",
        6.3,
        2.1,
    ),
}


@pytest.mark.parametrize("model", PUBLISHED)
def test_the_published_heat_maps_have_the_published_spread(model: str) -> None:
    cells, acv, rcv = PUBLISHED[model]
    found = statistics.spread(np.array(cells.split(), dtype=float).reshape(5, 7))
    assert found.acv == pytest.approx(acv, abs=0.3)
    assert found.rcv == pytest.approx(rcv, abs=0.3)


def test_every_image_of_the_grid_is_in_its_cell() -> None:
    for row in range(5):
        for column in range(7):
            assert statistics.cell(statistics.cell_size(row, column)) == (row, column)
    assert statistics.cell((1240, 1754)) == (2, 5)


def test_cells_without_images_do_not_count() -> None:
    sizes = [(384, 384), (384, 384), (1536, 1536)]
    table = statistics.heat_map(sizes, [1.0, 0.5, 0.25])
    assert np.count_nonzero(~np.isnan(table)) == 2
    assert (table[2, 1], table[2, 5]) == (0.75, 0.25)
    found = statistics.spread(table)
    assert found.acv == pytest.approx(100 * np.std([0.75, 0.25], ddof=1) / 0.5)
    assert math.isnan(found.rcv)


def test_an_interval_of_independent_lines_is_wilsons() -> None:
    # Wilson's interval of 90 of 100 (Newcombe 1998's method 3).
    found = statistics.interval([1.0] * 90 + [0.0] * 10, range(100))
    assert found == pytest.approx((0.9, 0.8256, 0.9448), abs=2e-3)
    assert statistics.interval([1.0] * 20, range(20)) == pytest.approx((1.0, 0.839, 1.0), abs=1e-3)


def test_lines_of_a_page_that_are_alike_are_worth_less() -> None:
    values = np.repeat([1.0] * 9 + [0.0], 10)
    alone = statistics.interval(values, range(100))
    together = statistics.interval(values, np.repeat(range(10), 10))
    assert together.mean == alone.mean
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_an_interval_covers_what_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        pages = rng.beta(9, 1, 40)
        lines = rng.random((40, 6)) < pages[:, None]
        found = statistics.interval(lines.ravel(), np.repeat(range(40), 6))
        hits += found.low <= 0.9 <= found.high
    assert hits / 400 > 0.9


def test_no_lines_say_nothing() -> None:
    found = statistics.interval([], [])
    assert math.isnan(found.mean)
    assert (found.low, found.high) == (0, 1)


def test_what_is_safe_is_so_from_there_on() -> None:
    sizes = np.linspace(0, 10, 400)
    good = (sizes > 4) & ((sizes > 6) | (np.arange(400) % 4 > 0))
    assert statistics.safe_from(sizes, good) == pytest.approx(6, abs=0.4)
    assert statistics.safe_from(sizes[::-1], good[::-1]) == statistics.safe_from(sizes, good)
    assert statistics.safe_from(sizes, sizes >= 0) == 0
    with pytest.raises(ValueError, match="no values"):
        statistics.safe_from([], [])


def test_edit_distances_are_those_of_the_table() -> None:
    def table(first: str, second: str) -> int:
        row = list(range(len(second) + 1))
        for at, a in enumerate(first, 1):
            before, row[0] = row[0], at
            for column, b in enumerate(second, 1):
                before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, before + (a != b))
        return row[-1]

    rng = random.Random(0)
    for _ in range(300):
        first, second = ("".join(rng.choices("abcé漢", k=rng.randrange(90))) for _ in range(2))
        assert score.edit_distance(first, second) == table(first, second)


def test_accuracy_knows_no_spaces_and_one_form_of_a_character() -> None:
    assert score.accuracy("res olution", "resolution") == 1
    assert score.accuracy("fix 5", "\ufb01x\u00a0\uff15") == 1
    assert score.accuracy("resolutiom", "resolution") == pytest.approx(0.9)
    assert score.accuracy("", "resolution") == 0
    assert score.accuracy("far longer than it is", "it") == 0
    with pytest.raises(ValueError, match="no characters"):
        score.accuracy("a", "  ")
