"""Images to tokens: the encoder as its users call it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from vlmres._core import Recipe
from vlmres.batch import Batch
from vlmres.encoder.checkpoint import read_recipe
from vlmres.encoder.config import EncoderConfig
from vlmres.encoder.devices import check_device
from vlmres.encoder.fit import check_recipe
from vlmres.encoder.lanes import Kind, Preprocessing, SpareLanes
from vlmres.encoder.layout import Layout
from vlmres.encoder.model import Tokens, VisionModel
from vlmres.encoder.parts import EncoderOutput, Part
from vlmres.encoder.runner import Runner
from vlmres.encoder.stream import EncodedGroup, encode_groups
from vlmres.encoder.weights import as_dtype, load_model
from vlmres.inputs import as_list
from vlmres.processor import Processor, with_index
from vlmres.videos import as_videos

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    from typing_extensions import Unpack

    from vlmres.processor import DType

log = logging.getLogger("vlmres.encoder")

MAX_PATCHES = 65536
"""Patches of one run through the model, unless one image, or one part of a video, has more."""


class VisionEncoder:
    """A vision encoder and its language model's projector, on packed batches of any strategy.

    Args:
        model: The `VisionModel`, on its device, or what stands for it: a module around it, as `torch.compile` and PEFT
            make.
        recipe: How its images are preprocessed, or the name of that; needed by `encode` alone.
        max_patches: Patches of one run through the model; larger batches are cut between images, and videos between
            patches along time that do not see each other.
        graphs: Sequence lengths for which the blocks are captured as CUDA graphs; see `GraphRunner`.

    Make one with `VisionEncoder.from_pretrained`.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        recipe: Recipe | str | None = None,
        *,
        max_patches: int = MAX_PATCHES,
        graphs: Sequence[int] = (),
    ) -> None:
        if max_patches < 1:
            raise ValueError(f"max_patches must be at least 1, got {max_patches}")
        self.recipe = Recipe.load(recipe) if isinstance(recipe, str) else recipe
        self.max_patches = max_patches
        self._graphs = tuple(graphs)
        self._checked: set[Recipe] = set()
        self.lanes = SpareLanes()
        """What `encode` and `stream` need beside the model, kept for their next call."""
        self.model = model

    @classmethod
    def from_pretrained(
        cls,
        directory: str | os.PathLike[str],
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
        *,
        recipe: Recipe | str | None = None,
        fold: bool = True,
        max_patches: int = MAX_PATCHES,
        graphs: Sequence[int] = (),
    ) -> VisionEncoder:
        """The encoder of a checkpoint.

        Args:
            directory: A checkpoint in transformers' format, or one of the authors' that `docs/encoder.md` lists:
                `config.json` and safetensors files, of a whole model or of its vision tower. Only the encoder's tensors
                are read.
            device: Where to; by default the current CUDA device, or the CPU where there is none.
            dtype: Of weights and tokens, or its name; by default, and for "auto", that of `config.json`.
            recipe: How images are preprocessed; by default as the checkpoint's processor configuration says.
            fold: Whether normalisation is part of the weights, and patches are uint8.
            max_patches: As of the class.
            graphs: As of the class.

        Raises:
            CheckpointError: It is no checkpoint of a known encoder, or its tensors do not fit its configuration.
            TypeError: `dtype` is no floating-point type.
            ValueError: `device` is neither a CPU nor CUDA.
        """
        path = Path(directory)
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
            if device == "cpu":
                log.warning("no CUDA device: the encoder runs on the CPU")
        device = torch.device(device)
        check_device(device)
        if device == torch.device("cuda"):
            # Readers of files take "cuda" for the first device.
            device = torch.device("cuda", torch.cuda.current_device())
        # In inference mode they would be tensors that can never be trained.
        with torch.inference_mode(False):
            model = load_model(path, device, as_dtype(dtype), fold=fold)
        return cls(model, recipe or read_recipe(path), max_patches=max_patches, graphs=graphs)

    @property
    def model(self) -> VisionModel:
        """What makes tokens of patches; may be set, to the same model compiled or wrapped, or to another.

        Typed as what it stands for.
        """
        return cast("VisionModel", self._runner.model)

    @model.setter
    def model(self, model: torch.nn.Module) -> None:
        self._runner = Runner(model, self._graphs)
        self._checked.clear()

    def forward(self, patches: torch.Tensor, layout: Layout) -> Tokens:
        """Patches and a layout on the device to tokens: the model, or its graphs."""
        return self._runner.forward(patches, layout)

    @property
    def config(self) -> EncoderConfig:
        """What the model is made of."""
        return self._runner.vision.config

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self._runner.vision.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of weights and tokens."""
        return self._runner.vision.dtype

    @property
    def input_dtype(self) -> DType:
        """The `dtype` of the processor whose batches it takes."""
        return "uint8" if self._runner.vision.patch_embed.fold else "float32"

    def __repr__(self) -> str:
        return f"VisionEncoder({self.config.name}, {self.dtype}, {self.device})"

    def __call__(self, batch: Batch, *, grad: bool = False) -> EncoderOutput:
        """The tokens of a batch's images or videos.

        Args:
            batch: Of `Processor(recipe, layout="packed", dtype="uint8")`; float32 for an encoder with `fold=False`.
            grad: Whether gradients of the model may be asked for, where torch's mode and the parameters'
                `requires_grad` say so. Then no graphs are replayed, and what does not fit the memory is not halved.

        Raises:
            TypeError: It is no batch, or its values are of another type.
            ValueError: The batch is not packed, or was made for another encoder.
        """
        return self.run(self.prepare(batch), grad=grad)

    def check_recipe(self, recipe: Recipe) -> None:
        """Refuses a recipe whose batches are not for this encoder; calls do so by themselves.

        Warns where learned positions are resampled whose family does not.

        Raises:
            ValueError: It has other patches or another normalisation, or its model receives other tokens of an image.
        """
        if recipe not in self._checked:
            check_recipe(self.config, recipe, fold=self._runner.vision.patch_embed.fold)
            self._checked.add(recipe)

    def prepare(self, batch: Batch) -> list[Part]:
        """What of a batch goes through the model at once, with all that can be computed before: the host's share.

        Raises:
            TypeError: As of a call.
            ValueError: As of a call.
        """
        _check_packed(batch, self.input_dtype)
        plan = next((plan for plan in batch.plans if plan is not None), None)
        if plan is None:
            raise ValueError("the batch has no images")
        self.check_recipe(plan.recipe)
        joins = self.config.towers[0].clip_frames is not None
        parts = Part.of(batch, joins=joins).cut(self.max_patches)
        for part in parts:
            part.layout = self._runner.layout(part)
        return parts

    def run(self, parts: Sequence[Part], patches: torch.Tensor | None = None, *, grad: bool = False) -> EncoderOutput:
        """The tokens of what `prepare` gave.

        Args:
            parts: What `prepare` gave.
            patches: Those of all parts, where they are on the device already.
            grad: As of a call.
        """
        outputs, start = [], 0
        for part in parts:
            end = start + len(part.patches)
            placed = part if patches is None else replace(part, patches=patches[start:end])
            outputs += [self._runner.run_with_gradients(placed)] if grad else self._runner.run(placed)
            start = end
        return EncoderOutput.join(outputs).joined([image.ends for part in parts for image in part.images])

    def encode(
        self,
        images: Any = None,
        *,
        videos: Any = None,
        progress: Callable[[int], object] | None = None,
        **settings: Unpack[Preprocessing],
    ) -> EncoderOutput:
        """The tokens of images or videos: preprocessing, copies and the encoder overlap.

        Args:
            images: One image or a list of them, as a `Processor` takes them.
            videos: In place of images: one video or a list of them, as a `Processor` takes them.
            progress: Called with the number of images or videos of each group, once it is on the device's way; such as
                `tqdm(total=len(images)).update`.
            **settings: `num_threads`, `arithmetic`, `decode` and limits such as `max_image_pixels`, as of `Processor`.

        Raises:
            VlmresError: An image or video cannot be used; the message starts with its index.
            OSError: A file cannot be read.
            TypeError: There are both images and videos, or neither, or a setting is none.
            ValueError: The list is empty, or the encoder has no recipe, or one that does not fit it.
        """
        outputs = []
        for group in self.stream(images, videos=videos, **settings):
            for index, error in group.errors.items():
                raise with_index(error, index, "image" if videos is None else "video") from error
            if group.output is not None:
                outputs.append(group.output)
            if progress is not None:
                progress(group.count)
        return EncoderOutput.join(outputs)

    def stream(
        self, images: Any = None, *, videos: Any = None, **settings: Unpack[Preprocessing]
    ) -> Iterator[EncodedGroup]:
        """As `encode`, group by group, as soon as each is done; bad images are reported beside the others.

        A group has at most a fourth of the call's patches, or 4096, and never more than `max_patches`.
        """
        if (images is None) == (videos is None):
            raise TypeError("pass images or videos")
        kind: Kind = "images" if videos is None else "videos"
        items = as_list(images)[0] if videos is None else as_videos(videos)
        if not items:
            raise ValueError(f"{kind} is empty")
        if self.recipe is None:
            raise ValueError("the checkpoint has no known image processor: give VisionEncoder a recipe")
        # A processor would take them for parameters of the recipe, which is the encoder's.
        unknown = settings.keys() - Preprocessing.__annotations__.keys()
        if unknown:
            known = ", ".join(Preprocessing.__annotations__)
            raise TypeError(f"{min(unknown)!r} is no setting of preprocessing; it has {known}")
        self.check_recipe(self.recipe)
        Processor(self.recipe, "packed", self.input_dtype, **settings)  # refuses wrong values
        return encode_groups(self, [items], kind, settings)

    def trim(self) -> None:
        """Gives back the memory of preprocessing that is kept for the next call of `encode` or `stream`."""
        self.lanes.drop()


def _check_packed(batch: object, dtype: str) -> None:
    wanted = f'Processor(recipe, layout="packed", dtype="{dtype}")'
    if not isinstance(batch, Batch):
        got = type(batch).__qualname__
        raise TypeError(f"the encoder takes a batch of {wanted}, got {got}; images and videos go to encode")
    if batch and "patches" not in batch:
        raise ValueError(f"the encoder takes a batch of {wanted}, this one has {', '.join(batch)}")
