"""Places the instruction graph: a column a stage, a row a rank, so that every edge points down; long runs drawn as one box.

The rank of a box is the longest way to it. Two boxes of one stage never share a row: the later one moves down.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from builder.report.facts import StepFacts

FOLDED_FROM = 90
"""Steps from which on runs of steps with the same outcome become one box."""


class Box(msgspec.Struct, frozen=True):
    """Steps drawn as one, the first of them on top; `inputs` are places of boxes."""

    steps: tuple[int, ...]
    stage: str
    inputs: tuple[int, ...]
    column: int
    row: int


class Layout(msgspec.Struct, frozen=True):
    """The boxes, inputs first, and the columns' names from left to right."""

    boxes: tuple[Box, ...]
    columns: tuple[str, ...]
    rows: int


def place(steps: Sequence[StepFacts]) -> Layout:
    """The graph of these steps, of which inputs stand first."""
    stages = _stages(steps)
    groups = _folded(steps, stages) if len(steps) >= FOLDED_FROM else [(index,) for index in range(len(steps))]
    box_of = {step: number for number, group in enumerate(groups) for step in group}
    columns = _columns(steps, stages)
    taken: dict[str, set[int]] = {name: set() for name in columns}
    boxes: list[Box] = []
    for number, group in enumerate(groups):
        stage = stages[group[0]]
        inputs = tuple(dict.fromkeys(box_of[given] for step in group for given in steps[step].inputs if box_of[given] != number))
        row = max((boxes[given].row + 1 for given in inputs), default=0)
        while row in taken[stage]:
            row += 1
        taken[stage].add(row)
        boxes.append(Box(group, stage, inputs, columns.index(stage), row))
    return Layout(tuple(boxes), columns, max((box.row for box in boxes), default=-1) + 1)


def _stages(steps: Sequence[StepFacts]) -> list[str]:
    """The column of each step: its stage; a base stands in the column of the first step that uses it."""
    found = [step.record.stage for step in steps]
    for index, step in enumerate(steps):
        for given in step.inputs:
            found[given] = found[given] or step.record.stage or found[index]
    return [stage or "result" for stage in found]


def _columns(steps: Sequence[StepFacts], stages: Sequence[str]) -> tuple[str, ...]:
    """The stages in the order of the Dockerfile."""
    first: dict[str, int] = {}
    for step, stage in zip(steps, stages, strict=True):
        line = step.record.span.line if step.record.span is not None and step.record.kind == "step" else 1 << 30
        first[stage] = min(first.get(stage, 1 << 30), line)
    return tuple(sorted(first, key=lambda stage: first[stage]))


def _folded(steps: Sequence[StepFacts], stages: Sequence[str]) -> list[tuple[int, ...]]:
    """Runs of one stage and one outcome of which each step has the one before as its only input, and is its only user."""
    users = [0] * len(steps)
    for step in steps:
        for given in step.inputs:
            users[given] += 1
    groups: list[list[int]] = []
    ends: dict[int, list[int]] = {}
    for index, step in enumerate(steps):
        before = step.inputs[0] if len(step.inputs) == 1 else None
        group = ends.get(before) if before is not None else None
        if group is not None and before is not None and users[before] == 1 and _alike(steps, stages, before, index):
            group.append(index)
            del ends[before]
            ends[index] = group
        else:
            groups.append([index])
            ends[index] = groups[-1]
    return sorted((tuple(group) for group in groups), key=lambda group: group[0])


def _alike(steps: Sequence[StepFacts], stages: Sequence[str], one: int, other: int) -> bool:
    first, second = steps[one].record, steps[other].record
    return (
        stages[one] == stages[other]
        and first.kind == second.kind
        and first.outcome == second.outcome
        and first.outcome != "failed"
        and steps[one].critical == steps[other].critical
    )
