"""Images to tokens: the encoder as its users call it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from vlmres._core import Recipe
from vlmres.encoder.checkpoint.config import read_recipe
from vlmres.encoder.checkpoint.load import as_dtype, load_model
from vlmres.encoder.devices import check_device
from vlmres.encoder.nn.model import VisionModel
from vlmres.encoder.runtime.double_buffer import SpareBuffer
from vlmres.encoder.runtime.executor import Executor
from vlmres.encoder.runtime.output import EncoderOutput
from vlmres.encoder.runtime.settings import Preprocessing
from vlmres.encoder.runtime.stream import encode_groups
from vlmres.inputs import as_list
from vlmres.item_errors import with_index
from vlmres.processor import Processor
from vlmres.videos import as_videos

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from typing_extensions import Unpack

    from vlmres.batch import Batch
    from vlmres.encoder.config import EncoderConfig
    from vlmres.encoder.layout.batch import Layout
    from vlmres.encoder.nn.model import Tokens
    from vlmres.encoder.runtime.chunks import Chunk
    from vlmres.encoder.runtime.settings import Kind
    from vlmres.encoder.runtime.stream import EncodedGroup
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

    Make one with `VisionEncoder.from_pretrained`, or `from_config` for one to train.
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
        self._graphs = tuple(graphs)
        self._spare = SpareBuffer()
        self._executor = Executor(model, self._graphs, max_patches)

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

    @classmethod
    def from_config(
        cls,
        config: EncoderConfig,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | str = torch.float32,
        *,
        recipe: Recipe | str | None = None,
        fold: bool = False,
        seed: int | None = None,
        max_patches: int = MAX_PATCHES,
        graphs: Sequence[int] = (),
    ) -> VisionEncoder:
        """An encoder with random weights, to be trained: in training mode, with gradients.

        Args:
            config: What it is made of: of `load_config`, or one's own.
            device: Where to.
            dtype: Of weights and tokens, or its name.
            recipe: How images are preprocessed.
            fold: Whether normalisation is part of the weights, and patches are uint8. Such weights of the patch
                embedding are not for an optimiser of Adam's kind.
            seed: What the weights follow from; by default torch's state, which is left alone otherwise.
            max_patches: As of the class.
            graphs: As of the class.

        Raises:
            TypeError: `dtype` is no floating-point type.
            ValueError: `device` is neither a CPU nor CUDA.
        """
        device = torch.device(device)
        check_device(device)
        with torch.inference_mode(False), torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            model = VisionModel(config, fold=fold)
            model.patch_embed.reset()
        model = model.to(device, as_dtype(dtype) or torch.float32).train()
        return cls(model, recipe, max_patches=max_patches, graphs=graphs)

    @property
    def model(self) -> VisionModel:
        """What makes tokens of patches; may be set, to the same model compiled or wrapped, or to another.

        Typed as what it stands for.
        """
        return cast("VisionModel", self._executor.model)

    @model.setter
    def model(self, model: torch.nn.Module) -> None:
        self._executor = Executor(model, self._graphs, self.max_patches)

    @property
    def max_patches(self) -> int:
        """Patches of one run through the model, unless one image, or one part of a video, has more; may be set."""
        return self._executor.max_patches

    @max_patches.setter
    def max_patches(self, max_patches: int) -> None:
        self._executor.max_patches = max_patches

    def forward(self, patches: torch.Tensor, layout: Layout) -> Tokens:
        """Patches and a layout on the device to tokens: the model, or its graphs."""
        return self._executor.forward(patches, layout)

    @property
    def config(self) -> EncoderConfig:
        """What the model is made of."""
        return self._executor.vision.config

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self._executor.vision.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of weights and tokens."""
        return self._executor.vision.dtype

    @property
    def input_dtype(self) -> DType:
        """The `dtype` of the processor whose batches it takes."""
        return self._executor.input_dtype

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
        self._executor.check_recipe(recipe)

    def prepare(self, batch: Batch) -> list[Chunk]:
        """What of a batch goes through the model at once, with all that can be computed before: the host's share.

        Raises:
            TypeError: As of a call.
            ValueError: As of a call.
        """
        return self._executor.prepare(batch)

    def run(self, chunks: Sequence[Chunk], patches: torch.Tensor | None = None, *, grad: bool = False) -> EncoderOutput:
        """The tokens of what `prepare` gave.

        Args:
            chunks: What `prepare` gave.
            patches: Those of all chunks, where they are on the device already.
            grad: As of a call.
        """
        return self._executor.run(chunks, patches, grad=grad)

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
        return self.stream_lists([items], kind, settings)

    def stream_lists(
        self, lists: Iterable[Sequence[Any]], kind: Kind, settings: Preprocessing
    ) -> Iterator[EncodedGroup]:
        """As `stream`, of list after list; a group is of one list.

        Args:
            lists: Lists of images or videos. The next is asked for while the last is encoded, on another thread.
            kind: Which.
            settings: As of `encode`.
        """
        if self.recipe is None:
            raise ValueError("the checkpoint has no known image processor: give VisionEncoder a recipe")
        # A processor would take them for parameters of the recipe, which is the encoder's.
        unknown = settings.keys() - Preprocessing.__annotations__.keys()
        if unknown:
            known = ", ".join(Preprocessing.__annotations__)
            raise TypeError(f"{min(unknown)!r} is no setting of preprocessing; it has {known}")
        self.check_recipe(self.recipe)
        Processor(self.recipe, "packed", self.input_dtype, **settings)  # refuses wrong values
        return encode_groups(self._executor, self.recipe, lists, kind, settings, self._spare)

    def trim(self) -> None:
        """Gives back the memory of preprocessing that is kept for the next call of `encode` or `stream`."""
        self._spare.drop()
