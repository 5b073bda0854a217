"""Where boxes and bars are put: rules that hold for every graph."""

from __future__ import annotations

import itertools
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.report.facts import StepFacts
from builder.report.graph import draw_graph
from builder.report.layout import FOLDED_FROM, place
from builder.report.schedule import Span, critical_path, lanes
from tests.report.pages import Page, facts, step


@st.composite
def graphs(draw: st.DrawFn, most: int = 30) -> list[StepFacts]:
    """Steps whose inputs stand before them, in a few stages."""
    steps: list[StepFacts] = []
    for index in range(draw(st.integers(1, most))):
        inputs = draw(st.lists(st.integers(0, index - 1), max_size=3, unique=True)) if index else []
        outcome = draw(st.sampled_from(("ran", "cached", "waiting")))
        steps.append(
            step(f"RUN {index}", *inputs, stage=draw(st.sampled_from("ab")), outcome=outcome, start=index * 7, ms=draw(st.integers(1, 30)))
        )
    return steps


@given(steps=graphs())
@settings(deadline=None)
def test_every_edge_points_down_and_no_box_lies_on_another(steps: list[StepFacts]) -> None:
    layout = place(steps)
    assert sorted(index for box in layout.boxes for index in box.steps) == list(range(len(steps)))
    places = [(box.column, box.row) for box in layout.boxes]
    assert len(places) == len(set(places))
    for box in layout.boxes:
        assert all(layout.boxes[source].row < box.row for source in box.inputs)
        assert layout.columns[box.column] == box.stage
        assert box.row < layout.rows


@given(steps=graphs(12))
@settings(deadline=None, max_examples=60)
def test_no_edge_passes_behind_a_box(steps: list[StepFacts]) -> None:
    page = Page(b"<html>" + draw_graph(steps).encode() + b"</html>")
    width, height = (int(page.all("svg")[0][name]) for name in ("width", "height"))
    boxes = [tuple(int(rect[name]) for name in ("x", "y", "width", "height")) for rect in page.all("rect") if rect.get("class") != "mark"]
    lines = [line for path in page.all("path") for line in _lines(path["d"])]
    assert len(boxes) == len(steps)
    for (x1, y1), (x2, y2) in lines:
        assert x1 == x2 or y1 == y2
        assert 0 <= min(x1, x2) <= max(x1, x2) <= width
        assert 0 <= min(y1, y2) <= max(y1, y2) <= height
        for x, y, wide, high in boxes:
            beside = max(x1, x2) <= x or min(x1, x2) >= x + wide or max(y1, y2) <= y or min(y1, y2) >= y + high
            assert beside, f"{x1},{y1} to {x2},{y2} passes behind {x},{y}"


def _lines(drawn: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The straight pieces of a path; a rounded corner counts as its corner."""
    found: list[tuple[tuple[int, int], tuple[int, int]]] = []
    at = (0, 0)
    for command, rest in re.findall(r"([MLQV])([^MLQV]*)", drawn):
        numbers = [int(number) for number in re.findall(r"-?\d+", rest)]
        points = [(at[0], numbers[0])] if command == "V" else list(zip(numbers[::2], numbers[1::2], strict=True))
        for point in points:
            if command != "M":
                found.append((at, point))
            at = point
    return found


def test_long_runs_of_one_outcome_are_one_box() -> None:
    chain = [
        step(f"RUN {index}", *([index - 1] if index else []), outcome="cached" if index < 60 else "ran") for index in range(FOLDED_FROM)
    ]
    chain.append(step("COPY --from=app x /", 10, stage="other"))
    layout = place(chain)
    assert [len(box.steps) for box in layout.boxes] == [11, 49, FOLDED_FROM - 60, 1]
    assert [box.inputs for box in layout.boxes] == [(), (0,), (1,), (0,)]
    failed = [*chain[:-1], step("RUN last", FOLDED_FROM - 1, outcome="failed"), step("RUN x", FOLDED_FROM, outcome="waiting")]
    assert [len(box.steps) for box in place(failed).boxes][-2:] == [1, 1]


def test_stages_stand_in_the_order_of_the_dockerfile() -> None:
    late = step("RUN late", stage="late")
    late = msgspec.structs.replace(
        late, record=msgspec.structs.replace(late.record, span=msgspec.structs.replace(late.record.span, line=9))
    )
    assert place([late, step("RUN early", stage="early")]).columns == ("early", "late")
    assert place([step("debian", kind="base", stage=""), step("RUN x", 0, stage="only")]).columns == ("only",)


@given(spans=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=40))
def test_nothing_overlaps_in_a_lane(spans: list[tuple[int, int]]) -> None:
    rows = lanes([Span(key, start, start + length) for key, (start, length) in enumerate(spans)])
    assert sorted(span.key for row in rows for span in row) == list(range(len(spans)))
    for row in rows:
        assert all(before.end <= after.start for before, after in itertools.pairwise(row))
    busiest = max((sum(s <= at < s + length for s, length in spans) for at in range(71)), default=0)
    assert len(rows) == busiest


@pytest.mark.parametrize(
    ("steps", "path"),
    [
        ((), ()),
        ((step("a", outcome="cached"),), ()),
        ((step("a", ms=5), step("b", 0, start=5, ms=20), step("c", 0, start=5, ms=9), step("d", 1, 2, start=25, ms=1)), (0, 1, 3)),
        ((step("a", outcome="cached"), step("b", 0, start=1, ms=2), step("c", 0, start=1, ms=8)), (2,)),
    ],
    ids=["nothing", "hits", "a diamond", "side by side"],
)
def test_the_critical_path(steps: tuple[StepFacts, ...], path: tuple[int, ...]) -> None:
    assert critical_path(facts(*steps).steps) == path
