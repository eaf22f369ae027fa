"""Which transformers is installed, and what is known of older ones: what they lack, and what of them is left alone."""

import transformers

from vlmres.verify.references import REFERENCES

_PARTS = [int(part) for part in transformers.__version__.split(".")[:2]]
VERSION = (_PARTS[0], _PARTS[1])

COMPOSITES = VERSION >= (5, 21)
"""Whether backends composite transparent images on white, and convert arrays of one and four channels."""

# Recipes whose references came later than a version.
_ABSENT: dict[tuple[int, int], set[str]] = {
    (5, 16): {"granite-docling", "molmo2", "nemotron-omni", "unlimited-ocr"},
    (5, 17): {"granite-docling", "molmo2", "nemotron-omni", "unlimited-ocr"},
    (5, 19): {"granite-docling", "molmo2", "unlimited-ocr"},
    (5, 20): {"granite-docling"},
}
# Models of transformers whose image processors an old version has and vlmres leaves to it.
_DECLINED: dict[tuple[int, int], set[str]] = {
    # It pads whatever it is told, and says that it does not.
    (5, 16): {"pixtral"},
    (5, 17): {"pixtral"},
}
# Recipes whose video processors it leaves to them: what says how a video's chunks lie came later.
_DECLINED_VIDEOS: dict[tuple[int, int], set[str]] = {
    (5, 16): {"minimax-m3-vl"},
    (5, 17): {"minimax-m3-vl"},
    (5, 19): {"minimax-m3-vl"},
    (5, 20): {"minimax-m3-vl"},
}

TESTED = {*_ABSENT, (5, 23)}
ABSENT = _ABSENT.get(VERSION, set())


def declines(recipe: str, *, videos: bool = False) -> bool:
    """Whether all calls of a recipe's reference are left to it, in this version."""
    if videos:
        return recipe in _DECLINED_VIDEOS.get(VERSION, set())
    return REFERENCES[recipe].model in _DECLINED.get(VERSION, set())
