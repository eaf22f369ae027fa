"""What a call encodes, and how it preprocesses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from vlmres.processor import LimitSettings

if TYPE_CHECKING:
    from vlmres.arithmetic import Arithmetic
    from vlmres.inputs import Alpha, Decoder
    from vlmres.processor import Decode

Kind: TypeAlias = Literal["images", "videos"]
"""What a call's items are."""


class Preprocessing(LimitSettings, total=False):
    """How a call preprocesses, as of `Processor`."""

    num_threads: int | None
    arithmetic: Arithmetic | None
    decode: Decode
    decoder: Decoder
    alpha: Alpha
