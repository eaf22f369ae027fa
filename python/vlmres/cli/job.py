"""A run of `vlmres process`: images to a folder of shards and a manifest."""

from __future__ import annotations

import json
import os
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import vlmres
from vlmres._core import BatchLayout, Plan
from vlmres.cli import output, shards
from vlmres.cli.cost import value_bytes
from vlmres.processor import resolve_arithmetic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# A shard ends before its tensors and decoded images need more.
_MAX_BYTES = 1 << 30


class OtherContentError(Exception):
    """The folder holds the results of other settings or images."""


@dataclass
class Done:
    """A finished shard."""

    number: int
    images: list[dict[str, Any]]
    """What the manifest says of each image."""
    kept: bool
    """Whether it was there already."""


@dataclass
class _Shard:
    """A shard that is asked for."""

    number: int
    fingerprint: str
    kept: list[dict[str, Any]] | None
    """What the manifest says of each image of a shard that is there already."""

    def done(self) -> Done:
        """Of one that is."""
        assert self.kept is not None
        return Done(self.number, self.kept, kept=True)


class Advance(Protocol):
    """What is told of progress."""

    def __call__(self, count: int, *, kept: bool) -> None:
        """So many images more are done; `kept` if they were before."""


@dataclass
class Job:
    """Images, and what becomes of them in `folder`."""

    files: Sequence[Path]
    folder: Path
    processor: vlmres.Processor
    shard_size: int
    settings: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        processor = self.processor
        self.settings = {
            "vlmres": vlmres.__version__,
            "recipe": processor.recipe.name,
            "params": dict(processor.recipe.params),
            "layout": processor.layout,
            "dtype": processor.dtype,
            "arithmetic": resolve_arithmetic(processor.arithmetic),
            "decode": processor.decode,
            "max_image_pixels": processor.max_image_pixels,
        }

    def prepare(self, *, force: bool) -> None:
        """Makes the folder, and refuses, or with `force` empties, one that holds other results.

        Raises:
            OtherContentError: It does.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        shards.remove_temporaries(self.folder)
        difference = self._difference()
        if difference is None:
            return
        if not force:
            raise OtherContentError(difference)
        (self.folder / shards.MANIFEST).unlink(missing_ok=True)
        for path in shards.shard_files(self.folder):
            path.unlink()

    def run(self, advance: Advance) -> Iterator[Done]:
        """Makes the shards that are not there yet, one at a time, then the manifest.

        Args:
            advance: Called for images that are done, perhaps on another thread.
        """
        done: list[Done] = []
        waiting: deque[_Shard] = deque()

        def wanted() -> Iterator[list[str]]:
            for number, inputs in enumerate(self._cut()):
                waiting.append(self._look(number, inputs))
                if waiting[-1].kept is None:
                    yield [item.path for item in inputs]
                else:
                    advance(len(inputs), kept=True)

        for arrays, images in self.make(wanted(), advance):
            while waiting[0].kept is not None:
                done.append(waiting.popleft().done())
                yield done[-1]
            done.append(self._write(waiting.popleft(), arrays, images))
            yield done[-1]
        for shard in waiting:
            done.append(shard.done())
            yield done[-1]
        for path in shards.shard_files(self.folder)[len(done) :]:
            path.unlink()
        self._write_manifest(done)

    def _difference(self) -> str | None:
        """How the folder's results differ from those asked for; None where they do not, or there are none."""
        images: set[str] = set()
        for path in shards.shard_files(self.folder):
            found = shards.read_metadata(path)
            if not found or "settings" not in found:
                continue
            if found["settings"] != self.settings:
                return _settings_difference(found["settings"], self.settings)
            images.update(image["path"] for image in found["images"])
        if images and images.isdisjoint(os.path.abspath(path) for path in self.files):  # noqa: PTH100
            return f"{len(images)} other images"
        return None

    def _cut(self) -> Iterator[list[shards.Input]]:
        """The inputs of every shard: up to `shard_size` images that fit into memory together."""
        inputs: list[shards.Input] = []
        total = 0
        for path in self.files:
            cost = self._cost(path)
            if inputs and (len(inputs) == self.shard_size or total + cost > _MAX_BYTES):
                yield inputs
                inputs, total = [], 0
            inputs.append(shards.Input.of(path))
            total += cost
        yield inputs

    def _cost(self, path: Path) -> int:
        try:
            size = vlmres.image_size(path, exif=True)
            values = self.tensor_bytes(self.processor.plan(size))
        except (vlmres.VlmresError, OSError):
            return 0  # reported when it is processed
        return values + size.width * size.height * 3

    def tensor_bytes(self, plan: Plan) -> int:
        """Bytes of an image's tensors while its shard is made."""
        return value_bytes(plan, self.processor.layout, self.processor.dtype)

    def _look(self, number: int, inputs: list[shards.Input]) -> _Shard:
        """A shard that is to be there, and what it says of its images if it is."""
        expected = shards.fingerprint(inputs, self.settings)
        found = shards.read_metadata(self.folder / shards.name(number))
        kept = found["images"] if found and found.get("fingerprint") == expected else None
        return _Shard(number, expected, kept)

    def _write(self, shard: _Shard, arrays: Mapping[str, NDArray[Any]], images: list[dict[str, Any]]) -> Done:
        # A manifest speaks for a finished folder only.
        (self.folder / shards.MANIFEST).unlink(missing_ok=True)
        metadata = {"fingerprint": shard.fingerprint, "settings": self.settings, "images": images}
        shards.write_shard(self.folder / shards.name(shard.number), arrays, self.settings["dtype"], metadata)
        return Done(shard.number, images, kept=False)

    def make(
        self, wanted: Iterator[list[str]], advance: Advance
    ) -> Iterator[tuple[Mapping[str, NDArray[Any]], list[dict[str, Any]]]]:
        """For the paths of each shard its arrays, and what the manifest says of each of its images."""
        for paths in wanted:
            batch = self.processor(paths, errors="return")
            advance(len(paths), kept=False)
            yield batch, _describe(batch, paths, self.processor)

    def _write_manifest(self, done: list[Done]) -> None:
        images = [{**image, "shard": shards.name(shard.number)} for shard in done for image in shard.images]
        failed = sum("error" in image for image in images)
        manifest = {
            "settings": self.settings,
            "num_images": len(images) - failed,
            "num_failed": failed,
            "num_tokens": sum(image.get("tokens", 0) for image in images),
            "shards": [shards.name(shard.number) for shard in done],
        }
        # An image a line, for people and for grep.
        lines = ",\n".join(json.dumps(image) for image in images)
        text = f'{json.dumps(manifest, indent=1)[:-2]},\n "images": [\n{lines}\n ]\n}}\n'.encode()
        path = self.folder / shards.MANIFEST
        if not path.exists() or path.read_bytes() != text:
            with shards.replacing(path) as temporary:
                temporary.write_bytes(text)


def _settings_difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    flat_old, flat_new = ({**settings, **settings.get("params", {})} for settings in (old, new))
    # The resolved arithmetic says more than the recipe's parameter of that name.
    flat_old["arithmetic"], flat_new["arithmetic"] = old.get("arithmetic"), new.get("arithmetic")
    changes = [
        f"{key} {json.dumps(flat_old.get(key))}, not {json.dumps(flat_new.get(key))}"
        for key in dict.fromkeys([*flat_new, *flat_old])
        if key != "params" and flat_old.get(key) != flat_new.get(key)
    ]
    return f"results with {'; '.join(changes[:3])}"


def _describe(batch: vlmres.Batch, paths: list[str], processor: vlmres.Processor) -> list[dict[str, Any]]:
    """Per image: path, index in the shard, and its size, counts and rows in every tensor, or its error."""
    images: list[dict[str, Any]] = []
    ends = dict.fromkeys(batch, 0)
    for index, (path, plan) in enumerate(zip(paths, batch.plans, strict=True)):
        image: dict[str, Any] = {"path": path, "index": index}
        if plan is None:
            images.append({**image, "error": output.reason(batch.errors[index])})
            continue
        rows: dict[str, list[int]] = {}
        for key, count in _row_counts(plan, processor, list(batch)).items():
            start, ends[key] = ends[key], ends[key] + count
            # Bounds of n segments are n + 1 numbers.
            rows[key] = [start, ends[key] + (key == "cu_seqlens")]
        counts = {"size": list(plan.size), "tiles": plan.num_tiles, "tokens": plan.num_tokens}
        images.append({**image, **counts, "rows": rows})
    return images


def _row_counts(plan: Plan, processor: vlmres.Processor, keys: list[str]) -> dict[str, int]:
    """How many rows of each tensor's first axis an image takes."""
    if processor.layout == "packed":
        segments = plan.num_tiles
        counts = {"patches": plan.num_patches, "positions": plan.num_patches}
        return {key: counts.get(key, segments) for key in keys}
    # What a second such image adds: some tensors have a row of zeros that is no image's where none has tiles.
    one, two = (_lengths(BatchLayout(processor.recipe, [plan] * count, "hf")) for count in (1, 2))
    return {key: two.get(key, 0) - one.get(key, 0) for key in keys}


def _lengths(layout: BatchLayout) -> dict[str, int]:
    lengths = {key: shape[0] for key, shape in layout.tensors}
    return {**lengths, **{key: len(array) for key, array in layout.arrays().items()}}
