"""The encoder as a checkpoint's configuration files describe it, without tensors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmres._core import Recipe, VlmresError
from vlmres.encoder.architectures import Architecture, CheckpointError, architecture
from vlmres.encoder.architectures.values import flag, number, numbers, wrong

if TYPE_CHECKING:
    import os

    from vlmres.encoder.config import EncoderConfig, Patch


# Of a model on the Hugging Face hub: its owner's and its own.
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object.

    Raises:
        CheckpointError: The file does not exist, or does not hold a JSON object.
    """
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return found


def read_recipe(directory: Path) -> Recipe | None:
    """The recipe of a checkpoint's image processor; None if no recipe is known for it."""
    try:
        return Recipe.from_pretrained(directory)
    except (VlmresError, OSError):
        return None


def read_architecture(directory: Path) -> Architecture:
    """The architecture of a checkpoint, with the normalisation of its image processor.

    Raises:
        CheckpointError: It is none that is known.
    """
    if not directory.is_dir():
        name = directory.as_posix()
        hint = f"; huggingface_hub.snapshot_download({name!r}) makes one" if _HUB_NAME.fullmatch(name) else ""
        raise CheckpointError(f"there is no folder {directory}{hint}")
    found = architecture(read_json(directory / "config.json"))
    recipe = read_recipe(directory)
    patch = normalised(found.config.patch, _processor(directory) if recipe is None else recipe.params)
    return replace(found, config=replace(found.config, patch=patch))


def load_config(checkpoint: str | os.PathLike[str] | Mapping[str, Any]) -> EncoderConfig:
    """The encoder of a checkpoint as data, without its weights.

    Args:
        checkpoint: A folder with `config.json`, or that file's content.

    Raises:
        CheckpointError: It is none that is known.
    """
    if isinstance(checkpoint, Mapping):
        return architecture(checkpoint).config
    return read_architecture(Path(checkpoint)).config


def normalised(patch: Patch, settings: Mapping[str, Any]) -> Patch:
    """A patch embedding for the normalisation that an image processor's settings define.

    Raises:
        CheckpointError: They cannot be.
    """
    mean, std = numbers(settings, "image_mean", patch.mean), numbers(settings, "image_std", patch.std)
    if not flag(settings, "do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if 0 in std:
        raise wrong("image_std", settings["image_std"], "of numbers other than 0")
    rescale = number(settings, "rescale_factor", patch.rescale) if flag(settings, "do_rescale", True) else 1.0
    return replace(patch, mean=mean, std=std, rescale=rescale)


def _processor(directory: Path) -> dict[str, Any]:
    """The settings of an image processor for which there is no recipe."""
    for name in ("processor_config.json", "preprocessor_config.json"):
        if (directory / name).is_file():
            found = read_json(directory / name)
            inner = found.get("image_processor", found)
            if isinstance(inner, dict) and "image_mean" in inner:
                # A step that is null is skipped.
                return {
                    key: False if value is None and key.startswith("do_") else value for key, value in inner.items()
                }
    return {}
