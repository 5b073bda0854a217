"""The instruction graph as inline SVG; what it shows is in the table of steps too, for whoever cannot see it."""

from __future__ import annotations

from collections.abc import Sequence

from builder.report import words
from builder.report.facts import StepFacts
from builder.report.html import Html, join, tag, text
from builder.report.layout import Box, Layout, place

WIDTH, HEIGHT = 216, 42
GAP_X, GAP_Y = 36, 20
TOP, EDGE, CORNER = 34, 12, 7
LETTERS = 25
SMALL_LETTERS = 33

_STATES = {"cached": "hit", "ran": "ran", "failed": "failed", "cancelled": "off", "waiting": "off", "not-needed": "off"}


def draw_graph(steps: Sequence[StepFacts]) -> Html:
    """The picture, with its title and description."""
    layout = place(steps)
    width = len(layout.columns) * (WIDTH + GAP_X) + EDGE
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
            (critical if waited else plain).append(_way(source, box, given))
    return plain, critical


def _way(source: Box, target: Box, number: int) -> str:
    """Straight down to the next row; else out at the side, down the gap between columns, and along the gap between rows.

    So no edge passes behind a box. Edges of different sources are a few pixels apart where they share a gap.
    """
    x1, y1, x2, y2 = _x(source.column), _y(source.row), _x(target.column) + WIDTH // 2, _y(target.row)
    if source.column == target.column and target.row == source.row + 1:
        return f"M{x2},{y1 + HEIGHT} V{y2}"
    aside = 4 * (number % 5 - 2)
    out, gap = (x1, x1 - GAP_X // 2 + aside) if target.column < source.column else (x1 + WIDTH, x1 + WIDTH + GAP_X // 2 + aside)
    row = y2 - GAP_Y // 2 + 3 * (number % 3 - 1)
    return _rounded([(out, y1 + HEIGHT // 2), (gap, y1 + HEIGHT // 2), (gap, row), (x2, row), (x2, y2)])


def _rounded(points: list[tuple[int, int]]) -> str:
    """A line through points, along the axes, its corners rounded."""
    parts = [f"M{points[0][0]},{points[0][1]}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        enter, leave = _toward(corner, before), _toward(corner, after)
        parts.append(f"L{enter[0]},{enter[1]} Q{corner[0]},{corner[1]} {leave[0]},{leave[1]}")
    return " ".join((*parts, f"L{points[-1][0]},{points[-1][1]}"))


def _toward(corner: tuple[int, int], point: tuple[int, int]) -> tuple[int, int]:
    """The point where the rounding of a corner begins."""
    (x, y), (to_x, to_y) = corner, point
    reach = min(CORNER, max(abs(to_x - x), abs(to_y - y)) // 2)
    return x + reach * ((to_x > x) - (to_x < x)), y + reach * ((to_y > y) - (to_y < y))


def _cut(name: str, letters: int) -> str:
    return name if len(name) <= letters else name[: letters - 1].rstrip() + "…"
