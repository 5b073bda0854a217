"""Plain command lines of `build` are read without click, and as click reads them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from builder.cli.build_arguments import read_plain
from builder.cli.build_command import build
from builder.cli.build_options import OPTIONS

PLAIN: list[list[str]] = [
    ["."],
    ["-"],
    ["-t", "a", "."],
    ["-t", "a", "--tag", "b", "--tag=c=d", ".", "--quiet"],
    ["-f", "Dockerfile.x", "--file=y", "https://example.org/x.git#main:dir"],
    [".", "--build-arg", "A=b", "--build-arg", "C", "--label=", "--no-cache", "--no-cache"],
    ["--progress=plain", "--network", "host", "-o", "type=oci,dest=x.tar", "--target", "", "."],
    ["", "--shm-size", "1g"],
]
NOT_PLAIN: list[list[str]] = [
    [], [".", "."], ["--", "."], ["-h"], ["--help", "."], ["-tq", "."], ["-ta", "."], ["-t=a", "."], ["-qD", "."], ["--ta", "x", "."],
    ["--tga", "x", "."], ["--pull=false", "."], ["--progress=loud", "."], ["--jobs", "2", "."], ["--rm", "."], [".", "-t"],
    ["-f", "-", "."], ["--target", "--push", "."], ["--squash", "."], ["-m=1g", "."],
]  # fmt: skip


def by_click(arguments: list[str]) -> dict[str, object]:
    return dict(build.make_context("build", list(arguments)).params)


def test_plain_lines_are_read_as_click_reads_them() -> None:
    for arguments in PLAIN:
        assert read_plain(arguments) == by_click(arguments), arguments


def test_what_is_not_plain_is_left_to_click() -> None:
    assert [arguments for arguments in NOT_PLAIN if read_plain(arguments) is not None] == []


WORDS = st.sampled_from(
    [".", "a", "", "x=y", "-", "--", "plain", "host", "2", "-1", *(name for option in OPTIONS for name in option.names)]
)
ARGUMENTS = st.lists(st.one_of(WORDS, st.builds("{}={}".format, WORDS, WORDS), st.text("-=tq.a", max_size=4)), max_size=5)


@settings(max_examples=400, deadline=None)
@given(ARGUMENTS)
def test_whatever_is_read_is_what_click_reads(arguments: list[str]) -> None:
    plain = read_plain(arguments)
    assert plain is None or plain == by_click(arguments)
