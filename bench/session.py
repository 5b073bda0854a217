"""A benchmark run: the builders that could be started, where workloads lie, and runs taken in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.builders import Buildah, Builder, BuildKit, Layerwright
from bench.measure import Failed, Sample
from tests.peers.distribution import Registry, start_registry
from tests.peers.service import Unavailable


class Session:
    """Open for one report; `skipped` says who could not be started and why."""

    def __init__(self, state: Path, *, quick: bool, peers: bool, million: bool = False) -> None:
        self.state = state
        self.quick = quick
        self.million = million
        self.ours = Layerwright(state)
        self.builders: list[Builder] = [self.ours]
        self.skipped: dict[str, str] = {}
        self._registry: Registry | None = None
        self.archive = state / "base.tar"
        self.ours.make_base(self.archive)
        for kind in (BuildKit, Buildah) if peers else ():
            try:
                self.add(kind(state))
            except (Unavailable, Failed) as reason:
                self.skipped[kind.name] = str(reason)

    def add(self, builder: Builder) -> None:
        """Takes a peer in once it has the base."""
        builder.load(self.archive)
        self.builders.append(builder)

    def registry(self) -> Registry:
        """A registry on loopback; raises Unavailable."""
        if self._registry is None:
            self._registry = start_registry(self.state / "registry")
        return self._registry

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
    ) -> tuple[dict[str, list[Sample]], dict[str, str]]:
        """Samples by builder, one of each a round; a builder that fails is left out from then on, with its words."""
        samples: dict[str, list[Sample]] = {}
        skipped = dict(self.skipped)
        for number in range(rounds):
            if before_round is not None:
                before_round(number)
            for builder in self.builders if builders is None else builders:
                if builder.name in skipped:
                    continue
                try:
                    if before_each is not None:
                        before_each(builder)
                    samples.setdefault(builder.name, []).append(work(builder, number))
                except Failed as error:
                    if builder is self.ours or isinstance(builder, Layerwright):
                        raise
                    samples.pop(builder.name, None)
                    skipped[builder.name] = str(error)[-400:]
        return samples, skipped

    def close(self) -> None:
        """Ends everything that was started."""
        if self._registry is not None:
            self._registry.stop()
        for builder in self.builders:
            builder.close()
