"""The forms operands are written in, over one logical line: keyword and flags, word lists, pairs, JSON arrays.

Everything here works on text and offsets; what an instruction makes of its form is the lexer's affair.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache

import msgspec

from grammar.diagnostics import shorten
from grammar.gostrings import SPACES, trim, trim_left

_GAP = re.compile(r"[\t\v\f\r ]+")
_ITEM = re.compile(r"[^\t\v\f\r ]+")
_JSON_BLANKS = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_SPACE_RUN = re.compile(f"[{SPACES}]*")
_FLAG = re.compile(
    rf"""(?: [^{SPACES}'"\\]+ | \\. | (?P<end>\\\Z) | '(?:[^'\\]|\\.)*(?:'|(?P<open1>\\?\Z)) | "(?:[^"\\]|\\.)*(?:"|(?P<open2>\\?\Z)) )+""",
    re.VERBOSE | re.DOTALL,
)
_FLAG_PART = re.compile(
    r"""(?P<plain>[^'"\\]+) | \\(?P<escaped>.?) | '(?P<single>(?:[^'\\]|\\.)*)\\?'? | "(?P<double>(?:[^"\\]|\\.)*)\\?"?""",
    re.VERBOSE | re.DOTALL,
)


class Piece(msgspec.Struct, frozen=True):
    """A text and its place `start:end` in the logical line; the text may have lost quotes that the place still has."""

    text: str
    start: int
    end: int


class Head(msgspec.Struct, frozen=True):
    """A line taken apart: keyword as written, flags with their quotes processed, and the rest, trimmed.

    `open_flag` is the flag whose quote is never closed; it has then swallowed the line.
    """

    keyword: Piece
    flags: tuple[Piece, ...]
    rest: Piece
    open_flag: Piece | None = None


class FormError(ValueError):
    """Operands are not of the form the instruction needs; `start:end` is where."""

    def __init__(self, code: str, message: str, start: int, end: int, help: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.start = start
        self.end = end
        self.help = help


def trimmed(text: str, start: int) -> Piece:
    """`text`, which begins at offset `start`, without the blanks around it."""
    left = trim_left(text)
    inner = trim(left)
    begin = start + len(text) - len(left)
    return Piece(inner, begin, begin + len(inner))


def head(text: str, start: int = 0) -> Head:
    """Keyword, flags and rest of the instruction that begins at offset `start` of a logical line."""
    line = trimmed(text[start:], start)
    gap = _GAP.search(line.text)
    if gap is None:
        return Head(line, (), Piece("", line.end, line.end))
    keyword = Piece(line.text[: gap.start()], line.start, line.start + gap.start())
    flags: list[Piece] = []
    open_flag: Piece | None = None
    position, stop = line.start + gap.end(), line.end
    while True:
        run = _SPACE_RUN.match(text, position, stop)
        position = run.end() if run else position
        if not text.startswith("--", position, stop):
            break
        match = _FLAG.match(text, position, stop)
        assert match is not None
        flag = Piece(_unquoted(match[0]), position, match.end())
        position = match.end()
        if flag.text == "--":
            break
        flags.append(flag)
        if match["open1"] is not None or match["open2"] is not None:
            open_flag = flag
    return Head(keyword, tuple(flags), trimmed(text[position:stop], position), open_flag)


def _unquoted(text: str) -> str:
    """A flag without its quotes; a backslash quotes one character, in quotes too (FD/parser/split_command.go)."""
    parts: list[str] = []
    for match in _FLAG_PART.finditer(text):
        inner = match["single"] if match["single"] is not None else match["double"]
        if inner is not None:
            parts.append(re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL))
        else:
            parts.append(match["plain"] if match["plain"] is not None else match["escaped"])
    return "".join(parts)


def items(rest: Piece) -> list[Piece]:
    """A list separated by blanks, quotes meaning nothing."""
    return [Piece(match[0], rest.start + match.start(), rest.start + match.end()) for match in _ITEM.finditer(rest.text)]


@cache
def _shell_word(escape: str) -> re.Pattern[str]:
    e = re.escape(escape)
    return re.compile(
        rf"""(?: [^{SPACES}'"{e}]+ | {e}. | (?P<end1>{e}\Z) | '[^']*(?:'|\Z) | "(?:[^"{e}]|{e}.)*(?:"|(?P<end2>{e})?\Z) )+""",
        re.VERBOSE | re.DOTALL,
    )


def shell_words(rest: Piece, escape: str) -> list[Piece]:
    """Words with their quotes and escapes kept; an escape at the very end is dropped."""
    words: list[Piece] = []
    for match in _shell_word(escape).finditer(rest.text):
        dropped = match["end1"] is not None or match["end2"] is not None
        text = match[0][: len(match[0]) - dropped]
        if text:
            words.append(Piece(text, rest.start + match.start(), rest.start + match.start() + len(text)))
    return words


class PairPiece(msgspec.Struct, frozen=True):
    """One `key=value`, or the `KEY rest of line` form."""

    key: Piece
    value: Piece
    legacy: bool


def pairs(keyword: str, rest: Piece, escape: str) -> list[PairPiece]:
    """The operands of ENV and LABEL; the first word decides which form it is. Raises FormError."""
    words = shell_words(rest, escape)
    if not words:
        return []
    if "=" not in words[0].text:
        gap = _GAP.search(rest.text)
        if gap is None:
            name = shorten(rest.text)
            raise FormError("missing-value", f"{keyword} {name} gives no value", rest.start, rest.end, f"write {keyword} {name}=value")
        key = Piece(rest.text[: gap.start()], rest.start, rest.start + gap.start())
        return [PairPiece(key, Piece(rest.text[gap.end() :], rest.start + gap.end(), rest.end), True)]
    return [_pair(keyword, word) for word in words]


def _pair(keyword: str, word: Piece) -> PairPiece:
    key, equals, value = word.text.partition("=")
    if not equals:
        raise FormError(
            "missing-equals",
            f"can't find = in {shorten(word.text)!r}; once the first word of {keyword} has one, each must be name=value",
            word.start,
            word.end,
            'quote a value that has blanks in it: name="two words"',
        )
    if not key:
        raise FormError("blank-name", f"{keyword} has a name that is empty", word.start, word.end)
    split = word.start + len(key)
    return PairPiece(Piece(key, word.start, split), Piece(value, split + 1, word.end), False)


def argument(word: Piece) -> tuple[Piece, Piece | None]:
    """One operand of ARG: a name, or a name and its default. Raises FormError."""
    key, equals, value = word.text.partition("=")
    split = word.start + len(key)
    if not equals:
        return word, None
    if not key:
        raise FormError("blank-name", "ARG has a name that is empty", word.start, word.end)
    return Piece(key, word.start, split), Piece(value, split + 1, word.end)


def json_array(rest: Piece) -> list[Piece] | None:
    """The strings of a JSON array, None where the text is no valid JSON array (it is then a shell form or a list).

    An array with anything but strings in it is a FormError.
    """
    text = trim_left(rest.text)
    if not text.startswith("["):
        return None
    try:
        values: object = json.loads(text, parse_constant=_no_number, parse_float=_number, parse_int=_number)
    except RecursionError:
        values = [None]
    except ValueError:
        return None
    offset = rest.start + len(rest.text) - len(text)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        message = "a JSON array of an instruction can hold only strings"
        raise FormError("json-not-strings", message, offset, rest.end, "put each element in double quotes")
    return _string_pieces(text, offset)


def _string_pieces(text: str, offset: int) -> list[Piece]:
    pieces: list[Piece] = []
    position = 1
    while True:
        blank = _JSON_BLANKS.match(text, position)
        position = blank.end() if blank else position
        if text[position] == "]":
            return pieces
        if text[position] == ",":
            position += 1
            continue
        value, end = _DECODER.raw_decode(text, position)
        pieces.append(Piece(_whole(value), offset + position, offset + end))
        position = end


def _whole(text: str) -> str:
    """Half of a surrogate pair becomes U+FFFD, as encoding/json has it."""
    return text if text.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", text)


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _number(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("out of range")
    return number


_HEALTH_KIND = re.compile(f"[^{SPACES}]*")


def health(rest: Piece) -> tuple[Piece, Piece]:
    """HEALTHCHECK's first word and the command behind it."""
    match = _HEALTH_KIND.match(rest.text)
    split = match.end() if match else 0
    return Piece(rest.text[:split], rest.start, rest.start + split), trimmed(rest.text[split:], rest.start + split)
