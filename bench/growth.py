"""Our cost against the number of steps and of files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

from bench import workloads
from bench.measure import Sample
from bench.result import Growth
from bench.session import Session


def steps(session: Session) -> Iterator[Growth]:
    """Builds of ever more steps, fresh and then cached; each line as it is after one more size."""
    fresh, cached = Growth("steps, none cached"), Growth("steps, all cached")
    for count in (10, 30, 100) if session.quick else (10, 100, 1000):
        context = workloads.runs(session.context(f"runs{count}"), count)
        fresh = fresh.joined(count, _settled(lambda: session.ours.build(context, "grow", cache=False)))  # noqa: B023
        yield fresh
        cached = cached.joined(count, _settled(lambda: session.ours.build(context, "grow")))  # noqa: B023
        yield cached


def files(session: Session) -> Iterator[Growth]:
    """Builds of ever more files of a few bytes, copied and then unchanged; each line as it is after one more size."""
    copied, unchanged = Growth("files, copied"), Growth("files, nothing changed")
    sizes = (1_000, 3_000, 10_000) if session.quick else (1_000, 10_000, 100_000, *((1_000_000,) if session.million else ()))
    for count in sizes:
        context = workloads.tiny_files(session.context(f"tiny{count}"), count)
        copied = copied.joined(count, _settled(lambda: session.ours.build(context, "grow", cache=False)))  # noqa: B023
        yield copied
        session.ours.build(context, "grow")
        unchanged = unchanged.joined(count, _settled(lambda: session.ours.build(context, "grow")))  # noqa: B023
        yield unchanged
        shutil.rmtree(context)


def _settled(work: Callable[[], Sample]) -> Sample:
    """The middle one of three; of what takes long, once is enough."""
    samples = [work()]
    if samples[0].wall < 5:
        samples += [work(), work()]
    return sorted(samples, key=lambda sample: sample.wall)[len(samples) // 2]
