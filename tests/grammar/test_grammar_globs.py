"""Patterns of ${v#p} and ${v/p/r} against the regular expressions BuildKit turns them into."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar import globs

PATTERNS = st.text(alphabet="ab*?\n", max_size=6)
TEXTS = st.text(alphabet="ab\n", max_size=9)


def regex(pattern: str, star: str = ".*") -> re.Pattern[str]:
    return re.compile("".join(star if kind == "*" else "." if kind == "?" else re.escape(char) for kind, char in globs.parse(pattern)))


@given(PATTERNS, TEXTS)
def test_prefixes(pattern: str, text: str) -> None:
    for longest, star in ((True, ".*"), (False, ".*?")):
        match = regex(pattern, star).match(text)
        assert globs.trim_prefix(pattern, text, longest) == (text[match.end() :] if match else text)


@given(PATTERNS, TEXTS)
def test_suffixes_are_prefixes_from_behind(pattern: str, text: str) -> None:
    for longest in (True, False):
        assert globs.trim_suffix(pattern, text, longest)[::-1] == globs.trim_prefix(pattern[::-1], text[::-1], longest)


@given(PATTERNS, TEXTS)
def test_the_first_match(pattern: str, text: str) -> None:
    match = regex(pattern).search(text)
    assert globs.replace_first(pattern, text, "X") == (text[: match.start()] + "X" + text[match.end() :] if match else text)


@given(PATTERNS, TEXTS)
def test_every_match_as_go_replaces_them(pattern: str, text: str) -> None:
    found, wanted, search, last_end = regex(pattern), "", 0, 0
    while search <= len(text) and (match := found.search(text, search)):
        wanted += text[last_end : match.start()]
        if match.end() > last_end or match.start() == 0:
            wanted += "X"
        last_end, search = match.end(), max(search + 1, match.end())
    assert globs.replace_all(pattern, text, "X") == wanted + text[last_end:]


def test_escapes() -> None:
    assert globs.parse(r"\*\?\\\}\/") == (("", "*"), ("", "?"), ("", "\\"), ("", "}"), ("", "/"))
    for pattern in ("\\", r"\x", "\\\\\\"):
        with pytest.raises(globs.PatternError):
            globs.parse(pattern)


def test_nothing_a_pattern_holds_makes_it_slow() -> None:
    begin = time.process_time()
    globs.replace_all("*a" * 2_000 + "b", "a" * 60_000, "x")
    globs.trim_suffix("*a" * 20_000, "a" * 60_000, True)
    globs.replace_all("a*", "a\n" * 30_000, "x")
    globs.replace_all("a" * 500 + "b", "a" * 60_000, "x")
    assert time.process_time() - begin < 5
    with pytest.raises(globs.PatternError):
        globs.trim_prefix("a" * 200_000, "a" * 200_000, True)
