"""How a call groups images into samples, and the small images on which settings are tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.transformers.kinds import SIZES, WHOLE_SIZES, Kind, pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

# How the small images form samples: lists of different lengths show the padding, and a sample of several images whether
# the number matters.
_NESTED = ((0, 1, 2), (3,))
_COUNTED = ((0,), (1,), (2,), (3,), (2, 3))


@dataclass(frozen=True)
class Form:
    """The form in which a call passes images; a route is tried for each form."""

    nested: bool = False
    """Nested lists, with the images of each sample."""
    counted: bool = False
    """One flat list, and the number of images of each sample as another argument."""
    starts_empty: bool = False
    """The first sample has no image. Classes may copy from the next sample, or fail."""
    has_empty: bool = False
    """A sample between others has no image."""
    ends_empty: bool = False
    """The last sample has no image. Classes may omit it from some of their outputs."""
    whole: bool = False
    """Images are not resized: their sides are whole merged patches."""

    def trial(self, kinds: Sequence[Kind]) -> Call:
        """A call of this form with small images of each kind; at most four kinds."""
        images = [pictures(kind, WHOLE_SIZES if self.whole else SIZES) for kind in kinds]
        mixed = [images[index % len(kinds)][index] for index in range(len(SIZES))]
        if not self.nested and not self.counted:
            return Call(self, mixed, None)
        groups = _NESTED if self.nested else _COUNTED
        counts = [len(group) for group in groups]
        counts = [0] * self.starts_empty + counts[:1] + [0] * self.has_empty + counts[1:] + [0] * self.ends_empty
        return Call(self, [mixed[index] for group in groups for index in group], counts)


@dataclass(frozen=True)
class Call:
    """The images of a call."""

    form: Form
    images: list[Any]
    """The images in order, without nesting."""
    counts: Sequence[int] | None
    """Number of images of each sample; None if the class has no samples."""

    @staticmethod
    def of(images: Any, args: tuple[Any, ...], *, whole: bool = False) -> Call:
        """The call of a class whose method gets `images`, flat or nested, and further arguments.

        `whole` says that images are not resized.

        Raises:
            DeclinedError: Its arguments are not understood.
        """
        if len(images) and isinstance(images[0], (list, tuple)) and not args:
            counts = [len(sample) for sample in images]
            form = Form(
                nested=True,
                starts_empty=counts[0] == 0,
                has_empty=0 in _stripped(counts),
                ends_empty=counts[-1] == 0,
                whole=whole,
            )
            return Call(form, [image for sample in images for image in sample], counts)
        if not args:
            return Call(Form(whole=whole), list(images), None)
        counts = args[0] if len(args) == 1 and isinstance(args[0], list) else []
        if not all(type(count) is int and count > 0 for count in counts) or sum(counts) != len(images):
            raise DeclinedError("arguments", f"positional arguments {args!r}")
        return Call(Form(counted=True, whole=whole), list(images), counts)

    @property
    def whole(self) -> bool:
        """Whether images are not resized."""
        return self.form.whole

    @property
    def samples(self) -> list[Any]:
        """The images in a list for each sample; or in one list if the class has no samples."""
        if self.counts is None:
            return self.images
        left = iter(self.images)
        return [[next(left) for _ in range(count)] for count in self.counts]

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The call's positional arguments."""
        return (self.images, list(self.counts)) if self.form.counted and self.counts is not None else (self.samples,)


def _stripped(counts: list[int]) -> list[int]:
    """The call without empty samples at either end."""
    filled = [index for index, count in enumerate(counts) if count]
    return counts[filled[0] : filled[-1]] if filled else []
