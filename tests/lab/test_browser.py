"""The report in Chromium: on a desk and on a phone, light and dark, and printed.

`make test-browser` runs them; without a browser they are skipped elsewhere.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pypdfium2
import pytest

import vlmres
from tests.lab.bars import Bars, bars_page
from vlmres.lab import Candidate, run, write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(
    BROWSER is None and "VLMRES_TEST_BROWSER" not in os.environ, reason="Chromium is not installed"
)

# Opens the report in a frame of a width, and writes what it measures where --dump-dom shows it.
_PROBE = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe id="frame" style="width:WIDTHpx;height:HEIGHTpx;border:0"></iframe><pre id="found"></pre><script>
const frame = document.getElementById("frame");
const errors = [];
frame.addEventListener("load", async () => {
  const page = frame.contentDocument, view = frame.contentWindow;
  view.addEventListener("error", (event) => errors.push(String(event.message)));
  const box = (query) => page.querySelector(query).getBoundingClientRect().toJSON();
  page.getElementById("copy").click();
  for (let turn = 0; turn < 100 && page.getElementById("copy").textContent === "Copy the table"; turn++)
    await new Promise((done) => setTimeout(done, 100));
  document.getElementById("found").textContent = JSON.stringify({
    errors, width: page.documentElement.scrollWidth, paper: view.getComputedStyle(page.body).backgroundColor,
    ink: view.getComputedStyle(page.body).color, title: box("h1"), limits: box(".limits"), chart: box(".chart"),
    tick: page.querySelector(".tick").getBoundingClientRect().height, button: page.getElementById("copy").textContent,
    pictures: [...page.images].map((image) => [image.naturalWidth, image.width, image.height]),
    points: [...page.querySelectorAll("circle")].map((point) => point.getBoundingClientRect().toJSON()),
    selected: String(view.getSelection()), body: parseFloat(view.getComputedStyle(page.body).fontSize),
  });
});
frame.src = "index.html";
</script>"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("qwen2-vl", "internvl2", "llava-1.5")
    recipes = [vlmres.Recipe.load(name) for name in names]
    candidates = [Candidate(recipes[0], budget) for budget in (8, 20, 512)] + [Candidate(one) for one in recipes[1:]]
    sizes = [(300, 420), (500, 420), (900, 420), (420, 1500), (1200, 900), (380, 380), (1700, 420)]
    pages = [bars_page(f"a page with a long name {n}", size, (3, 5, 6, 8), seed=n) for n, size in enumerate(sizes)]
    folder = tmp_path_factory.mktemp("report")
    write_report(run(pages, candidates, Bars()), folder, pages=pages, candidates=candidates)
    return folder


def chromium(folder: Path, *arguments: str) -> str:
    assert BROWSER is not None, "make test-browser needs Chromium (Debian: apt install chromium)"
    fixed = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files")
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [BROWSER, *fixed, profile, *arguments], capture_output=True, text=True, timeout=240, check=True
    )
    return done.stdout


def probe(folder: Path, width: int, height: int, *, dark: bool = False) -> Any:
    (folder / "probe.html").write_text(_PROBE.replace("WIDTH", str(width)).replace("HEIGHT", str(height)))
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    text = chromium(folder, scheme, "--virtual-time-budget=20000", "--dump-dom", f"file://{folder}/probe.html")
    found = re.search(r'<pre id="found">(.+?)</pre>', text, re.DOTALL)
    assert found is not None, text[-2000:]
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_first_screen_holds_the_answer_and_its_limits(report: Path, width: int, height: int) -> None:
    found = probe(report, width, height)
    assert found["errors"] == []
    # Nothing is wider than the screen: tables scroll on their own.
    assert found["width"] <= width
    for name in ("title", "limits"):
        assert found[name]["left"] >= 0
        assert found[name]["right"] <= width
        assert found[name]["bottom"] < height
    assert found["body"] >= 16
    assert found["tick"] >= 10
    chart = found["chart"]
    assert len(found["points"]) == 5
    assert all(chart["left"] <= point["left"] and point["right"] <= chart["right"] for point in found["points"])
    assert all(chart["top"] <= point["top"] and point["bottom"] <= chart["bottom"] for point in found["points"])
    assert len(found["pictures"]) >= 8
    assert all(natural > 0 and 0 < shown <= width for natural, shown, _ in found["pictures"])


def test_the_table_can_be_copied(report: Path) -> None:
    found = probe(report, 1280, 900)
    assert found["button"] in ("Copied", "Selected: copy it")
    assert found["button"] == "Copied" or "qwen2-vl@20" in found["selected"]


def test_dark_mode_is_dark(report: Path) -> None:
    light, dark = (probe(report, 1280, 900, dark=dark) for dark in (False, True))

    def level(colour: str) -> float:
        return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3

    assert level(light["paper"]) > 240
    assert level(light["ink"]) < 60
    assert level(dark["paper"]) < 40
    assert level(dark["ink"]) > 200


def test_it_prints(report: Path) -> None:
    to = report / "printed.pdf"
    chromium(report, f"--print-to-pdf={to}", "--no-pdf-header-footer", f"file://{report}/index.html")
    document = pypdfium2.PdfDocument(to)
    text = "".join(page.get_textpage().get_text_range() for page in document)
    document.close()
    assert "of your lines legible to bars" in " ".join(text.split())
    assert "Copy the table" not in text
    # The last column of the widest table is on the paper.
    assert "strategy" in text
