"""How fast a step goes, what it waits for, and how near it is to the least it could take."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from graftwork.reporting import progress

Profile = dict[str, float]
"""What `Meter.profile` returns; in artifacts, under "profile" and the name of the step."""

T = TypeVar("T")


class Meter:
    """Measures one step from its construction on.

    Attributes:
        images: How many went through the step so far; one that goes through several times counts as often.
    """

    def __init__(self) -> None:
        self.images = 0
        self._started = time.monotonic()
        self._waited = 0.0

    def fed(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield the batches; what it takes to get the next one is time spent waiting for input."""
        remaining = iter(batches)
        while True:
            started = time.monotonic()
            try:
                batch = next(remaining)
            except StopIteration:
                return
            finally:
                self._waited += time.monotonic() - started
            yield batch

    def profile(self, floor: float | None = None) -> Profile:
        """Return what was measured up to now; of a step through which images go, tell the user too.

        Args:
            floor: Seconds that reading the same images and the network's arithmetic take alone, if that is known.

        Returns:
            images, seconds, images_per_second, waiting_for_input (share of the seconds), peak_memory_mib, and with a
            floor also floor_ratio: the seconds over those of the floor.
        """
        seconds = time.monotonic() - self._started
        waiting = self._waited / seconds if seconds else 0.0
        measured = _rounded(self.images, seconds, waiting, progress.peak_memory_mib())
        if floor:
            measured["floor_ratio"] = round(seconds / floor, 3)
        if self.images:
            progress.note(in_words(measured))
        return measured


def in_words(profile: Mapping[str, float]) -> str:
    """Return a profile as one line for people."""
    parts = [f"{profile['images_per_second']:,.0f} images a second"]
    parts.append(f"{100 * profile['waiting_for_input']:.0f} % of the time waiting for input")
    if "floor_ratio" in profile:
        parts.append(f"{profile['floor_ratio']:.2f} times the floor")
    return ", ".join(parts)


def merged(profiles: Sequence[Mapping[str, float]]) -> Profile:
    """Return one profile for the shards of a step: their images and seconds together, the largest peak."""
    if len(profiles) == 1:
        return dict(profiles[0])
    seconds = sum(profile["seconds"] for profile in profiles)

    def mean(entry: str) -> float:
        return sum(profile[entry] * profile["seconds"] for profile in profiles) / seconds if seconds else 0.0

    images = int(sum(profile["images"] for profile in profiles))
    peak = max(profile["peak_memory_mib"] for profile in profiles)
    together = _rounded(images, seconds, mean("waiting_for_input"), peak)
    if all("floor_ratio" in profile for profile in profiles):
        floor = sum(profile["seconds"] / profile["floor_ratio"] for profile in profiles)
        together["floor_ratio"] = round(seconds / floor, 3) if floor else 1.0
    return together


def _rounded(images: int, seconds: float, waiting: float, peak: float) -> Profile:
    return {
        "images": images,
        "seconds": round(seconds, 3),
        "images_per_second": round(images / seconds, 1) if seconds else 0.0,
        "waiting_for_input": round(waiting, 4),
        "peak_memory_mib": round(peak, 1),
    }
