"""Which transformers is installed, and what is known of older ones: what they lack, and what of them is left alone."""

import transformers

VERSION = tuple(int(part) for part in transformers.__version__.split(".")[:2])

COMPOSITES = VERSION >= (5, 21)
"""Whether backends composite transparent images on white, and convert arrays of one and four channels."""

# Recipes whose references came later than a version.
_ABSENT: dict[tuple[int, int], set[str]] = {
    (5, 17): {"granite-docling", "molmo2", "nemotron-omni", "unlimited-ocr"},
    (5, 19): {"granite-docling", "molmo2", "unlimited-ocr"},
    (5, 20): {"granite-docling"},
}
# Recipes of references that an old version has and that are left to it, with the arithmetic.
_DECLINED: dict[tuple[int, int], set[tuple[str, str]]] = {
    (5, 17): {("idefics2", "torch")},
}

TESTED = {*_ABSENT, (5, 23)}
ABSENT = _ABSENT.get(VERSION[:2], set())  # type: ignore[arg-type]
DECLINED = _DECLINED.get(VERSION[:2], set())  # type: ignore[arg-type]
