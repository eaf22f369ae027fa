"""Images and videos to tensors.

`settings` (what a processor is made with), `items` (what is passed, as the compiled part takes it), `outputs` (where
values are written), `run` (one call), `cached` (calls that a `Cache` has), `asynchronous` (calls that are awaited) and
`api`, the `Processor`. Each imports those before it alone.
"""

from vlmres.outputs import DType
from vlmres.processor.api import Processor
from vlmres.processor.settings import Decode, Layout, LimitSettings

__all__ = ["DType", "Decode", "Layout", "LimitSettings", "Processor"]
