"""Videos through the encoder, against transformers' classes on the same frames."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import vlmres
from tests.encoder.conftest import Checkpoint
from tests.encoder.counting import flop_counter
from tests.encoder.packing import relative_error
from tests.videos import video
from vlmres.encoder import EncoderOutput, VisionEncoder, VisionModel, build_layout, load_config
from vlmres.encoder.layout.token_order import ImageTokens, ViewTokens
from vlmres.encoder.runtime.chunks import Chunk

Videos = list[NDArray[np.uint8]]

SMALL = {"video_min_pixels": 1024, "video_max_pixels": 16384}
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2-vl": ("qwen2-vl", SMALL),
    "qwen2.5-vl": ("qwen2.5-vl", {"video_min_pixels": 1024, "video_max_pixels": 70000}),
    "qwen3-vl": ("qwen3-vl", {**SMALL, "video_max_pixels": 65536}),
    "qwen3.5": ("qwen3.5-vl", {**SMALL, "video_max_pixels": 65536}),
    "kimi": ("kimi-k2.5", {"video_max_patches": 60}),
}
# (frames, width, height): fewer frames than a patch or chunk has, a rest, and sides of one patch or cell.
SIZES = [(4, 64, 48), (7, 100, 40), (2, 33, 160), (9, 90, 90), (5, 28, 200)]


@pytest.fixture(scope="module")
def videos() -> Videos:
    return [video(*size, seed=index) for index, size in enumerate(SIZES)]


def _recipe(name: str) -> vlmres.Recipe:
    recipe, overrides = RECIPES[name]
    return vlmres.Recipe.load(recipe, **overrides)


def _encoder(name: str, checkpoint: Checkpoint, dtype: torch.dtype = torch.float32, **settings: Any) -> VisionEncoder:
    return VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", dtype, recipe=_recipe(name), **settings)


def _batch(name: str, videos: Videos, dtype: Any = "uint8") -> vlmres.Batch:
    return vlmres.Processor(_recipe(name), layout="packed", dtype=dtype)(videos=videos)


def _tokens(out: EncoderOutput) -> list[torch.Tensor]:
    """Of each video, deepstack features beside them."""
    whole = torch.cat([out.tokens, *out.deepstack], dim=-1)
    return list(whole.split(torch.diff(out.cu_seqlens).tolist()))


def _reference(name: str, model: Any, videos: Videos) -> list[torch.Tensor]:
    """The model's own tokens of each video, row by row of the grid."""
    batch = vlmres.Processor(_recipe(name))(videos=videos)
    values, rows = batch.torch()["pixel_values_videos"], batch.torch()["video_grid_thw"]
    values = values.to(next(model.parameters()).dtype)
    tokens = []
    for part, row in zip(values.split(rows.prod(1).tolist()), rows, strict=True):
        if name == "kimi":
            # `get_video_features` of transformers 5.23 expects as many tokens as there are patches along time, and its
            # tower cannot put chunks of two lengths together: so tower and projector, chunk by chunk.
            pooled = model.model.vision_tower(part, row[None]).pooler_output
            tokens.append(model.model.mm_projector(pooled).squeeze(1))
            continue
        found = model.model.get_video_features(part, row[None])
        # One tensor a level, and from transformers 5.20 on one for each video.
        kept = getattr(found, "deepstack_features", None) or []
        levels = [level if isinstance(level, torch.Tensor) else torch.cat(level) for level in kept]
        tokens.append(torch.cat([torch.cat(found.pooler_output), *levels], dim=-1))
    counts = [len(plan.grid_thw) for plan in batch.plans if plan is not None]
    ends = np.cumsum(counts).tolist()
    return [torch.cat(tokens[end - count : end]) for count, end in zip(counts, ends, strict=True)]


@pytest.mark.parametrize("fold", [True, False], ids=["uint8", "unfolded"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", RECIPES)
def test_equals_transformers(name: str, dtype: torch.dtype, fold: bool, checkpoint: Checkpoint, videos: Videos) -> None:
    encoder = _encoder(name, checkpoint, dtype, fold=fold)
    batch = _batch(name, videos, encoder.input_dtype)
    found = encoder(batch)
    assert torch.diff(found.cu_seqlens).tolist() == batch.num_tokens
    model = checkpoint(name)[0]
    with torch.inference_mode():
        wanted = _reference(name, model if dtype is torch.float32 else copy.deepcopy(model).to(dtype), videos)
    bound = 1e-5 if dtype is torch.float32 else 2e-2
    pairs = zip(_tokens(found), wanted, strict=True)
    error = max(relative_error(tokens, expected) for tokens, expected in pairs)
    print(f"{name}, {dtype}: {error:.1e}")
    assert error <= bound


@pytest.mark.parametrize("name", RECIPES)
def test_videos_do_not_leak_and_frames_matter(name: str, checkpoint: Checkpoint, videos: Videos) -> None:
    encoder = _encoder(name, checkpoint)
    wanted = _tokens(encoder(_batch(name, videos)))
    order = [3, 0, 4, 2, 1]
    permuted = _tokens(encoder(_batch(name, [videos[index] for index in order])))
    for index, tokens in zip(order, permuted, strict=True):
        assert relative_error(tokens, wanted[index]) <= 1e-6
    # Another sixth frame of the fourth video: Qwen's third patch along time has it, or Kimi's second chunk.
    changed = [item.copy() for item in videos]
    changed[3][5] = 255 - changed[3][5]
    found = _tokens(encoder(_batch(name, changed)))
    for index, (tokens, expected) in enumerate(zip(found, wanted, strict=True)):
        assert torch.equal(tokens, expected) == (index != 3)
    parts = 3 if name == "kimi" else 5
    same = [torch.equal(*pair) for pair in zip(found[3].chunk(parts), wanted[3].chunk(parts), strict=True)]
    assert same == [index != (1 if name == "kimi" else 2) for index in range(parts)]


@pytest.mark.parametrize("name", ["qwen2-vl", "qwen3-vl"])
def test_equal_frames_are_a_still_image(name: str, checkpoint: Checkpoint) -> None:
    """The kernel over two equal frames, and its sum over one."""
    encoder = _encoder(name, checkpoint)
    frame = video(1, 96, 64)
    clip = _batch(name, [np.repeat(frame, 2, axis=0)])
    still = clip.patches.reshape(len(clip.patches), 2, -1)
    assert np.array_equal(still[:, 0], still[:, 1])
    layout = build_layout(encoder.config, clip.grids, clip.positions)
    found = encoder.model(torch.from_numpy(still[:, 0].copy()), layout).tokens
    assert relative_error(found, encoder(clip).tokens) <= 1e-6


def test_the_order_of_frames_matters(checkpoint: Checkpoint) -> None:
    """Of a chunk each frame has its time, although its tokens are the mean of all."""
    encoder = _encoder("kimi", checkpoint)
    chunk = video(4, 64, 64)
    found, other = (encoder(_batch("kimi", [item])).tokens for item in (chunk, chunk[::-1]))
    assert relative_error(found, other) > 1e-3


@pytest.mark.parametrize("name", RECIPES)
def test_long_videos_are_cut(
    name: str, checkpoint: Checkpoint, videos: Videos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between patches along time or chunks, and memory that does not suffice for one of several halves them."""
    encoder = _encoder(name, checkpoint)
    batch = _batch(name, videos)
    wanted = encoder(batch)
    parts = Chunk.of(batch, joins=name == "kimi")
    longest = max(np.diff(parts.bounds[parts.segments]))
    runs: list[int] = []
    forward = VisionModel.forward

    def recorded(self: VisionModel, patches: torch.Tensor, layout: Any) -> Any:
        runs.append(len(patches))
        return forward(self, patches, layout)

    monkeypatch.setattr(VisionModel, "forward", recorded)
    for most in (1, int(longest), int(longest) * 2):
        runs.clear()
        encoder.max_patches = most
        found = encoder(batch)
        assert max(runs) <= max(most, longest)
        assert torch.equal(found.cu_seqlens, wanted.cu_seqlens)
        for tokens, expected in zip(_tokens(found), _tokens(wanted), strict=True):
            assert relative_error(tokens, expected) <= 1e-6


def test_encode(checkpoint: Checkpoint, videos: Videos) -> None:
    encoder = _encoder("qwen3-vl", checkpoint)
    wanted = encoder(_batch("qwen3-vl", videos))
    lists: list[Any] = [list(videos[0]), torch.from_numpy(videos[1]), *videos[2:]]
    for most in (encoder.max_patches, 100, 1):
        encoder.max_patches = most
        found = encoder.encode(videos=lists, num_threads=1)
        assert torch.equal(found.cu_seqlens, wanted.cu_seqlens)
        assert relative_error(found.tokens, wanted.tokens) <= 1e-6
    assert len(encoder.encode(videos=videos[0])) == 1
    bad: list[Any] = [videos[0], [], videos[1]]
    groups = list(encoder.stream(videos=bad))
    assert [index for group in groups for index in group.indices] == [0, 2]
    assert [index for group in groups for index in group.errors] == [1]
    with pytest.raises(vlmres.VlmresError, match=r"^video 1: a video has no frames"):
        encoder.encode(videos=bad)
    with pytest.raises(TypeError, match="pass images or videos"):
        encoder.encode(videos[0][0], videos=videos)
    with pytest.raises(TypeError, match="pass images or videos"):
        encoder.encode()
    with pytest.raises(ValueError, match="videos is empty"):
        encoder.encode(videos=[])


@pytest.mark.parametrize("name", RECIPES)
def test_cost(name: str, checkpoint: Checkpoint, videos: Videos) -> None:
    encoder = _encoder(name, checkpoint)
    for item in videos:
        batch = _batch(name, [item])
        plan = batch.plans[0]
        assert plan is not None
        with torch.inference_mode(), flop_counter() as counter:
            tokens = encoder(batch).tokens
        found = plan.cost(encoder.config, value_bytes=4)
        assert found.flops == counter.get_total_flops()
        assert (found.tokens, found.input_bytes) == (len(tokens), batch.patches.nbytes)
        assert found.weight_bytes == sum(item.nbytes for item in encoder.model.parameters())


def test_clips_that_do_not_fit(checkpoint: Checkpoint) -> None:
    encoder = _encoder("kimi", checkpoint)
    recipe = _recipe("kimi").replace(chunk_frames=8)
    long = vlmres.Processor(recipe, layout="packed", dtype="uint8")(videos=video(8, 64, 64))
    with pytest.raises(ValueError, match="clip 0 has 8 segments along time, the encoder takes 4"):
        encoder(long)
    plan = long.plans[0]
    assert plan is not None
    with pytest.raises(ValueError, match="clip 0 has 8 segments along time, the encoder takes 4"):
        plan.cost(encoder.config)
    # Kimi-VL's tower is the same, but knows no videos: frames are on their own.
    vision = {"model_type": "moonvit", "hidden_size": 48, "num_attention_heads": 3, "num_hidden_layers": 1}
    images = [ImageTokens((28, 28), (ViewTokens("global"),), frames=2)]
    with pytest.raises(ValueError, match="clip 0 has 2 segments along time, the encoder takes 1"):
        build_layout(load_config(vision), np.array([(2, 2)] * 2), images=images)
    with pytest.raises(ValueError, match=r"clip 0 has segments of different grids: \(2, 2\), \(2, 4\)"):
        build_layout(encoder.config, np.array([(2, 2), (2, 4)]), images=images)
    with pytest.raises(ValueError, match="unknown video_attn_type 'temporal'; known is spatial_temporal"):
        load_config({"model_type": "kimi_k25_vision", "video_attn_type": "temporal"})


def test_patches_of_another_number_of_frames(checkpoint: Checkpoint) -> None:
    encoder = _encoder("qwen2-vl", checkpoint)
    layout = build_layout(encoder.config, np.array([(2, 2)]))
    with pytest.raises(ValueError, match=r"must have shape \[4, 588 or 1176\], got \[4, 1764\]"):
        encoder.model(torch.zeros(4, 1764, dtype=torch.uint8), layout)
