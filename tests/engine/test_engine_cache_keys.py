"""What is a hit and what is a miss: the table of issue and reference 1.15, on real builds."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.engine.site import Site

BASE = """
FROM box
ARG EARLY=1
COPY data /data
RUN cat /data/* > /sum
ARG LATE=1
RUN echo "$LATE" > /late
LABEL version=1
RUN echo last > /last
"""
STEPS = ("COPY data /data", "RUN cat /data/* > /sum", 'RUN echo "$LATE" > /late', "RUN echo last > /last")


def _base(site: Site) -> None:
    site.write("data/a", "one")
    site.write("data/b", "two")
    site.write("other", "nobody reads this")
    site.dockerfile(BASE)


def _edit(old: str, new: str) -> Callable[[Site], dict[str, object]]:
    def change(site: Site) -> dict[str, object]:
        site.dockerfile(BASE.replace(old, new))
        return {}

    return change


def _touch(site: Site) -> dict[str, object]:
    os.utime(site.context / "data/a", (1, 1))
    return {}


def _write(path: str, text: str) -> Callable[[Site], dict[str, object]]:
    def change(site: Site) -> dict[str, object]:
        site.write(path, text)
        return {}

    return change


def _rename(site: Site) -> dict[str, object]:
    (site.context / "data/a").rename(site.context / "data/c")
    return {}


def _chmod(site: Site) -> dict[str, object]:
    (site.context / "data/a").chmod(0o600)
    return {}


CASES: list[tuple[str, Callable[[Site], dict[str, object]], tuple[str, ...]]] = [
    ("nothing", lambda site: {}, ()),
    ("touch", _touch, ()),
    ("unrelated file", _write("other", "changed"), ()),
    ("content", _write("data/a", "uno"), STEPS),
    ("same size", _write("data/a", "eno"), STEPS),
    ("rename inside", _rename, STEPS),
    ("new file", _write("data/c", ""), STEPS),
    ("chmod", _chmod, STEPS),
    ("label", _edit("version=1", "version=2"), ()),
    ("early argument, declared before all RUNs", lambda site: {"build_args": {"EARLY": "2"}}, STEPS[1:]),
    ("late argument", lambda site: {"build_args": {"LATE": "2"}}, STEPS[2:]),
    ("undeclared argument", lambda site: {"build_args": {"NOBODY": "2"}}, ()),
    ("proxy argument", lambda site: {"build_args": {"HTTP_PROXY": "http://127.0.0.1:1"}}, ()),
    ("command", _edit("echo last", "echo end"), ("RUN echo end > /last",)),
    ("no cache", lambda site: {"no_cache": True}, STEPS),
    ("no cache of the stage", lambda site: {"no_cache_stages": ("stage-0",)}, STEPS),
    ("network", lambda site: {"network": "none"}, STEPS[1:]),
    ("host name", lambda site: {"hosts": (("db", "10.0.0.7"),)}, STEPS[1:]),
]


@pytest.mark.parametrize(("change", "ran"), [pytest.param(change, ran, id=name) for name, change, ran in CASES])
def test_what_an_edit_runs_again(site: Site, change: Callable[[Site], dict[str, object]], ran: tuple[str, ...]) -> None:
    _base(site)
    site.build()
    fields = change(site)
    site.build(**fields)
    assert tuple(site.ran()) == ran


def test_host_addresses_are_not_in_the_key(site: Site) -> None:
    _base(site)
    site.build(hosts=(("db", "10.0.0.7"),))
    site.build(hosts=(("db", "10.0.0.8"),))
    assert site.ran() == []


def test_a_rebuilt_stage_with_the_same_files_is_a_hit_downstream(site: Site) -> None:
    text = """
        FROM box AS make
        ARG FLAG=1
        RUN echo "flag $FLAG" > /dev/null; echo made > /out
        FROM box
        COPY --from=make /out /out
        RUN cat /out > /copy
        """
    site.dockerfile(text)
    site.build()
    site.build(build_args={"FLAG": "2"})
    assert len(site.ran()) == 1
    assert "COPY --from=make /out /out" in site.cached()
    assert "RUN cat /out > /copy" in site.cached() or "RUN cat /out > /copy" not in site.ran()


@pytest.mark.parametrize(("first", "second"), [("ENV a=b-c", "ENV a-b=c"), ("ENV a=1 b=2", "ENV a='1 b=2'"), ("ENV a=", "ENV b=")])
def test_environments_that_read_alike_are_distinct(site: Site, first: str, second: str) -> None:
    site.dockerfile(f"FROM box\n{first}\nRUN env > /env\n")
    site.build()
    site.dockerfile(f"FROM box\n{second}\nRUN env > /env\n")
    site.build()
    assert site.ran() == ["RUN env > /env"]


def test_an_argument_and_a_variable_of_one_value_are_the_same_to_a_run(site: Site) -> None:
    site.dockerfile("FROM box\nARG A=1\nRUN echo $A > /a\n")
    site.build()
    site.dockerfile("FROM box\nENV A=1\nRUN echo $A > /a\n")
    site.build()
    assert site.ran() == []


def test_a_moved_base_tag_is_seen(site: Site) -> None:
    site.dockerfile("FROM box\nRUN echo base > /base\n")
    site.build(tags=("base",))
    site.dockerfile("FROM base\nRUN cat /base > /seen\n")
    site.build()
    site.build()
    assert site.ran() == []
    site.dockerfile("FROM box\nRUN echo moved > /base\n")
    site.build(tags=("base",))
    site.dockerfile("FROM base\nRUN cat /base > /seen\n")
    site.build()
    assert site.ran() == ["RUN cat /base > /seen"]


def test_two_tags_of_one_stack_are_one_base(site: Site) -> None:
    site.dockerfile("FROM box\nRUN echo base > /base\n")
    site.build(tags=("base:1", "base:2"))
    site.dockerfile("FROM base:1\nRUN cat /base > /seen\n")
    site.build()
    site.dockerfile("FROM base:2\nRUN cat /base > /seen\n")
    site.build()
    assert site.ran() == []


def test_a_source_directory_may_move(site: Site) -> None:
    site.write("one/file", "content")
    site.dockerfile("FROM box\nCOPY one/file /file\nRUN cat /file\n")
    site.build()
    (site.context / "one").rename(site.context / "two")
    site.dockerfile("FROM box\nCOPY two/file /file\nRUN cat /file\n")
    site.build()
    assert site.ran() == []


def test_equal_stages_share_their_work(site: Site) -> None:
    site.dockerfile(
        """
        FROM box AS a
        RUN echo same > /same
        FROM box AS b
        RUN echo same > /same
        FROM box
        COPY --from=a /same /a
        COPY --from=b /same /b
        """
    )
    site.build()
    assert site.ran().count("RUN echo same > /same") == 1


def test_a_linked_copy_does_not_depend_on_what_is_below(site: Site) -> None:
    site.write("file", "content")
    site.dockerfile("FROM box\nRUN echo 1 > /below\nCOPY --link file /file\n")
    first = site.build()
    site.dockerfile("FROM box\nRUN echo 2 > /below\nCOPY --link file /file\n")
    second = site.build()
    assert site.ran() == ["RUN echo 2 > /below"]
    assert first.result.images[0].manifest.layers[-1] == second.result.images[0].manifest.layers[-1]


def test_unneeded_stages_are_not_built(site: Site) -> None:
    site.dockerfile("FROM missing.invalid/none AS unused\nRUN false\nFROM box\nRUN true\n")
    site.build()
    assert site.ran() == ["FROM box", "RUN true"]


def test_a_stage_named_by_the_filter_runs_though_its_reader_is_a_hit(site: Site) -> None:
    site.dockerfile(
        """
        FROM box AS make
        RUN echo made > /out
        FROM box
        COPY --from=make /out /out
        RUN cat /out > /copy
        """
    )
    site.build()
    site.build(no_cache_stages=("make",))
    assert site.ran() == ["RUN echo made > /out"]
