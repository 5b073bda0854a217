"""What the package promises as a whole: lark only when it parses, speed, and the tree that accepts more."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from grammar.diagnostics import DockerfileError, suggest
from grammar.parse import parse
from grammar.tree import dump
from grammar.words import expand

REPOSITORY = Path(__file__).resolve().parents[2]


def loaded_after(code: str) -> set[str]:
    """The modules a fresh interpreter has after running `code`."""
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout.split())


def test_lark_is_loaded_only_to_parse() -> None:
    code = "import grammar, grammar.parse, grammar.words, grammar.tree\ngrammar.words.expand('a$B${C}', {})\ngrammar.tree.dump(b'FROM a')"
    assert "lark" not in loaded_after(code)
    assert "lark" in loaded_after("from grammar.parse import parse\nparse(b'FROM a')")
    assert "lark" not in loaded_after("import grammar\ngrammar.Dockerfile")


def test_the_simple_words_mean_what_the_parser_says() -> None:
    env = {"A": "1", "B_2": "two"}
    for word in ("$A", "${A}x", "a$B_2-${C}", "${A}${A}$A", "$AB", "x$A"):
        # A quoted nothing in front takes the way through the grammar.
        assert expand(word, env) == expand(f"''{word}", env)


def test_a_thousand_instructions_parse_well_under_a_second() -> None:
    run = "RUN --mount=type=cache,target=/x apt-get update && \\\n  apt-get install\n"
    lines = run + 'ENV a=b c=d e="f g"\nCOPY --from=b a b c /d/\nLABEL x=y\n'
    parse(b"FROM a")
    begin = time.process_time()
    assert len(parse(("FROM a AS b\n" + lines * 250).encode()).instructions) == 1001
    assert time.process_time() - begin < 1


def outcome(data: bytes) -> str:
    """What becomes of a file."""
    try:
        parse(data)
    except DockerfileError as error:
        return "refused with a place" if error.diagnostic.span else "refused"
    return "accepted"


@pytest.mark.parametrize(
    "data",
    [
        b"X" * 65_000,
        b"RUN --" + b"X" * 65_000,
        b"RUN " + b"--mount=a " * 6_000 + b"x",
        b"RUN " + b"[" * 65_000,
        b"RUN [" + b'"a",' * 16_000 + b'"b"]',
        b"ENV " + b"a=b \\\n" * 20_000 + b"a=b",
        b"RUN a \\\n" + b"# x\n\n" * 20_000 + b"b",
        b"COPY " + b"<<A " * 8_000 + b"/x\n" + b"A\n" * 8_000,
        b"COPY " + b"<<A " * 8_000 + b"' /x",
        b"RUN <<A " + b"${a:-" * 13_000,
        b"RUN <<" + b" " * 30_000 + b"a" * 30_000 + b"<",
        b"ONBUILD " * 8_000 + b"RUN x",
        b"ENV a=" + b'"\\"' * 20_000,
        b"HEALTHCHECK --interval=" + b"1h" * 30_000 + b" CMD a",
        b"HEALTHCHECK --retries=" + b"1" * 60_000 + b" CMD a",
        b"#" + b" #" * 30_000,
    ],
)
def test_hostile_files_are_read_in_linear_time(data: bytes) -> None:
    begin = time.process_time()
    for whole in (b"FROM a\n" + data, b"# escape=" + b" " * 60_000 + b"\\\nFROM a\n" + data):
        assert outcome(whole) in ("accepted", "refused with a place")
    assert time.process_time() - begin < 8


def test_the_raw_tree_accepts_what_the_typed_tree_does_not() -> None:
    text = b'FOO bar\nCOPY --nope x\nonbuild ONBUILD run --a="b c" d\nONBUILD\nHEALTHCHECK\nUSER a b\nARG a b="c d"\nLABEL k v w'
    assert dump(text).split("\n") == [
        '(foo "")',
        '(copy ["--nope"] "x")',
        '(onbuild (onbuild (run ["--a=b c"] "d")))',
        "(onbuild)",
        "(healthcheck)",
        '(user "a b")',
        '(arg "a" "b=\\"c d\\"")',
        '(label "k" "v w" "")',
    ]
    with pytest.raises(DockerfileError):
        dump(b"ONBUILD " * 5_000 + b"RUN x")


@pytest.mark.parametrize(
    ("name", "near"), [("FORM", "FROM"), ("form", "FROM"), ("RU", "RUN"), ("XYZ", None), ("F" * 100_000, None), ("", None)]
)
def test_suggestions(name: str, near: str | None) -> None:
    assert suggest(name, ("FROM", "RUN", "COPY")) == near
