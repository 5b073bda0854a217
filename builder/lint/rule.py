"""What a rule is, and what it finds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from builder.lint.view import View
from grammar.source import Span


class Finding(msgspec.Struct, frozen=True):
    """One place that a rule objects to: `message` says what is wrong there, `help` the way out of this very case.

    `stage` is the index of the stage it lies in; None where a rule speaks of the whole file. `exact`: the line is
    this one, even if the instruction begins on another.
    """

    message: str
    span: Span
    help: str | None = None
    stage: int | None = None
    exact: bool = False


class Rule(msgspec.Struct, frozen=True):
    """A check of one thing.

    `check` is pure and never raises for a file that parses; `name` is what people write after `skip=`; `way_out`
    is the help where a finding has none of its own; `own` marks rules that BuildKit has not; an `experimental`
    rule runs only when it is asked for.
    """

    name: str
    summary: str
    way_out: str
    check: Callable[[View], Iterable[Finding]]
    experimental: bool = False
    own: bool = False

    @property
    def page(self) -> str:
        """Our page on it."""
        return f"docs/checks/{self.name}.md"

    @property
    def url(self) -> str:
        """Docker's page on it, empty for our own rules."""
        if self.own:
            return ""
        kebab = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", self.name).lower()
        return f"https://docs.docker.com/go/dockerfile/rule/{kebab}/"
