"""Reference 1.7: the lines of .dockerignore, what they match, and the tree that is left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.context.globs import PatternError, clean, component_regex, has_wildcard, inside, path_regex
from builder.context.ignore import IgnoredTree, Patterns, parse_ignore, parse_patterns
from builder.errors import LayerwrightError
from builder.fs.tree import MemoryTree, walk


def test_1_7_oracle_rows(oracles: Path) -> None:
    rows = json.loads((oracles / "ignore" / "matches.json").read_text())
    wrong = [row for row in rows if parse_patterns(row["patterns"]).matches(row["path"]) != row["match"]]
    assert len(rows) > 60
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"", ()),
        (b"\xef\xbb\xbfa\n", ("a",)),
        (b"a\r\nb\r\n", ("a", "b")),
        (b"# comment\n #not\na # b\n", ("#not", "a # b")),
        (b"\n  \n a \t\n", ("a",)),
        (b"! x\n", ("!x",)),
        (b"/a\n!/b/\n", ("a", "!b")),
        (b"a/./b//c/\n../up\n", ("a/b/c", "../up")),
        (b"**/\n", ("**",)),
        (b"/\n", ("/",)),
    ],
)
def test_1_7_lines(text: bytes, lines: tuple[str, ...]) -> None:
    assert parse_ignore(text).lines == lines


@pytest.mark.parametrize("text", [b"!\n", b"!   \n"])
def test_1_7_lone_negation_is_refused(text: bytes) -> None:
    with pytest.raises(LayerwrightError, match='illegal exclusion pattern: "!"'):
        parse_ignore(text)


@pytest.mark.parametrize("text", ["a[", "a[]", "[a", "[]a]", "[-a]", "[a-]", "\\", "a[\\", "[^]"])
def test_1_7_malformed_patterns_are_refused(text: str) -> None:
    with pytest.raises(PatternError):
        Patterns([text])


@pytest.mark.parametrize(
    ("patterns", "path", "excluded"),
    [
        (["*", "!a"], "a", False),
        (["*", "!a"], "b", True),
        (["!a", "*"], "a", True),
        (["a", "!a/b", "a/b/c"], "a/b/c/d", True),
        (["a", "!a/b", "a/b/c"], "a/b/x", False),
        (["*.md", "!README*.md", "README-secret.md"], "README-secret.md", True),
        (["*/temp*"], "somedir/temporary.txt", True),
        (["*/temp*"], "somedir/sub/temp", False),
        (["*/*/temp*"], "somedir/sub/temp", True),
        (["temp?"], "tempa", True),
        (["temp?"], "temp/", False),
        ([".git"], ".git/config", True),
        ([".git"], "sub/.git", False),
        (["**file"], "xfile", True),
        (["**/file"], "xfile", False),
        (["../a"], "a", False),
        ([r"a\[b"], "a[b", True),
        (["[z-a]"], "m", False),
        (["[^z-a]"], "m", True),
        (["."], "a", False),
        (["a.c"], "abc", False),
        (["ä?"], "äö", True),
    ],
)
def test_1_7_last_match_wins_and_parents_cover(patterns: list[str], path: str, excluded: bool) -> None:
    assert parse_patterns(patterns).matches(path) is excluded


def _shown(tree: MemoryTree, *patterns: str) -> list[str]:
    return walk(IgnoredTree(tree, parse_patterns(patterns)))


FILES = MemoryTree.of({"a/b/keep": b"1", "a/b/drop": b"2", "a/c": b"3", "d/e/f": b"4", "top": b"5"})


def test_1_7_negation_shows_the_excluded_parents_of_what_is_included_again() -> None:
    assert _shown(FILES, "a", "!a/b/keep") == ["a", "a/b", "a/b/keep", "d", "d/e", "d/e/f", "top"]


def test_1_7_everything_but_one_directory() -> None:
    assert _shown(FILES, "*", "!d") == ["d", "d/e", "d/e/f"]
    assert _shown(FILES, "**", "!**/keep") == ["a", "a/b", "a/b/keep"]


def test_1_7_excluded_is_absent_to_every_method() -> None:
    tree = IgnoredTree(FILES, parse_patterns(["a"]))
    assert tree.lstat("a") is None
    assert tree.lstat("a/c") is None
    assert tree.names("a") == ()
    with pytest.raises(FileNotFoundError):
        tree.open("a/c")


class _Counting(MemoryTree):
    """Counts which directories are listed."""

    def names(self, path: str) -> tuple[str, ...]:
        LISTED.append(path)
        return super().names(path)


LISTED: list[str] = []


@pytest.mark.parametrize(
    ("patterns", "looked_into"), [(["a"], False), (["a", "!d/x"], False), (["a", "!a/b"], True), (["a", "!**/keep"], True)]
)
def test_1_7_excluded_directories_are_walked_only_for_negations(patterns: list[str], looked_into: bool) -> None:
    tree = _Counting([(entry, b"") for path in walk(FILES) if (entry := FILES.lstat(path)) is not None])
    LISTED.clear()
    walk(IgnoredTree(tree, parse_patterns(patterns)))
    assert ("a" in LISTED) is looked_into


PROVE = bool(os.environ.get("LAYERWRIGHT_PROVE"))
fuzz = settings(max_examples=100_000 if PROVE else 200, deadline=None, database=None)
walks = settings(fuzz, max_examples=10_000 if PROVE else 200)
"""Hypothesis keeps each of these examples, a tree with its patterns, to tell new ones: 100,000 took 700 MB and over an hour."""


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        (r"a\.b", "a.b", True), (r"a\.b", "aXb", False), (r"\*", "*", True), (r"\*", "x", False), (r"\_x", "_x", True),
        (r"x\d", "x7", True), (r"x\d", "xd", False), (r"\w*", "a", True), (r"a\tb", "a\tb", True), (r"a\b*", "a", True),
    ],
)  # fmt: skip
def test_1_7_escapes_are_those_of_a_regular_expression(pattern: str, path: str, matches: bool) -> None:
    assert parse_patterns([pattern]).matches(path) is matches


@pytest.mark.parametrize("pattern", [r"a\g", r"\e", r"!\y", r"\é", r"\8", r"\1", r"x/\Qa"])
def test_1_7_escapes_that_mean_nothing_are_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        parse_patterns([pattern])


@pytest.mark.timeout(3600)
@fuzz
@given(st.lists(st.text("ab*?!/[]^-\\.gd", max_size=6), max_size=5), st.text("ab/.", max_size=8))
def test_1_7_any_text_is_matched_or_refused(patterns: list[str], path: str) -> None:
    try:
        compiled = parse_patterns(patterns)
    except LayerwrightError:
        return
    assert compiled.matches(path) in (True, False)


SEGMENT = st.text("ab", min_size=1, max_size=2)
PATTERN = st.lists(st.one_of(SEGMENT, st.sampled_from(["*", "**", "a*", "?"])), min_size=1, max_size=3).map("/".join)


@pytest.mark.timeout(3600)
@walks
@given(
    st.lists(st.tuples(st.booleans(), PATTERN), max_size=5),
    st.lists(st.lists(SEGMENT, min_size=1, max_size=3).map("/".join), min_size=1, max_size=6),
)
def test_1_7_the_tree_shows_a_file_exactly_when_the_patterns_let_it(lines: list[tuple[bool, str]], paths: list[str]) -> None:
    patterns = Patterns(("!" if negated else "") + text for negated, text in lines)
    files = {path: b"" for path in paths if not any(other.startswith(path + "/") for other in paths)}
    tree = IgnoredTree(MemoryTree.of(files), patterns)
    shown = [path for path in walk(tree) if path in files]
    assert shown == sorted(path for path in files if not patterns.matches(path))


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [("", "."), ("a/../b", "b"), ("../a", "../a"), ("/../a", "/a"), ("a//b/", "a/b"), ("./.", "."), ("a/../..", ".."), ("//a", "/a")],
)
def test_paths_are_cleaned_as_go_does(path: str, cleaned: str) -> None:
    assert clean(path) == cleaned


def test_1_5_sources_are_cleaned_inside_the_root() -> None:
    assert [inside(path) for path in ("..", "../x", "/abs/y", "a/../../b", ".", "")] == ["", "x", "abs/y", "b", "", ""]


def test_wildcards_are_seen_unless_escaped() -> None:
    assert [has_wildcard(text) for text in ("a", "a*", r"a\*", r"\\*", "a?", "[a")] == [False, True, False, True, True, True]
    assert component_regex("a*b") == "a[^/]*b"
    assert path_regex("**") == ".*"


def test_many_patterns_on_many_paths_are_fast_enough_to_walk_with() -> None:
    patterns = parse_ignore(
        b"\n".join([b"**/node_modules", b"*.pyc", b"dist/**", b"**/*.o", b".git", *[b"dir%d/x*" % i for i in range(40)]])
    )
    assert sum(patterns.matches(f"src/pkg{i % 97}/file{i}.py") for i in range(5000)) == 0
    assert patterns.matches("src/node_modules/x/y")
