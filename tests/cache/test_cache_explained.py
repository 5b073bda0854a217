"""A first build in an empty store, explained against the cache that it imports."""

from __future__ import annotations

from builder.engine.build import foresee, run_build
from builder.engine.request import BuildRequest
from builder.history.cause import Explanation
from tests.cache.machines import Machines

COPY, TR, NOTES, TAKE = (
    "COPY main.c .",
    "RUN tr a-z A-Z < main.c > program",
    "RUN echo notes > /notes",
    "COPY --from=build /src/program /opt/app/",
)


def _request(machines: Machines) -> BuildRequest:
    return BuildRequest(context=str(machines.site.context), cache_from=(machines.ref(),), outputs=("type=cacheonly",))


def _explained(machines: Machines) -> dict[str, str]:
    """Instruction -> the first cause in words, of the misses of a build on a machine that has built nothing."""
    machines._on("fresh")
    foreseen = _told(foresee(_request(machines), machines.site.settings))
    told: list[Explanation] = []
    run_build(_request(machines), machines.site.settings, explained=told.append)
    found = _told(told[0])
    assert found.keys() <= foreseen.keys()
    return found


def _told(explanation: Explanation) -> dict[str, str]:
    return {verdict.step.name: verdict.causes[0].text for verdict in explanation.steps if not verdict.hit}


def test_what_an_imported_cache_has_no_result_of(machines: Machines) -> None:
    machines.build("a", cache_to=f"type=registry,ref={machines.ref()},mode=max")
    machines.site.write("main.c", "changed\n")
    found = _explained(machines)
    assert found[COPY] == f"the first build of this Dockerfile in this store; the cache {machines.ref()} has no result of it"
    assert found[TR] == f"an earlier step ran again: [build 3/4] {COPY} (line 3)"
    assert NOTES not in found


def test_on_another_base_it_has_no_results(machines: Machines) -> None:
    machines.build("a", cache_to=f"type=registry,ref={machines.ref()},mode=max")
    text = (machines.site.context / "Dockerfile").read_text()
    machines.site.dockerfile("FROM scratch\nCOPY --from=box / /\nRUN echo new > /version\n")
    machines.build("base", tags=(machines.base,), push=True, outputs=())
    machines.site.write("Dockerfile", text)
    (cause,) = {found for name, found in _explained(machines).items() if name == NOTES}
    assert cause == f"the first build of this Dockerfile in this store; the cache {machines.ref()} has no result of it"


def test_without_a_cache_that_can_be_read_it_is_a_first_build(machines: Machines) -> None:
    assert set(_explained(machines).values()) == {"this is the first build of this Dockerfile in this store"}
