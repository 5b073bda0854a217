"""What a benchmark found, as data that goes into JSON."""

from __future__ import annotations

import msgspec

from bench.measure import Sample, median, ratio


class RowResult(msgspec.Struct, frozen=True):
    """One row: samples by builder, taken in turn; `floor` in seconds; `skipped` says why somebody is missing.

    `limit` is the target: a ratio to the faster peer, or where `absolute` seconds, or bytes for a row of memory.
    """

    name: str
    unit: str = "s"
    target: str = ""
    limit: float | None = None
    samples: dict[str, list[Sample]] = {}
    floor: float | None = None
    floor_name: str = ""
    skipped: dict[str, str] = {}
    note: str = ""
    value: float | None = None

    @property
    def ours(self) -> list[Sample]:
        return self.samples.get("layerwright", [])

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
    points: list[tuple[int, float]]
    peaks: list[int] = []


class Report(msgspec.Struct, frozen=True):
    """A whole run, and what machine it was on."""

    machine: str
    versions: dict[str, str]
    quick: bool
    rows: list[RowResult]
    growth: list[Growth] = []
