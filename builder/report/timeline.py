"""The timeline as inline SVG: lanes of steps that ran beside one another. Places are percentages, so text keeps its size at any width."""

from __future__ import annotations

from builder.report import words
from builder.report.facts import Facts
from builder.report.html import Html, join, tag, text
from builder.report.schedule import Span, lanes

LANE, GAP = 30, 6
AXIS = 26
NARROW = 1.5
"""Percent of the width: what is narrower is a mark without a name."""

_STEPS = (1, 2, 5)


def draw_timeline(facts: Facts) -> Html:
    """The picture, with its title and description; nothing where nothing took time."""
    spans = _spans(facts)
    total = max((span.end for span in spans), default=0)
    if not total:
        return Html("")
    rows = lanes(spans)
    height = len(rows) * (LANE + GAP) + AXIS
    return tag(
        "svg",
        {"class": "timeline", "role": "img", "aria-labelledby": "timeline-title timeline-text", "width": "100%", "height": height},
        tag("title", {"id": "timeline-title"}, text("Timeline")),
        tag("desc", {"id": "timeline-text"}, text(_description(facts, len(rows), total))),
        _axis(total, height),
        join(_bar(facts, span, number, total) for number, row in enumerate(rows) for span in row),
    )


def _spans(facts: Facts) -> list[Span]:
    """Steps by their place; before them (-1) what came before the first; outputs as -2, -3 and so on."""
    found = [Span(index, step.start, step.end) for index, step in enumerate(facts.steps) if step.ran]
    begun = [step.start for step in facts.steps if step.start >= 0]
    if begun and min(begun) > 0:
        found.append(Span(-1, 0, min(begun)))
    for number, output in enumerate(facts.exports):
        start = output.started_ns - facts.started_ns
        found.append(Span(-2 - number, start, start + output.duration_ns))
    return [span for span in found if span.end > span.start]


def _description(facts: Facts, rows: int, total: int) -> str:
    ran = sum(step.ran for step in facts.steps)
    waited = ", then ".join(words.name(facts.steps[index], 60) for index in facts.critical[:12])
    path = f" The build waited longest for: {waited}." if waited else ""
    told = f"{ran} steps ran in {words.seconds(total)}, at most {rows} at a time."
    return f"{told}{path} Start and time of each are in the table of steps below."


def _percent(value: int, total: int) -> str:
    return f"{100 * value / total:.3f}%"


def _bar(facts: Facts, span: Span, lane: int, total: int) -> Html:
    """A nested picture of its own, which cuts its text where it ends; a plain mark where there is no room for text."""
    kind, name = _named(facts, span.key)
    y = lane * (LANE + GAP)
    share = 100 * (span.end - span.start) / total
    if share < NARROW:
        return tag(
            "rect",
            {"class": f"bar mark {kind}", "x": _percent(span.start, total), "y": y, "width": f"{max(share, 0.1):.3f}%", "height": LANE},
        )
    return tag(
        "svg",
        {"x": _percent(span.start, total), "y": y, "width": f"{share:.3f}%", "height": LANE, "class": f"bar {kind}"},
        tag("rect", {"width": "100%", "height": LANE}),
        tag("rect", {"class": "mark", "width": 3, "height": LANE}),
        tag("text", {"x": 9, "y": 19}, text(f"{name} · {words.seconds(span.end - span.start)}")),
    )


def _named(facts: Facts, key: int) -> tuple[str, str]:
    if key == -1:
        return "plan", "before the first step"
    if key < -1:
        return "export", facts.exports[-2 - key].name
    step = facts.steps[key]
    state = "failed" if step.record.outcome == "failed" else "ran"
    return f"{state} critical" if step.critical else state, words.name(step, 80)


def _axis(total: int, height: int) -> Html:
    """A line and a time at round places, four to eight of them."""
    unit = _unit(total)
    marks: list[Html] = []
    for number in range(int(total // unit) + 1):
        at = number * unit
        end = at > total * 0.94
        marks.append(tag("line", {"x1": _percent(at, total), "x2": _percent(at, total), "y1": 0, "y2": height - AXIS + 4}))
        if not end:
            marks.append(tag("text", {"x": _percent(at, total), "y": height - 6, "dx": 0 if number else 2}, text(_mark(at, unit))))
    return tag("g", {"class": "axis"}, *marks)


def _unit(total: int) -> int:
    """1, 2 or 5 times a power of ten, so that at most six marks fit: 400 pixels hold no more."""
    power = 1
    while True:
        for step in _STEPS:
            if total <= 6 * step * power:
                return step * power
        power *= 10


def _mark(at: int, unit: int) -> str:
    digits = max(0, 9 - (len(str(unit)) - 1))
    return f"{at / 1e9:.{digits}f} s"
