"""Names and shapes of a checkpoint's tensors, and what becomes of them."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import torch

from vlmres.encoder.architectures import Architecture, CheckpointError, Take
from vlmres.encoder.nn.patch_embed import PatchEmbed, fold_weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vlmres.encoder.checkpoint.files import TensorFiles
    from vlmres.encoder.config import EncoderConfig

log = logging.getLogger("vlmres.encoder")

# Names in a message.
_SHOWN = 8
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# Tensors beside the encoder's: of a language model, of a text encoder, and of what compares the two.
_LANGUAGE = re.compile(
    r"(?:model\.)?(?:language_model|text_model|lm_head|embed_tokens|layers|norm|rotary_emb|mtp)\.|logit_|"
    r"(?:text|visual)_projection\."
)


class TensorReader:
    """Reads an encoder's tensors from a checkpoint.

    Args:
        files: Its files.
        found: What it is.
        dtype: Of the weights; by default that of the stored patch embedding.
        quantised: How `config.json` says that weights are quantised; the encoder's must not be.
    """

    def __init__(
        self, files: TensorFiles, found: Architecture, dtype: torch.dtype | None, quantised: str | None
    ) -> None:
        self.files, self.found, self.dtype, self.quantised = files, found, dtype, quantised
        self.stored = self._renamed(files.index)
        """The stored name of each of the encoder's tensors."""
        self.templates = {
            re.compile(re.escape(ours).replace(r"\{\}", r"(\d+)") + r"(?:\.(weight|bias))?$"): sources
            for ours, sources in found.tensors.items()
        }

    def read(self, wanted: Mapping[str, Sequence[int]], *, fold: bool) -> dict[str, torch.Tensor]:
        """The tensors for parameters of the given names and shapes.

        Raises:
            CheckpointError: Tensors are missing, unexpected, quantised or of another shape.
        """
        # The patch embedding's own parameters depend on `fold`; it takes the reference's.
        names = [name for name in wanted if not name.startswith("patch_embed.")]
        patch = ["patch_embed.weight", "patch_embed.bias"] if self.found.config.patch.bias else ["patch_embed.weight"]
        takes = {name: self.take(name) for name in (*names, *patch)}
        self._check({source for take in takes.values() for source in take.sources})
        tensors = self._patch_embed(takes, fold=fold)
        self.dtype = self.dtype or tensors["patch_embed.weight"].dtype
        return tensors | {name: self._get(name, takes[name], wanted[name]) for name in names}

    def take(self, name: str) -> Take:
        """Where a parameter's tensors are; of alternatives the one that is there, else the first."""
        for pattern, alternatives in self.templates.items():
            match = pattern.match(name)
            if match is None:
                continue
            *numbers, leaf = match.groups()
            takes = [
                _filled(item, numbers, leaf)
                for item in (alternatives if isinstance(alternatives, list) else [alternatives])
            ]
            there = [take for take in takes if all(source in self.stored for source in take.sources)]
            return (there or takes)[0]
        raise AssertionError(f"{self.found.config.name} does not say where {name} comes from")

    def _renamed(self, stored: Iterable[str]) -> dict[str, str]:
        renamed: dict[str, str] = {}
        others = []
        for original in stored:
            name = original
            for pattern, replacement in self.found.renames:
                name = re.sub(pattern, replacement, name)
            if name.split(".")[0] not in self.found.namespaces:
                if not _LANGUAGE.match(original):
                    others.append(original)
                continue
            if name in renamed:
                raise CheckpointError(f"{original} and {renamed[name]} are the same tensor")
            renamed[name] = original
        if others:
            found = f"of neither {self.found.config.name}'s encoder nor a language model"
            log.warning("%d tensors are %s, and not read: %s", len(others), found, _listed(sorted(others)))
        return renamed

    def _check(self, used: set[str]) -> None:
        missing = sorted(used - self.stored.keys())
        known = re.compile("|".join(self.found.unused) or r"(?!)")
        unexpected = sorted(self.stored[name] for name in self.stored.keys() - used if not known.match(name))
        problems = []
        if missing:
            problems.append(f"{len(missing)} missing: {_listed(missing)}")
        if unexpected:
            problems.append(f"{len(unexpected)} unexpected: {_listed(unexpected)}")
        if problems and self.quantised:
            problems.append(f"weights are quantised ({self.quantised}), which only the language model's may be")
        if problems:
            raise CheckpointError(f"tensors do not fit {self.found.config.name}'s encoder: {'; '.join(problems)}")

    def _raw(self, source: str) -> torch.Tensor:
        name = self.stored[source]
        tensor = self.files.get(name)
        if tensor.dtype not in _DTYPES:
            raise CheckpointError(f"{name} is {tensor.dtype}: an encoder with quantised weights cannot be read")
        return tensor if self.dtype is None else tensor.to(self.dtype)

    def _get(self, name: str, take: Take, shape: Sequence[int]) -> torch.Tensor:
        parts = [self._raw(source) for source in take.sources]
        tensor = parts[0] if len(parts) == 1 else torch.cat(parts)
        if take.transform == "pairs":
            tensor = _halves(tensor, _heads(self.found.config, name))
        if take.transform == "unfold":
            tensor = tensor.unflatten(1, (-1, self.found.config.merge**2)).transpose(1, 2).flatten(1)
        flat = tensor
        if name.endswith((".table.weight", ".cls")) and tensor.ndim > len(shape):
            # Some checkpoints keep leading axes of one, or the grid's.
            flat = tensor.reshape(-1, tensor.shape[-1]) if len(shape) == 2 else tensor.flatten()
        if tuple(flat.shape) != tuple(shape):
            names = " and ".join(self.stored[source] for source in take.sources)
            raise CheckpointError(f"{names}: the shape is {list(tensor.shape)}, config.json asks for {list(shape)}")
        return flat.contiguous()

    def _patch_embed(self, takes: Mapping[str, Take], *, fold: bool) -> dict[str, torch.Tensor]:
        config = self.found.config
        shape = PatchEmbed.reference_shape(config.patch, config.towers[0].width)
        weight = self._get("patch_embed.weight", takes["patch_embed.weight"], shape)
        bias = None
        if config.patch.bias:
            bias = self._get("patch_embed.bias", takes["patch_embed.bias"], (shape[0],))
        if fold:
            # On the CPU: not every device has float64, and all give the same weights.
            folded, offset = fold_weights(weight.cpu(), None if bias is None else bias.cpu(), config.patch)
            return {"patch_embed.weight": folded.to(weight), "patch_embed.bias": offset.to(weight)}
        return {"patch_embed.weight": weight} | ({} if bias is None else {"patch_embed.bias": bias})


def _filled(item: str | tuple[str, ...] | Take, numbers: Sequence[str], leaf: str | None) -> Take:
    take = item if isinstance(item, Take) else Take((item,) if isinstance(item, str) else item)
    ending = "" if leaf is None else f".{leaf}"

    def fill(source: str) -> str:
        whole = source.format(*numbers)
        # A source that names a tensor is a module's parameter of another name.
        return whole if whole.endswith(".weight") else whole + ending

    return Take(tuple(fill(source) for source in take.sources), take.transform)


def _heads(config: EncoderConfig, name: str) -> tuple[int, int, int]:
    attention = config.towers[int(name.split(".")[1])].attention
    return attention.heads, attention.kv_heads, attention.head_dim


def _halves(tensor: torch.Tensor, heads: tuple[int, int, int]) -> torch.Tensor:
    """Rows of q and k of fused projections from adjacent rotary pairs to halves."""
    queries, keys, dim = heads
    turned = (queries + keys) * dim
    pairs = tensor[:turned].unflatten(0, (queries + keys, dim // 2, 2)).transpose(1, 2).flatten(0, 2)
    return torch.cat([pairs, tensor[turned:]])


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
