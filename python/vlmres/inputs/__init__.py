"""What users pass as images, as the compiled part takes it.

`lists` (one or many), `loader` (one image), `handles` (what holds the bytes of a file), `addresses` (the web),
`arrays`, `pil` and `drawn` (pixels), `decoders` (Pillow, for what the compiled part does not read), `kinds` (files by
their first bytes), `settings` (of one image), `alpha` (transparency), `errors` (what is said of inputs). The rules are
transformers' own: files are turned by their EXIF orientation and lose their transparency; PIL images are not turned,
and are composited on white where the recipe says so.
"""

from vlmres.inputs.addresses import Fetch
from vlmres.inputs.alpha import Alpha, Gray16, Hidden
from vlmres.inputs.arrays import CHANNELS, DataFormat
from vlmres.inputs.decoders import Decoder
from vlmres.inputs.lists import as_list
from vlmres.inputs.loader import Limits, Loaded, Loader

__all__ = [
    "CHANNELS",
    "Alpha",
    "DataFormat",
    "Decoder",
    "Fetch",
    "Gray16",
    "Hidden",
    "Limits",
    "Loaded",
    "Loader",
    "as_list",
]
