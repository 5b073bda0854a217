"""The report of the checks as people and programs read it: text with snippets, and BuildKit's `frontend.lint` JSON."""

from __future__ import annotations

import msgspec

from builder.lint.findings import LintReport, LintWarning
from grammar.diagnostics import Diagnostic, render
from grammar.source import Source


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """A place as BuildKit's JSON has it: 1-based line, 0-based character."""

    line: int
    character: int = 0


class Range(msgspec.Struct, frozen=True):
    start: Position
    end: Position


class Location(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    ranges: tuple[Range, ...]
    source_index: int = 0


class WarningRow(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A warning in `frontend.lint`'s result.json."""

    rule_name: str
    description: str
    detail: str
    location: Location
    url: str = ""


class SourceRow(msgspec.Struct, frozen=True):
    """The file itself; `data` is base64 in JSON."""

    filename: str
    language: str
    data: bytes


class BuildErrorRow(msgspec.Struct, frozen=True):
    """What failed the build, with `error=true`."""

    message: str
    location: Location


class LintRows(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The whole of result.json; `warnings` and `sources` are always there."""

    warnings: tuple[WarningRow, ...]
    sources: tuple[SourceRow, ...]
    build_error: BuildErrorRow | None = None


def diagnostic(warning: LintWarning) -> Diagnostic:
    """The warning as any other diagnostic: its code is the rule's name."""
    return Diagnostic(warning.rule, warning.message, warning.span, warning.help, "warning")


def text_report(report: LintReport) -> str:
    """What `--check` prints, with a last line that counts; ends with a newline."""
    blocks: list[str] = []
    for warning in report.warnings:
        margin = " " * len(str(warning.span.line))
        blocks.append(f"{render(diagnostic(warning), report.source)}\n{margin} = page: {warning.page}\n")
    count = len(report.warnings)
    if count == 0:
        blocks.append("Check complete, no warnings found.\n")
    else:
        blocks.append(f"Check complete, {count} warning{'s' if count != 1 else ''} found.\n")
    return "\n".join(blocks)


def json_report(report: LintReport) -> bytes:
    """What `--call check,format=json` prints."""
    rows = tuple(
        WarningRow(warning.rule, warning.summary, warning.message, location(warning.span.line), warning.url) for warning in report.warnings
    )
    error = None
    if report.errors:
        first = next(warning for warning in report.warnings if warning.rule in report.errors)
        error = BuildErrorRow(failure_message(report), location(first.span.line))
    return encode(LintRows(rows, (source_row(report.source),), error))


def failure_message(report: LintReport) -> str:
    """The sentence that a build ends with under `error=true`."""
    return f"lint violation found for rules: {', '.join(report.errors)}"


def location(line: int) -> Location:
    """A whole line."""
    return Location((Range(Position(line), Position(line)),))


def source_row(source: Source) -> SourceRow:
    """The file as it goes into a report."""
    return SourceRow(source.name, "Dockerfile", source_bytes(source))


def source_bytes(source: Source) -> bytes:
    """The file's text."""
    return ("\n".join(source.lines) + "\n").encode("utf-8", "surrogateescape")


def encode(rows: msgspec.Struct) -> bytes:
    """Indented JSON that ends with a newline."""
    return msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n"
