"""An explanation as people read it, line by line; names and values are made harmless for a terminal."""

from __future__ import annotations

from builder.history.cause import Cause, Explanation, FileChange, StepVerdict, place_of
from builder.progress.sanitise import clean

SHOWN_FILES = 20


def explanation_lines(told: Explanation, *, all_files: bool = False) -> list[str]:
    """Each step with HIT or MISS (RUN or WOULD RUN), and below a miss its causes."""
    lines = [_head(told)]
    for verdict in told.steps:
        lines.append(f"{_mark(verdict, dry=told.dry):<9} {clean(place_of(verdict.step))}{_note(verdict)}")
        for cause in verdict.causes:
            lines.extend(_cause(cause, all_files=all_files))
    hits = sum(verdict.hit for verdict in told.steps)
    verb = "would run" if told.dry else "ran"
    lines.append(f"{hits} cached, {len(told.steps) - hits} {verb}")
    return lines


def _head(told: Explanation) -> str:
    what = "a build now" if told.dry else f"build {told.build}"
    if not told.against:
        return f"{what}; there is none before it to compare with"
    where = f" in {clean(told.against_context)}" if told.against_context else ""
    return f"{what}, compared with build {told.against}{where}"


def _mark(verdict: StepVerdict, *, dry: bool) -> str:
    if verdict.hit:
        return "HIT"
    if dry:
        return "WOULD RUN"
    return {"failed": "FAILED", "cancelled": "CANCELED", "waiting": "UNREACHED"}.get(verdict.step.outcome, "MISS")


def _note(verdict: StepVerdict) -> str:
    if verdict.step.by_content:
        return "  (what it stands on came out the same)"
    return "" if verdict.hit or not verdict.step.duration_ns else f"  {verdict.step.duration_ns / 1e9:.1f}s"


def _cause(cause: Cause, *, all_files: bool) -> list[str]:
    lines = [f"          - {clean(cause.text)}"]
    shown = cause.files if all_files else cause.files[:SHOWN_FILES]
    lines.extend(f"              {_file(change)}" for change in shown)
    if len(shown) < len(cause.files):
        lines.append(f"              … and {len(cause.files) - len(shown)} more (--all-files)")
    return lines


def _file(change: FileChange) -> str:
    detail = f" ({clean(change.detail)})" if change.detail else ""
    return f"{'+'.join(change.aspects)} {clean(change.path)}{detail}"
