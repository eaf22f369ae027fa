"""`VisionEncoder`: from images to tokens."""

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
"""Most patches of one forward pass, unless a single image or part of a video has more."""


class VisionEncoder:
    """A vision encoder and its language model's projector, on packed batches of any strategy.

    Args:
        model: The `VisionModel`, on its device; or a module that wraps it, as made by `torch.compile` or PEFT.
        recipe: The recipe of its images, or its name; only `encode` and `stream` need it.
        max_patches: Most patches of one forward pass. Larger batches are split between images, and videos between
            patches along time that do not attend to each other.
        graphs: Sequence lengths for which the blocks are captured as CUDA graphs; see `GraphRunner`.

    Create one with `VisionEncoder.from_pretrained`, or with `from_config` to train one.
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
        """Loads the encoder of a checkpoint.

        Args:
            directory: A checkpoint in transformers' format, or one of the authors' that `docs/encoder.md` lists:
                `config.json` and safetensors files, of a whole model or of its vision tower. Only the encoder's tensors
                are read.
            device: The device; by default the current CUDA device, or the CPU if there is none.
            dtype: Type of weights and tokens, or its name; by default, and with "auto", that of `config.json`.
            recipe: The recipe of its images; by default that of the checkpoint's processor configuration.
            fold: Whether normalisation is part of the weights, and patches are uint8.
            max_patches: As of the class.
            graphs: As of the class.

        Raises:
            CheckpointError: It is not a checkpoint of a known encoder, or its tensors do not fit its configuration.
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
            # safetensors takes "cuda" for the first device.
            device = torch.device("cuda", torch.cuda.current_device())
        # Tensors that are created in inference mode could never be trained.
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
        """An encoder with random weights for training: in training mode, with gradients.

        Args:
            config: The configuration, from `load_config` or your own.
            device: Where to.
            dtype: Of weights and tokens, or its name.
            recipe: How images are preprocessed.
            fold: Whether normalisation is part of the weights, so that patches are uint8. Adam and similar optimisers
                do not work well with such weights of the patch embedding.
            seed: Seed of the weights. By default torch's random state is used; with a seed it is not changed.
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
        """The model. It can be set, to the same model compiled or wrapped, or to another one.

        Its type is that of the model, also if it is wrapped.
        """
        return cast("VisionModel", self._executor.model)

    @model.setter
    def model(self, model: torch.nn.Module) -> None:
        self._executor = Executor(model, self._graphs, self.max_patches)

    @property
    def max_patches(self) -> int:
        """Most patches of one forward pass, unless a single image or part of a video has more. It can be set."""
        return self._executor.max_patches

    @max_patches.setter
    def max_patches(self, max_patches: int) -> None:
        self._executor.max_patches = max_patches

    def forward(self, patches: torch.Tensor, layout: Layout) -> Tokens:
        """Patches and a layout on the device to tokens: the model, or its graphs."""
        return self._executor.forward(patches, layout)

    @property
    def config(self) -> EncoderConfig:
        """The model's configuration."""
        return self._executor.vision.config

    @property
    def device(self) -> torch.device:
        """The model's device."""
        return self._executor.vision.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of weights and tokens."""
        return self._executor.vision.dtype

    @property
    def input_dtype(self) -> DType:
        """The `dtype` that a processor's batches must have."""
        return self._executor.input_dtype

    def __repr__(self) -> str:
        return f"VisionEncoder({self.config.name}, {self.dtype}, {self.device})"

    def __call__(self, batch: Batch, *, grad: bool = False) -> EncoderOutput:
        """Encodes the images or videos of a batch.

        Args:
            batch: A batch of `Processor(recipe, layout="packed", dtype="uint8")`; of float32 for an encoder with
                `fold=False`.
            grad: Whether to record gradients, as torch's mode and the parameters' `requires_grad` allow. Then CUDA
                graphs are not used, and a batch that does not fit into memory is not split further.

        Raises:
            TypeError: It is not a batch, or its values are of another type.
            ValueError: The batch is not packed, or was made for another encoder.
        """
        return self.run(self.prepare(batch), grad=grad)

    def check_recipe(self, recipe: Recipe) -> None:
        """Refuses a recipe whose batches do not fit this encoder. Calls check this themselves.

        Warns if learned positions are resampled although the family does not do so.

        Raises:
            ValueError: The recipe has other patches or another normalisation, or its language model receives other
                tokens.
        """
        self._executor.check_recipe(recipe)

    def prepare(self, batch: Batch) -> list[Chunk]:
        """The host's part of encoding a batch: splits it into chunks and computes all that does not need the device.

        Raises:
            TypeError: As of a call.
            ValueError: As of a call.
        """
        return self._executor.prepare(batch)

    def run(self, chunks: Sequence[Chunk], patches: torch.Tensor | None = None, *, grad: bool = False) -> EncoderOutput:
        """The tokens of what `prepare` gave.

        Args:
            chunks: The result of `prepare`.
            patches: The patches of all chunks, if they are on the device already.
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
        """Encodes images or videos. Preprocessing, copies and the encoder overlap.

        Args:
            images: One image or a list of images, as a `Processor` takes them.
            videos: One video or a list of videos, as a `Processor` takes them, in place of images.
            progress: Called with the number of images or videos of each group, once its work is queued on the device;
                for example `tqdm(total=len(images)).update`.
            **settings: `num_threads`, `arithmetic`, `decode` and limits such as `max_image_pixels`, as of `Processor`.

        Raises:
            VlmresError: An image or video cannot be used; the message starts with its index.
            OSError: A file cannot be read.
            TypeError: There are both images and videos, or neither, or there is no such setting.
            ValueError: The list is empty, or the encoder has no recipe, or the recipe does not fit it.
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
        """As `encode`, but yields each group as soon as it is done, with the errors of its bad images.

        A group has at most a fourth of the call's patches or 4096, whichever is more, but never more than
        `max_patches`.
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
        """As `stream`, for several lists one after another. A group never spans lists.

        Args:
            lists: Lists of images or videos. The next list is requested on another thread, while the last one is
                encoded.
            kind: Whether the lists hold images or videos.
            settings: As of `encode`.
        """
        if self.recipe is None:
            raise ValueError("the checkpoint has no known image processor: give VisionEncoder a recipe")
        # A processor would take them for parameters of the recipe, which the encoder fixes.
        unknown = settings.keys() - Preprocessing.__annotations__.keys()
        if unknown:
            known = ", ".join(Preprocessing.__annotations__)
            raise TypeError(f"{min(unknown)!r} is no setting of preprocessing; it has {known}")
        self.check_recipe(self.recipe)
        Processor(self.recipe, "packed", self.input_dtype, **settings)  # refuses wrong values
        return encode_groups(self._executor, self.recipe, lists, kind, settings, self._spare)

    def trim(self) -> None:
        """Releases the preprocessing memory that is kept for the next call of `encode` or `stream`."""
        self._spare.drop()
