"""Variable expansion, a test for each row of reference 1.2 (frontend/dockerfile/shell/lex.go)."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from builder.engine.dockerfiles import parse_cached
from builder.store.store import Store
from grammar.words import Expanded, ExpansionError, expand, expand_heredoc, learnt, recall, split

ENV = {"A": "one", "EMPTY": "", "P": "/usr/lib/x.tar.gz", "W": "a  b", "한": "kr", "1": "first", "@": "all", "STAR": "a*c"}


def rows(*table: tuple[str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("word", "value"), table)


@rows(
    ("$A", "one"),
    ("${A}", "one"),
    ("x$A/y", "xone/y"),
    ("$UNSET", ""),
    ("${UNSET}", ""),
    ("$A_", ""),
    ("$한", "kr"),
    ("$1x", "firstx"),
    ("${1}0", "first0"),
    ("$@@", "all@"),
    ("${@}", "all"),
    ("$* $# $? $- $$ $! $0", "      "),
    ("$.", "$."),
    ("$", "$"),
    ("a$ b", "a$ b"),
    ("$'x'", "$x"),
    ("$é", ""),
)
def test_plain_variables_and_special_parameters(word: str, value: str) -> None:
    assert expand(word, ENV).text == value


@rows(
    ("${A:-w}", "one"),
    ("${EMPTY:-w}", "w"),
    ("${UNSET:-w}", "w"),
    ("${A-w}", "one"),
    ("${EMPTY-w}", ""),
    ("${UNSET-w}", "w"),
    ("${UNSET:-}", ""),
    ("${UNSET-a b}", "a b"),
    ("${A:+w}", "w"),
    ("${EMPTY:+w}", ""),
    ("${UNSET:+w}", ""),
    ("${A+w}", "w"),
    ("${EMPTY+w}", "w"),
    ("${UNSET+w}", ""),
)
def test_defaults_and_alternatives(word: str, value: str) -> None:
    assert expand(word, ENV).text == value


@rows(
    ("${UNSET:?}", "UNSET: is not allowed to be unset"),
    ("${UNSET?}", "UNSET: is not allowed to be unset"),
    ("${EMPTY:?}", "EMPTY: is not allowed to be empty"),
    ("${UNSET:?say $A}", "UNSET: say one"),
    ("${EMPTY:?say why}", "EMPTY: say why"),
    ("${UNSET?say why}", "UNSET: say why"),
)
def test_required_variables(word: str, value: str) -> None:
    with pytest.raises(ExpansionError) as caught:
        expand(word, ENV)
    assert caught.value.message == value


def test_required_variables_that_are_there() -> None:
    assert expand("${A:?no}${A?no}${EMPTY?no}", ENV).text == "oneone"


@rows(
    ("${P#*/}", "usr/lib/x.tar.gz"),
    ("${P##*/}", "x.tar.gz"),
    ("${P%.*}", "/usr/lib/x.tar"),
    ("${P%%.*}", "/usr/lib/x"),
    ("${P#/???/}", "lib/x.tar.gz"),
    ("${P#nothing}", "/usr/lib/x.tar.gz"),
    ("${P##}", "/usr/lib/x.tar.gz"),
    ("${P%}", "/usr/lib/x.tar.gz"),
    (r"${STAR#a\*}", "c"),
    (r"${STAR%\*c}", "a"),
    ("${STAR#a?}", "c"),
    ("${STAR#[a]}", "a*c"),
    ("${A#$A}", ""),
    ("${UNSET#x}", ""),
    ("${A#'o'}", "ne"),
)
def test_prefixes_and_suffixes(word: str, value: str) -> None:
    assert expand(word, ENV).text == value


@rows(
    ("${P/usr/opt}", "/opt/lib/x.tar.gz"),
    ("${P/x*/y}", "/usr/lib/y"),
    ("${P/nothing/y}", "/usr/lib/x.tar.gz"),
    (r"${P/\//_}", "_usr/lib/x.tar.gz"),
    (r"${P//\//_}", "_usr_lib_x.tar.gz"),
    ("${P//[.]/_}", "/usr/lib/x.tar.gz"),
    ("${P//./}", "/usr/lib/xtargz"),
    ("${A//?/x}", "xxx"),
    ("${A//*/x}", "x"),
    ("${A/*/x}", "x"),
    ("${A//n/$A}", "oonee"),
    ("${A///x}", "xoxnxex"),
    ("${EMPTY//x/y}", ""),
    ("${EMPTY//*/y}", "y"),
    ("${UNSET/a/b}", ""),
)
def test_replacements(word: str, value: str) -> None:
    assert expand(word, ENV).text == value


@rows(
    (r"${A//n/[$R]}", "o[$1]e"),
    (r"${A/n/$T}", "o$0$0e"),
    (r"${A//n/$T}", "onne"),
    (r"${A//n/$D}", "o$e"),
    (r"${A//n/$B}", "o<n>e"),
    (r"${A//n/$N}", "oe"),
    (r"${A//n/$M}", "o$ ${e"),
)
def test_only_the_replacement_of_every_match_is_a_go_template(word: str, value: str) -> None:
    templates = {"R": "$$1", "T": "$0$0", "D": "$$", "B": "<${0}>", "N": "$name$1", "M": "$ ${"}
    assert expand(word, ENV | templates).text == value


@pytest.mark.parametrize(
    "word",
    ["${A:=w}", "${A=w}", "${A:#w}", "${A:%w}", "${A^^}", "${A,,}", "${A@Q}", "${A:0:2}", "${A.}", "${A b}", "${!A}", "${.}", "${A[0]}"],
)
def test_unsupported_modifiers(word: str) -> None:
    with pytest.raises(ExpansionError, match="is not supported"):
        expand(word, ENV)


@pytest.mark.parametrize("word", ["${}", "${:}", "${{", "${:-x}", "x${}y", '"${}"', "${{A}}"])
def test_bad_substitutions(word: str) -> None:
    with pytest.raises(ExpansionError, match="is no substitution"):
        expand(word, ENV)


@pytest.mark.parametrize("word", ["${", "${A", "${A:-x", "${A:", "${A:-${B}", "${A/x/y", "${A^"])
def test_missing_braces(word: str) -> None:
    with pytest.raises(ExpansionError, match="no closing '}'"):
        expand(word, ENV)


@pytest.mark.parametrize("word", ["${A/x}", "${A//}", "${A//x}"])
def test_a_replacement_needs_its_second_slash(word: str) -> None:
    with pytest.raises(ExpansionError, match="no second '/'"):
        expand(word, ENV)


@pytest.mark.parametrize("word", [r"${A#\x}", r"${A%a\b}", r"${A/\n/x}"])
def test_patterns_know_few_escapes(word: str) -> None:
    with pytest.raises(ExpansionError, match="means nothing in a pattern"):
        expand(word, ENV)


@rows(
    ("${UNSET:-${A}}", "one"),
    ("${UNSET:-${UNSET:-${A}x}y}", "onexy"),
    ("${A:+${UNSET:-deep}}", "deep"),
    ("${P/${UNSET:-usr}/${A}}", "/one/lib/x.tar.gz"),
    ('${UNSET:-"a}b"}', "a}b"),
    (r"${UNSET:-a\}b}", "a}b"),
    ("${UNSET:-'$A'}", "$A"),
    ("\"${UNSET:-'x'}\"", "x"),
)
def test_nesting(word: str, value: str) -> None:
    assert expand(word, ENV).text == value


def test_a_word_is_evaluated_even_when_it_is_not_used() -> None:
    with pytest.raises(ExpansionError, match="UNSET: no"):
        expand("${A:-${UNSET:?no}}", ENV)


def test_depth_is_limited() -> None:
    assert expand("${X:-" * 100 + "w" + "}" * 100, ENV).text == "w"
    for hostile in ("${X:-" * 101 + "}" * 101, '"${X:-' * 20_000, "${X:-" * 20_000, "${X/${X/" * 20_000):
        with pytest.raises(ExpansionError):
            expand(hostile, ENV)


@rows(
    ("'$A'", "$A"),
    (r"'a\b'", r"a\b"),
    ('"$A"', "one"),
    (r'"\$A"', "$A"),
    (r'"\""', '"'),
    (r'"\\"', "\\"),
    (r'"\n\'"', "\\n\\'"),
    (r"\$A", "$A"),
    (r"\'\"", "'\""),
    (r"\a", "a"),
    ("a\\", "a"),
    ('"it\'s"', "it's"),
    ("'a'\"b\"c", "abc"),
    ("''", ""),
)
def test_quotes_and_escapes(word: str, value: str) -> None:
    assert expand(word, ENV).text == value


def test_the_escape_character_can_be_a_backtick() -> None:
    assert expand('C:\\`$A`` "`"\\"', ENV, "`").text == 'C:\\$A` "\\'


@pytest.mark.parametrize("word", ["'", '"', "a'b", '"a', "\"$A'", '"\\"'])
def test_open_quotes(word: str) -> None:
    with pytest.raises(ExpansionError, match="never closed"):
        expand(word, ENV)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("$W", ["a", "b"]),
        ("x$W", ["xa", "b"]),
        ('"$W" y', ["a  b", "y"]),
        ("80 $P", ["80", "/usr/lib/x.tar.gz"]),
        ("$EMPTY", []),
        ("''", []),
        (r"a\ b c", ["a b", "c"]),
        ("${UNSET:-1 2}", ["1", "2"]),
        ("a\u00a0b\x1cc", ["a", "b\x1cc"]),
    ],
)
def test_one_variable_may_give_several_words(line: str, words: list[str]) -> None:
    assert split(line, ENV) == words


@rows(
    ("'$A' \"$A\"", "'one' \"one\""),
    (r"\$A \\ \n", r"$A \ n"),
    ("${A}\n`$A`", "one\n`one`"),
    ("${UNSET:-'x'}", "'x'"),
    ("it's", "it's"),
)
def test_here_documents_keep_their_quotes(word: str, value: str) -> None:
    assert expand_heredoc(word, ENV).text == value


def test_names_that_were_looked_up_are_reported_in_order() -> None:
    assert expand("$B ${A:-$C} $B", ENV) == Expanded(" one ", ("A",), ("B", "C"))
    assert expand("${EMPTY:-x}${D:-y}", ENV) == Expanded("xy", ("EMPTY",), ("D",))
    assert expand("$A ${B}", ENV) == Expanded("one ", ("A",), ("B",))


def test_a_word_cannot_grow_without_end() -> None:
    env = {"A": "x" * 5_000_000}
    with pytest.raises(ExpansionError, match="grows beyond"):
        expand("$A$A", env)
    with pytest.raises(ExpansionError, match="too long"):
        expand("${A//?/$B}", {"A": "x" * 100_000, "B": "y" * 100_000})
    with pytest.raises(ExpansionError, match="too long"):
        expand("${A//*/$B}", {"A": "x" * 100_000, "B": "$0" * 1000})


def test_trees_are_recalled_by_the_thread_that_was_told_where() -> None:
    asked: list[str] = []

    def load() -> bytes | None:
        asked.append(threading.current_thread().name)
        return None

    def other() -> None:
        expand("${recalled-elsewhere}", {})

    recall(load)
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert asked == []
    expand("${recalled-here}", {})
    expand("${recalled-again}", {})
    assert asked == [threading.current_thread().name]


def test_a_store_that_is_closed_is_not_asked_for_trees(store_root: Path) -> None:
    with Store.open(store_root) as store:
        parse_cached(b"FROM scratch\n", "Dockerfile", store.index)
    assert expand("${NEVER:-asked before}", {}).text == "asked before"


def test_trees_of_words_that_no_encoding_has_room_for_are_not_kept() -> None:
    expand("'\ud800'", {})
    expand("'kept all the same'", {})
    kept = learnt()
    assert kept is not None
    assert b"kept all the same" in kept
