"""A Ray cluster of two nodes on this machine: `make test-ray`, which installs Ray into an environment of its own."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

import vlmres
from tests.encoder.conftest import Checkpoint, checkpoint  # noqa: F401 - a fixture

os.environ["RAY_AUTH_MODE"] = "disabled"
# By default workers have the lowest priority: where others use the processors they hardly run.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own name
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
ray: Any = pytest.importorskip("ray", reason="run make test-ray")
ray_data: Any = pytest.importorskip("ray.data", reason="run make test-ray")
pytest.importorskip("pyarrow", reason="run make test-ray")

import psutil  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from vlmres.integrations.ray import preprocess  # noqa: E402
from vlmres.integrations.ray.arrow import matrix  # noqa: E402
from vlmres.integrations.ray.scheduler import even_runs  # noqa: E402

# Ray leaves sockets and files to the end of the process.
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    found = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": 200 << 20, "include_dashboard": False},
    )
    ray.init(address=found.address, log_to_driver=False)
    ray_data.DataContext.get_current().enable_progress_bars = False
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture
def two_nodes(cluster: Cluster) -> Iterator[Any]:
    """The second node."""
    node = cluster.add_node(num_cpus=1, object_store_memory=200 << 20)
    cluster.wait_for_nodes()
    yield node
    if node in cluster.list_all_nodes():
        cluster.remove_node(node)


def encoded(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    width, height = rng.integers(28, 90, 2)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def dataset(count: int, blocks: int, bad: int | None = None) -> Any:
    images = [b"no image" if number == bad else encoded(number) for number in range(count)]
    table = pa.table({"bytes": pa.array(images, pa.binary()), "name": [f"image {number}" for number in range(count)]})
    sizes = [range(start, min(start + -(-count // blocks), count)) for start in range(0, count, -(-count // blocks))]
    return ray_data.from_arrow([table.slice(size.start, len(size)) for size in sizes])


def contents(folder: Path) -> dict[str, tuple[str, bytes, bytes]]:
    """What parts hold by image, each once."""
    found: dict[str, tuple[str, bytes, bytes]] = {}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert sorted(part["file"] for part in manifest["parts"]) == sorted(path.name for path in folder.glob("part-*"))
    for part in manifest["parts"]:
        table = pq.read_table(folder / part["file"])
        for row, name in enumerate(table["image_id"].to_pylist()):
            assert name not in found, f"{name} is there twice"
            patches, grids = matrix(table["patches"], row), matrix(table["grids"], row)
            assert patches is not None
            assert grids is not None
            found[name] = (table["name"][row].as_py(), patches.tobytes(), grids.tobytes())
    return found


@pytest.mark.usefixtures("cluster")
def test_a_data_set_in_order_with_an_error() -> None:
    found = preprocess(dataset(40, 3, bad=7), "qwen2-vl", block_bytes=200_000)
    table = pa.concat_tables(ray.get(found.to_arrow_refs()))
    assert table["name"].to_pylist() == [f"image {number}" for number in range(40)]
    assert "bytes" not in table.column_names
    processor = vlmres.Processor("qwen2-vl", "packed", "uint8")
    for row in range(40):
        if row == 7:
            assert "cannot decode" in table["error"][row].as_py()
            assert matrix(table["patches"], row) is None
            assert table["tokens"][row].as_py() is None
            continue
        batch = processor([encoded(row)])
        np.testing.assert_array_equal(matrix(table["patches"], row), batch.patches)
        np.testing.assert_array_equal(matrix(table["grids"], row), batch.grids)
        assert table["tokens"][row].as_py() == batch.num_tokens[0]
        assert table["error"][row].as_py() is None


def test_a_worker_and_a_node_are_killed(two_nodes: Any, cluster: Cluster, tmp_path: Path) -> None:
    count: int = 2000
    options: dict[str, Any] = {"key": "name", "block_bytes": 600_000}
    preprocess(dataset(count, 8), "qwen2-vl", out=str(tmp_path / "calm"), **options)
    out = tmp_path / "killed"
    killed: list[str] = []

    def at(parts: int, act: Callable[[], str]) -> None:
        deadline = time.monotonic() + 300
        while len(list(out.glob("part-*"))) < parts and time.monotonic() < deadline:
            time.sleep(0.01)
        killed.append(act())

    def kill_worker() -> str:
        while True:
            for process in psutil.process_iter(["name", "cmdline"]):
                if "ray::_make" in " ".join(process.info["cmdline"] or ()):
                    process.kill()
                    return "worker"
            time.sleep(0.001)

    def kill_node() -> str:
        cluster.remove_node(two_nodes, allow_graceful=False)
        return "node"

    def disturb() -> None:
        at(5, kill_worker)
        at(12, kill_node)

    thread = threading.Thread(target=disturb, daemon=True)
    thread.start()
    manifest = preprocess(dataset(count, 8), "qwen2-vl", out=str(out), **options)
    thread.join(timeout=60)
    assert killed == ["worker", "node"]
    assert len(manifest["parts"]) > 20
    assert manifest["num_images"] == count
    calm = contents(tmp_path / "calm")
    assert len(calm) == count
    assert contents(out) == calm
    assert manifest["num_tokens"] == json.loads((tmp_path / "calm" / "manifest.json").read_text())["num_tokens"]


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("format", ["parquet", "safetensors"])
def test_a_run_goes_on_where_it_stopped(tmp_path: Path, format: Any) -> None:
    options: dict[str, Any] = {"key": "name", "format": format}
    whole = preprocess(dataset(60, 3), "qwen2-vl", out=str(tmp_path), block_bytes=150_000, **options)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("part-*")}
    lost = whole["parts"][1]["file"]
    (tmp_path / lost).unlink()
    (tmp_path / ".part-x.parquet.0123.vlmres-tmp").write_bytes(b"half")
    # Other blocks, other tasks, the same images.
    again = preprocess(dataset(60, 2), "qwen2-vl", out=str(tmp_path), block_bytes=100_000, **options)
    assert (again["num_images"], again["num_tokens"]) == (60, whole["num_tokens"])
    for path in tmp_path.glob("part-*"):
        if path.name in before and path.name != lost:
            assert path.stat().st_mtime_ns == before[path.name]
    assert not list(tmp_path.glob(".*"))
    if format == "parquet":
        assert len(contents(tmp_path)) == 60
    with pytest.raises(ValueError, match="holds results with dtype 'uint8', not 'float32'"):
        preprocess(dataset(60, 3), "qwen2-vl", out=str(tmp_path), dtype="float32", **options)


@pytest.mark.usefixtures("cluster")
def test_shards_of_safetensors(tmp_path: Path) -> None:
    manifest = preprocess(
        dataset(5, 1, bad=2), "qwen2-vl", key="name", out=str(tmp_path), format="safetensors", dtype="bfloat16"
    )
    (part,) = manifest["parts"]
    assert (part["images"], part["failed"]) == (5, 1)
    tensors = load_file(tmp_path / part["file"])
    with safe_open(tmp_path / part["file"], "numpy") as opened:
        images = json.loads(opened.metadata()["vlmres"])["images"]
    bounds = tensors["patches.bounds"].tolist()
    for row in (0, 1, 3, 4):
        batch = vlmres.Processor("qwen2-vl", "packed", "bfloat16")([encoded(row)]).torch()
        assert tensors["patches"][bounds[row] : bounds[row + 1]].equal(batch["patches"])
        assert images[row]["name"] == f"image {row}"
    assert bounds[2] == bounds[3]
    assert "cannot decode" in images[2]["error"]


@pytest.mark.usefixtures("cluster")
def test_equal_images_are_all_kept(tmp_path: Path) -> None:
    table = pa.table({"bytes": pa.array([encoded(1)] * 6, pa.binary())})
    data = ray_data.from_arrow([table, table])
    for _ in range(2):
        manifest = preprocess(data, "qwen2-vl", out=str(tmp_path), block_bytes=1)
        assert manifest["num_images"] == 12
        assert len(list(tmp_path.glob("part-*"))) == 12


@pytest.mark.usefixtures("cluster")
def test_paths_and_an_encoder(tmp_path: Path, checkpoint: Checkpoint) -> None:  # noqa: F811
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint("qwen2-vl")[1], folder)
    paths = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        path.write_bytes(encoded(number) if number != 3 else b"no image")
        paths.append(str(path))
    data = ray_data.from_arrow(pa.table({"path": paths, "label": list(range(5))}))
    recipe = vlmres.Recipe.load("qwen2-vl")
    found = preprocess(data, recipe, column="path", encoder=str(folder), concurrency=1)
    table = pa.concat_tables(ray.get(found.to_arrow_refs()))
    from vlmres.encoder import VisionEncoder

    encoder = VisionEncoder.from_pretrained(folder, "cpu", recipe=recipe)
    processor = vlmres.Processor(recipe, "packed", encoder.input_dtype)
    good = [number for number in range(5) if number != 3]
    expected = encoder(processor([paths[number] for number in good])).split()
    for number, tokens in zip(good, expected, strict=True):
        features = matrix(table["features"], number)
        assert features is not None
        np.testing.assert_allclose(features, tokens.float().numpy(), atol=1e-5)
    assert matrix(table["features"], 3) is None
    assert table["label"].to_pylist() == list(range(5))


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"column": "image"}, ValueError, "no column 'image'; it has bytes, name"),
        ({"key": "id"}, ValueError, "no column 'id'; it has bytes, name"),
        ({"column": "name", "key": "bytes", "format": "csv"}, ValueError, "format must be one of parquet, safetensors"),
        ({"dtype": "float64"}, ValueError, "dtype must be one of"),
        ({"block_bytes": 0}, ValueError, "block_bytes must be at least 1, got 0"),
        ({"max_tiles": 3}, vlmres.RecipeError, "has no parameter"),
    ],
)
def test_what_cannot_be_is_named(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        preprocess(dataset(2, 1), "qwen2-vl", **options)


@pytest.mark.usefixtures("cluster")
def test_a_run_that_comes_to_no_end_is_an_error() -> None:
    with pytest.raises(TimeoutError, match=r"none of \d+ tasks came to its end in 0.0001 s; the cluster has"):
        preprocess(dataset(40, 1), "qwen2-vl", timeout=0.0001)
    with pytest.raises(ValueError, match="timeout must be positive"):
        preprocess(dataset(1, 1), "qwen2-vl", timeout=0)


@pytest.mark.usefixtures("cluster")
def test_names_of_columns_that_are_added() -> None:
    data = ray_data.from_arrow(pa.table({"bytes": pa.array([encoded(0)], pa.binary()), "width": [3]}))
    with pytest.raises(ValueError, match="has a column 'width', which preprocess adds: rename it"):
        preprocess(data, "qwen2-vl")


def test_runs_of_rows_have_even_costs() -> None:
    costs = np.random.default_rng(0).integers(1, 100, 1000)
    runs = list(even_runs(costs, 1000))
    assert [row for run in runs for row in run] == list(range(1000))
    loads = [costs[run.start : run.stop].sum() for run in runs]
    assert len(runs) == -(-costs.sum() // 1000)
    assert max(loads) <= 1000 + 100
    assert [list(run) for run in even_runs(np.array([1, 900, 1]), 100)] == [[0, 1], [2]]
    assert list(even_runs(np.array([], np.int64), 5)) == []


@pytest.mark.usefixtures("cluster")
def test_the_example_of_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```py\n(.*?)```", text, re.DOTALL)
    (tmp_path / "images").mkdir()
    for number in range(3):
        (tmp_path / "images" / f"{number}.png").write_bytes(encoded(number))
    exec(example, {"folder": str(tmp_path / "images"), "out": str(tmp_path / "out")})
    assert capsys.readouterr().out.startswith("3 0 ")
