"""The documentation site that `make docs` built: its links, and its pages in Chromium (`make test-browser`)."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

SITE = Path(__file__).parent.parent / "out" / "site"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PAGES = ("index", "install", "tutorial", "gallery", "howto/boxes", "performance", "recipes", "api", "cli")

# The suite installs neither mkdocs nor a browser, and a site that is left in out/ may be of another tree. The target
# builds the site, and there nothing is skipped: without Chromium it fails.
pytestmark = pytest.mark.skipif("VLMRES_TEST_BROWSER" not in os.environ, reason="make test-browser builds the site")

# Opens each page in a frame of a width, and writes what it measures where --dump-dom shows it.
_PROBE = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe id="frame" style="width:WIDTHpx;height:900px;border:0"></iframe><pre id="found"></pre><script>
const frame = document.getElementById("frame"), pages = PAGES, found = {};
const next = () => {
  if (pages.length) frame.src = "file://SITE/" + pages[0] + ".html";
  else document.getElementById("found").textContent = JSON.stringify(found);
};
frame.addEventListener("load", () => {
  const page = frame.contentDocument, body = page.querySelector(".md-content");
  found[pages.shift()] = {
    title: page.querySelector("h1").textContent, width: page.documentElement.scrollWidth,
    body: parseFloat(frame.contentWindow.getComputedStyle(body.querySelector("article")).fontSize),
    text: body.innerText.length,
    pictures: [...body.querySelectorAll("img")].map((image) => [image.naturalWidth, image.width]),
    styled: frame.contentWindow.getComputedStyle(page.querySelector(".md-header")).position,
  };
  next();
});
next();
</script>"""


def test_no_link_of_the_site_is_dead() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in SITE.rglob("*.html")}
    assert len(texts) > 25, "make docs builds the site"
    names = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in texts.items()}
    dead = []
    for path, text in texts.items():
        if path.name == "404.html":  # whose links are those of a server's root
            continue
        for link in re.findall(r'\b(?:href|src)="([^"]+)"', text):
            if re.match(r"[a-z]+:|//", link):
                continue
            target, _, anchor = unquote(link).partition("#")
            to = (path.parent / target.partition("?")[0]).resolve() if target else path
            if not to.exists() or (anchor and to in names and anchor not in names[to] and anchor != "__codelineno"):
                dead.append((path.relative_to(SITE).as_posix(), link))
    assert not dead


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_show_in_a_browser(width: int, tmp_path: Path) -> None:
    assert BROWSER is not None, "make test-browser needs Chromium (Debian: apt install chromium)"
    probe = _PROBE.replace("WIDTH", str(width)).replace("PAGES", json.dumps(PAGES)).replace("SITE", str(SITE))
    (tmp_path / "probe.html").write_text(probe, encoding="utf-8")
    fixed = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files")
    where = (f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=60000", "--dump-dom")
    command = [BROWSER, *fixed, *where, f"file://{tmp_path}/probe.html"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout
    measured = re.search(r'<pre id="found">(.+?)</pre>', text, re.DOTALL)
    assert measured is not None, text[-2000:]
    found = json.loads(measured[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert set(found) == set(PAGES)
    for name, page in found.items():
        assert page["title"].strip(), name
        assert page["text"] > 200, name
        assert page["width"] <= width, name  # tables and code scroll on their own
        assert page["body"] >= 14, name
        assert page["styled"] in ("sticky", "fixed"), name  # the theme's own style sheet was found
        assert all(natural > 0 and 0 < shown <= width for natural, shown in page["pictures"]), name
    assert found["gallery"]["pictures"]
