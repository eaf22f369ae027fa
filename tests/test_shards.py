"""Reading back what the commands have written."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vlmres
from tests.commands import run
from tests.images import EXAMPLES, image

IMAGES = [EXAMPLES / "photo.jpg", EXAMPLES / "page.png", EXAMPLES / "line.png"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for index, size in enumerate([(60, 50), (300, 200), (90, 400), (640, 480), (70, 70)]):
        image(*size).save(folder / f"{index}.png")
    (folder / "bad.png").write_bytes(b"junk")
    return folder


@pytest.mark.parametrize(
    ("recipe", "layout", "dtype"),
    [("qwen2-vl", "hf", "bfloat16"), ("internvl2", "hf", "uint8"), ("qwen3-vl", "packed", "uint8")],
)
def test_an_image_is_that_of_a_call_with_it_alone(
    pictures: Path, tmp_path: Path, recipe: str, layout: Any, dtype: Any
) -> None:
    options = ["-r", recipe, "--layout", layout, "--dtype", dtype, "--shard-size", "2"]
    run("process", pictures, "-o", tmp_path, *options, code=1)
    shards = vlmres.open_shards(tmp_path)
    proc = vlmres.Processor(recipe, layout, dtype)
    assert (len(shards), list(shards.errors)) == (5, [str(pictures / "bad.png")])
    assert shards.paths == [str(pictures / f"{index}.png") for index in range(5)]
    for number, path in enumerate(shards.paths):
        expected = proc(path)
        for one in (shards[number], shards[path], shards[Path(path)]):
            assert one.path == path
            assert set(one) == set(expected)
            for key, array in expected.items():
                np.testing.assert_array_equal(one[key], array, err_msg=key)
        tensors = shards[number].torch()
        for key, tensor in expected.torch().items():
            assert tensors[key].dtype == tensor.dtype
            assert torch.equal(tensors[key], tensor)
    assert [one.path for one in shards[1:3]] == shards.paths[1:3]
    assert shards[-1].path == shards.paths[-1]
    found: Any = shards.paths[0]
    assert found in shards
    bad: Any = pictures / "bad.png"
    assert bad not in shards
    assert pickle.loads(pickle.dumps(shards)).paths == shards.paths
    with pytest.raises(vlmres.VlmresError, match=r"bad\.png failed"):
        shards[pictures / "bad.png"]
    with pytest.raises(KeyError, match=r"nowhere\.png is not in"):
        shards["nowhere.png"]
    with pytest.raises(KeyError, match="this image has "):
        shards[0]["audio"]
    with pytest.raises(IndexError):
        shards[5]


def test_a_streaming_set_of_shards(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    run("process", pictures, "-o", tmp_path, "-r", "qwen2-vl", "--dtype", "bfloat16", "--shard-size", "2", code=1)
    shards = vlmres.open_shards(tmp_path)
    stream = shards.to_dataset(keys=["pixel_values", "image_grid_thw"])
    assert stream.num_shards == 3
    rows = list(stream)
    assert [row["path"] for row in rows] == shards.paths
    for row, one in zip(rows, shards, strict=True):
        expected = one.torch()
        np.testing.assert_array_equal(np.asarray(row["pixel_values"], np.float32), expected["pixel_values"].float())
        np.testing.assert_array_equal(row["image_grid_thw"], expected["image_grid_thw"])


def test_folders_that_are_not_finished_or_not_ours(tmp_path: Path) -> None:
    with pytest.raises(vlmres.VlmresError, match="no run of vlmres has been finished there"):
        vlmres.open_shards(tmp_path)
    with pytest.raises(FileNotFoundError):
        vlmres.open_shards(tmp_path / "nowhere")
    path = tmp_path / "manifest.json"
    good: dict[str, Any] = {
        "settings": {},
        "images": [{"path": "/a.png", "shard": "shard-00000.safetensors", "rows": {"x": [0, 1]}}],
    }
    bad: list[Any] = [[], {}, {"settings": {}}, {"settings": [1], "images": []}, {"settings": {}, "images": [1]}]
    for key, value in (("path", 1), ("shard", "../../etc/passwd"), ("rows", [1]), ("rows", {"x": ["a", 2]})):
        bad.append({**good, "images": [{**good["images"][0], key: value}]})
    for manifest in bad:
        path.write_text(json.dumps(manifest))
        with pytest.raises(vlmres.VlmresError, match="is not a manifest of vlmres"):
            vlmres.open_shards(tmp_path)
    path.write_text(json.dumps(good))
    shards = vlmres.open_shards(tmp_path)
    shard = tmp_path / "shard-00000.safetensors"
    for content in (b"abc", b"\xff" * 64, b"\2\0\0\0\0\0\0\0{]", b"\2\0\0\0\0\0\0\0{}"):
        shard.write_bytes(content)
        with pytest.raises(vlmres.VlmresError, match="shard-00000"):
            vlmres.open_shards(tmp_path)[0]["x"]
    assert len(shards) == 1
