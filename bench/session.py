"""A benchmark run: the builders that could be started, where workloads lie, and runs taken in turn."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench.builders import Buildah, Builder, BuildKit, Layerwright
from bench.measure import Failed, Sample
from tests.peers.distribution import Registry, start_registry
from tests.peers.service import Unavailable

FAR_BEHIND = 1.5


class Turns(msgspec.Struct, frozen=True):
    """Runs taken in turn: by builder, and of the bare work; who was left out, in its own words."""

    samples: dict[str, list[Sample]]
    floors: list[float]
    skipped: dict[str, str]


class Session:
    """Open for one report; `skipped` says who could not be started and why."""

    def __init__(self, state: Path, *, quick: bool, peers: bool, million: bool = False, rounds: int = 1000) -> None:
        self.state = state
        self.quick = quick
        self.million = million
        self._rounds = rounds
        self.step = 0.012
        """Seconds of one RUN, as its own row has measured it; before that, as it should be."""
        self.ours = Layerwright(state)
        self.builders: list[Builder] = [self.ours]
        self.skipped: dict[str, str] = {}
        self._peers = peers
        self._started: list[Registry | Builder] = [self.ours]
        self._registry: Registry | None = None
        self.archive = state / "base.tar"

    def start(self) -> None:
        """Starts the peers and gives all the same base."""
        self.ours.make_base(self.archive)
        for kind in (BuildKit, Buildah) if self._peers else ():
            try:
                builder = kind(self.state)
                self._started.append(builder)
                builder.load(self.archive)
                self.builders.append(builder)
            except (Unavailable, Failed) as reason:
                self.skipped[kind.name] = str(reason)

    def alone(self, builder: Builder) -> Builder:
        """A builder for one row, ended with the rest."""
        self._started.append(builder)
        return builder

    def registry(self, name: str = "registry") -> Registry:
        """A registry on loopback, empty at first; raises Unavailable."""
        started = start_registry(self.state / name)
        self._started.append(started)
        return started

    def context(self, name: str) -> Path:
        """A directory for a workload."""
        return self.state / "work" / name

    def in_turn(
        self,
        rounds: int,
        work: Callable[[Builder, int], Sample],
        *,
        builders: Sequence[Builder] | None = None,
        before_round: Callable[[int], object] | None = None,
        before_each: Callable[[Builder], object] | None = None,
        floor: Callable[[], float] | None = None,
    ) -> Turns:
        """One run of each builder and of the bare work a round.

        After three rounds (two of a quick report) no further one begins when a minute is over. A peer that took half
        as long again as another in the first round has had its run: ratios are to the faster one. A builder that fails
        is left out from then on.
        """
        turns = Turns({}, [], dict(self.skipped))
        least, seconds = (2, 15.0) if self.quick else (3, 60.0)
        began = time.monotonic()
        for number in range(min(rounds, self._rounds)):
            if number >= least and time.monotonic() - began > seconds:
                break
            if before_round is not None:
                before_round(number)
            for builder in self.builders if builders is None else builders:
                if builder.name in turns.skipped or far_behind(builder.name, turns.samples):
                    continue
                try:
                    if before_each is not None:
                        before_each(builder)
                    turns.samples.setdefault(builder.name, []).append(work(builder, number))
                except Failed as error:
                    if isinstance(builder, Layerwright):
                        raise
                    turns.samples.pop(builder.name, None)
                    turns.skipped[builder.name] = str(error)[-400:]
                if floor is not None and isinstance(builder, Layerwright):
                    turns.floors.append(floor())
        return turns

    def close(self) -> None:
        """Ends everything that was started, and takes away what is mounted below; all of it, whatever fails."""
        while self._started:
            started = self._started.pop()
            try:
                started.stop() if isinstance(started, Registry) else started.close()
            except (OSError, subprocess.SubprocessError) as error:
                self.skipped["cleaning up"] = str(error)
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in reversed(mounts):
            if mount.startswith(f"{self.state}/"):
                subprocess.run(["umount", "-l", mount], check=False, capture_output=True)


def far_behind(name: str, samples: dict[str, list[Sample]]) -> bool:
    """Whether a peer's first run says that it is not the faster one."""
    first = {peer: taken[0].wall for peer, taken in samples.items() if peer != Layerwright.name and taken}
    return name in first and first[name] > FAR_BEHIND * min(first.values())
