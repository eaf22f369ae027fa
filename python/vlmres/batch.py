"""The tensors of a batch."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres.unique import Unique, Within, find_unique

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from vlmres._core import Plan
    from vlmres.videos import VideoInfo


class Batch(Mapping[str, Any]):
    """What a `Processor` made of a list of images or videos: arrays by key, each also an attribute.

    With `layout="hf"` the keys are the reference processor's, such as `pixel_values`. With `layout="packed"` they are
    `patches`, `cu_seqlens`, `grids`, `image_index` and `positions`, and for videos also `times`. A segment is a tile or
    an uncut view; in a video it is one patch along time.

    The arrays are numpy arrays, and torch tensors after `to()`. numpy has no bfloat16, so such values are uint16 arrays
    of their bits; `torch()` and `to()` give real bfloat16 tensors.
    """

    patches: Any
    """[N, patch_dim]: each patch in (row, column, channel) order, in a video in (frame, row, column, channel) order."""
    cu_seqlens: Any
    """int32 [segments + 1]: where segments start, and the end."""
    grids: Any
    """int32 [segments, 2]: rows and columns of patches."""
    image_index: Any
    """int32 [segments]: index in the call of the segment's image, or video."""
    positions: Any
    """int32 [N, 2]: row and column of each patch in its segment."""
    times: Any
    """int32 [segments], only for videos: the segment's index along time in its row of `Plan.grid_thw`."""

    def __init__(
        self,
        arrays: dict[str, Any],
        plans: list[Plan | None],
        errors: dict[int, Exception],
        *,
        values: frozenset[str],
        dtype: str,
        video_infos: list[VideoInfo | None] | None = None,
    ) -> None:
        self._arrays = arrays
        self._values = values
        self.plans = plans
        """The plan of every image of the call, then of every video; None for a bad one, see `errors`."""
        self.errors = errors
        """The errors of the images that were left out, by index in the call (only with `errors="return"`)."""
        self.dtype = dtype
        """Type of the pixel values."""
        self._items = list(range(len(plans)))  # which item of the call each plan is of: a document has several
        self.video_infos = video_infos or [None] * len(plans)
        """For every video: the frames used and their times if it was a file, else None."""

    def __getitem__(self, key: str) -> Any:
        try:
            return self._arrays[key]
        except KeyError:
            raise KeyError(f"{key!r}; this batch has {', '.join(self._arrays)}") from None

    def __getattr__(self, name: str) -> Any:
        # While an instance is being unpickled it has no arrays yet.
        arrays = self.__dict__.get("_arrays", {})
        if name in arrays:
            return arrays[name]
        layout = 'part of layout="packed"' if name in Batch.__annotations__ else "neither a key nor an attribute"
        raise AttributeError(f"{name} is {layout}; this batch has {', '.join(arrays)}", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__.get("_arrays", ()) or name in Batch.__annotations__:
            raise AttributeError(f"{name} cannot be set: a batch stays as it is; dict(batch) can be changed")
        super().__setattr__(name, value)

    def __dir__(self) -> Iterable[str]:
        return {*super().__dir__(), *self._arrays}

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        arrays = ", ".join(f"{key}: {tuple(array.shape)}" for key, array in self._arrays.items())
        videos = sum(plan is not None and plan.frames is not None for plan in self.plans)
        images = len(self.indices) - videos
        counts = [f"{count} {what}" for count, what in ((images, "images"), (videos, "videos")) if count]
        return f"Batch({' and '.join(counts) or '0 images'}, {self.dtype}, {arrays})"

    @property
    def indices(self) -> list[int]:
        """Which images of the call are in the tensors, in order."""
        return [index for index, plan in enumerate(self.plans) if plan is not None]

    @property
    def num_tokens(self) -> list[int]:
        """Tokens of each image in the tensors."""
        return [plan.num_tokens for plan in self.plans if plan is not None]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self._arrays.values())

    @property
    def max_seqlen(self) -> int:
        """Patches of the longest segment of a packed batch."""
        ends = self.cu_seqlens
        return int((ends[1:] - ends[:-1]).max())

    def unique(self, within: Within = "image") -> Unique:
        """Finds the cells (the patches of one token) that equal an earlier cell.

        White paper, margins and flat panels repeat (PixelPrune, arXiv:2604.00886, drops such cells before the encoder).
        Cells are compared byte by byte. An encoder gives other features for the kept cells alone than for all of them,
        because attention sees fewer neighbours: the model must have been trained for it.

        Args:
            within: Where to look for an earlier cell: in the cell's own "image", its "segment" (a tile or view), or the
                whole "batch".

        Raises:
            ValueError: The batch is not packed, or its arrays are tensors.
        """
        stride = next((plan.recipe.token_stride for plan in self.plans if plan is not None), 1)
        return find_unique(self._arrays, stride, within)

    def show(self, image: int = 0) -> Image:
        """A picture of what the encoder sees of an image: its views, put together from packed patches.

        Args:
            image: Index of the image in the call.

        Raises:
            ValueError: The batch is not packed, holds videos or tensors, or the image is not in it.
            ImportError: Pillow is not installed.
        """
        # Late and by name, because drawing stands above this module.
        picture: Image = importlib.import_module("vlmres.draw").draw_batch(self, image)
        return picture

    def _repr_html_(self) -> str:
        html: str = importlib.import_module("vlmres.notebook").batch_html(self)
        return html

    def verify(self, input_ids: Any, image_token_ids: int | Collection[int]) -> None:
        """Checks that the token ids hold as many image tokens as the plans. Videos beside images are not checked.

        Args:
            input_ids: Ids of one sequence or of a batch of them: an array, a tensor, or (nested) lists. Sequences in
                order hold the images of the call in order.
            image_token_ids: The ids that stand for images; they are counted together. If a family surrounds images with
                start and end tokens, as InternVL does, include these ids: `Plan.num_tokens` counts them too.

        Raises:
            ValueError: The counts differ. The message names the first image that differs, if the ids show which it is.
        """
        plans = {index: plan for index, plan in enumerate(self.plans) if plan is not None}
        if any(plan.frames is None for plan in plans.values()):
            plans = {index: plan for index, plan in plans.items() if plan.frames is None}
        wanted = {index: plan.num_tokens for index, plan in plans.items()}
        runs = _runs(input_ids, image_token_ids)
        if len(runs) == len(wanted):
            for (index, tokens), found in zip(wanted.items(), runs, strict=True):
                if tokens != found:
                    raise ValueError(f"image {index}: its plan has {tokens} tokens, input_ids have {found}")
        elif sum(runs) != sum(wanted.values()):
            raise ValueError(
                f"the plans of {len(wanted)} images have {sum(wanted.values())} tokens, "
                f"input_ids have {sum(runs)} in {len(runs)} places"
            )

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """A new batch of torch tensors on `device`, with the same plans and errors; this one stays as it is.

        Args:
            device: Where to. On the CPU the tensors share memory with this batch's arrays.
            non_blocking: Passed to `Tensor.to`; needs pinned memory to matter.

        Raises:
            ImportError: torch is not installed.
        """
        tensors = self.torch(device, non_blocking=non_blocking)
        return Batch(
            tensors, self.plans, self.errors, values=self._values, dtype=self.dtype, video_infos=self.video_infos
        )

    def torch(self, device: torch.device | str | None = None, *, non_blocking: bool = False) -> dict[str, torch.Tensor]:
        """The arrays as torch tensors: views of the same memory on the CPU, copies on another device.

        Args:
            device: Where to; by default they stay.
            non_blocking: Passed to `Tensor.to`; needs pinned memory to matter.

        Raises:
            ImportError: torch is not installed.
        """
        import torch

        def convert(key: str, array: Any) -> torch.Tensor:
            if isinstance(array, torch.Tensor):
                tensor = array
            elif key in self._values and self.dtype == "bfloat16":
                tensor = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
            else:
                tensor = torch.from_numpy(array)
            return tensor if device is None else tensor.to(device, non_blocking=non_blocking)

        return {key: convert(key, array) for key, array in self._arrays.items()}

    def pin_memory(self) -> Batch:
        """A new batch of torch tensors in page-locked memory; a DataLoader with `pin_memory=True` asks for it.

        Raises:
            ImportError: torch is not installed.
        """
        tensors = {key: tensor.pin_memory() for key, tensor in self.torch().items()}
        return Batch(
            tensors, self.plans, self.errors, values=self._values, dtype=self.dtype, video_infos=self.video_infos
        )


def beside(images: Batch, videos: Batch) -> Batch:
    """One batch of the images and the videos of a call.

    Raises:
        ValueError: Both have an array of the same key: the reference takes images or videos, not both.
    """
    if shared := [key for key in images if key in videos]:
        raise ValueError(f"this recipe takes images and videos in separate calls: both have the key {shared[0]!r}")
    first = len(images.plans)
    return Batch(
        {**images, **videos},
        images.plans + videos.plans,
        images.errors | {first + index: error for index, error in videos.errors.items()},
        values=images._values | videos._values,
        dtype=images.dtype,
        video_infos=images.video_infos + videos.video_infos,
    )


def _runs(input_ids: Any, image_token_ids: int | Collection[int]) -> list[int]:
    """Lengths of the runs of image tokens in one sequence or several, in order."""
    ids = [image_token_ids] if isinstance(image_token_ids, int) else list(image_token_ids)
    nested = isinstance(input_ids, (list, tuple)) and any(np.ndim(sequence) for sequence in input_ids)
    sequences = input_ids if nested or np.ndim(input_ids) == 2 else [input_ids]
    runs: list[int] = []
    for sequence in sequences:
        is_image = np.concatenate([[False], np.isin(np.asarray(sequence), ids), [False]])
        edges = np.flatnonzero(is_image[1:] != is_image[:-1])
        runs.extend(np.diff(edges)[::2].tolist())
    return runs
