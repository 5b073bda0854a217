"""What a benchmark found, as data that goes into JSON."""

from __future__ import annotations

import msgspec

from bench.measure import Sample, median, ratio

MEMORY_LIMIT = 150 << 20


class RowResult(msgspec.Struct, frozen=True):
    """One row: samples by builder, taken in turn with the floor's seconds; `skipped` says why somebody is missing.

    `limit` is the target: a ratio to the faster peer, or of `value` where there is one. `firm` ones end the
    benchmark with an error when they are missed.
    """

    name: str
    unit: str = "s"
    target: str = ""
    limit: float | None = None
    samples: dict[str, list[Sample]] = {}
    floors: list[float] = []
    floor_name: str = ""
    skipped: dict[str, str] = {}
    note: str = ""
    value: float | None = None
    firm: bool = False

    @property
    def ours(self) -> list[Sample]:
        return self.samples.get("layerwright", [])

    @property
    def floor(self) -> float | None:
        """The median of the bare work's."""
        return median(self.floors) if self.floors else None

    @property
    def faster(self) -> str | None:
        """The peer with the lower median."""
        peers = {
            name: median([sample.wall for sample in samples]) for name, samples in self.samples.items() if name != "layerwright" and samples
        }
        return min(peers, key=lambda name: peers[name]) if peers else None

    @property
    def ratio(self) -> float | None:
        """Ours to the faster peer."""
        return ratio(self.ours, self.samples[self.faster]) if self.ours and self.faster is not None else None

    @property
    def to_floor(self) -> float:
        """Ours to the bare work: the median of the ratios of runs that followed each other."""
        return median([sample.wall / floor for sample, floor in zip(self.ours, self.floors, strict=False)])

    @property
    def measured(self) -> float | None:
        """What the limit is compared with."""
        return self.value if self.value is not None else self.ratio

    @property
    def met(self) -> bool | None:
        """None where it cannot be said."""
        return None if self.limit is None or self.measured is None else self.measured <= self.limit


class Growth(msgspec.Struct, frozen=True):
    """Cost against size: (size, seconds) points of one kind of build, and its peak memory in bytes at each."""

    name: str
    points: list[tuple[int, float]] = []
    peaks: list[int] = []

    def joined(self, size: int, sample: Sample) -> Growth:
        """With one more point."""
        return Growth(self.name, [*self.points, (size, sample.wall)], [*self.peaks, sample.peak])

    @property
    def linear(self) -> bool:
        """Whether one more step or file costs at most half as much again between the largest sizes as between those before.

        What is compared are differences, so start-up is left out; below three points, and within a tenth of a second,
        nothing is said.
        """
        costs = [(after[1] - before[1]) / (after[0] - before[0]) for before, after in zip(self.points, self.points[1:], strict=False)]
        grown = self.points[-1][1] - self.points[0][1] if self.points else 0.0
        if len(costs) < 2 or grown < 0.1:
            return True
        # On a noisy machine the smaller sizes may have come down, which says nothing; then it is all that the last of them took.
        before = costs[-2] if costs[-2] > 0 else self.points[-2][1] / self.points[-2][0]
        return costs[-1] <= 1.5 * before

    @property
    def fits(self) -> bool:
        """Whether no size took more memory than what is promised (up to 100,000 files or 1,000 steps)."""
        return all(peak <= MEMORY_LIMIT for (size, _), peak in zip(self.points, self.peaks, strict=False) if size <= 100_000)


class Report(msgspec.Struct, frozen=True):
    """A whole run, and what machine it was on; `seconds` is what it took so far, `ended` why it is not whole."""

    machine: str
    versions: dict[str, str]
    quick: bool
    rows: list[RowResult] = []
    growth: list[Growth] = []
    seconds: float = 0.0
    ended: str = ""
