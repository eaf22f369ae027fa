"""Checkpoints of random weights, small enough to serve on a CPU, made on the spot."""

from pathlib import Path
from typing import Any

from tests.integrations import models, tiny
from vlmres.verify import references as hf

PROMPTS = {name: family.prompt for name, family in models.FAMILIES.items()}


def make(name: str, folder: Path, *, small: bool, weights: bool) -> str:
    """A checkpoint's folder; `small` has the image processor's views small too."""
    family = models.FAMILIES[name]
    reference = family.reference or name
    settings: dict[str, Any] = {**(tiny.SMALL.get(reference, {}) if small else {}), **family.settings}
    processor = tiny.processor(name, hf.processor(reference, "torch", **settings))
    model = models.make(family, processor.tokenizer.convert_tokens_to_ids)
    processor.save_pretrained(folder)
    if weights:
        model.save_pretrained(folder)
    else:
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(folder)
    return str(folder)
