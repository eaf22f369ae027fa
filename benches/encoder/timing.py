"""Interleaved rounds, and the memory of a call."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Clock:
    """A device, and how long to measure on it."""

    device: torch.device
    seconds: float
    """Of the rounds of one comparison, which are at least `rounds`."""
    rounds: int
    deadline: float | None = None
    """When nothing new should begin, on `time.monotonic`'s clock."""

    @property
    def is_over(self) -> bool:
        """Whether the deadline is past."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def synchronize(self) -> None:
        """Waits for a CUDA device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def once(self, call: Callable[[], Any]) -> float:
        """Seconds of a call."""
        self.synchronize()
        start = time.perf_counter()
        call()
        self.synchronize()
        return time.perf_counter() - start

    def compare(
        self, contestants: Mapping[str, Callable[[], Any]], warm_ups: int = 2, rounds: int | None = None
    ) -> dict[str, list[float]]:
        """Seconds of each in interleaved rounds, at least `rounds`; fewer, but one, where the deadline comes."""
        rounds = self.rounds if rounds is None else min(rounds, self.rounds)
        for _ in range(warm_ups):
            for call in contestants.values():
                self.once(call)
        times: dict[str, list[float]] = {name: [] for name in contestants}
        end, count = time.monotonic() + self.seconds, 0
        while count == 0 or (not self.is_over and (count < rounds or time.monotonic() < end)):
            for name, call in contestants.items():
                times[name].append(self.once(call))
            count += 1
        return times

    def fastest(self, contestants: Mapping[str, Callable[[], Any]], rounds: int = 3) -> dict[str, float]:
        """Median seconds of each, for a choice between them."""
        few = Clock(self.device, 0, rounds, self.deadline)
        return {name: statistics.median(times) for name, times in few.compare(contestants, 1).items()}


class Memory:
    """Bytes that calls need on a CUDA device beside what is there when this is made."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            self.before = torch.cuda.memory_allocated(device) + kept_by_graphs(torch.cuda.memory_snapshot())

    def peak(self, call: Callable[[], Any]) -> int | None:
        """The most that was there during a call; None on the CPU.

        What CUDA graphs keep for their next replay is reserved and not allocated, and counts.
        """
        if self.device.type != "cuda":
            return None
        torch.cuda.synchronize(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        call()
        torch.cuda.synchronize(self.device)
        found = torch.cuda.max_memory_allocated(self.device) + kept_by_graphs(torch.cuda.memory_snapshot())
        return found - self.before


def kept_by_graphs(segments: list[dict[str, Any]]) -> int:
    """Bytes of an allocator's segments that belong to graphs' pools and hold no tensor."""
    own = [segment for segment in segments if tuple(segment.get("segment_pool_id", (0, 0))) != (0, 0)]
    return sum(segment["total_size"] - segment["allocated_size"] for segment in own)
