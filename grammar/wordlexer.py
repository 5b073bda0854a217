"""One word to tokens for words.lark: which character is special depends on the context it stands in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

from lark import Token
from lark.lexer import Lexer

from grammar.gostrings import SPACES
from grammar.wordtree import ExpansionError, WordText

MAX_DEPTH = 100
"""Nested `${...}`; deeper ones are an attack on recursion, not a Dockerfile."""

_BLANKS = re.compile(f"[{SPACES}]*")
SPECIAL_PARAMETERS = frozenset("@*#?-$!0")
_PLAIN_OPERATORS = frozenset("+-?#%")
_COLON_OPERATORS = frozenset("+-?")


Context = Literal["top", "double", "brace", "pattern"]
"""What the innermost open thing is: nothing, `"`, a word that `}` ends, a pattern that `/` ends."""


class WordLexer(Lexer):
    """lark's lexer interface: `lex` gets the WordText that was given to parse()."""

    def __init__(self, lexer_conf: Any = None) -> None:
        del lexer_conf

    def lex(self, data: Any, parser_state: Any = None) -> Iterator[Token]:
        del parser_state
        return _Scan(data).tokens()


@lru_cache(maxsize=64)
def _run(stops: str) -> re.Pattern[str]:
    return re.compile(f"[^{re.escape(stops)}]+")


class _Scan:
    def __init__(self, word: WordText) -> None:
        self.text = word.text
        self.escape = word.escape
        self.quotes = word.quotes
        self.glue = word.glue
        self.position = 0
        self.contexts: list[Context] = ["top"]
        self.specials = "$" + word.escape + ("'\"" if word.quotes else "")

    def tokens(self) -> Iterator[Token]:
        text = self.text
        while self.position < len(text):
            context = self.contexts[-1]
            char = text[self.position]
            if char == "$":
                yield from self._dollar()
            elif context == "double":
                yield self._in_double(char)
            elif (char == "}" and context == "brace") or (char == "/" and context == "pattern"):
                yield self._close(char)
            elif char == self.escape:
                yield self._escaped(text[self.position + 1 : self.position + 2])
            elif char == "'" and self.quotes:
                yield self._single()
            elif char == '"' and self.quotes:
                self._push("double")
                yield self._token("OPEN_DOUBLE", self.position + 1, "")
            elif self.glue and context == "top" and text.startswith("<<", self.position):
                yield self._glued()
            else:
                yield self._plain_text(context)
        self._check_closed()

    def _token(self, kind: str, end: int, value: str) -> Token:
        start, self.position = self.position, min(end, len(self.text))
        return Token(kind, value, start, end_pos=self.position)

    def _push(self, context: Context) -> None:
        if len(self.contexts) > MAX_DEPTH:
            raise ExpansionError(f"variables are nested more than {MAX_DEPTH} deep")
        self.contexts.append(context)

    def _plain_text(self, context: Context) -> Token:
        own = {"brace": "}", "pattern": "/", "top": "<" if self.glue else "", "double": ""}[context]
        return self._text_until(self.specials + own)

    def _text_until(self, stops: str) -> Token:
        """At least one character, and on to the next of `stops`."""
        match = _run(stops).match(self.text, self.position + 1)
        end = match.end() if match else self.position + 1
        return self._token("TEXT", end, self.text[self.position : end])

    def _in_double(self, char: str) -> Token:
        if char == '"':
            self.contexts.pop()
            return self._token("CLOSE_DOUBLE", self.position + 1, "")
        if char == self.escape:
            following = self.text[self.position + 1 : self.position + 2]
            if following in ('"', "$", self.escape):
                return self._escaped(following)
            return self._escaped("")
        return self._text_until('"$' + self.escape)

    def _escaped(self, char: str) -> Token:
        return self._token("ESCAPED", self.position + 1 + len(char), self.escape + char)

    def _single(self) -> Token:
        end = self.text.find("'", self.position + 1)
        if end < 0:
            raise ExpansionError("a single quote is never closed")
        return self._token("QUOTED", end + 1, self.text[self.position + 1 : end])

    def _glued(self) -> Token:
        match = _BLANKS.match(self.text, self.position + 2)
        end = match.end() if match else self.position + 2
        return self._token("GLUED", end, self.text[self.position : end])

    def _close(self, char: str) -> Token:
        if char == "}":
            self.contexts.pop()
            return self._token("CLOSE_BRACE", self.position + 1, "")
        self.contexts[-1] = "brace"
        return self._token("SLASH", self.position + 1, "")

    def _dollar(self) -> Iterator[Token]:
        start = self.position
        if not self.text.startswith("{", start + 1):
            end = self._name_end(start + 1)
            # `$` before anything that is no name is just a dollar.
            yield self._token("NAME" if end > start + 1 else "TEXT", end, self.text[start + 1 : end] or "$")
            return
        following = self.text[start + 2 : start + 3]
        if not following:
            raise ExpansionError("a '${' has no closing '}'")
        if following in "{}:":
            raise ExpansionError(f"'${{{following}' is no substitution: a name must follow '${{'")
        end = self._name_end(start + 2)
        yield self._token("OPEN_BRACE", end, self.text[start + 2 : end])
        yield self._operator()

    def _operator(self) -> Token:
        text, start = self.text, self.position
        char = text[start : start + 1]
        if char == "}":
            return self._token("CLOSE_BRACE", start + 1, "")
        if char == "/":
            every = text.startswith("//", start)
            self._push("pattern")
            return self._token("REPLACE", start + 1 + every, "//" if every else "/")
        operator = text[start : start + 2] if char == ":" else char
        # Where nothing is expanded (glue), any modifier behind a colon is let through, as in bash's ${v:0:3}.
        if char in _PLAIN_OPERATORS or (len(operator) == 2 and (self.glue or operator[1] in _COLON_OPERATORS)):
            self._push("brace")
            return self._token("OPERATOR", start + len(operator), operator)
        if "}" not in text[start:]:
            raise ExpansionError("a '${' has no closing '}'")
        raise ExpansionError(f"the modifier {operator!r} in '${{...}}' is not supported")

    def _name_end(self, start: int) -> int:
        text = self.text
        end = start
        first = text[start : start + 1]
        if first.isdecimal():
            while end < len(text) and text[end].isdecimal():
                end += 1
            return end
        if first in SPECIAL_PARAMETERS and first:
            return start + 1
        while end < len(text) and (text[end].isalpha() or text[end].isdecimal() or text[end] == "_"):
            end += 1
        return end

    def _check_closed(self) -> None:
        match self.contexts[-1]:
            case "double":
                raise ExpansionError("a double quote is never closed")
            case "brace":
                raise ExpansionError("a '${' has no closing '}'")
            case "pattern":
                raise ExpansionError("a '${name/pattern' has no second '/'")
            case "top":
                return
