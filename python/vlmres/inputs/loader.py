"""One image as the compiled part takes it, after a recipe's colour rule and the caller's settings."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from vlmres._core import Deferred, ImageFile, Source, VlmresError, image_size
from vlmres._imported import imported
from vlmres.inputs import handles
from vlmres.inputs.addresses import Fetch, named
from vlmres.inputs.alpha import Alpha, Gray16, Hidden, Rules, refuse_transparent, rules
from vlmres.inputs.arrays import DataFormat, check_pixels, on_cpu, refuse_foreign
from vlmres.inputs.decoders import Decoder, PillowDecoder
from vlmres.inputs.drawn import Drawn
from vlmres.inputs.errors import kind
from vlmres.inputs.pil import READ_IN_PLACE, opaque, pil_source, scaled_gray

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Pixels of a file's image, bytes of a file, bytes of decoding, bytes of a call's outputs; None for the default.
Limits = tuple[int | None, int | None, int | None, int | None]

Convert = Literal["white", "drop", "none"]

Loaded = Source | ImageFile | Deferred | bytes | str


@dataclass(frozen=True)
class Loader:
    """Reads images.

    Args:
        convert: The recipe's colour rule.
        decoder: Which decoder reads files.
        limits: Limits of files, of decoding and of outputs.
        alpha: How transparency is converted.
        gray16: How 16-bit gray is converted.
        key: Whether a colour that a file declares transparent becomes white.
        fetch: Limits of fetching from the web; None to refuse addresses.
        hidden: Warns of transparency that is dropped.
    """

    convert: str = "white"
    decoder: Decoder = "auto"
    limits: Limits = (None, None, None, None)
    alpha: Alpha = "reference"
    gray16: Gray16 = "clip"
    key: bool = False
    fetch: Fetch | None = None
    hidden: Hidden = field(default_factory=lambda: Hidden(watching=False))

    def __post_init__(self) -> None:
        for name, value, names in (
            ("decoder", self.decoder, Decoder),
            ("alpha", self.alpha, Alpha),
            ("gray16", self.gray16, Gray16),
        ):
            if value not in get_args(names):
                raise ValueError(f"{name} must be one of {', '.join(get_args(names))}, got {value!r}")
        if self.decoder == "native" and (self.alpha in ("white", "reject") or self.gray16 == "scale"):
            what = 'gray16="scale"' if self.gray16 == "scale" else f'alpha="{self.alpha}"'
            raise ValueError(f'{what} needs Pillow for the files that it concerns, which decoder="native" excludes')

    @property
    def rules(self) -> Rules:
        """How transparency is converted."""
        return rules(self.alpha, self.convert)

    @functools.cached_property
    def decoding(self) -> tuple[PillowDecoder, Literal["rest", "transparent", "all"]] | None:
        """Pillow as a decoder, and which files it reads; None if only the compiled part may."""
        if self.decoder == "native":
            return None
        rule = self.rules.files
        asked = rule != "drop" or self.gray16 == "scale"
        pillow = PillowDecoder(rule, self.key and rule == "drop", self.gray16, self.hidden, self.limits[0])
        return pillow, "all" if self.decoder == "pillow" else "transparent" if asked else "rest"

    def load(self, image: Any, data_format: DataFormat | None = None) -> Loaded:
        """The image as the compiled part takes it: borrowed pixels, bytes of a file, or a path.

        Raises:
            VlmresError: It cannot be used.
            TypeError: It is not something that holds an image.
        """
        if type(image) is np.ndarray and image.ndim > 1:
            return self._from_array(image, data_format)
        if isinstance(image, (ImageFile, Deferred, Source)):
            return image
        if isinstance(image, Drawn):
            return Deferred(image.size, lambda: Source.from_array(image.draw(), False, False))
        pil = imported("PIL.Image", "Image")
        if pil is not None and isinstance(image, pil.Image):
            return self._from_pil(image, pil)
        image = on_cpu(image)
        encoded = handles.encoded(image, self.limits[1])
        if isinstance(encoded, handles.Address) and self.fetch is None:
            raise self._no_fetching(encoded)
        if encoded is not None:
            return encoded
        if isinstance(image, np.ndarray):
            return self._from_array(image, data_format)
        refuse_foreign(image)
        raise TypeError(
            f"an image is a PIL image, numpy array, torch tensor, path, bytes or an open file, got {kind(image)}"
        )

    def size(self, loaded: Loaded) -> tuple[int, int]:
        """(width, height) of what `load` returned."""
        if isinstance(loaded, ImageFile):
            return loaded.plan.size
        if isinstance(loaded, Source):
            return loaded.size
        if isinstance(loaded, Deferred):
            raise TypeError("a page of a document has no settings of its own")
        return image_size(loaded, True, self.limits, self.decoding)

    def content(self, address: handles.Address) -> bytes:
        """The bytes of a file on the web.

        Raises:
            VlmresError: They cannot be fetched, or fetching is not allowed.
        """
        content = self.fetch.all([address])[0] if self.fetch is not None else self._no_fetching(address)
        if isinstance(content, VlmresError):
            raise content
        return content

    @staticmethod
    def _no_fetching(address: str) -> VlmresError:
        return VlmresError(f"only Processor(..., fetch=True) fetches addresses, got {named(address)}")

    def source(self, image: Any, data_format: DataFormat | None = None) -> Source:
        """As `load`, but always decoded."""
        loaded = self.load(image, data_format)
        if isinstance(loaded, handles.Address):
            loaded = self.content(loaded)
        if isinstance(loaded, (ImageFile, Deferred)):
            raise TypeError(f"{kind(image)} is for a Processor")
        return loaded if isinstance(loaded, Source) else Source.decode(loaded, self.limits, self.decoding)

    def _from_pil(self, image: Any, pil: Any) -> Source:
        rule = self.rules.pixels
        if rule == "none":
            if image.mode != "RGB":
                raise self._not_rgb(f"a PIL image of mode {image.mode}")
            return pil_source(image)
        if self.gray16 == "scale":
            image = scaled_gray(image, pil)
        image = opaque(image, rule, self.hidden, pil)
        return pil_source(image if image.mode in READ_IN_PLACE else image.convert("RGB"))

    def _from_array(self, array: NDArray[Any], data_format: DataFormat | None) -> Source:
        channels, is_first = check_pixels(array, data_format)
        rule = self.rules.pixels
        if rule == "none" and channels != 3:
            raise self._not_rgb(f"{channels} channels in shape {array.shape}")
        if channels == 4 and rule in ("reject", "drop"):
            rgba = np.moveaxis(array, 0, -1) if is_first else array
            if rule == "reject":
                refuse_transparent(int(rgba[..., 3].min(initial=255)))
            else:
                self.hidden.look(rgba)
        return Source.from_array(array, is_first, rule in ("white", "white_rgba"))

    @staticmethod
    def _not_rgb(got: str) -> VlmresError:
        return VlmresError(
            f"the recipe takes RGB images, as its reference does; got {got}. "
            'Convert it first, or load the recipe with convert="white"'
        )
