"""Go's text forms: durations, %q, %+v."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar.durations import DurationError, format_duration, parse_duration
from grammar.gostrings import health, is_space, plain_list, quote, quote_list, trim

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("5s", 5 * SECOND),
        ("+5s", 5 * SECOND),
        ("-5s", -5 * SECOND),
        ("1h2m3s", 3723 * SECOND),
        ("1.5h", 5400 * SECOND),
        (".5s", SECOND // 2),
        ("5.s", 5 * SECOND),
        ("0.000000001s", 1),
        ("0.0000000019s", 1),
        ("100ms", SECOND // 10),
        ("1us", 1000),
        ("1\u00b5s", 1000),
        ("1\u03bcs", 1000),
        ("7ns", 7),
        ("1s1s", 2 * SECOND),
        ("9223372036854775807ns", (1 << 63) - 1),
        ("-9223372036854775808ns", -(1 << 63)),
        ("0." + "3" * 40 + "s", 333333333),
    ],
)
def test_durations(text: str, value: int) -> None:
    assert parse_duration(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "5",
        "s",
        ".s",
        "1.2.3s",
        "1x",
        "1h 5m",
        " 1s",
        "1s ",
        "--1s",
        "9223372036854775808ns",
        "9999999999h",
        "9" * 5000 + "h",
        "1e3s",
        "٣s",
    ],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(DurationError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1100, "1.1\u00b5s"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (90 * SECOND, "1m30s"),
        (300 * SECOND, "5m0s"),
        (3600 * SECOND, "1h0m0s"),
        (-1, "-1ns"),
        ((1 << 63) - 1, "2562047h47m16.854775807s"),
    ],
)
def test_durations_print_as_in_go(value: int, text: str) -> None:
    assert format_duration(value) == text


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_durations_round_trip(value: int) -> None:
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a b", '"a b"'),
        ('"\\', '"\\"\\\\"'),
        ("\a\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'),
        ("\0\x1f\x7f", '"\\x00\\x1f\\x7f"'),
        ("é한😀", '"é한😀"'),
        ("\u00a0\u200b\u2028\ufeff", '"\\u00a0\\u200b\\u2028\\ufeff"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("\udce9", '"\\xe9"'),
    ],
)
def test_quote(text: str, quoted: str) -> None:
    assert quote(text) == quoted


def test_lists() -> None:
    assert quote_list(["/bin/sh", "-c", "echo hi"]) == '["/bin/sh" "-c" "echo hi"]'
    assert (quote_list([]), plain_list([]), plain_list(["a", "b"])) == ("[]", "[]", "[a b]")


def test_health_prints_as_in_history() -> None:
    assert health(["CMD-SHELL", "foo"], interval=5 * SECOND) == (
        "{Test:[CMD-SHELL foo] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}"
    )


def test_spaces_are_those_of_go() -> None:
    assert all(map(is_space, "\t\n\v\f\r \x85\u00a0\u2003\u3000"))
    assert not any(map(is_space, "\x1c\x1d\x1e\x1f\u200ba"))
    assert trim("\u3000\x1c a \x85") == "\x1c a"
