"""What the checks report, as data; loads no rule."""

import msgspec

from grammar.source import Source, Span


class LintWarning(msgspec.Struct, frozen=True):
    """One report: the rule, what is wrong in one sentence, where, the way out, and the page that says more.

    `span` stands on the instruction's first line, where BuildKit reports too; `url` is empty for our own rules.
    """

    rule: str
    message: str
    span: Span
    help: str
    page: str
    url: str = ""
    summary: str = ""


class LintReport(msgspec.Struct, frozen=True):
    """All reports by line; `errors` are the rules that must fail the build (`error=true`), sorted."""

    source: Source
    warnings: tuple[LintWarning, ...] = ()
    errors: tuple[str, ...] = ()
