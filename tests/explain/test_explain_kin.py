"""A checkout in another directory is compared with the build that is most like it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from builder.graph.operations import RunAction
from builder.history.kin import kin
from builder.history.record import BuildRecord, Request, StepRecord, pack_steps
from builder.history.render import explanation_lines
from tests.explain.told import Told

DOCKERFILE = "FROM box\nCOPY src /src\nRUN cat /src/* > /out\nRUN echo last > /last\n"


def test_a_fresh_checkout_says_what_changed(told: Told, tmp_path: Path) -> None:
    told.write("src/a", "one")
    told.write("src/b", "two")
    told.dockerfile(DOCKERFILE)
    told.explained(tags=("registry.example/app:1",))
    first = told.context
    told.context = tmp_path / "elsewhere"
    shutil.copytree(first, told.context)
    assert told.explained(tags=("registry.example/app:2",)) == {}
    assert told.last is not None
    assert explanation_lines(told.last)[0].endswith(f" in {first}")
    told.context = tmp_path / "third"
    shutil.copytree(first, told.context)
    told.write("src/a", "uno")
    expected = {
        "COPY src /src": (("files", "the build context", "content src/a"),),
        "RUN cat /src/* > /out": (("earlier-step", "[stage-0 2/4] COPY src /src (line 2)"),),
        "RUN echo last > /last": (("earlier-step", "[stage-0 2/4] COPY src /src (line 2)"),),
    }
    assert told.foreseen(tags=()) == expected
    assert told.explained(tags=()) == expected
    # From here on the same directory has a build of its own.
    told.write("src/b", "due")
    assert told.explained(tags=())["COPY src /src"] == (("files", "the build context", "content src/b"),)
    assert told.last is not None
    assert told.last.against_context == ""


def test_another_project_is_a_first_build(told: Told, tmp_path: Path) -> None:
    told.dockerfile("FROM box\nRUN echo one > /one\nRUN echo two > /two\nRUN echo three > /three\n")
    told.explained(tags=("one",))
    told.context = tmp_path / "elsewhere"
    told.context.mkdir()
    told.dockerfile("FROM box\nRUN echo four > /four\nRUN echo five > /five\n")
    assert set(told.explained(tags=("two",)).values()) == {(("first-build", ""),)}


def _build(name: str, dockerfile: str, tags: tuple[str, ...], *instructions: str) -> BuildRecord:
    run = RunAction(argv=("true",), env=(), cwd="/", user="")
    steps = tuple(StepRecord(vertex=text, kind="step", name=text, operation=run) for text in instructions)
    return BuildRecord(id=name, request=Request(f"/{name}", dockerfile, tags=tags), started_ns=0, steps=pack_steps(steps))


@pytest.mark.parametrize(
    ("builds", "order"),
    [
        ([], ""),
        ([_build("a", "Dockerfile", ("app:1",), "RUN z")], "a"),
        ([_build("a", "Dockerfile", ("registry.example/app:1",), "RUN z")], ""),
        ([_build("a", "other.Dockerfile", ("app:1",), "RUN 1", "RUN 2")], ""),
        ([_build("a", "/elsewhere/Dockerfile", ("app:1",), "RUN z")], "a"),
        ([_build("a", "Dockerfile", (), "RUN 1", "RUN 2")], "a"),
        ([_build("a", "Dockerfile", (), "RUN 1", "RUN y", "RUN z")], ""),
        ([_build("a", "Dockerfile", (), "RUN 1")], "a"),
        ([_build("a", "Dockerfile", (), "RUN 1", "RUN 2"), _build("b", "Dockerfile", ("app:2",), "RUN z")], "ba"),
        ([_build("a", "Dockerfile", (), "RUN 1", "RUN 2"), _build("b", "Dockerfile", (), "RUN 1", "RUN 2", "RUN 3", "RUN 4")], "ba"),
        ([_build("a", "Dockerfile", ("app:1",)), _build("b", "Dockerfile", ("app:1",))], "ab"),
    ],
)
def test_the_order_of_those_alike(builds: list[BuildRecord], order: str) -> None:
    now = _build("now", "Dockerfile", ("app:3",), "RUN 1", "RUN 2", "RUN 3", "RUN 4")
    assert "".join(build.id for build in kin(now, builds)) == order
