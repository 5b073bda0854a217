"""Runs the rules over a file and keeps what the file's own options let through; never changes a build."""

from __future__ import annotations

from builder.lint.facts import LintFacts
from builder.lint.findings import LintReport, LintWarning
from builder.lint.options import ARGUMENT, CheckOptions, comment_options, is_check_comment, parse_options
from builder.lint.rule import Finding
from builder.lint.table import RULE_NAMES, RULES
from builder.lint.view import look
from grammar.nodes import AnyInstruction, Dockerfile
from grammar.source import Span


def lint(dockerfile: Dockerfile, facts: LintFacts | None = None) -> LintReport:
    """The report on a file; raises LayerwrightError where it has no stages or a check option is wrong."""
    facts = facts or LintFacts()
    options = _file_options(dockerfile, facts)
    own_options = _instruction_options(dockerfile)
    view = look(dockerfile, facts, RULE_NAMES)
    found: list[tuple[Span, int, LintWarning, bool]] = []
    for order, rule in enumerate(RULES):
        for finding in rule.check(view):
            if finding.stage is not None and facts.stages is not None and finding.stage not in facts.stages:
                continue
            node = _instruction_at(dockerfile, finding)
            own = own_options.get(node.span.line) if node is not None else None
            merged = options if own is None else options.merged(own)
            if merged.allows(rule.name, rule.experimental):
                span = _on_first_line(finding, node)
                warning = LintWarning(rule.name, finding.message, span, finding.help or rule.way_out, rule.page, rule.url, rule.summary)
                # A file's error=true speaks of BuildKit's rules: what builds there builds here; --strict speaks of all.
                found.append((span, order, warning, merged.error and not rule.own))
    found.sort(key=lambda item: (item[0], item[1]))
    warnings = tuple(warning for _, _, warning, _ in found)
    return LintReport(dockerfile.source, warnings, tuple(sorted({warning.rule for _, _, warning, error in found if error})))


def _file_options(dockerfile: Dockerfile, facts: LintFacts) -> CheckOptions:
    """The build argument's, else the directive's."""
    given = facts.build_args.get(ARGUMENT)
    if given is not None:
        return parse_options(given)
    word = dockerfile.directives.check
    return CheckOptions() if word is None else parse_options(word.text, word.span, dockerfile.source)


def _instruction_options(dockerfile: Dockerfile) -> dict[int, CheckOptions]:
    """The options in the comments right above an instruction, by its first line."""
    found: dict[int, CheckOptions] = {}
    for node in dockerfile.instructions:
        for word in node.comments:
            if is_check_comment(word.text):
                options = parse_options(comment_options(word.text), word.span, dockerfile.source)
                found[node.span.line] = found.get(node.span.line, CheckOptions()).merged(options)
    return found


def _instruction_at(dockerfile: Dockerfile, finding: Finding) -> AnyInstruction | None:
    line = finding.span.line
    return next((node for node in dockerfile.instructions if node.span.line <= line <= node.span.end_line), None)


def _on_first_line(finding: Finding, node: AnyInstruction | None) -> Span:
    """The finding's own span, unless it stands on a continuation line: then the instruction's keyword."""
    if node is None or finding.exact or finding.span.line == node.span.line:
        return finding.span
    return node.keyword_span
