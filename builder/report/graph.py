"""The instruction graph as inline SVG; what it shows is in the table of steps too, for whoever cannot see it."""

from __future__ import annotations

from collections.abc import Sequence

from builder.report import words
from builder.report.facts import StepFacts
from builder.report.html import Html, join, tag, text
from builder.report.layout import Box, Layout, place

WIDTH, HEIGHT = 216, 42
GAP_X, GAP_Y = 36, 20
TOP, EDGE = 34, 12
LETTERS = 25
SMALL_LETTERS = 33

_STATES = {"cached": "hit", "ran": "ran", "failed": "failed", "cancelled": "off", "waiting": "off", "not-needed": "off"}


def draw_graph(steps: Sequence[StepFacts]) -> Html:
    """The picture, with its title and description."""
    layout = place(steps)
    width = len(layout.columns) * (WIDTH + GAP_X) - GAP_X + 2 * EDGE
    height = TOP + layout.rows * (HEIGHT + GAP_Y) - GAP_Y + EDGE
    edges, critical = _edges(layout, steps)
    return tag(
        "svg",
        {"class": "graph", "role": "img", "aria-labelledby": "graph-title graph-text", "width": width, "height": height,
         "viewBox": f"0 0 {width} {height}"},
        tag("title", {"id": "graph-title"}, text("Instruction graph")),
        tag("desc", {"id": "graph-text"}, text(_description(layout, steps))),
        join(_heading(column, name) for column, name in enumerate(layout.columns)),
        tag("path", {"class": "edge", "d": " ".join(edges)}) if edges else Html(""),
        tag("path", {"class": "edge critical", "d": " ".join(critical)}) if critical else Html(""),
        join(_box(box, steps) for box in layout.boxes),
    )  # fmt: skip


def _description(layout: Layout, steps: Sequence[StepFacts]) -> str:
    counts: dict[str, int] = {}
    for step in steps:
        counts[words.outcome(step)] = counts.get(words.outcome(step), 0) + 1
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    stages = "one column" if len(layout.columns) == 1 else f"{len(layout.columns)} columns, one a stage: {', '.join(layout.columns[:20])}"
    return f"{len(steps)} steps ({told}) in {stages}. Every step is a row of the table of steps below."


def _heading(column: int, name: str) -> Html:
    return tag("text", {"class": "stage", "x": _x(column), "y": TOP - 14}, text(_cut(name, LETTERS)))


def _x(column: int) -> int:
    return EDGE + column * (WIDTH + GAP_X)


def _y(row: int) -> int:
    return TOP + row * (HEIGHT + GAP_Y)


def _box(box: Box, steps: Sequence[StepFacts]) -> Html:
    first = steps[box.steps[0]]
    state = _STATES[first.record.outcome] if first.record.kind != "base" else "base"
    critical = " critical" if any(steps[index].critical for index in box.steps) else ""
    x, y = _x(box.column), _y(box.row)
    title, below = _labels(box, steps)
    return tag(
        "g",
        {"class": f"box {state}{critical}"},
        tag("rect", {"x": x, "y": y, "width": WIDTH, "height": HEIGHT, "rx": 4}),
        tag("rect", {"class": "mark", "x": x, "y": y, "width": 5, "height": HEIGHT}),
        tag("text", {"class": "code", "x": x + 14, "y": y + 18}, text(_cut(title, LETTERS))),
        tag("text", {"class": "small", "x": x + 14, "y": y + 34}, text(below)),
    )


def _labels(box: Box, steps: Sequence[StepFacts]) -> tuple[str, str]:
    first = steps[box.steps[0]]
    if len(box.steps) > 1:
        spent, size = (sum(getattr(steps[index], field) or 0 for index in box.steps) for field in ("duration", "size"))
        told = [words.outcome(first), words.seconds(spent) if spent else "", words.size(size) if size else ""]
        return f"{len(box.steps)} steps", " · ".join(word for word in told if word)
    if first.record.kind == "base":
        return (first.record.base.reference if first.record.base is not None else first.record.name), "base"
    told = [words.outcome(first), words.took(first), words.size(first.size) if first.size else "", "context" if first.reads_context else ""]
    shown = " · ".join(word for word in told if word)
    return words.name(first), shown if len(shown) <= SMALL_LETTERS else " · ".join(word for word in told[:3] if word)


def _edges(layout: Layout, steps: Sequence[StepFacts]) -> tuple[list[str], list[str]]:
    plain: list[str] = []
    critical: list[str] = []
    for box in layout.boxes:
        for given in box.inputs:
            source = layout.boxes[given]
            waited = any(steps[index].critical for index in box.steps) and any(steps[index].critical for index in source.steps)
            (critical if waited else plain).append(_curve(source, box))
    return plain, critical


def _curve(source: Box, target: Box) -> str:
    """Down from one box to another; past boxes between them in one column it bows out to the left."""
    x1, y1 = _x(source.column) + WIDTH // 2, _y(source.row) + HEIGHT
    x2, y2 = _x(target.column) + WIDTH // 2, _y(target.row)
    if source.column == target.column and target.row > source.row + 1:
        left = _x(source.column)
        return f"M{left + 24},{y1} C{left - 22},{y1 + 24} {left - 22},{y2 - 24} {left + 24},{y2}"
    middle = (y1 + y2) // 2
    return f"M{x1},{y1} C{x1},{middle} {x2},{middle} {x2},{y2}"


def _cut(name: str, letters: int) -> str:
    return name if len(name) <= letters else name[: letters - 1].rstrip() + "…"
