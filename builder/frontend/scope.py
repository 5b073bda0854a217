"""Variables in scope: global ARGs, a stage's ARGs and ENVs, and the expansion of words with a place for errors.

Rules: an instruction sees the variables as of before it; ARG sees those of its own earlier pairs; the last of
ARG and ENV wins inside the build, while only ENV reaches the image config (reference 1.2, 1.3 "ARG vs ENV").
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from builder.errors import LayerwrightError
from grammar.nodes import Word
from grammar.source import Source
from grammar.words import ExpansionError, expand, split

_VARIABLE = r"\$\{?([A-Za-z_][A-Za-z0-9_]*)"

NOT_ENVIRONMENT = ("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE")
"""ARGs that are switches of the builder and reach no RUN (reference 1.8)."""


class Expander:
    """Expands words of one Dockerfile; an error gets the word's place."""

    def __init__(self, source: Source, escape: str) -> None:
        self.source = source
        self._escape = escape

    def word(self, word: Word, env: Mapping[str, str]) -> str:
        """The word with variables and quotes resolved."""
        try:
            return expand(word.text, env, self._escape).text
        except ExpansionError as error:
            raise self.error("bad-expansion", str(error), word) from None

    def words(self, word: Word, env: Mapping[str, str]) -> list[str]:
        """The word, which may become several or none."""
        try:
            return split(word.text, env, self._escape)
        except ExpansionError as error:
            raise self.error("bad-expansion", str(error), word) from None

    def text(self, text: str, env: Mapping[str, str]) -> str:
        """A text without a place of its own."""
        return expand(text, env, self._escape).text

    def error(self, code: str, message: str, word: Word, help: str | None = None) -> LayerwrightError:
        """An error that points at the word."""
        return LayerwrightError(code, message, span=word.span, source=self.source, help=help)


class Scope:
    """A stage's variables: `env` as instructions see them, and the ARGs declared so far in first-seen order."""

    def __init__(
        self, env: Mapping[str, str] | None = None, args: Mapping[str, str] | None = None, fixed: frozenset[str] = frozenset()
    ) -> None:
        self.env: dict[str, str] = dict(env or {})
        self.args: dict[str, str] = dict(args or {})
        self._fixed = fixed

    def copy(self) -> Scope:
        """What a stage built FROM this one starts with."""
        return Scope(self.env, self.args, self._fixed)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names on which ARG had the last word."""
        return tuple(name for name in self.args if name not in self._fixed) if self.args else ()

    def used(self, text: str) -> tuple[tuple[str, str], ...]:
        """The variables that a text speaks of, with their values now."""
        if "$" not in text:
            return ()
        names = dict.fromkeys(re.findall(_VARIABLE, text))
        return tuple((name, self.env[name]) for name in names if name in self.env)

    def set_env(self, key: str, value: str) -> None:
        """ENV: the last word on this name."""
        self.env[key] = value
        self._fixed |= {key}

    def declare(self, key: str, value: str | None) -> None:
        """ARG: without a value the name is declared and stays unset."""
        if value is not None and key not in NOT_ENVIRONMENT:
            self.env[key] = value
            self._fixed -= {key}
        self.args[key] = value if value is not None else self.args.get(key, "")

    def history_args(self) -> list[str]:
        """`A=1` for each declared ARG, as RUN's history shows them: first-seen order, the value now in force."""
        return [f"{key}={self.env.get(key, value)}" for key, value in self.args.items()]
