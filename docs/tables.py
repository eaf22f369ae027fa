"""Rewrites the tables of README.md and docs/ that are printed from the code; with --check, says which are stale.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import vlmres
from vlmres.verify.references import REFERENCES
from vlmres.verify.report import COLUMNS

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(Path(__file__).parent))
import lab_grid  # noqa: E402
import language  # noqa: E402

# Written by `vlmres verify --cases 200 --out docs/parity.md`.
REPORT = ROOT / "docs" / "parity.md"
# Its names of recipes are printed from the code too.
TYPES = ROOT / "python" / "vlmres" / "_types.py"
NAMES = re.compile(r"(RecipeName: TypeAlias = Literal\[\n).*?(\]\n)", re.DOTALL)
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COSTS = ["llava-1.5", "llava-next", "internvl2", "qwen2-vl", "qwen3-vl", "nativeres-llava", "deepseek-ocr-gundam"]
TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def recipes() -> str:
    """All recipes with what they reproduce, and what the report of `vlmres verify` found."""
    found = verified()
    rows = ["| recipe | family | strategy | equals | differing cases |", "|---|---|---|---|---|"]
    for name in vlmres.recipes():
        recipe = vlmres.Recipe.load(name)
        note = f" ({recipe.note})" if recipe.note else ""
        cases = ", ".join(found.get(name, [])) or ("not run" if name in REFERENCES else f"`{restatement(name)}`")
        rows.append(f"| `{name}` | {recipe.title} | {recipe.strategy} | {recipe.reference}{note} | {cases} |")
    return "\n".join(rows)


def restatement(name: str) -> str:
    """The function of `tests/reference` that restates the authors' code; an error where there is none."""
    sys.path.insert(0, str(ROOT))
    from tests.reference import RESTATEMENTS

    return RESTATEMENTS[name]


def strategies() -> str:
    """Recipes by strategy, and how many cases the report of `vlmres verify` compared."""
    found = verified()
    rows = ["| strategy | recipes | cases compared | differing |", "|---|---|---|---|"]
    for strategy in ("squash", "tiles", "native", "hybrid"):
        names = [name for name in vlmres.recipes() if vlmres.Recipe.load(name).strategy == strategy]
        results = [result.split() for name in names for result in found.get(name, [])]
        differing, compared = (sum(int(result[at]) for result in results) for at in (0, 2))
        listed = ", ".join(f"`{name}`" for name in names)
        rows.append(f"| {strategy} | {listed} | {compared:,} | {differing} |")
    return "\n".join(rows)


def verified() -> dict[str, list[str]]:
    """By recipe, what `REPORT` says of its images in each arithmetic and of its videos."""
    found: dict[str, list[str]] = {}
    if not REPORT.exists():
        return found
    for line in REPORT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == len(COLUMNS) and cells[2].isdigit():
            name, arithmetic, cases, left_out, _, differing, *_ = cells
            what = "videos" if name.endswith(" (videos)") else arithmetic
            compared = int(cases) - int(left_out)
            found.setdefault(name.removesuffix(" (videos)"), []).append(f"{differing} of {compared} {what}")
    return found


def videos() -> str:
    """The recipes that take videos."""
    frames, size = 16, (640, 360)
    heads = f"frames in a patch | {frames} frames of {size[0]}x{size[1]}"
    rows = [f"| recipe | {heads} | equals |", "|---|---|---|---|"]
    for name in vlmres.recipes():
        recipe = vlmres.Recipe.load(name)
        if recipe.video_reference:
            plan = vlmres.plan((frames, *size), recipe)
            canvas = plan.views[0].canvas
            cost = f"{plan.num_tokens:,} tokens, {canvas.width}x{canvas.height}"
            rows.append(f"| `{name}` | {len(plan.tubelets[0])} | {cost} | {recipe.video_reference} |")
    return "\n".join(rows)


def costs() -> str:
    """What three images cost the language model under one recipe of each strategy."""
    sizes = {"line of text": (128, 16), "phone screenshot": (1500, 4500), "photo": (4032, 3024)}
    heads = [f"{what} {width}x{height}" for what, (width, height) in sizes.items()]
    rows = [f"| recipe | strategy | {' | '.join(heads)} |", "|---|---" + "|---" * len(sizes) + "|"]
    for name in COSTS:
        plans = [vlmres.plan(size, name) for size in sizes.values()]
        cells = " | ".join(f"{plan.num_tokens:,} tokens, {_shape(plan)}" for plan in plans)
        rows.append(f"| `{name}` | {plans[0].recipe.strategy} | {cells} |")
    return "\n".join(rows)


def _shape(plan: vlmres.Plan) -> str:
    if plan.num_tiles > 1:
        return f"{plan.num_tiles} tiles"
    canvas = plan.views[0].canvas
    return f"{canvas.width}x{canvas.height}"


def effects() -> str:
    """What happens to three images in the most detailed view of the same recipes."""
    sizes = {"line of text": (128, 16), "phone screenshot": (1500, 4500), "A4 page at 150 dpi": (1240, 1754)}
    heads = [f"{what} {width}x{height}" for what, (width, height) in sizes.items()]
    rows = [f"| strategy | recipe | {' | '.join(heads)} |", "|---|---" + "|---" * len(sizes) + "|"]
    for name in COSTS:
        plans = [vlmres.plan(size, name) for size in sizes.values()]
        rows.append(f"| {plans[0].recipe.strategy} | `{name}` | {' | '.join(map(_effect, plans))} |")
    return "\n".join(rows)


def _effect(plan: vlmres.Plan) -> str:
    """Canvas, scale, what a crop keeps and what padding takes. Holds for views that do not pad before they resize."""
    view = max(plan.views, key=lambda view: view.role == "tile")
    horizontal, vertical = (after / before for after, before in zip(view.resized, plan.size, strict=True))
    bent = max(horizontal, vertical) / min(horizontal, vertical) > 1.02
    parts = [
        f"{view.canvas.width}x{view.canvas.height}",
        f"{horizontal:.3g}x by {vertical:.3g}x" if bent else f"{vertical:.3g}x",
    ]
    if view.tiles.rows * view.tiles.cols > 1:
        parts.append(f"{view.tiles.cols}x{view.tiles.rows} tiles")
    seen = min(view.resized.width, view.canvas.width) * min(view.resized.height, view.canvas.height)
    if seen < view.resized.width * view.resized.height:
        parts.append(f"crop keeps {seen / (view.resized.width * view.resized.height):.0%}")
    if seen < view.canvas.width * view.canvas.height:
        parts.append(f"{1 - seen / (view.canvas.width * view.canvas.height):.0%} padding")
    return ", ".join(parts)


def vllm_classes() -> str:
    """Classes of vLLM's that make pixels, and what becomes of them."""
    from vlmres.integrations.vllm.classes import HOOKS, LEFT
    from vlmres.integrations.vllm.constructed import PLACES

    rows = ["| class of vLLM 0.32 | models | accelerated |", "|---|---|---|"]
    for hook in HOOKS:
        rows.append(f"| `{hook.cls}` | {hook.models} | yes{f'; left: {hook.left}' if hook.left else ''} |")
    for place in PLACES:
        names = ", ".join(f"`{name}`" for name in place.names)
        rows.append(f"| {names} | {place.models} | yes, where the model makes it |")
    for one in LEFT:
        rows.append(f"| `{one.cls}` | {one.models} | no: {one.reason} |")
    return "\n".join(rows)


def common() -> str:
    """What every recipe starts from."""
    text = (ROOT / "src" / "recipe" / "builtin" / "common.toml").read_text(encoding="utf-8")
    return f"```toml\n{text}```"


def trained(what: str) -> str:
    """A table of `examples/train_strategies.py`, from the results that it left in docs/lab/."""
    sys.path.insert(0, str(ROOT / "examples"))
    import train_strategies as example  # type: ignore[import-not-found]

    lines = (ROOT / "docs" / "lab" / "strategies.jsonl").read_text(encoding="utf-8").splitlines()
    return str(getattr(example, what)([json.loads(line) for line in lines]))


TABLES: dict[str, Callable[[], str]] = {
    "recipes": recipes,
    "strategies": strategies,
    "videos": videos,
    "costs": costs,
    "effects": effects,
    "common": common,
    "vllm_classes": vllm_classes,
    "lab_grid": lab_grid.table,
    "trained": partial(trained, "table"),
    "trained_bins": partial(trained, "by_bin"),
    "recipe_words": partial(language.words, "Recipe"),
    "strategy_values": partial(language.values, "Strategy"),
    "pixels_words": partial(language.words, "Pixels"),
    "patches_words": partial(language.words, "Patches"),
    "tokens_words": partial(language.words, "Tokens"),
    "boxes_words": partial(language.words, "Boxes"),
    "view_words": partial(language.words, "ViewSpec"),
    "tiles_words": partial(language.words, "Tiles"),
    "separators_words": partial(language.words, "Separators"),
    "float_resize_words": partial(language.words, "FloatResize"),
    "steps": partial(language.kinds, "Step"),
    "cap_words": partial(language.words, "Cap"),
    "searches": partial(language.kinds, "Search"),
    "crops": partial(language.kinds, "Crops"),
    "output_words": partial(language.words, "OutputSpec"),
    "output_kinds": language.outputs,
    "video_words": partial(language.words, "Video"),
    "frame_sampling": partial(language.kinds, "FrameSampling"),
    "checkpoint_words": partial(language.words, "Checkpoint"),
}


def rewrite(text: str) -> str:
    """The text with its tables and names as they should be."""
    names = "".join(f'    "{name}",\n' for name in vlmres.recipes())
    text = NAMES.sub(lambda match: f"{match[1]}{names}{match[2]}", text)
    return TABLE.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}\n{match[3]}", text)


def main() -> int:
    """Rewrites or checks all files; 1 where a checked one is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a table is stale")
    check = parser.parse_args().check
    stale = []
    for path in [*FILES, TYPES]:
        text = path.read_text(encoding="utf-8")
        if (new := rewrite(text)) != text:
            stale.append(path.relative_to(ROOT))
            if not check:
                path.write_text(new, encoding="utf-8")
    for path in stale:
        print(f"{'stale' if check else 'rewritten'}: {path}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
