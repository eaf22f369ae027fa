"""transformers' side at its best: of what loads and runs, the fastest attention and place for its image processor."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch
from benches.encoder.inputs import decoded, placed
from transformers import PreTrainedModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benches.encoder.models import Model
    from benches.encoder.timing import Clock

ATTENTION = ("sdpa", "flash_attention_2", "flash_attention_3", "flash_attention_4", "flex_attention")
# They are compiled at their first call, which may take minutes.
COMPILED = ("flex_attention",)
# How far tokens of two kernels may be apart, by values' bytes.
NEAR = {2: 5e-2, 4: 1e-3}


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Norm of the difference over that of what is wanted."""
    return float((found.double() - wanted.double()).norm() / wanted.double().norm())


class Peer:
    """A module of transformers as its users run it."""

    def __init__(
        self, kind: Model, module: Any, processor: Any, device: torch.device, dtype: torch.dtype, notes: list[str]
    ) -> None:
        self.kind, self.module, self.processor, self.device, self.dtype = kind, module, processor, device, dtype
        self.attention = "sdpa"
        self.times_of_choice: dict[str, float] = {}
        """Seconds of each attention that was tried."""
        self.processor_device = torch.device("cpu")
        self.notes = notes

    def tokens(self, inputs: dict[str, Any]) -> torch.Tensor:
        """Of inputs on the device."""
        with torch.inference_mode():
            return self.kind.features(self.module, inputs)

    def choose_attention(self, inputs: dict[str, Any], clock: Clock, *, quick: bool = False) -> dict[str, float]:
        """Takes the fastest of the kernels that load, run, and give SDPA's tokens; seconds of each.

        `quick` leaves out those that are compiled.
        """
        wanted = self.tokens(inputs)
        times: dict[str, float] = {}
        for name in ATTENTION:
            if name.startswith("flash") and (self.device.type != "cuda" or self.dtype == torch.float32):
                continue
            if clock.is_over and times:
                break
            if quick and name in COMPILED:
                self.notes.append(f"{name} is not tried in --quick: to compile it takes longer than all else")
                continue
            try:
                self._use(name)
                error = relative_error(self.tokens(inputs), wanted)
                if error > NEAR[self.dtype.itemsize]:
                    self.notes.append(f"{name} is not taken: its tokens are {error:.0e} from SDPA's")
                    continue
                times[name] = clock.fastest({name: lambda: self.tokens(inputs)})[name]
            except Exception as error:  # of many libraries: a kernel that does not load is no candidate
                self.notes.append(f"{name} does not run: {type(error).__name__}: {_first_line(error)}")
        self._use(min(times, key=lambda name: times[name]))
        if len(times) > 1:
            self.notes.append(f"attention of transformers: {_listed(times)}")
        self.times_of_choice = times
        return times

    def _use(self, name: str) -> None:
        """Sets the attention of all parts that take it, and SDPA's of the others.

        Raises:
            ValueError: None takes it.
        """
        self.module.set_attn_implementation("sdpa")
        parts = [part for part in self.module.modules() if isinstance(part, PreTrainedModel)]
        leaves = [part for part in parts if not any(other is not part for other in _models(part))]
        refused: list[str] = []
        for part in leaves:
            try:
                part.set_attn_implementation(name)
            except (ImportError, ValueError) as error:
                refused.append(_first_line(error))
        # A language model's part is not run.
        seen = [part for part in leaves if "Vision" in type(part).__name__]
        used = {part.config._attn_implementation for part in seen}
        if name not in used:
            raise ValueError(refused[0] if refused else f"{type(self.module).__name__} has no part for it")
        self.attention = " + ".join(sorted(used))

    def choose_processor(self, files: list[bytes], clock: Clock) -> dict[str, float]:
        """Takes the faster place for the image processor; seconds of each with the copy to the device."""
        pictures = decoded(files)
        places = {str(place): place for place in (torch.device("cpu"), self.device)}
        times = {}
        for name, place in places.items():
            try:
                prepare = functools.partial(self.prepare, pictures, place)
                times[name] = clock.fastest({name: prepare})[name]
            except Exception as error:  # of many libraries
                self.notes.append(f"the processor does not run on {name}: {_first_line(error)}")
        self.processor_device = places[min(times, key=lambda name: times[name])]
        if len(times) > 1:
            self.notes.append(f"image processor of transformers: {_listed(times)}")
        return times

    def prepare(self, pictures: list[Any], place: torch.device | None = None) -> dict[str, Any]:
        """Pictures to inputs on the device."""
        found = self.processor(pictures, return_tensors="pt", device=place or self.processor_device)
        return placed(dict(found), self.device, self.dtype)

    def run_files(self, files: Sequence[bytes], batch: int) -> int:
        """Tokens of files, in batches; a thread prepares the next while the device runs, as a data loader would."""
        groups = [list(files[start : start + batch]) for start in range(0, len(files), batch)]
        count = 0

        def prepare(group: list[bytes]) -> dict[str, Any]:
            return self.prepare(decoded(group))

        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(prepare, groups[0])
            for following in [*groups[1:], None]:
                inputs = pending.result()
                if following is not None:
                    pending = pool.submit(prepare, following)
                count += len(self.tokens(inputs))
        return count

    def compile(self) -> None:
        """Compiles layers in place, as our own blocks are."""
        for part in self.module.modules():
            if isinstance(part, torch.nn.ModuleList):
                for layer in part:
                    layer.compile(dynamic=True)


def _models(part: torch.nn.Module) -> list[PreTrainedModel]:
    return [module for module in part.modules() if isinstance(module, PreTrainedModel)]


def _listed(times: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds * 1e3:,.1f} ms" for name, seconds in times.items())


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:160]
