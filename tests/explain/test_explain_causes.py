"""Causes that lie beside the Dockerfile: bases, other stages, mounts, a store that lost something, a build that failed."""

from __future__ import annotations

from builder.store.store import Store
from tests.explain.told import Told

STAGES = """\
FROM box AS make
COPY src /src
RUN cat /src/* > /out
FROM box
COPY --from=make /out /out
RUN cat /out > /copy
"""


def _made(told: Told) -> None:
    told.write("src/a", "one")
    told.write("src/b", "two")
    told.dockerfile(STAGES)
    told.explained()


def _base(told: Told, name: str, text: str) -> None:
    path = told.write("../Dockerfile.base", f"FROM box\nRUN echo {text} > /base\n")
    told.explained(tags=(name,), dockerfile=str(path))


def test_another_stages_output(told: Told) -> None:
    _made(told)
    told.explained()
    told.write("src/a", "another")
    found = told.explained()
    assert found == {
        "COPY src /src": (("files", "the build context", "content src/a"),),
        "RUN cat /src/* > /out": (("earlier-step", "[make 2/3] COPY src /src (line 2)"),),
        "COPY --from=make /out /out": (("stage", "what it takes from stage make", "content out"),),
        "RUN cat /out > /copy": (("earlier-step", "[stage-1 2/3] COPY --from=make /out /out (line 5)"),),
    }


def test_another_stage_that_came_out_the_same(told: Told) -> None:
    _made(told)
    told.dockerfile(STAGES.replace("RUN cat /src/* > /out", "RUN cat /src/a /src/b > /out"))
    assert told.foreseen()["COPY --from=make /out /out"] == (("stage-rebuilt", "make"),)
    found = told.explained()
    assert found == {"RUN cat /src/a /src/b > /out": (("instruction", "RUN cat /src/* > /out"),)}
    assert told.last is not None
    assert [verdict.step.by_content for verdict in told.last.steps if verdict.step.name == "COPY --from=make /out /out"] == [True]


def test_a_base_that_moved(told: Told) -> None:
    _base(told, "base", "one")
    told.dockerfile("FROM base\nRUN cat /base > /seen\n")
    told.explained()
    _base(told, "base", "two")
    assert told.foreseen() == {"RUN cat /base > /seen": (("base", "base"),)}
    assert told.explained() == {"RUN cat /base > /seen": (("base", "base"),)}
    assert told.last is not None
    (cause,) = next(verdict.causes for verdict in told.last.steps if not verdict.hit)
    assert cause.text.startswith("the base base changed: sha256:")


def test_another_base(told: Told) -> None:
    _base(told, "one", "one")
    _base(told, "two", "two")
    told.dockerfile("ARG BASE=one\nFROM $BASE\nRUN cat /base > /seen\n")
    told.explained()
    assert told.explained(build_args={"BASE": "two"}) == {"RUN cat /base > /seen": (("base", "two"),)}


def test_files_of_the_context_that_are_mounted(told: Told) -> None:
    told.write("src/a", "one")
    told.dockerfile("FROM box\nRUN --mount=target=/src cat /src/src/a > /seen\n")
    told.explained()
    told.write("src/a", "two")
    (name,) = told.explained().items()
    assert name == ("RUN --mount=target=/src cat /src/src/a > /seen", (("files", "the build context", "content src/a"),))


def test_a_here_document(told: Told) -> None:
    told.dockerfile("FROM box\nCOPY <<EOF /file\none\nEOF\n")
    told.explained()
    told.dockerfile("FROM box\nCOPY <<EOF /file\ntwo\nEOF\n")
    (causes,) = told.explained().values()
    assert [cause[0] for cause in causes] == ["instruction"]


def test_a_step_that_failed_before(told: Told) -> None:
    told.dockerfile("FROM box\nRUN echo one > /one\nRUN exit 3\nRUN true\n")
    first = told.explained()
    assert first["RUN exit 3"] == (("first-build", ""),)
    assert told.explained() == {"RUN exit 3": (("unfinished", ""),), "RUN true": (("earlier-step", "[stage-0 3/4] RUN exit 3 (line 3)"),)}


def test_a_layer_that_was_collected(told: Told) -> None:
    told.dockerfile("FROM box\nRUN echo one > /one\nRUN echo two > /two\n")
    told.explained(tags=(), outputs=("type=cacheonly",))
    assert told.last is not None
    layer = next(verdict.step.layer for verdict in told.last.steps if verdict.step.name == "RUN echo two > /two")
    with Store.open(told.settings.root) as store:
        assert store.index.layers.delete_unused(layer, 1 << 62)  # type: ignore[arg-type]
    assert told.foreseen(tags=()) == {"RUN echo two > /two": (("collected", ""),)}


def test_no_cache_of_one_stage(told: Told) -> None:
    _made(told)
    found = told.foreseen(no_cache_stages=("make",), target="make")
    assert found == dict.fromkeys(("COPY src /src", "RUN cat /src/* > /out"), (("no-cache", ""),))


def test_a_dry_run_runs_nothing_and_leaves_no_record(told: Told) -> None:
    _made(told)
    with Store.open(told.settings.root) as store:
        before = store.index.build_times()
    told.write("src/a", "another")
    assert len(told.foreseen()) == 4
    assert len(told.foreseen()) == 4
    with Store.open(told.settings.root) as store:
        assert store.index.build_times() == before


def test_values_of_secret_looking_names_are_not_told(told: Told) -> None:
    told.dockerfile("FROM box\nARG API_TOKEN\nRUN echo $API_TOKEN > /dev/null\n")
    told.explained(build_args={"API_TOKEN": "hunter2"})
    told.explained(build_args={"API_TOKEN": "hunter3"})
    assert told.last is not None
    texts = [cause.text for verdict in told.last.steps for cause in verdict.causes]
    assert texts == ["the build argument API_TOKEN changed"]
