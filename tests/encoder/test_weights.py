"""Checkpoints: every tensor used, of the right shape, from either naming, or an error that names it."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file, save_file

from tests.encoder.conftest import Checkpoint
from tests.encoder.packing import canvases, pack
from tests.encoder.test_parity import encode
from tests.encoder.tiny import CASES, VIT
from vlmres.encoder import CheckpointError, VisionEncoder, load_config
from vlmres.encoder.architectures import ARCHITECTURES, architecture
from vlmres.encoder.checkpoint.mapping import TensorReader
from vlmres.encoder.nn.model import VisionModel

Edit = Callable[[dict[str, torch.Tensor]], None]


# The names of SAM in DeepSeek-OCR, from transformers' to the authors'.
SAM = [
    (r"^sam_encoder\.layers\.(\d+)\.layer_norm(\d)", r"model.sam_model.blocks.\1.norm\2"),
    (r"^sam_encoder\.layers\.", "model.sam_model.blocks."),
    (r"^sam_encoder\.patch_embed\.projection", "model.sam_model.patch_embed.proj"),
    (r"^sam_encoder\.neck\.conv1", "model.sam_model.neck.0"),
    (r"^sam_encoder\.neck\.layer_norm1", "model.sam_model.neck.1"),
    (r"^sam_encoder\.neck\.conv2", "model.sam_model.neck.2"),
    (r"^sam_encoder\.neck\.layer_norm2", "model.sam_model.neck.3"),
    (r"^sam_encoder\.proj\.conv1", "model.sam_model.net_2"),
    (r"^sam_encoder\.proj\.conv2", "model.sam_model.net_3"),
    (r"^sam_encoder\.", "model.sam_model."),
]


def edited(source: Path, folder: Path, edit: Edit, config: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """A copy of a checkpoint with other tensors."""
    shutil.copytree(source, folder)
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, folder / "model.safetensors")
    if config is not None:
        found = json.loads((folder / "config.json").read_text())
        config(found)
        (folder / "config.json").write_text(json.dumps(found))
    return folder


def renamed(rules: list[tuple[str, str]]) -> Edit:
    """Names changed by patterns, each applied in turn."""

    def edit(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            new = name
            for pattern, replacement in rules:
                new = re.sub(pattern, replacement, new)
            tensors[new] = tensors.pop(name)

    return edit


def unchanged(tensors: dict[str, torch.Tensor]) -> None:
    """Leaves tensors as they are."""
    assert tensors


def same_tokens(name: str, first: Path, second: Path) -> None:
    """Two checkpoints are the same encoder."""
    one, two = (VisionEncoder.from_pretrained(folder, "cpu", torch.float32) for folder in (first, second))
    packed = pack(canvases(CASES[name].sizes), one.config.patch.size, one.config.merge)
    for found, wanted in zip(encode(two.model, packed), encode(one.model, packed), strict=True):
        assert torch.equal(found, wanted)


def test_missing_and_unexpected_are_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        tensors["visual.blocks.1.attn.qkv.other"] = tensors.pop("visual.blocks.1.attn.qkv.weight")

    folder = edited(checkpoint("qwen2-vl")[1], tmp_path / "broken", edit)
    message = (
        r"do not fit Qwen2-VL's encoder: 1 missing: .*blocks\.1\.attn\.qkv\.weight; 1 unexpected: visual\.blocks\.1"
    )
    with pytest.raises(CheckpointError, match=message):
        VisionEncoder.from_pretrained(folder, "cpu")


def test_shapes_are_checked(checkpoint: Checkpoint, tmp_path: Path) -> None:
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        tensors["visual.merger.mlp.0.weight"] = tensors["visual.merger.mlp.0.weight"][:, 1:]

    folder = edited(checkpoint("qwen2-vl")[1], tmp_path / "broken", edit)
    message = r"visual\.merger\.mlp\.0\.weight: the shape is \[192, 191\], config\.json asks for \[192, 192\]"
    with pytest.raises(CheckpointError, match=message):
        VisionEncoder.from_pretrained(folder, "cpu")


def test_folders_that_are_no_checkpoint(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json: No such file"):
        VisionEncoder.from_pretrained(tmp_path, "cpu")
    (tmp_path / "config.json").write_text('{"model_type": "abacus"}')
    with pytest.raises(CheckpointError, match="no encoder for model_type 'abacus'; known are clip"):
        VisionEncoder.from_pretrained(tmp_path, "cpu")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="holds no JSON object"):
        VisionEncoder.from_pretrained(tmp_path, "cpu")
    shutil.copy(checkpoint("clip")[1] / "config.json", tmp_path)
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        VisionEncoder.from_pretrained(tmp_path, "cpu")
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(
        CheckpointError, match=r"has no model\.safetensors; pytorch_model\.bin is of a format that is not"
    ):
        VisionEncoder.from_pretrained(tmp_path, "cpu")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": ["model.safetensors"]}')
    with pytest.raises(CheckpointError, match=r"index\.json has no weight_map of names to files"):
        VisionEncoder.from_pretrained(tmp_path, "cpu")
    for file in ("../elsewhere.safetensors", "/elsewhere.safetensors", "..", "folder/a.safetensors"):
        index.write_text(json.dumps({"weight_map": {"a": file}}))
        with pytest.raises(CheckpointError, match=re.escape(f"names {file!r}, which is no file of its folder")):
            VisionEncoder.from_pretrained(tmp_path, "cpu")
    index.unlink()
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: "):
        VisionEncoder.from_pretrained(tmp_path, "cpu")


def test_shards_with_an_index(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Only files with the encoder's tensors need to be there."""
    model, folder = checkpoint("qwen3-vl")
    shards = tmp_path / "shards"
    model.save_pretrained(shards, max_shard_size="60KB")
    files: dict[str, set[str]] = {}
    for name, file in json.loads((shards / "model.safetensors.index.json").read_text())["weight_map"].items():
        files.setdefault(file, set()).add(name)
    needed = {file for file, names in files.items() if any("visual." in name for name in names)}
    assert len(needed) > 3
    for file in files.keys() - needed:
        (shards / file).unlink()
    assert len(needed) < len(files)
    same_tokens("qwen3-vl", folder, shards)
    lost = sorted(needed)[0]
    (shards / lost).rename(shards / "elsewhere")
    with pytest.raises(CheckpointError, match=f"shards has no {lost}"):
        VisionEncoder.from_pretrained(shards, "cpu")
    shutil.copy(shards / sorted(needed)[1], shards / lost)
    with pytest.raises(CheckpointError, match=f"{lost}: .*visual.*: "):
        VisionEncoder.from_pretrained(shards, "cpu")


def test_quantised_checkpoints(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """A language model may be quantised, the encoder not."""

    def config(found: dict[str, Any]) -> None:
        found["quantization_config"] = {"quant_method": "gptq", "bits": 4}

    def packed(tensors: dict[str, torch.Tensor]) -> None:
        tensors["visual.blocks.1.attn.qkv.qweight"] = tensors.pop("visual.blocks.1.attn.qkv.weight").int()

    def eight_bits(tensors: dict[str, torch.Tensor]) -> None:
        name = "visual.blocks.1.attn.qkv.weight"
        tensors[name] = tensors[name].to(torch.float8_e4m3fn)

    folder = checkpoint("qwen2-vl")[1]
    same_tokens("qwen2-vl", folder, edited(folder, tmp_path / "language", unchanged, config))
    with pytest.raises(CheckpointError, match=r"qkv\.qweight; weights are quantised \(gptq\), which only the language"):
        VisionEncoder.from_pretrained(edited(folder, tmp_path / "packed", packed, config), "cpu")
    with pytest.raises(CheckpointError, match=r"blocks\.1\.attn\.qkv\.weight is torch\.float8_e4m3fn: an encoder with"):
        VisionEncoder.from_pretrained(edited(folder, tmp_path / "eight", eight_bits), "cpu")


def test_tensors_of_nothing_known_are_named(
    checkpoint: Checkpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = checkpoint("qwen2-vl")[1]
    with caplog.at_level(logging.WARNING, "vlmres.encoder"):
        same_tokens("qwen2-vl", folder, folder)
    assert not caplog.records
    other = edited(folder, tmp_path / "other", lambda tensors: tensors.update({"gate.weight": torch.zeros(1)}))
    with caplog.at_level(logging.WARNING, "vlmres.encoder"):
        same_tokens("qwen2-vl", folder, other)
    assert "1 tensors are of neither Qwen2-VL's encoder nor a language model, and not read: gate.weight" in caplog.text


@pytest.mark.parametrize("name", [name for name in CASES if not name.endswith("-raw")])
def test_names_old_and_new(name: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Shards under transformers' present names; those of `save_pretrained` are the older ones, or the authors'."""
    model, folder = checkpoint(name)
    model.config.save_pretrained(tmp_path)
    save_torch_state_dict(model.state_dict(), tmp_path, max_shard_size=20_000)
    assert (tmp_path / "model.safetensors.index.json").exists()
    same_tokens(name, folder, tmp_path)


def test_a_tower_alone(checkpoint: Checkpoint, tmp_path: Path) -> None:
    model, folder = checkpoint("qwen2.5-vl")
    model.model.visual.save_pretrained(tmp_path / "tower")
    same_tokens("qwen2.5-vl", folder, tmp_path / "tower")


def test_older_names_of_llava(checkpoint: Checkpoint, tmp_path: Path) -> None:
    rules = [(r"^vision_tower\.", "vision_tower.vision_model."), (r"^multi", "model.multi")]
    folder = checkpoint("llava")[1]
    same_tokens("llava", folder, edited(folder, tmp_path / "older", renamed(rules)))


def test_authors_names_of_kimi(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Kimi-VL: fused projections, whose q and k turn adjacent pairs of values."""

    def edit(tensors: dict[str, torch.Tensor]) -> None:
        for block in range(3):
            start = f"model.vision_tower.layers.{block}.attn"
            for leaf in ("weight", "bias"):
                parts = [tensors.pop(f"{start}.{name}_proj.{leaf}") for name in "qkv"]
                # Halves to pairs, the other way than loading.
                pairs = [part.unflatten(0, (3, 2, 8)).transpose(1, 2).flatten(0, 2) for part in parts[:2]]
                tensors[f"vision_tower.encoder.blocks.{block}.wqkv.{leaf}"] = torch.cat([*pairs, parts[2]])
        renamed(
            [
                (r"^model\.vision_tower\.layers\.(\d+)\.norm1", r"vision_tower.encoder.blocks.\1.norm0"),
                (r"^model\.vision_tower\.layers\.(\d+)\.norm2", r"vision_tower.encoder.blocks.\1.norm1"),
                (r"^model\.vision_tower\.layers\.(\d+)\.mlp\.fc1", r"vision_tower.encoder.blocks.\1.mlp.fc0"),
                (r"^model\.vision_tower\.layers\.(\d+)\.mlp\.fc2", r"vision_tower.encoder.blocks.\1.mlp.fc1"),
                (r"^model\.vision_tower\.layers\.(\d+)\.attn\.proj", r"vision_tower.encoder.blocks.\1.wo"),
                (r"^model\.vision_tower\.final", "vision_tower.encoder.final"),
                (r"^model\.vision_tower\.(patch_embed\.pos_emb)\.position_embeddings", r"vision_tower.\1.weight"),
                (r"^model\.vision_tower\.", "vision_tower."),
                (r"^model\.mm_projector\.in_proj", "multi_modal_projector.linear_1"),
                (r"^model\.mm_projector\.out_proj", "multi_modal_projector.linear_2"),
                (r"^model\.mm_projector\.", "multi_modal_projector."),
            ]
        )(tensors)

    def config(found: dict[str, Any]) -> None:
        found["model_type"] = "kimi_vl"
        vision = found["vision_config"]
        vision["init_pos_emb_height"] = vision.pop("pos_emb_height")
        vision["init_pos_emb_width"] = vision.pop("pos_emb_width")

    folder = checkpoint("kimi")[1]
    authors = edited(folder, tmp_path / "authors", edit, config)
    same_tokens("kimi", folder, authors)

    def alone(tensors: dict[str, torch.Tensor]) -> None:
        renamed([(r"^vision_tower\.", "")])(tensors)
        for name in [name for name in tensors if name.startswith(("multi_modal", "model.", "lm_head"))]:
            tensors.pop(name)

    def moonvit(found: dict[str, Any]) -> None:
        found["model_type"] = "moonvit"
        found.update(found.pop("vision_config"), model_type="moonvit")

    tower = VisionEncoder.from_pretrained(edited(authors, tmp_path / "tower", alone, moonvit), "cpu", torch.float32)
    whole = VisionEncoder.from_pretrained(folder, "cpu", torch.float32)
    packed = pack(canvases(CASES["kimi"].sizes), 14, 2)
    projector = whole.model.projector
    assert projector is not None
    for cells, wanted in zip(encode(tower.model, packed), encode(whole.model, packed), strict=True):
        torch.testing.assert_close(projector(cells.reshape(-1, 48)), wanted)


def test_authors_names_of_internvl(checkpoint: Checkpoint, tmp_path: Path) -> None:
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        for block in range(3):
            for leaf in ("weight", "bias"):
                start = f"vision_tower.encoder.layer.{block}.attention"
                parts = [tensors.pop(f"{start}.{name}_proj.{leaf}") for name in "qkv"]
                tensors[f"vision_model.encoder.layers.{block}.attn.qkv.{leaf}"] = torch.cat(parts)
        renamed(
            [
                (r"^vision_tower\.encoder\.layer\.", "vision_model.encoder.layers."),
                (r"^vision_tower\.", "vision_model."),
                (r"attention\.projection_layer", "attn.proj"),
                (r"layernorm_before", "norm1"),
                (r"layernorm_after", "norm2"),
                (r"lambda_(\d)$", r"ls\1"),
                (r"cls_token$", "class_embedding"),
                (r"patch_embeddings\.projection", "patch_embedding"),
                (r"position_embeddings$", "position_embedding"),
                (r"^multi_modal_projector\.layer_norm", "mlp1.0"),
                (r"^multi_modal_projector\.linear_1", "mlp1.1"),
                (r"^multi_modal_projector\.linear_2", "mlp1.3"),
            ]
        )(tensors)

    def config(found: dict[str, Any]) -> None:
        vision = {**VIT, "qkv_bias": True, "qk_normalization": False, "norm_type": "layer_norm"}
        found.clear()
        found.update(model_type="internvl_chat", vision_config=vision, llm_config={"hidden_size": 32})
        found.update(select_layer=-1, downsample_ratio=0.5, ps_version="v2")

    folder = checkpoint("internvl")[1]
    authors = edited(folder, tmp_path / "authors", edit, config)
    same_tokens("internvl", folder, authors)
    # Before version 2, each tile's tokens run down its columns.
    first = shutil.copytree(authors, tmp_path / "first")
    found = json.loads((first / "config.json").read_text())
    (first / "config.json").write_text(json.dumps({**found, "ps_version": "v1"}))
    packed = pack(canvases([(56, 56), (56, 56)]), 14, 2)
    old, new = (
        encode(VisionEncoder.from_pretrained(path, "cpu", torch.float32).model, packed) for path in (first, authors)
    )
    for one, two in zip(old, new, strict=True):
        assert torch.equal(one, two.view(2, 2, -1).transpose(0, 1).flatten(0, 1))
    with pytest.raises(CheckpointError, match="unknown ps_version 'v3'; known are v1, v2"):
        architecture({**found, "ps_version": "v3"})

    def alone(tensors: dict[str, torch.Tensor]) -> None:
        renamed([(r"^vision_model\.", "")])(tensors)
        for name in [name for name in tensors if name.startswith(("mlp1", "model.", "language", "lm_head"))]:
            tensors.pop(name)

    def tower(found: dict[str, Any]) -> None:
        found.update(found.pop("vision_config"), model_type="intern_vit_6b")

    vit = VisionEncoder.from_pretrained(edited(authors, tmp_path / "tower", alone, tower), "cpu", torch.float32)
    whole = VisionEncoder.from_pretrained(folder, "cpu", torch.float32)
    packed = pack(canvases([(56, 56)] * 5), 14, 2)
    projector = whole.model.projector
    assert projector is not None
    # In raster order, of which cells are put together here.
    states = torch.stack(encode(vit.model, packed)).view(5, 2, 2, 2, 2, 48).transpose(2, 3).reshape(-1, 48)
    torch.testing.assert_close(projector(states), torch.cat(encode(whole.model, packed)))


def test_authors_names_of_deepseek_ocr(checkpoint: Checkpoint, tmp_path: Path) -> None:
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        for block in range(3):
            start = f"vision_encoder.encoder.layers.{block}.self_attn"
            for leaf in ("weight", "bias"):
                parts = [tensors.pop(f"{start}.{name}_proj.{leaf}") for name in "qkv"]
                tensors[f"{start}.qkv_proj.{leaf}"] = torch.cat(parts)
        tensors["model.vision_model.embeddings.patch_embedding.weight"] = torch.zeros(48, 3, 14, 14)
        renamed(
            [
                *SAM,
                (r"^vision_encoder\.encoder\.", "model.vision_model.transformer."),
                (r"^vision_encoder\.", "model.vision_model."),
            ]
        )(tensors)

    folder = checkpoint("deepseek-ocr-raw")[1]
    same_tokens("deepseek-ocr-raw", folder, edited(folder, tmp_path / "authors", edit))


def test_authors_names_of_deepseek_ocr2(checkpoint: Checkpoint, tmp_path: Path) -> None:
    rules = [
        *SAM,
        (r"^vision_encoder\.", "model.qwen2_model.model.model."),
        (r"^query_(\d+)(?:_resolution)?\.", r"model.qwen2_model.query_\1."),
    ]
    model, folder = checkpoint("deepseek-ocr-2")
    shutil.copytree(folder, tmp_path / "new")
    save_file({name: tensor.clone() for name, tensor in model.state_dict().items()}, tmp_path / "new/model.safetensors")
    authors = edited(tmp_path / "new", tmp_path / "authors", renamed(rules))
    names = load_file(authors / "model.safetensors").keys()
    assert {"model.sam_model.net_2.weight", "model.qwen2_model.model.model.norm.weight"} <= names
    assert {"model.qwen2_model.query_768.weight", "model.qwen2_model.query_1024.weight"} <= names
    assert all(name.startswith(("model.sam_model.", "model.qwen2_model.")) for name in names)
    same_tokens("deepseek-ocr-2", folder, authors)


def test_nativeres_llava(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Qwen2-VL's tower, then two linear layers."""
    first, second = torch.randn(40, 32) * 0.05, torch.randn(40, 40) * 0.05

    def edit(tensors: dict[str, torch.Tensor]) -> None:
        renamed([(r"^visual\.", "model.vision_tower.vision_tower.")])(tensors)
        tensors["model.mm_projector.0.weight"], tensors["model.mm_projector.0.bias"] = first, torch.zeros(40)
        tensors["model.mm_projector.2.weight"], tensors["model.mm_projector.2.bias"] = second, torch.zeros(40)

    def config(found: dict[str, Any]) -> None:
        found.update(model_type="llava_qwen", mm_max_image_token=2048, hidden_size=40)

    folder = checkpoint("qwen2-vl")[1]
    native = edited(folder, tmp_path / "native", edit, config)
    one, two = (VisionEncoder.from_pretrained(path, "cpu", torch.float32) for path in (folder, native))
    packed = pack(canvases(CASES["qwen2-vl"].sizes), 14, 2)
    for tokens, found in zip(encode(one.model, packed), encode(two.model, packed), strict=True):
        torch.testing.assert_close(found, torch.nn.functional.gelu(tokens @ first.T) @ second.T, rtol=1e-4, atol=1e-6)
    with pytest.raises(CheckpointError, match="is not NativeRes-LLaVA"):
        architecture({"model_type": "llava_qwen", "hidden_size": 40})


def test_the_dtype_is_the_checkpoints(checkpoint: Checkpoint, tmp_path: Path) -> None:
    def config(found: dict[str, Any]) -> None:
        found["dtype"] = "bfloat16"

    folder = edited(checkpoint("siglip")[1], tmp_path / "half", unchanged, config)
    assert VisionEncoder.from_pretrained(folder, "cpu").dtype is torch.bfloat16
    encoder = VisionEncoder.from_pretrained(folder, "cpu", torch.float32)
    assert {parameter.dtype for parameter in encoder.model.parameters()} == {torch.float32}

    def mixed(tensors: dict[str, torch.Tensor]) -> None:
        for name, tensor in tensors.items():
            tensors[name] = tensor if "norm" in name else tensor.bfloat16()

    def silent(found: dict[str, Any]) -> None:
        found.pop("dtype")

    found = VisionEncoder.from_pretrained(edited(folder, tmp_path / "mixed", mixed, silent), "cpu")
    assert {parameter.dtype for parameter in found.model.parameters()} == {torch.bfloat16}
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())


def test_dtypes_by_name(checkpoint: Checkpoint) -> None:
    folder = checkpoint("siglip")[1]
    for name, wanted in (("bfloat16", torch.bfloat16), ("torch.float16", torch.float16), ("auto", torch.float32)):
        assert VisionEncoder.from_pretrained(folder, "cpu", name).dtype is wanted
    wrong: list[Any] = ["bf16", "int8", torch.uint8, 16, "nn"]
    for dtype in wrong:
        with pytest.raises(TypeError, match=f"dtype must be a floating-point torch.dtype or its name.*got {dtype!r}"):
            VisionEncoder.from_pretrained(folder, "cpu", dtype)


def test_names_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "Qwen/Qwen2-VL-2B-Instruct"
    hint = rf"there is no folder {name}; huggingface_hub\.snapshot_download\('{name}'\) makes one$"
    with pytest.raises(CheckpointError, match=hint):
        VisionEncoder.from_pretrained(name, "cpu")
    for folder in (tmp_path / "missing", Path("missing"), Path("a/b/c")):
        with pytest.raises(CheckpointError, match=f"there is no folder {folder}$"):
            load_config(folder)


def test_loaded_in_inference_mode(checkpoint: Checkpoint) -> None:
    """What is loaded there can be trained afterwards."""
    with torch.inference_mode():
        encoder = VisionEncoder.from_pretrained(checkpoint("qwen2-vl")[1], "cpu")
    assert not any(tensor.is_inference() for tensor in (*encoder.model.parameters(), *encoder.model.buffers()))


def test_normalisation_is_the_processors(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint("pixtral")[1], tmp_path / "pixtral")
    settings = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "rescale_factor": 0.01}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    config = load_config(folder)
    assert config == VisionEncoder.from_pretrained(folder, "cpu").config
    patch = config.patch
    assert (patch.mean, patch.std, patch.rescale) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 0.01)


@pytest.mark.parametrize("name", ["qwen2-vl", "qwen3-vl", "kimi", "pixtral", "deepseek-ocr-2"])
def test_what_is_in_no_checkpoint_follows_from_the_configuration(name: str, checkpoint: Checkpoint) -> None:
    """Models made without memory, or moved there, get it and their weights later."""
    wanted = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32).model
    packed = pack(canvases(CASES[name].sizes), wanted.config.patch.size, wanted.config.merge)
    with torch.device("meta"):
        made = VisionModel(wanted.config)
    for model in (made, VisionModel(wanted.config).to("meta"), VisionModel(wanted.config).half().float()):
        model.to_empty(device="cpu").requires_grad_(False).load_state_dict(wanted.state_dict())
        buffers, expected = dict(model.named_buffers()), dict(wanted.named_buffers())
        assert buffers.keys() == expected.keys() != set()
        assert all(torch.equal(buffer, expected[key]) for key, buffer in buffers.items())
        for found, tokens in zip(encode(model, packed), encode(wanted, packed), strict=True):
            assert torch.equal(found, tokens)
    assert {buffer.dtype for buffer in wanted.half().buffers()} <= {torch.float32, torch.int64}


def test_deepseek_ocrs_sizes() -> None:
    """The authors' configuration names none: the parameters are those of the paper, 80 million and 300 million."""
    found = architecture({"model_type": "deepseek_vl_v2", "architectures": ["DeepseekOCRForCausalLM"]})
    with torch.device("meta"):
        model = VisionModel(found.config)
    sam, clip = (sum(parameter.numel() for parameter in tower.parameters()) for tower in model.towers)
    assert 80e6 < sam < 110e6
    assert 290e6 < clip < 310e6
    assert found.config.hidden == 1280
    with pytest.raises(CheckpointError, match="deepseek_vl_v2"):
        architecture({"model_type": "deepseek_vl_v2", "architectures": ["DeepseekVLV2ForCausalLM"]})


@pytest.mark.parametrize("kind", sorted(set(ARCHITECTURES) - {"deepseek_vl_v2", "llava_qwen", "internvl_chat"}))
def test_every_parameter_has_a_source(kind: str) -> None:
    """Of the full size, whose configuration is all defaults."""
    found = architecture({"model_type": kind})
    with torch.device("meta"):
        model = VisionModel(found.config)
    reader = TensorReader(SimpleNamespace(index={}), found, None, None)  # type: ignore[arg-type]
    for name, _ in model.named_parameters():
        assert reader.take(name if found.config.patch.bias else name.replace("patch_embed.bias", "patch_embed.weight"))
