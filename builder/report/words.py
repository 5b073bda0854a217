"""How a report says things: outcomes, sizes, times, instructions cut to a width."""

from __future__ import annotations

import datetime

from builder.history.cause import short
from builder.progress.plain import size_text
from builder.report.facts import StepFacts

OUTCOMES = {
    "cached": "hit",
    "ran": "ran",
    "failed": "failed",
    "cancelled": "cancelled",
    "waiting": "not reached",
    "not-needed": "not needed",
}
"""What people read; `not needed` is what a later hit made needless."""


def seconds(nanoseconds: int) -> str:
    """`12.3 s`, `4 min 05 s`, `80 ms`; no line breaks before a unit."""
    if nanoseconds < 10**9:
        return f"{nanoseconds / 1e6:.0f}\u202fms"
    if nanoseconds < 60 * 10**9:
        return f"{nanoseconds / 1e9:.1f}\u202fs"
    minutes, rest = divmod(round(nanoseconds / 1e9), 60)
    return f"{minutes}\u202fmin {rest:02}\u202fs" if minutes < 60 else f"{minutes // 60}\u202fh {minutes % 60:02}\u202fmin"


def outcome(step: StepFacts) -> str:
    """One or two words."""
    return OUTCOMES[step.record.outcome]


def took(step: StepFacts) -> str:
    """Time in this build; of a hit what it took when it ran, and was saved."""
    if step.duration:
        return seconds(step.duration)
    return f"{seconds(step.took_before)} saved" if step.took_before else ""


def size(count: int | None) -> str:
    """Bytes, with a narrow space before the unit; nothing where they are not known."""
    if count is None:
        return ""
    shown = size_text(count)
    digits = shown.rstrip("BkMGT")
    return f"{digits}\u202f{shown[len(digits) :]}" if digits else shown


def name(step: StepFacts, limit: int = 200) -> str:
    """The instruction's first line."""
    return short(step.record.name, limit)


def place(step: StepFacts) -> str:
    """`build 2/4, line 7, step 9`, the last as the views and `layerwright logs` count."""
    record = step.record
    where = [f"{record.stage} {record.position[0]}/{record.position[1]}" if record.position is not None else record.stage]
    where.append(f"line {record.span.line}" if record.span is not None else "")
    where.append(f"step {record.number}" if record.number else "")
    return ", ".join(word for word in where if word)


def moment(time_ns: int) -> str:
    """A time of day, in UTC: the same page wherever it is made."""
    return f"{datetime.datetime.fromtimestamp(time_ns / 1e9, datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
