"""One image as the compiled part takes it, by a recipe's colour rule and a caller's settings."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlmres._core import Deferred, ImageFile, Source, VlmresError
from vlmres.documents import Page
from vlmres.inputs import decoders, handles
from vlmres.inputs.arrays import DataFormat, check_pixels, on_cpu, refuse_foreign
from vlmres.inputs.errors import kind, shown
from vlmres.inputs.pil import READ_IN_PLACE, has_transparency, on_white, pil_source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlmres.inputs.decoders import Decoder

# Pixels of a file's image, bytes of a file, bytes of decoding, bytes of a call's outputs; None for the default.
Limits = tuple[int | None, int | None, int | None, int | None]

Convert = Literal["white", "drop", "none"]

Loaded = Source | ImageFile | Deferred | bytes | str


@dataclass(frozen=True)
class Loader:
    """Reads images.

    Args:
        convert: The recipe's colour rule.
        decoder: Who decodes files.
        limits: The most that files may have and take.
    """

    convert: str = "white"
    decoder: Decoder = "auto"
    limits: Limits = (None, None, None, None)

    def __post_init__(self) -> None:
        decoders.check(self.decoder)

    @property
    def decoding(self) -> tuple[decoders.PillowDecoder, bool] | None:
        """Who decodes beside the compiled part."""
        return decoders.given(self.decoder, self.limits[0])

    def load(self, image: Any, data_format: DataFormat | None = None) -> Loaded:
        """The image as the compiled part takes it: pixels that are borrowed, bytes of a file, or a path.

        Raises:
            VlmresError: It cannot be used.
            TypeError: It is nothing that holds an image.
        """
        if isinstance(image, (ImageFile, Deferred, Source)):
            return image
        if isinstance(image, Page):
            return Deferred(image.size, lambda: Source.from_array(image.draw(), False, False))
        pil = sys.modules.get("PIL.Image")
        if pil is not None and isinstance(image, pil.Image):
            return self._from_pil(image, pil)
        image = on_cpu(image)
        encoded = handles.encoded(image, self.limits[1])
        if isinstance(encoded, handles.Address):
            raise VlmresError(f"vlmres reads local files, got the address {shown(encoded)}")
        if encoded is not None:
            return encoded
        if isinstance(image, np.ndarray):
            return self._from_array(image, data_format)
        refuse_foreign(image)
        raise TypeError(
            f"an image is a PIL image, numpy array, torch tensor, path, bytes or an open file, got {kind(image)}"
        )

    def source(self, image: Any, data_format: DataFormat | None = None) -> Source:
        """As `load`, decoded where it is encoded."""
        loaded = self.load(image, data_format)
        if isinstance(loaded, (ImageFile, Deferred)):
            raise TypeError(f"{kind(image)} is for a Processor")
        return loaded if isinstance(loaded, Source) else Source.decode(loaded, self.limits, self.decoding)

    def _from_pil(self, image: Any, pil: Any) -> Source:
        if self.convert == "none":
            if image.mode != "RGB":
                raise self._not_rgb(f"a PIL image of mode {image.mode}")
        elif self.convert == "white" and has_transparency(image):
            image = on_white(image, pil)
        elif image.mode not in READ_IN_PLACE:
            image = image.convert("RGB")
        return pil_source(image)

    def _from_array(self, array: NDArray[Any], data_format: DataFormat | None) -> Source:
        channels, is_first = check_pixels(array, data_format)
        if self.convert == "none" and channels != 3:
            raise self._not_rgb(f"{channels} channels in shape {array.shape}")
        return Source.from_array(array, is_first, self.convert == "white")

    @staticmethod
    def _not_rgb(got: str) -> VlmresError:
        return VlmresError(
            f"the recipe takes RGB images, as its reference does; got {got}. "
            'Convert it first, or load the recipe with convert="white"'
        )
