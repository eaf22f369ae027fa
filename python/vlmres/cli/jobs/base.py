"""A run: images to a folder of shards and a manifest, which it can stop and go on with at any time."""

from __future__ import annotations

import abc
import contextlib
import hashlib
import json
import os
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import vlmres
from vlmres._core import ImageFile
from vlmres.cli.cost import value_bytes
from vlmres.cli.jobs import shards
from vlmres.cli.jobs.folder import MANIFEST, Folder
from vlmres.cli.jobs.trial import fatal
from vlmres.processor import resolve_arithmetic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from vlmres._core import Plan

# A shard ends before its tensors and decoded images need more, or its tensors more than the limit of outputs.
_MAX_BYTES = 1 << 30

# Images that an estimate of bytes is made from.
_SAMPLED = 64

# How a manifest begins.
_MANIFEST_START = b'{\n "settings": {\n  "vlmres":'


class OtherContentError(Exception):
    """The folder holds something else than results of these settings and images."""


@dataclass
class Done:
    """A finished shard."""

    number: int
    images: list[dict[str, Any]]
    """What the manifest says of each image."""
    kept: bool
    """Whether it was there already."""


# What a processor is given in place of a file that it must not read.
_NOTHING = b""


@dataclass
class _Wanted:
    """A shard to be produced, or kept."""

    number: int
    paths: list[str]
    fatal: dict[str, str]
    """The files among them that must not be read, and why."""
    fingerprint: str
    kept: list[dict[str, Any]] | None
    """What the manifest says of each image of a shard that is there already."""


class Advance(Protocol):
    """What is told of progress."""

    def __call__(self, count: int, *, kept: bool) -> None:
        """So many images more are done; `kept` if they were before."""


class Job(abc.ABC):
    """Images, and what becomes of them in a folder.

    Args:
        files: The images.
        folder: Where shards and manifest go.
        processor: What prepares the images.
        shard_size: Images of a shard; fewer where they need too much memory together.
    """

    command: str
    """Its name on the command line."""

    def __init__(self, files: Sequence[Path], folder: Path, processor: vlmres.Processor, shard_size: int) -> None:
        self.files, self.processor, self.shard_size = files, processor, shard_size
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
            "max_image_pixels": processor.max_image_pixels,
            "max_file_bytes": processor.max_file_bytes,
            "max_decoded_bytes": processor.max_decoded_bytes,
            "max_output_bytes": processor.max_output_bytes,
        }
        if not _is_known(processor.recipe):
            # Its name and parameters say nothing of what is in a file.
            content = processor.recipe.to_toml().encode()
            self.settings["recipe_sha256"] = hashlib.sha256(content).hexdigest()

    @abc.abstractmethod
    def make(
        self, wanted: Iterator[list[str | bytes | ImageFile]], advance: Advance
    ) -> Iterator[tuple[Mapping[str, NDArray[Any]], list[dict[str, Any]]]]:
        """For the files of each shard its arrays, and what the manifest says of each of its images beside its path.

        Args:
            wanted: Files by path, or bytes that are no image.
            advance: Called for images that are done, perhaps on another thread.
        """

    def tensor_bytes(self, plan: Plan) -> int:
        """Bytes of an image's tensors while its shard is made."""
        return value_bytes(plan, self.processor.layout, self.processor.dtype)

    def shard_bytes(self, plan: Plan) -> int:
        """Bytes of an image's tensors in its shard."""
        return value_bytes(plan, self.processor.layout, self.processor.dtype)

    def estimate(self) -> int | None:
        """About how many bytes all shards will have, from some of the images; None where none can be planned."""
        step = max(1, len(self.files) // _SAMPLED)
        found = [self.shard_bytes(image.plan) for path in self.files[::step] if (image := self._open(str(path)))]
        return round(sum(found) / len(found) * len(self.files)) if found else None

    @contextlib.contextmanager
    def opened(self, *, force: bool, tell: Callable[[str], None]) -> Iterator[None]:
        """The folder, for this run alone; `run` stands under it.

        Args:
            force: Remove other results.
            tell: Called with a message when there is something to wait for.

        Raises:
            OtherContentError: It holds other results, or other programs' files under the names of this one's.
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
        """Makes the shards that are not there yet, one at a time, then the manifest.

        Args:
            advance: Called for images that are done, perhaps on another thread.
        """
        done: list[Done] = []
        waiting: deque[_Wanted] = deque()

        def wanted() -> Iterator[list[str | bytes | ImageFile]]:
            for number, (inputs, opened) in enumerate(self._cut()):
                shard = self._look(number, inputs)
                waiting.append(shard)
                if shard.kept is None:
                    self._lock.begin(number)
                    yield [_NOTHING if path in shard.fatal else opened.get(path, path) for path in shard.paths]
                else:
                    advance(len(inputs), kept=True)

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
        """How the folder's results differ from those asked for; None where they do not, or there are none."""
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
        if images and images.isdisjoint(os.path.abspath(path) for path in self.files):  # noqa: PTH100
            return f"{len(images)} other images"
        manifest = self.folder.path / MANIFEST
        if manifest.exists() and not (manifest.is_file() and _starts(manifest, _MANIFEST_START)):
            return f"a {MANIFEST} that no run of vlmres wrote"
        return None

    def _cut(self) -> Iterator[tuple[list[shards.Input], dict[str, ImageFile]]]:
        """The inputs of every shard: up to `shard_size` images that fit into memory together. By path, those opened."""
        inputs: list[shards.Input] = []
        opened: dict[str, ImageFile] = {}
        total = tensors = 0
        most = self.processor.max_output_bytes or _MAX_BYTES
        for path in self.files:
            found = shards.Input.of(path)
            image = self._open(found.path)
            made = 0 if image is None else self.tensor_bytes(image.plan)
            cost = 0 if image is None else made + image.plan.size[0] * image.plan.size[1] * 3
            full = len(inputs) == self.shard_size or total + cost > _MAX_BYTES or tensors + made > most
            if inputs and full:
                yield inputs, opened
                inputs, opened, total, tensors = [], {}, 0, 0
            inputs.append(found)
            if image is not None:
                opened[found.path] = image
            total += cost
            tensors += made
        yield inputs, opened

    def _open(self, path: str) -> ImageFile | None:
        """The file, planned; None where something is wrong with it, which is reported when it is processed."""
        try:
            return ImageFile(path, self.processor.recipe, self.processor.limits, self.processor.loader.decoding)
        except (vlmres.VlmresError, OSError):
            return None

    def _look(self, number: int, inputs: list[shards.Input]) -> _Wanted:
        """A shard that is to be there, and what it says of its images if it is."""
        expected = shards.fingerprint(inputs, self.settings)
        found = None
        with contextlib.suppress(shards.ForeignError):  # put there since the run began: replaced
            found = shards.read_metadata(self.folder.path / shards.name(number))
        kept = found.images if found and found.fingerprint == expected else None
        paths = [item.path for item in inputs]
        died = kept is None and number in self._lock.unfinished
        return _Wanted(number, paths, fatal(paths, self.processor) if died else {}, expected, kept)

    def _write(self, shard: _Wanted, arrays: Mapping[str, NDArray[Any]], images: list[dict[str, Any]]) -> Done:
        images = [{"path": path, **image} for path, image in zip(shard.paths, images, strict=True)]
        for image in images:
            if image["path"] in shard.fatal:
                image["error"] = shard.fatal[image["path"]]
        # A manifest speaks for a finished folder only.
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
        # An image a line, for people and for grep.
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
    # The resolved arithmetic says more than the recipe's parameter of that name.
    flat_old["arithmetic"], flat_new["arithmetic"] = old.get("arithmetic"), new.get("arithmetic")
    changes = [
        f"{key[:80]} {json.dumps(flat_old.get(key))[:200]}, not {json.dumps(flat_new.get(key))[:200]}"
        for key in dict.fromkeys([*flat_new, *flat_old])
        if key != "params" and flat_old.get(key) != flat_new.get(key)
    ]
    return f"results with {'; '.join(changes[:3])}"


def _is_known(recipe: vlmres.Recipe) -> bool:
    """Whether its name and parameters make it, as those of a file's recipe do not."""
    try:
        return vlmres.Recipe.load(recipe.name, **recipe.params) == recipe
    except vlmres.RecipeError:
        return False
