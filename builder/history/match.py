"""Which step of an earlier build a step answers to, where the Dockerfile was edited in between.

Within a stage (by its name, else by its place) instructions of equal text belong together, in the order of the
longest common run; what lies between two such is paired in order where the keyword is the same. A step
that is left over is new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

from builder.history.record import StepRecord


def match_steps(now: Sequence[StepRecord], was: Sequence[StepRecord]) -> Mapping[str, StepRecord]:
    """For each vertex of `now` the step of `was` that it answers to, where there is one."""
    by_id = {step.vertex: step for step in was}
    found: dict[str, StepRecord] = {}
    earlier = _stages(was)
    for place, (stage, steps) in enumerate(_stages(now).items()):
        others = earlier.get(stage)
        if others is None and place < len(earlier):
            title = tuple(earlier)[place]
            others = earlier[title] if title not in _stages(now) else None
        if others:
            _match_stage(steps, others, found)
    for step in now:
        if step.vertex in by_id and step.vertex not in found:
            found[step.vertex] = by_id[step.vertex]
    _match_bases(now, was, found)
    return found


def _stages(steps: Sequence[StepRecord]) -> dict[str, list[StepRecord]]:
    stages: dict[str, list[StepRecord]] = {}
    for step in steps:
        if step.kind in ("step", "part", "source") and step.stage:
            stages.setdefault(step.stage, []).append(step)
    return stages


def _match_stage(now: Sequence[StepRecord], was: Sequence[StepRecord], found: dict[str, StepRecord]) -> None:
    matcher = SequenceMatcher(None, [step.name for step in was], [step.name for step in now], autojunk=False)
    for tag, first, last, begin, end in matcher.get_opcodes():
        if tag == "equal":
            found.update((step.vertex, other) for step, other in zip(now[begin:end], was[first:last], strict=True))
        elif tag == "replace":
            rest = list(was[first:last])
            for step in now[begin:end]:
                other = next((other for other in rest if _keyword(other) == _keyword(step)), None)
                if other is not None:
                    del rest[: rest.index(other) + 1]
                    found[step.vertex] = other


def _keyword(step: StepRecord) -> str:
    return step.name.partition(" ")[0].upper()


def _match_bases(now: Sequence[StepRecord], was: Sequence[StepRecord], found: dict[str, StepRecord]) -> None:
    """A base answers to the base that the same step stood on, else to the one of the same name."""
    before = {step.vertex: step for step in was}
    bases = {step.vertex: step for step in now if step.kind == "base"}
    for step in now:
        other = found.get(step.vertex)
        if other is None:
            continue
        for given, taken in zip(step.inputs, other.inputs, strict=False):
            base = before.get(taken.vertex)
            if given.vertex in bases and given.vertex not in found and base is not None and base.kind == "base":
                found[given.vertex] = base
    named = {step.base.reference: step for step in was if step.base is not None}
    for vertex, step in bases.items():
        if vertex not in found and step.base is not None and step.base.reference in named:
            found[vertex] = named[step.base.reference]
