"""When steps ran: the lanes they share, and the chain of steps that the build had to wait for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from builder.report.facts import StepFacts


class Span(msgspec.Struct, frozen=True):
    """Something that took time; `key` is whatever the caller knows it by."""

    key: int
    start: int
    end: int


def lanes(spans: Sequence[Span]) -> tuple[tuple[Span, ...], ...]:
    """As few rows as spans that overlap need, each in order of time."""
    rows: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        row = next((row for row in rows if row[-1].end <= span.start), None)
        if row is None:
            rows.append([span])
        else:
            row.append(span)
    return tuple(map(tuple, rows))


def critical_path(steps: Sequence[StepFacts]) -> tuple[int, ...]:
    """The chain that ends with the step that ended last: of what each step waited for, that which came last; in order of time."""
    ran = [index for index, step in enumerate(steps) if step.ran]
    if not ran:
        return ()
    chain = [max(ran, key=lambda index: (steps[index].end, index))]
    while True:
        before = [index for index in steps[chain[-1]].inputs if steps[index].ran]
        if not before:
            return tuple(reversed(chain))
        chain.append(max(before, key=lambda index: (steps[index].end, index)))
