"""Every case of testdata/differential, built by us and by a dockerd with BuildKit: outcome, tree after each step, config, history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.differential.builders import Failed, Ours, Outcome, Reference
from tests.differential.casefile import Case, lay_out, read_cases
from tests.differential.compare import compare
from tests.differential.exceptions import EXCEPTIONS, sort_out

DATA = Path(__file__).resolve().parents[2] / "testdata" / "differential"
CASES = [case for path in sorted(DATA.glob("*.cases")) for case in read_cases(path)]
BY_NAME = [pytest.param(case, id=f"{case.area}-{case.name}") for case in CASES]


@pytest.fixture(scope="session")
def references(
    request: pytest.FixtureRequest, reference: Reference, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Case], Outcome]]:
    """The reference's images. It takes most of the time, so it works ahead, two cases at once, while ours are built and compared."""
    root = tmp_path_factory.mktemp("references")

    def build(case: Case) -> Outcome:
        work = root / f"{case.area}-{case.name}"
        work.mkdir()
        lay_out(case, work / "context")
        return reference.build(case, work / "context", work)

    # Other suites use the same cases without a reference.
    selected = {
        (case.area, case.name): case
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == "test_same_as_reference"
        if isinstance(case := item.callspec.params.get("case"), Case)
    }
    pool = ThreadPoolExecutor(2)
    built = {name: pool.submit(build, case) for name, case in selected.items()}
    yield lambda case: built[case.area, case.name].result()
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", BY_NAME)
def test_same_as_reference(
    case: Case,
    ours: Ours,
    references: Callable[[Case], Outcome],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    context = tmp_path / "context"
    lay_out(case, context)
    left = ours.build(case, context)
    right = references(case)
    expected = case.value("fails")
    if expected is not None:
        assert (left.code if isinstance(left, Failed) else "builds") == expected, left
    used, remaining = sort_out(compare(left, right, same_dockerfile=case.reference is None), case.values("except"))
    for name, count in used.items():
        record_property(f"exception:{name}", count)
    if remaining:
        pytest.fail("\n".join(str(difference) for difference in remaining), pytrace=False)


def test_there_are_enough_cases_and_no_two_of_a_name() -> None:
    names = [(case.area, case.name) for case in CASES]
    assert len(names) >= 150
    assert len(set(names)) == len(names)
    assert all(case.value("row") for case in CASES), [case.name for case in CASES if not case.value("row")]


def test_every_exception_that_is_asked_for_has_a_name_and_a_reason() -> None:
    known = {exempt.name: exempt.why for exempt in EXCEPTIONS}
    assert all(known.values())
    assert {name for case in CASES for name in case.values("except")} <= known.keys()
