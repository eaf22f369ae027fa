"""Arguments of a call: what it encodes, and how it preprocesses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from vlmres.processor import LimitSettings

if TYPE_CHECKING:
    from vlmres.arithmetic import Arithmetic
    from vlmres.inputs import Alpha, Decoder
    from vlmres.processor import Decode

Kind: TypeAlias = Literal["images", "videos"]
"""The kind of a call's items."""


class Preprocessing(LimitSettings, total=False):
    """Settings of preprocessing, as in `Processor`."""

    num_threads: int | None
    arithmetic: Arithmetic | None
    decode: Decode
    decoder: Decoder
    alpha: Alpha
