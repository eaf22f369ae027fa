"""A job: images to a folder of shards and a manifest. It can be stopped and continued at any time."""

from __future__ import annotations

import abc
import contextlib
import hashlib
import json
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import vlmres
from vlmres.arithmetic import resolve_arithmetic
from vlmres.cli.cost import value_bytes
from vlmres.cli.items import FAILURES, Opener
from vlmres.cli.jobs import shards
from vlmres.cli.jobs.folder import MANIFEST, Folder
from vlmres.cli.jobs.trial import fatal
from vlmres.documents import AUTHORS_DPI

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from vlmres._core import ImageFile, Plan
    from vlmres.cli.items import Dpi, Item
    from vlmres.documents import Page

# Most bytes of a shard's tensors and decoded images; its tensors must also be within the limit of outputs.
_MAX_BYTES = 1 << 30

# Number of images from which the bytes of a run are estimated.
_SAMPLED = 64

# How a manifest begins.
_MANIFEST_START = b'{\n "settings": {\n  "vlmres":'


class OtherContentError(Exception):
    """The folder holds results of other settings or images, or other files."""


@dataclass
class Done:
    """A finished shard."""

    number: int
    images: list[dict[str, Any]]
    """The manifest's row of each image."""
    kept: bool
    """Whether it existed before the run."""


Source: TypeAlias = "ImageFile | Page | str | bytes"
"""An item as a processor takes it."""

# Stands for an item that must not be read.
_NOTHING = b""


@dataclass
class _Entry:
    """An item of a shard."""

    item: Item
    input: shards.Input
    source: Source
    error: str | None = None
    """The reason why it must not be read."""


@dataclass
class _Wanted:
    """A shard to be produced, or kept."""

    number: int
    entries: list[_Entry]
    fingerprint: str
    kept: list[dict[str, Any]] | None
    """The manifest's rows of a shard that exists already."""


class Advance(Protocol):
    """A function that is told of progress."""

    def __call__(self, count: int, *, kept: bool) -> None:
        """Reports that this many more images are done; `kept` if they were done by an earlier run."""


class Job(abc.ABC):
    """Images and the folder of their results.

    Args:
        files: Images and PDF files.
        folder: Where shards and manifest go.
        processor: What prepares the images.
        shard_size: Most images of a shard; there are fewer if they would need too much memory.
        dpi: Resolution of pages.
    """

    command: str
    """Its name on the command line."""

    def __init__(
        self,
        files: Sequence[Path],
        folder: Path,
        processor: vlmres.Processor,
        shard_size: int,
        dpi: Dpi = AUTHORS_DPI,
    ) -> None:
        self.processor, self.shard_size = processor, shard_size
        self._dpi: Dpi = dpi if dpi == "fit" else float(dpi)
        self._opener = Opener(processor.recipe, processor.loader, self._dpi)
        # resolve() would follow links.
        self.items: list[Item] = list(self._opener.items(Path(os.path.abspath(path)) for path in files))  # noqa: PTH100
        """The images and pages, by absolute paths."""
        self.folder = Folder(folder)
        self.settings: dict[str, Any] = {
            "vlmres": vlmres.__version__,
            "recipe": processor.recipe.name,
            "params": dict(processor.recipe.params),
            "layout": processor.layout,
            "dtype": processor.dtype,
            "arithmetic": resolve_arithmetic(processor.arithmetic),
            "decode": processor.decode,
            "decoder": processor.decoder,
            "alpha": processor.alpha,
            "gray16": processor.gray16,
            "dpi": self._dpi,
            "max_image_pixels": processor.max_image_pixels,
            "max_file_bytes": processor.max_file_bytes,
            "max_decoded_bytes": processor.max_decoded_bytes,
            "max_output_bytes": processor.max_output_bytes,
        }
        if not _is_known(processor.recipe):
            # A file's recipe is not determined by its name and parameters.
            content = processor.recipe.to_toml().encode()
            self.settings["recipe_sha256"] = hashlib.sha256(content).hexdigest()

    @abc.abstractmethod
    def make(
        self, wanted: Iterator[list[Source]], advance: Advance
    ) -> Iterator[tuple[Mapping[str, NDArray[Any]], list[dict[str, Any]]]]:
        """For the items of each shard: its arrays, and the manifest's row of each image without the path.

        Args:
            wanted: The opened items; for one that failed, its path, or bytes that are not an image.
            advance: Called for images that are done, perhaps on another thread.
        """

    def tensor_bytes(self, plan: Plan) -> int:
        """Bytes of an image's tensors while its shard is made."""
        return value_bytes(plan, self.processor.layout, self.processor.dtype)

    def shard_bytes(self, plan: Plan) -> int:
        """Bytes of an image's tensors in its shard."""
        return value_bytes(plan, self.processor.layout, self.processor.dtype)

    def estimate(self) -> int | None:
        """Estimated bytes of all shards, from a sample of the images; None if no image can be planned."""
        step = max(1, len(self.items) // _SAMPLED)
        found = []
        for item in self.items[::step]:
            with contextlib.suppress(*FAILURES):
                found.append(self.shard_bytes(self._opener.open(item)[1]))
        return round(sum(found) / len(found) * len(self.items)) if found else None

    @contextlib.contextmanager
    def opened(self, *, force: bool, tell: Callable[[str], None]) -> Iterator[None]:
        """Locks the folder for this run; call `run` inside.

        Args:
            force: Remove other results.
            tell: Called with a message when there is something to wait for.

        Raises:
            OtherContentError: The folder holds other results, or files of other programs with names that this run
                needs.
            InUseError: Another run works there.
            OSError: It cannot be made or written to.
        """
        with self.folder.locked(self.command, tell) as self._lock:
            difference = self._difference()
            if difference is not None:
                if not force:
                    raise OtherContentError(difference)
                self.folder.remove(MANIFEST)
                for path in self.folder.shards():
                    self.folder.remove(path.name)
            yield

    def run(self, advance: Advance) -> Iterator[Done]:
        """Writes the missing shards one at a time, then the manifest.

        Args:
            advance: Called for images that are done, perhaps on another thread.
        """
        done: list[Done] = []
        waiting: deque[_Wanted] = deque()

        def wanted() -> Iterator[list[Source]]:
            for number, entries in enumerate(self._cut()):
                shard = self._look(number, entries)
                waiting.append(shard)
                if shard.kept is None:
                    self._lock.begin(number)
                    yield [_NOTHING if entry.error is not None else entry.source for entry in entries]
                else:
                    advance(len(entries), kept=True)

        def kept() -> Iterator[Done]:
            while waiting and (images := waiting[0].kept) is not None:
                done.append(Done(waiting.popleft().number, images, kept=True))
                yield done[-1]

        for arrays, images in self.make(wanted(), advance):
            yield from kept()
            done.append(self._write(waiting.popleft(), arrays, images))
            yield done[-1]
        yield from kept()
        for path in self.folder.shards()[len(done) :]:
            self.folder.remove(path.name)
        self._write_manifest(done)

    def _difference(self) -> str | None:
        """How the folder's results differ from the wanted ones; None if they do not differ, or there are none."""
        images: set[str] = set()
        for path in self.folder.shards():
            try:
                found = shards.read_metadata(path)
            except shards.ForeignError:
                return f"{path.name}, which no run of vlmres wrote"
            if found is None:
                continue
            if found.settings != self.settings:
                return _settings_difference(found.settings, self.settings)
            images.update(image["path"] for image in found.images)
        if images and images.isdisjoint(item.name for item in self.items):
            return f"{len(images)} other images"
        manifest = self.folder.path / MANIFEST
        if manifest.exists() and not (manifest.is_file() and _starts(manifest, _MANIFEST_START)):
            return f"a {MANIFEST} that no run of vlmres wrote"
        return None

    def _cut(self) -> Iterator[list[_Entry]]:
        """Divides the items into shards: up to `shard_size` images that fit into memory together."""
        entries: list[_Entry] = []
        total = tensors = 0
        most = self.processor.max_output_bytes or _MAX_BYTES
        for item in self.items:
            entry, plan = self._open(item)
            made = 0 if plan is None else self.tensor_bytes(plan)
            cost = 0 if plan is None else made + plan.size[0] * plan.size[1] * 3
            full = len(entries) == self.shard_size or total + cost > _MAX_BYTES or tensors + made > most
            if entries and full:
                yield entries
                entries, total, tensors = [], 0, 0
            entries.append(entry)
            total += cost
            tensors += made
        yield entries

    def _open(self, item: Item) -> tuple[_Entry, Plan | None]:
        """An item and its plan; None for a bad item. The error of a bad file is reported when it is processed."""
        entry = _Entry(item, shards.Input.of(item), str(item.path))
        try:
            entry.source, plan = self._opener.open(item)
        except FAILURES as error:
            if item.page is not None or item.error is not None:
                entry.error = item.reason(error)
            return entry, None
        return entry, plan

    def _look(self, number: int, entries: list[_Entry]) -> _Wanted:
        """A wanted shard, with the rows of its images if it exists."""
        expected = shards.fingerprint([entry.input for entry in entries], self.settings)
        found = None
        with contextlib.suppress(shards.ForeignError):  # it appeared since the run began: replaced
            found = shards.read_metadata(self.folder.path / shards.name(number))
        kept = found.images if found and found.fingerprint == expected else None
        if kept is None and number in self._lock.unfinished:
            for index, reason in fatal([entry.item for entry in entries], self.processor, self._dpi).items():
                entries[index].error = reason
        return _Wanted(number, entries, expected, kept)

    def _write(self, shard: _Wanted, arrays: Mapping[str, NDArray[Any]], images: list[dict[str, Any]]) -> Done:
        images = [{"path": entry.item.name, **image} for entry, image in zip(shard.entries, images, strict=True)]
        for entry, image in zip(shard.entries, images, strict=True):
            if "error" in image:
                image["error"] = entry.error or entry.item.reason(image["error"])
        # A folder has a manifest only when it is finished.
        self.folder.remove(MANIFEST)
        metadata = shards.Metadata(shard.fingerprint, self.settings, images)
        with self.folder.replacing(shards.name(shard.number)) as file:
            shards.write(file, arrays, self.settings["dtype"], metadata)
        self._lock.end(shard.number)
        return Done(shard.number, images, kept=False)

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
        # One image per line, for reading and for grep.
        lines = ",\n".join(json.dumps(image) for image in images)
        text = f'{json.dumps(manifest, indent=1)[:-2]},\n "images": [\n{lines}\n ]\n}}\n'.encode()
        path = self.folder.path / MANIFEST
        if not path.is_file() or path.read_bytes() != text:
            with self.folder.replacing(MANIFEST) as file:
                file.write(text)


def _starts(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start


def _settings_difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    flat_old, flat_new = ({**settings, **settings.get("params", {})} for settings in (old, new))
    # The resolved arithmetic is more exact than the recipe's parameter of that name.
    flat_old["arithmetic"], flat_new["arithmetic"] = old.get("arithmetic"), new.get("arithmetic")
    changes = [
        f"{key[:80]} {json.dumps(flat_old.get(key))[:200]}, not {json.dumps(flat_new.get(key))[:200]}"
        for key in dict.fromkeys([*flat_new, *flat_old])
        if key != "params" and flat_old.get(key) != flat_new.get(key)
    ]
    return f"results with {'; '.join(changes[:3])}"


def _is_known(recipe: vlmres.Recipe) -> bool:
    """Whether its name and parameters determine the recipe; those of a recipe from a file do not."""
    try:
        return vlmres.Recipe.load(recipe.name, **recipe.params) == recipe
    except vlmres.RecipeError:
        return False
