"""Recipes of one's own: from TOML, back to TOML, pickled, in a folder, on the command line, and wrong in many ways."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import vlmres
from vlmres.cli.app import app

FOO = """\
# Tiles of 384 pixels, and the whole image as one more where there are several.
[foo-vl]
title = "Foo"
strategy = "tiles"
reference = "the Foo paper"

[foo-vl.params]
patch_size = 16
tile_size = 384
max_tiles = 9

[[foo-vl.views]]
role = "tile"
tiles = { size = ["$tile_size", "$tile_size"], search = { kind = "aspect_ratio", min = 1, max = "$max_tiles" } }
steps = [{ kind = "squash", to = "grid" }]

[[foo-vl.views]]
role = "global"
when = "earlier_tiled"
order = "first"
steps = [{ kind = "squash", to = ["$tile_size", "$tile_size"] }]

[[foo-vl.outputs]]
key = "pixel_values"
kind = "tiles"
"""
BAR = FOO.replace("foo-vl", "bar")


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_a_text_becomes_a_recipe() -> None:
    recipe = vlmres.Recipe.from_toml(FOO)
    assert (recipe.name, recipe.title, recipe.strategy, recipe.patch_size) == ("foo-vl", "Foo", "tiles", 16)
    plan = vlmres.plan((1600, 800), recipe)
    assert [view.role for view in plan.views] == ["global", "tile"]
    assert plan.grid == (2, 4)
    assert plan.num_tokens == (1 + 8) * 24 * 24
    assert vlmres.plan((300, 300), recipe).num_tokens == 24 * 24
    batch = vlmres.Processor(recipe)([np.zeros((800, 1600, 3), np.uint8)])
    assert batch["pixel_values"].shape == (9, 3, 384, 384)


def test_overrides_of_ones_own_parameters() -> None:
    recipe = vlmres.Recipe.from_toml(FOO, max_tiles=2)
    assert recipe == vlmres.Recipe.from_toml(FOO).replace(max_tiles=2)
    assert recipe.overrides == {"max_tiles": 2}
    assert vlmres.plan((1600, 800), recipe).grid == (1, 2)
    with pytest.raises(
        vlmres.RecipeError,
        match=r'"foo-vl" has no parameter "min_tiles"; did you mean "max_tiles"',
    ):
        recipe.replace(min_tiles=1)
    with pytest.raises(vlmres.RecipeError, match='"foo-vl": max_tiles must be between 1 and 1024, got 0'):
        recipe.replace(max_tiles=0)


def test_files_and_names(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(FOO + "\n" + BAR + '\n["foo.1"]\nextends = "foo-vl"\nparams = { max_tiles = 4 }\n')
    assert vlmres.Recipe.from_toml(path, "bar").name == "bar"
    assert vlmres.Recipe.from_toml(str(path), name="foo.1").params["max_tiles"] == 4
    with pytest.raises(vlmres.RecipeError, match=r"own.toml: has several recipes; name one \(.*\): bar, foo-vl, foo.1"):
        vlmres.Recipe.from_toml(path)
    with pytest.raises(vlmres.RecipeError, match="from_toml reads a recipe of a file"):
        vlmres.Processor(f"{path}:bar")
    with pytest.raises(vlmres.RecipeError, match=r'own.toml: has no recipe "baz"; did you mean "bar"\?; it has bar'):
        vlmres.Recipe.from_toml(path, "baz")
    with pytest.raises(FileNotFoundError, match=r"^\[Errno 2\] No such file or directory: '.*nowhere.toml'$"):
        vlmres.Recipe.from_toml(tmp_path / "nowhere.toml")
    with pytest.raises(IsADirectoryError):
        vlmres.Recipe.from_toml(tmp_path)
    path.write_bytes(b"[a]\ntitle = '\xff'\n")
    with pytest.raises(vlmres.RecipeError, match=r"own.toml: is not UTF-8"):
        vlmres.Recipe.from_toml(path)
    path.write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(vlmres.RecipeError, match="1048577 bytes, over the limit of 1048576"):
        vlmres.Recipe.from_toml(path)


def test_a_recipe_that_extends_a_built_in_one() -> None:
    recipe = vlmres.Recipe.from_toml('[mine]\nextends = "internvl2"\nparams = { max_tiles = 20 }\n')
    assert recipe.params == {**vlmres.Recipe.load("internvl2").params, "max_tiles": 20}
    assert (
        vlmres.plan((4000, 800), recipe).num_tokens
        == vlmres.plan((4000, 800), vlmres.Recipe.load("internvl2", max_tiles=20)).num_tokens
    )
    with pytest.raises(vlmres.RecipeError, match=r'"mine": line 3: .*max_tiles must be between 1 and 1024, got 2000'):
        vlmres.Recipe.from_toml('[mine]\nextends = "internvl2"\nparams = { max_tiles = 2000 }\n')


@pytest.mark.parametrize("name", vlmres.recipes())
def test_to_toml_loads_back_equal(name: str) -> None:
    recipe = vlmres.Recipe.load(name)
    text = recipe.to_toml()
    again = vlmres.Recipe.from_toml(text)
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert again.to_toml() == text
    assert pickle.loads(pickle.dumps(again)) == recipe
    sizes = [(1, 1), (640, 480), (3000, 200)]
    for size in sizes:
        try:
            expected: Any = vlmres.plan(size, recipe).num_tokens
        except vlmres.PlanError as error:
            with pytest.raises(vlmres.PlanError, match=str(error)[:20]):
                vlmres.plan(size, again)
        else:
            assert vlmres.plan(size, again).num_tokens == expected


def test_to_toml_holds_overrides_and_what_cannot_be_followed(tmp_path: Path) -> None:
    recipe = vlmres.Recipe.load("qwen3-vl", max_pixels=1 << 20, image_mean=[0.1, 0.2, 0.3])
    again = vlmres.Recipe.from_toml(recipe.to_toml())
    assert again == recipe
    assert again.overrides == {}
    assert again.params["image_mean"] == [0.1, 0.2, 0.3]
    config = {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2VLProcessor"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    videos = {"video_processor_type": "Qwen2VLVideoProcessor", "do_resize": False}
    (tmp_path / "video_preprocessor_config.json").write_text(json.dumps(videos))
    refused = vlmres.Recipe.from_pretrained(tmp_path)
    again = vlmres.Recipe.from_toml(refused.to_toml())
    assert again == refused
    for one in (refused, again, pickle.loads(pickle.dumps(again))):
        with pytest.raises(vlmres.RecipeError, match=r"takes no videos: .*do_resize"):
            one.sample_frames(10, video_fps=1.0)


def test_pickles_carry_the_content() -> None:
    recipe = vlmres.Recipe.from_toml(FOO, max_tiles=3)
    again = pickle.loads(pickle.dumps(recipe))
    assert again == recipe
    assert again.overrides == {"max_tiles": 3}
    assert repr(recipe) == 'Recipe.from_toml(..., "foo-vl", max_tiles=3)'
    plan = vlmres.plan((900, 900), recipe)
    assert pickle.loads(pickle.dumps(plan)) == plan
    reduced: Any = recipe.__reduce__()
    restore, arguments = reduced
    assert arguments[0] == 1
    with pytest.raises(vlmres.RecipeError, match='"foo-vl" was pickled in format 2, this version of vlmres reads 1'):
        restore(2, *arguments[1:])


def test_a_pickle_is_not_changed_by_a_recipe_of_the_same_name() -> None:
    mine = vlmres.Recipe.load("internvl2").to_toml().replace("max_tiles = 12", "max_tiles = 3")
    recipe = vlmres.Recipe.from_toml(mine)
    assert recipe.name == "internvl2"
    assert recipe != vlmres.Recipe.load("internvl2")
    assert pickle.loads(pickle.dumps(recipe)).params["max_tiles"] == 3
    assert not repr(recipe).startswith("Recipe.load")


SEARCH = 'search = { kind = "aspect_ratio", min = 1, max = "$max_tiles" }'
WRONG = [
    ("max_tiles = 9", "max_tiles = 0", "max_tiles must be between 1 and 1024, got 0"),
    ("max_tiles = 9", "max_tiles = -1", "search.max: max_tiles must be a whole number of 0 or more, got -1"),
    ("max_tiles = 9", "max_tiles = 1.5", "max_tiles must be a whole number of 0 or more, got 1.5"),
    (
        "max_tiles = 9",
        'max_tiles = "6"',
        'line 10: .*search.max: max_tiles must be a whole number of 0 or more, got "6"',
    ),
    ("max_tiles = 9", "max_tiles = nan", "NaN"),
    ("max_tiles = 9", "max_tiles = 99999999999999999999", "99999999999999999999"),
    ("max_tiles = 9", "max_tiles = { a = 1 }", "params.max_tiles: a parameter is a number"),
    ("max_tiles = 9", "max_tiles = 1979-05-27", "params.max_tiles: a parameter is a number"),
    ("max_tiles = 9", "max_tiles = 9\nspare = 1", "params.spare: nothing refers to this parameter$"),
    ("patch_size = 16", "pacth_size = 16", 'nothing refers to this parameter; did you mean "patch_size"'),
    ('"$max_tiles"', '"$max_tile"', 'refers to no parameter of it; did you mean "max_tiles"'),
    ("patch_size = 16", "patch_size = 14", "tile_size must be whole patches of patch_size 14.*partial_patches = true"),
    ("patch_size = 16", "patch_size = 0", "patch_size must be between 1 and 1024, got 0"),
    ("tile_size = 384", "tile_size = 1048576", "tile_size must be between 1 and 65536 pixels"),
    (
        'kind = "squash", to = "grid"',
        'kind = "squish"',
        r'steps\[0\].kind: unknown word "squish"; did you mean "squash"',
    ),
    ('to = "grid"', 'to = "gird"', r'steps\[0\].to: a size is \[width, height\], "grid", "square" or "aligned"'),
    ('to = "grid"', 'too = "grid"', r'steps\[0\].too: unknown word "too"; did you mean "to"'),
    ('kind = "squash", to = "grid"', 'kind = "longest_edge", edge = 0, rounding = "scale"', r"edge must be between 1"),
    (
        'kind = "squash", to = "grid"',
        'kind = "longest_edge", edge = true, rounding = "scale"',
        r"steps\[0\].edge: edge must be a whole number of 0 or more, got true",
    ),
    (
        'kind = "squash", to = "grid"',
        'kind = "longest_edge", edge = 384, rounding = "scal"',
        r'steps\[0\].rounding: unknown word "scal"; did you mean "scale"',
    ),
    ('kind = "squash", to = "grid"', 'kind = "longest_edge", edge = 384', r'steps\[0\]: "rounding" is missing'),
    ('kind = "squash", to = "grid"', "kind = 3", r"steps\[0\].kind: kind must be a word, got 3"),
    (
        'kind = "squash", to = "grid"',
        'kind = "smart_resize", clamp = "both", min_pixels = 5, max_tokens = 3',
        "needs min_pixels and max_pixels, or min_tokens and max_tokens",
    ),
    ('"$max_tiles"', '"$most"', r'views\[0\].tiles.search.max: "\$most" refers to no parameter'),
    ('"$max_tiles"', '"!$max_tiles"', "needs max_tiles to be true or false, got 9"),
    (
        SEARCH,
        'search = { kind = "pinpoints", candidates = [[384, "$max_tiles"]] }',
        "not made of up to 1024 whole tiles",
    ),
    (SEARCH, 'search = { kind = "aspect_ratio", min = 3, max = "$max_tiles" }\noverlap = 1', "line"),
    ('strategy = "tiles"', 'strategy = "best"', 'strategy: unknown word "best"'),
    ('title = "Foo"', "title = 3", "title must be a string, got 3"),
    ('title = "Foo"\n', "", '"title" is missing'),
    ('title = "Foo"', 'titel = "Foo"', 'titel: unknown word "titel"; did you mean "title"'),
    ('when = "earlier_tiled"', 'when = "tiled"', 'views.1..when: unknown word "tiled"'),
    ('role = "tile"', 'role = "tile"\nwhen = "earlier_tiled"', r"views\[0\].when: earlier_tiled never holds"),
    (
        'key = "pixel_values"',
        'key = "pixel_values"\nroles = ["tile"]',
        r"no output of pixel values takes .* \"global\"",
    ),
    (
        'kind = "tiles"\n',
        'kind = "tiles"\nones_when_missing = 1\n',
        'this kind of output has no "ones_when_missing"; it has roles',
    ),
    ('kind = "tiles"\n', 'kind = "num_chunks"\n', "only videos have chunks"),
    (
        "[[foo-vl.views]]",
        "[foo-vl.views]",
        r'line 17: .*"foo-vl.views" is there twice.* starts with \[\[foo-vl.views\]\]',
    ),
    ("[[foo-vl.outputs]]", "[foo-vl.outputs]", r"outputs is a list of tables: write \[\[NAME.outputs\]\]"),
    ('title = "Foo"', 'title = "Foo"\ntitle = "Bar"', 'line 4: the key "title" is there twice'),
    ('strategy = "tiles"', 'strategy = "squash"', r'strategy: views\[0\] is cut into tiles .*, not "squash"'),
    ('strategy = "tiles"', 'strategy = "native"', 'strategy: .*, not "native"'),
    (
        'title = "Foo"',
        'title = "Foo"\npatches = { merge = 5, order = "merge" }',
        "tile_size must be whole merged patches, 5x5 of patch_size 16, .*got 384x384",
    ),
    ('title = "Foo"', 'title = "Foo"\nextends = "foo-vl"', r"extends itself \(foo-vl\)"),
    ('title = "Foo"', 'title = "Foo"\nextends = "bar"', 'extends "bar", but no recipe is named so'),
    ('title = "Foo"', 'title = "Foo"\nextends = 3', "extends must be a recipe's name, got 3"),
    ('title = "Foo"', 'title = "Foo"\npixels = 3', "pixels must be a table, got 3"),
    ('title = "Foo"', 'title = "Foo"\ncheckpoint = 3', "checkpoint: must be a table"),
    (
        'title = "Foo"',
        'title = "Foo"\ncheckpoint.own = { type = 3 }',
        'checkpoint.own.type: unknown word "type"; did you mean "types"',
    ),
    ('title = "Foo"', "title = " + "[" * 5000 + "]" * 5000, "recursion"),
    ("[foo-vl]\n", "stray = 1\n[foo-vl]\n", "stray = 1 stands outside of a recipe"),
    ("[foo-vl]\n", "[foo-vl\n", "line 2"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), WRONG)
def test_mistakes_are_errors_that_name_file_recipe_key_and_line(
    right: str, wrong: str, message: str, tmp_path: Path
) -> None:
    text = FOO.replace(right, wrong, 1)
    assert text != FOO
    path = tmp_path / "foo.toml"
    path.write_text(text)
    with pytest.raises(vlmres.RecipeError, match=message) as caught:
        vlmres.Recipe.from_toml(path)
    assert "foo.toml, line " in str(caught.value)
    with pytest.raises(vlmres.RecipeError, match=message):
        vlmres.Recipe.from_toml(text)


def test_the_line_is_that_of_the_key() -> None:
    text = FOO.replace('to = ["$tile_size", "$tile_size"]', 'to = ["$tile_size", 385]')
    with pytest.raises(vlmres.RecipeError, match=f"line {line_of(text, 'tile_size = 384')}: "):
        vlmres.Recipe.from_toml(text)
    text = FOO.replace('to = ["$tile_size", "$tile_size"]', "to = [384, 385]")
    with pytest.raises(vlmres.RecipeError, match=rf"line {line_of(text, 'to = [384, 385]')}: views\[1\]"):
        vlmres.Recipe.from_toml(text)


def test_recipes_that_extend_in_a_circle() -> None:
    with pytest.raises(vlmres.RecipeError, match=r'line \d: recipe "a": extends itself'):
        vlmres.Recipe.from_toml('[a]\nextends = "b"\n[b]\nextends = "c"\n[c]\nextends = "a"\n', "a")


def test_sizes_that_are_not_whole_patches() -> None:
    text = FOO.replace("patch_size = 16", "patch_size = 14").replace(
        'title = "Foo"', 'title = "Foo"\npartial_patches = true'
    )
    recipe = vlmres.Recipe.from_toml(text)
    assert vlmres.plan((300, 300), recipe).num_tokens == 27 * 27
    assert vlmres.Recipe.load("siglip", patch_size=14, image_width=384, image_height=384).patch_size == 14
    with pytest.raises(vlmres.RecipeError, match="image_size must be whole patches of patch_size 14"):
        vlmres.Recipe.load("internvl2", image_size=450)
    # A checkpoint's class takes any size.
    config = {"image_processor_type": "GotOcr2ImageProcessor", "processor_class": "InternVLProcessor"}
    recipe = vlmres.Recipe.from_pretrained({**config, "size": {"height": 450, "width": 450}, "crop_to_patches": True})
    assert recipe.params["image_size"] == 450
    assert recipe.replace(max_tiles=3).params["image_size"] == 450
    assert vlmres.Recipe.from_toml(recipe.to_toml()) == pickle.loads(pickle.dumps(recipe)) == recipe


CHARACTERS = st.sampled_from([*"[]{}=.,\"'$!#\n 019-ex", "inf", "nan", "true", "foo-vl", "kind", "views", "steps"])


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(FOO)), length=st.integers(0, 30), new=st.lists(CHARACTERS, max_size=8))
def test_damaged_texts_are_errors_or_recipes(at: int, length: int, new: list[str]) -> None:
    text = FOO[:at] + "".join(new) + FOO[at + length :] + "\n"
    try:
        recipe = vlmres.Recipe.from_toml(text)
    except vlmres.RecipeError:
        return
    assert vlmres.Recipe.from_toml(recipe.to_toml()) == recipe


HOSTILE = [0, 1, -1, 2, 7, 63, 65536, 65537, 1 << 24, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, -(1 << 63)]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_hostile_numbers_give_errors_or_plans(data: st.DataObject) -> None:
    recipe = vlmres.Recipe.load(data.draw(st.sampled_from(vlmres.recipes())))
    text = recipe.to_toml()
    lines = [index for index, line in enumerate(text.splitlines()) if " = " in line and line[-1].isdigit()]
    changed = text.splitlines()
    for index in data.draw(st.lists(st.sampled_from(lines), min_size=1, max_size=3)):
        key = changed[index].partition(" = ")[0]
        changed[index] = f"{key} = {data.draw(st.sampled_from(HOSTILE))}"
    try:
        own = vlmres.Recipe.from_toml("\n".join(changed))
        plan = vlmres.plan((data.draw(st.integers(1, 5000)), data.draw(st.integers(1, 5000))), own)
    except (vlmres.RecipeError, vlmres.PlanError, vlmres.VlmresError):
        return
    assert plan.num_tokens >= 0


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def test_a_folder_of_recipes(tmp_path: Path) -> None:
    (tmp_path / "foo.toml").write_text(FOO)
    (tmp_path / "more.toml").write_text('[more]\nextends = "foo-vl"\nparams = { max_tiles = 4 }\n')
    (tmp_path / "notes.txt").write_text("not a recipe")
    code = (
        "import pickle, vlmres; r = vlmres.Recipe.load('more');"
        "assert {'foo-vl', 'more', 'qwen2-vl'} <= set(vlmres.recipes()); assert pickle.loads(pickle.dumps(r)) == r;"
        "assert repr(r) == 'Recipe.load(\"more\")', r;"
        "print(vlmres.plan((1600, 800), 'more').num_tokens, vlmres.plan((9, 9), 'qwen2-vl').num_tokens)"
    )
    found = run("-c", code, VLMRES_RECIPES=str(tmp_path))
    assert found.stderr == ""
    assert found.stdout.split() == [str(3 * 24 * 24), "4"]


def test_a_folder_that_takes_a_built_in_name(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("\n" + FOO.replace("foo-vl", "qwen2-vl"))
    found = run("-c", "import vlmres; vlmres.recipes()", VLMRES_RECIPES=str(tmp_path))
    message = found.stderr.splitlines()[-1]
    assert "RecipeError" in message
    assert f"{tmp_path / 'mine.toml'}, line 3" in message
    assert '"qwen2-vl" is already the name of a recipe of built-in qwen_vl.toml' in message


@pytest.mark.parametrize(("text", "message"), [("[a", "broken.toml, line 1"), (FOO.replace("9", "'x'"), "broken.toml")])
def test_a_folder_with_a_mistake(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text(text)
    code = "import vlmres; vlmres.Recipe.load('foo-vl')"
    found = run("-c", code, VLMRES_RECIPES=str(tmp_path))
    assert "RecipeError" in found.stderr
    assert message in found.stderr
    found = run("-c", code, VLMRES_RECIPES=str(tmp_path / "nowhere"))
    assert "FileNotFoundError" in found.stderr.splitlines()[-1]
    assert (
        "VLMRES_RECIPES names a folder that can't be read: No such file or directory" in found.stderr.splitlines()[-1]
    )
    assert "os error" not in found.stderr


def test_commands_take_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("foo.toml").write_text(FOO)
    Path("two.toml").write_text(FOO + "\n" + BAR)
    invoke = CliRunner().invoke
    result = invoke(app, ["plan", "-r", "./foo.toml", "1600x800"])
    assert result.exit_code == 0, result.output
    assert str(9 * 24 * 24) in result.output.replace(",", "")
    result = invoke(app, ["recipes", "two.toml:bar"])
    assert result.exit_code == 0, result.output
    assert "bar: Foo" in result.output
    for named in ("two.toml", "two.toml:baz", "nowhere.toml"):
        result = invoke(app, ["recipes", named])
        assert result.exit_code == 2
    schema = json.loads(invoke(app, ["recipes", "--schema"]).output)
    assert "squash" in str(schema["definitions"]["Step"])
    Path("foo.toml").write_text(FOO.replace("max_tiles = 9", "max_tiles = 0"))
    result = invoke(app, ["recipes", "foo.toml"])
    assert result.exit_code == 2


def test_commands_take_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = json.dumps({"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 3136, "max_pixels": 100352})
    alone = tmp_path / "mine.json"
    alone.write_text(config)
    snapshot = tmp_path / "models--me--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "preprocessor_config.json").write_text(config)
    (tmp_path / "models--me--model" / "refs").mkdir()
    (tmp_path / "models--me--model" / "refs" / "main").write_text("abc")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for named in (str(alone), "me/model"):
        result = CliRunner().invoke(app, ["plan", "-r", named, "1600x800", "--json"])
        assert result.exit_code == 0, result.output
        assert json.loads(result.output)["num_tokens"] <= 128
    result = CliRunner().invoke(app, ["plan", "-r", "me/other", "1600x800"])
    assert result.exit_code == 2
    assert "local cache of the Hugging Face Hub" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("[a", "broken.toml, line 1"),
        (FOO.replace("foo-vl", "qwen2-vl"), '"qwen2-vl" is already the name of a recipe'),
        (FOO.replace("max_tiles = 9", "max_tiles = 0"), "max_tiles must be between 1 and 1024, got 0"),
        (None, "VLMRES_RECIPES names a folder that can't be read"),
    ],
)
def test_the_list_says_what_is_wrong_with_the_folder(file: str | None, message: str, tmp_path: Path) -> None:
    folder = tmp_path if file is not None else tmp_path / "nowhere"
    if file is not None:
        (tmp_path / "broken.toml").write_text(file)
    found = run("-m", "vlmres.cli", "recipes", VLMRES_RECIPES=str(folder), COLUMNS="500")
    assert found.returncode == 2
    assert "Traceback" not in found.stderr
    assert message in found.stderr


def test_the_list_marks_ones_own(tmp_path: Path) -> None:
    (tmp_path / "foo.toml").write_text(FOO)
    found = run("-m", "vlmres.cli", "recipes", VLMRES_RECIPES=str(tmp_path))
    assert "foo-vl (foo.toml)" in found.stdout
    assert "qwen2-vl (" not in found.stdout
    found = run("-m", "vlmres.cli", "recipes", "--json", VLMRES_RECIPES=str(tmp_path))
    files = {recipe["name"]: recipe["file"] for recipe in json.loads(found.stdout)}
    assert files.pop("foo-vl") == str(tmp_path / "foo.toml")
    assert set(files.values()) == {None}
    assert vlmres.Recipe.from_toml(tmp_path / "foo.toml").file == str(tmp_path / "foo.toml")
    assert vlmres.Recipe.from_toml(FOO).file is None


def test_more_tiles_make_a_recipe_one_of_tiles() -> None:
    assert vlmres.Recipe.load("got-ocr2").strategy == "squash"
    recipe = vlmres.Recipe.load("got-ocr2", max_tiles=6)
    assert recipe.strategy == "tiles"
    assert vlmres.Recipe.from_toml(recipe.to_toml()) == pickle.loads(pickle.dumps(recipe)) == recipe
    assert recipe.replace(max_tiles=1).strategy == "squash"


def test_merged_order_needs_whole_merged_patches() -> None:
    text = FOO.replace('kind = "tiles"\n', 'kind = "channel_patches"\n').replace(
        'title = "Foo"', 'title = "Foo"\npatches = { merge = 2, order = "merge" }'
    )
    own = text[: text.index("[[foo-vl.views]]")].replace("tile_size = 384\nmax_tiles = 9\n", "edge = 480\n")
    own = own.replace('"tiles"', '"native"') + (
        '[[foo-vl.views]]\nrole = "global"\nsteps = [{ kind = "longest_edge", edge = "$edge", rounding = "scale" }]\n'
    )
    recipe = vlmres.Recipe.from_toml(own + text[text.index("[[foo-vl.outputs]]") :])
    assert vlmres.plan((480, 480), recipe).num_patches == 900
    with pytest.raises(vlmres.RecipeError, match="21 rows and 30 columns of patches, which are not whole merged"):
        vlmres.plan((480, 336), recipe)
    recipe = vlmres.Recipe.from_toml(text)
    assert vlmres.Processor(recipe)([np.zeros((800, 1600, 3), np.uint8)])["pixel_values"].shape == (9 * 576, 768)


def test_verify_names_the_reference_and_the_first_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("foo.toml").write_text(FOO)
    Path("theirs.py").write_text(
        "import vlmres\n"
        "processor = vlmres.Processor(vlmres.Recipe.from_toml('foo.toml'))\n"
        "def off(images):\n"
        "    values = processor(images)['pixel_values'].copy()\n"
        "    values[0, 1, 2, 3] += 1\n"
        "    return {'pixel_values': values}\n"
        "def short(images):\n"
        "    return {'pixel_values': processor(images)['pixel_values'][:, :, :5]}\n"
    )
    arguments = ["verify", "-r", "foo.toml", "--cases", "2", "-j", "1", "--against"]
    result = CliRunner().invoke(app, [*arguments, "theirs.py:off"])
    assert result.exit_code == 1, result.output
    assert "1 of " in result.output
    assert re.search(r"the first at \[0, 1, 2, 3\]: \S+, theirs.py:off gives ", result.output)
    result = CliRunner().invoke(app, [*arguments, "theirs.py:short"])
    assert result.exit_code == 1, result.output
    assert "theirs.py:short gives torch.float32" in result.output
    assert "transformers gives" not in result.output
    assert "inf" not in result.output.partition("vlmres:")[0]


def test_tables_say_in_which_order_sizes_and_grids_are() -> None:
    result = CliRunner().invoke(app, ["plan", "-r", "internvl2", "1600x800"])
    assert "sizes are width x height, grids are rows x columns" in " ".join(result.output.split())
