"""Training loops as people write them: `Trainer` and Lightning with slots, a plain loop with packs and gradients."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset
from transformers import (
    AutoImageProcessor,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from tests.images import pixels
from vlmres.data import Loader
from vlmres.integrations.torch import consumer, segments, shared_collate
from vlmres.integrations.transformers import accelerate, install, uninstall

IMAGE, START, END, TEXT = 3, 4, 5, 6

# Only Linux has the memory of slots. Elsewhere shared_collate is the collate it is given, and says so:
# test_shared_collate.py, test_without_the_systems_part_it_is_collate.
needs_slots = pytest.mark.skipif(not segments.is_supported(), reason="needs memfd_create")


def model() -> Any:
    torch.manual_seed(0)
    text = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": 16,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0},
    }
    vision = {
        "depth": 1,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_heads": 2,
        "out_hidden_size": 32,
        "fullatt_block_indexes": [0],
    }
    ids: dict[str, Any] = {
        "image_token_id": IMAGE,
        "vision_start_token_id": START,
        "vision_end_token_id": END,
        "video_token_id": 7,
    }
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids))


class Images(Dataset[Any]):
    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> Any:
        return pixels(60 + 14 * (index % 3), 84, seed=index)


class Collate:
    """Images to what the model takes: their tokens between markers, and a token of text to learn."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __call__(self, images: list[Any]) -> dict[str, torch.Tensor]:
        features = self.processor(images=images, return_tensors="pt")
        tokens = (features["image_grid_thw"].prod(1) // 4).tolist()
        ids = torch.full((len(images), max(tokens) + 3), TEXT)
        for row, count in enumerate(tokens):
            ids[row, 0], ids[row, 1 : count + 1], ids[row, count + 1] = START, IMAGE, END
        types = (ids == IMAGE).long()
        labels = torch.where(ids == TEXT, ids, -100)
        return {**features, "input_ids": ids, "mm_token_type_ids": types, "labels": labels}


class Losses(TrainerCallback):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_log(self, *_: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append(logs["loss"])


def train(collate: Any, workers: int, folder: Any) -> list[float]:
    losses = Losses()
    arguments = TrainingArguments(
        str(folder),
        per_device_train_batch_size=4,
        max_steps=6,
        learning_rate=1e-3,
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=workers,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(model(), arguments, data_collator=collate, train_dataset=Images(), callbacks=[losses])
    trainer.train()
    return losses.losses


def check(found: list[float], expected: list[float]) -> None:
    """The losses are those of training without slots and fall, and no slot is left mapped."""
    assert found == expected
    assert len(found) == 6
    assert found[-1] < found[0]
    gc.collect()
    consumer.sweep()
    assert consumer.mapped() == 0


@needs_slots
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_a_trainer_with_slots_learns_as_without(tmp_path: Any) -> None:
    pytest.importorskip("accelerate")
    Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=84 * 84).save_pretrained(tmp_path / "processor")
    original = AutoImageProcessor.from_pretrained(tmp_path / "processor")
    install()
    try:
        accelerated = AutoImageProcessor.from_pretrained(tmp_path / "processor")
    finally:
        uninstall()
    expected = train(Collate(original), 0, tmp_path)
    found = train(shared_collate(Collate(accelerated)), 1, tmp_path)
    check(found, expected)


def fit(collate: Any, workers: int) -> list[float]:
    """The losses of Lightning's `Trainer`."""
    from pytorch_lightning import LightningModule
    from pytorch_lightning import Trainer as Lightning

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model()
            self.losses: list[float] = []

        def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
            loss: torch.Tensor = self.model(**batch).loss
            self.losses.append(loss.item())
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    module = Module()
    loader = DataLoader(Images(), 4, collate_fn=collate, num_workers=workers)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    Lightning(max_steps=6, accelerator="cpu", enable_checkpointing=False, **quiet).fit(module, loader)
    return module.losses


@needs_slots
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_lightning_with_slots_learns_as_without() -> None:
    pytest.importorskip("pytorch_lightning")
    original = Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=84 * 84)
    expected = fit(Collate(original), 0)
    found = fit(shared_collate(Collate(accelerate(original))), 1)
    check(found, expected)


def test_a_plain_loop_with_packs_and_gradients(tmp_path: Any) -> None:
    from vlmres.encoder import VisionEncoder

    model().save_pretrained(tmp_path)
    images = [pixels(60 + 14 * (at % 5), 84 + 28 * (at % 2), seed=at) for at in range(20)]
    samples = [{"image": image, "label": float(np.mean(image[..., 0]) > 127)} for image in images]
    encoder = VisionEncoder.from_pretrained(tmp_path, dtype=torch.float32)
    loader = Loader(samples, "qwen2.5-vl", max_tokens=40, shuffle=True, seed=1)
    encoder.model.requires_grad_(True)
    parameters = list(encoder.model.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    optimizer = torch.optim.SGD(parameters, lr=0.01)
    seen: list[int] = []
    for batch in loader:
        assert sum(batch.num_tokens) <= 40
        output = encoder(batch, grad=True)
        loss = output.tokens.square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seen += batch.item_indices.tolist()
        assert len(batch.samples) == len(batch.item_indices)
    assert sorted(seen) == list(range(20))
    assert any(not torch.equal(old, new) for old, new in zip(before, parameters, strict=True))
