"""The table: an edit, and exactly what is said of it, before the build (--dry-run) and after (--explain)."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.explain.told import Told, Why

BASE = """\
FROM box
ARG EARLY=1
ENV MODE=fast
COPY data /data
RUN find /data > /sum
ARG LATE=1
ARG DIR=/late
WORKDIR $DIR
RUN echo "$LATE" > late
LABEL version=1
RUN echo last > /last
"""
COPY, SUM, WORKDIR, LATE, LAST = (
    "COPY data /data",
    "RUN find /data > /sum",
    "WORKDIR $DIR",
    'RUN echo "$LATE" > late',
    "RUN echo last > /last",
)
FROM_COPY: Why = ("earlier-step", "[stage-0 4/11] COPY data /data (line 4)")
FROM_SUM: Why = ("earlier-step", "[stage-0 5/11] RUN find /data > /sum (line 5)")
FROM_WORKDIR: Why = ("earlier-step", "[stage-0 8/11] WORKDIR $DIR (line 8)")
FROM_LATE: Why = ("earlier-step", '[stage-0 9/11] RUN echo "$LATE" > late (line 9)')

Fields = dict[str, object]
Change = Callable[[Told], Fields]
Expected = dict[str, tuple[Why, ...]]


def _edit(old: str, new: str) -> Change:
    def change(told: Told) -> Fields:
        told.dockerfile(BASE.replace(old, new))
        return {}

    return change


def _given(**fields: object) -> Change:
    return lambda told: fields


def _files(change: Callable[[Told], object]) -> Change:
    def changed(told: Told) -> Fields:
        change(told)
        return {}

    return changed


def _after_copy(*files: str) -> Expected:
    rest: Expected = dict.fromkeys((SUM, WORKDIR, LATE, LAST), (FROM_COPY,))
    return {COPY: (("files", "the build context", *files),), **rest}


def _removed_line(line: str) -> Change:
    return _edit(line + "\n", "")


def _link(told: Told, target: str) -> None:
    (told.context / "data/link").unlink()
    (told.context / "data/link").symlink_to(target)


def _to_directory(told: Told) -> None:
    (told.context / "data/a").unlink()
    (told.context / "data/a").mkdir()


CASES: list[tuple[str, Change, Expected]] = [
    ("nothing", _given(), {}),
    ("touch", _files(lambda told: os.utime(told.context / "data/a", (1, 1))), {}),
    ("a file nobody copies", _files(lambda told: told.write("other", "changed")), {}),
    ("content", _files(lambda told: told.write("data/a", "uno")), _after_copy("content data/a")),
    ("content of another length", _files(lambda told: told.write("data/sub/c", "longer")), _after_copy("content data/sub/c")),
    ("mode", _files(lambda told: (told.context / "data/a").chmod(0o700)), _after_copy("mode data/a")),
    ("mode of a directory", _files(lambda told: (told.context / "data/sub").chmod(0o700)), _after_copy("mode data/sub")),
    ("added", _files(lambda told: told.write("data/new", "")), _after_copy("added data/new")),
    ("removed", _files(lambda told: (told.context / "data/b").unlink()), _after_copy("removed data/b")),
    (
        "renamed",
        _files(lambda told: (told.context / "data/b").rename(told.context / "data/c")),
        _after_copy("removed data/b", "added data/c"),
    ),
    ("link", _files(lambda told: _link(told, "b")), _after_copy("link data/link")),
    ("a directory in a file's place", _files(_to_directory), _after_copy("kind data/a")),
    (
        "content and mode",
        _files(lambda told: told.write("data/a", "uno").chmod(0o600)),
        _after_copy("content+mode data/a"),
    ),
    ("ignored", _files(lambda told: told.write(".dockerignore", "data/b\n")), _after_copy("removed data/b")),
    (
        "early argument",
        _given(build_args={"EARLY": "2"}),
        {
            SUM: (("argument", "EARLY"),), WORKDIR: (FROM_SUM,), LATE: (("argument", "EARLY"), FROM_SUM),
            LAST: (("argument", "EARLY"), FROM_SUM),
        },
    ),
    ("late argument", _given(build_args={"LATE": "2"}), {LATE: (("argument", "LATE"),), LAST: (("argument", "LATE"), FROM_LATE)}),
    (
        "default of an argument",
        _edit("ARG LATE=1", "ARG LATE=3"),
        {LATE: (("argument", "LATE"),), LAST: (("argument", "LATE"), FROM_LATE)},
    ),
    ("an argument nobody declares", _given(build_args={"NOBODY": "2"}), {}),
    (
        "an argument in an instruction's words",
        _given(build_args={"DIR": "/other"}),
        {
            WORKDIR: (("argument", "DIR"),),
            LATE: (("argument", "DIR"), ("directory", "/other"), FROM_WORKDIR),
            LAST: (("argument", "DIR"), ("directory", "/other"), FROM_WORKDIR),
        },
    ),
    (
        "ENV",
        _edit("MODE=fast", "MODE=slow"),
        {
            SUM: (("variable", "MODE"),), WORKDIR: (FROM_SUM,), LATE: (("variable", "MODE"), FROM_SUM),
            LAST: (("variable", "MODE"), FROM_SUM),
        },
    ),
    ("label", _edit("version=1", "version=2"), {}),
    (
        "instruction",
        _edit("RUN echo last > /last", "RUN echo end > /last"),
        {"RUN echo end > /last": (("instruction", "RUN echo last > /last"),)},
    ),
    (
        "new instruction",
        _edit("LABEL version=1", "RUN true"),
        {"RUN true": (("new-step", ""),), LAST: (("earlier-step", "[stage-0 10/11] RUN true (line 10)"),)},
    ),
    (
        "user",
        _edit("LABEL version=1", "USER nobody"),
        {LAST: (("user", "nobody"),)},
    ),
    (
        "shell",
        _edit("LABEL version=1", 'SHELL ["/bin/sh", "-ec"]'),
        {LAST: (("shell", "/bin/sh -ec"),)},
    ),
    (
        "removed instruction",
        _removed_line(LATE),
        {LAST: (("moved", '[stage-0 9/11] RUN echo "$LATE" > late (line 9)'),)},
    ),
    (
        "network",
        _given(network="none"),
        {
            SUM: (("option", "network"),), WORKDIR: (FROM_SUM,), LATE: (("option", "network"), FROM_SUM),
            LAST: (("option", "network"), FROM_SUM),
        },
    ),
    (
        "no cache",
        _given(no_cache=True),
        dict.fromkeys((COPY, SUM, WORKDIR, LATE, LAST), (("no-cache", ""),)),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), [pytest.param(change, expected, id=name) for name, change, expected in CASES])
def test_what_is_said_of_an_edit(told: Told, change: Change, expected: Expected) -> None:
    for path, text in (("data/a", "one"), ("data/b", "two"), ("data/sub/c", "three"), ("other", "nobody reads this")):
        told.write(path, text)
    (told.context / "data/link").symlink_to("a")
    told.dockerfile(BASE)
    first = told.explained()
    if "FROM box" in first:
        assert set(first.values()) == {(("first-build", ""),)}
    fields = change(told)
    assert told.foreseen(**fields) == expected
    assert told.explained(**fields) == expected
