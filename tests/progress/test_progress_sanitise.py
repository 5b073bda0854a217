"""Output and names are made harmless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.progress.sanitise import MAX_LINE, Lines, clean

TABLE = [
    ("plain", "plain"),
    ("tab\tstays", "tab\tstays"),
    ("\x1b[31mred\x1b[0m", "red"),
    ("\x1b[2J\x1b[Hcleared", "cleared"),
    ("\x1b]0;title\x07after", "after"),
    ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
    ("\x1bP+q544e\x1b\\answer", "answer"),
    ("\x9b31mc1", "c1"),
    ("bell\x07", "bell\\x07"),
    ("back\x08\x08\x08", "back\\x08\\x08\\x08"),
    ("a\nb\rc", "a\\x0ab\\x0dc"),
    ("\x1b", "\\x1b"),
    ("open \x1b]0;never closed", "open \\x1b]0;never closed"),
    ("evil\u202etxt.exe", "evil\\u202etxt.exe"),
    ("bytes \udcff", "bytes \\xff"),
    ("größe ✔ 日本", "größe ✔ 日本"),
    ("\x1bc reset", " reset"),
]


@pytest.mark.parametrize(("text", "expected"), TABLE)
def test_clean(text: str, expected: str) -> None:
    assert clean(text) == expected


@given(st.text())
def test_nothing_that_controls_a_terminal_is_left(text: str) -> None:
    cleaned = clean(text)
    assert not any((ord(ch) < 0x20 and ch != "\t") or 0x7F <= ord(ch) < 0xA0 for ch in cleaned)
    cleaned.encode("utf-8")
    assert clean(cleaned) == cleaned


@given(st.binary(), st.integers(1, 7))
def test_lines_do_not_depend_on_where_the_stream_is_cut(data: bytes, step: int) -> None:
    whole, parts = Lines(), Lines()
    expected = whole.feed(data) + whole.flush()
    got: list[str] = []
    for start in range(0, len(data), step):
        got += parts.feed(data[start : start + step])
    assert got + parts.flush() == expected


def test_a_progress_bar_leaves_its_last_state() -> None:
    lines = Lines()
    assert lines.feed(b"10%\r50%\r100%\r\nnext\r\n") == ["100%", "next"]


def test_a_line_without_end_comes_out_in_pieces() -> None:
    lines = Lines()
    out = lines.feed(b"x" * (MAX_LINE * 2 + 5))
    assert [len(line) for line in out] == [MAX_LINE, MAX_LINE]
    assert lines.flush() == ["xxxxx"]
