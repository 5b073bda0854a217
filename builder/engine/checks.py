"""The checks of a build: what is known of it handed to the rules, their reports made events, errors where asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Literal

import msgspec

from builder.context.ignore import IgnoredTree
from builder.engine.contexts import OpenedContexts
from builder.engine.request import BuildRequest
from builder.errors import LayerwrightError
from builder.frontend.arguments import evaluate_globals, platform_arguments
from builder.frontend.scope import Expander
from builder.frontend.settings import BaseResolver, FrontendSettings
from builder.frontend.stages import split_stages
from builder.frontend.state import MAIN_CONTEXT
from builder.graph.plan import BaseImage, BuildPlan
from builder.lint.facts import BaseFacts, LintFacts
from builder.lint.findings import LintReport, LintWarning
from builder.oci.platform import Platform
from builder.oci.sha256 import small
from builder.progress.events import Event, Listener, Warning
from builder.solver.solve import Clock
from builder.store.index import Index
from grammar.diagnostics import render
from grammar.nodes import Dockerfile

Method = Literal["check", "outline", "targets"]

CHECKED = 3
"""Raised with every change to a rule, so that an older report is not believed."""


class _Kept(msgspec.Struct, frozen=True):
    warnings: tuple[LintWarning, ...]
    errors: tuple[str, ...]


class WarningCount:
    """A listener between the build and the user's, which counts warnings for --strict."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.codes: list[str] = []

    def on_event(self, event: Event) -> None:
        """Passes everything on."""
        if isinstance(event, Warning):
            self.codes.append(event.code)
        self._listener.on_event(event)

    def enforce(self) -> None:
        """Raise where there was a warning."""
        if self.codes:
            names = ", ".join(dict.fromkeys(self.codes))
            raise LayerwrightError(
                "strict",
                f"{len(self.codes)} warnings, which --strict makes errors: {names}",
                help="mend them, or skip a check with `# check=skip=NAME`",
            )


def facts_of(
    plan: BuildPlan | None, contexts: OpenedContexts, build_args: Mapping[str, str], bases: Mapping[int, BaseImage], platform: Platform
) -> LintFacts:
    """What the rules may know: with a plan the stages it needs, without one all."""
    tree = contexts.trees.get(MAIN_CONTEXT)
    patterns = tree.patterns if isinstance(tree, IgnoredTree) else None
    return LintFacts(
        bases={index: BaseFacts(base.config.config, base.config.platform) for index, base in bases.items()},
        platform=platform,
        ignored=patterns.matches if patterns is not None else None,
        ignore_lines=patterns.lines if patterns is not None else (),
        build_args=dict(build_args),
        stages=frozenset(plan.needed_stages) if plan is not None else None,
    )


def resolvable_bases(dockerfile: Dockerfile, request: BuildRequest, platform: Platform, resolver: BaseResolver) -> dict[int, BaseImage]:
    """The base of each stage, by index, where it can be had."""
    stages = split_stages(dockerfile)
    expander = Expander(dockerfile.source, dockerfile.directives.escape)
    settings = FrontendSettings(build_args=dict(request.build_args), platform=platform)
    values = evaluate_globals(stages.global_args, platform_arguments(settings, "default"), request.build_args, expander)
    found: dict[int, BaseImage] = {}
    for stage in stages.stages:
        with contextlib.suppress(LayerwrightError):
            name = expander.word(stage.begin.image, values)
            if name != "scratch" and name not in request.contexts and stages.newest_before(name, stage.index) is None:
                found[stage.index] = resolver.resolve(name, platform)
    return found


def tell(report: LintReport, listener: Listener, clock: Clock) -> None:
    """Each warning as an event; raises where a check says error=true."""
    if not report.warnings:
        return
    from builder.lint.report import diagnostic, failure_message

    for warning in report.warnings:
        text = render(diagnostic(warning), report.source)
        listener.on_event(Warning(time=clock.now_ns(), code=warning.rule, message=warning.message, text=text, span=warning.span))
    if report.errors:
        first = next(warning for warning in report.warnings if warning.rule in report.errors)
        raise LayerwrightError("check-failed", failure_message(report), span=first.span, source=report.source, help=first.help)


def check(dockerfile: Dockerfile, facts: LintFacts, index: Index) -> LintReport:
    """The report on a file; one made before of the same text and facts is taken from the index, and loads no rule."""
    source = dockerfile.source
    known_by = msgspec.msgpack.encode((CHECKED, source.name, source.lines)) + facts.identity()
    key = f"checked/{small(known_by).hexdigest()}"
    known = index.get_setting(key)
    if known is not None:
        with contextlib.suppress(msgspec.DecodeError):  # another version wrote it
            kept = msgspec.msgpack.decode(known, type=_Kept)
            return LintReport(source, kept.warnings, kept.errors)
    from builder.lint.check import lint

    report = lint(dockerfile, facts)
    index.put_setting(key, msgspec.msgpack.encode(_Kept(report.warnings, report.errors)))
    return report


def answer(method: Method, dockerfile: Dockerfile, facts: LintFacts, target: str | None, *, json: bool) -> tuple[str, int]:
    """What `--call METHOD` prints, and its exit code: 1 where a check found something."""
    from builder.lint.check import lint
    from builder.lint.outline import outline, outline_json, outline_text, targets, targets_text
    from builder.lint.report import json_report, text_report

    match method:
        case "check":
            report = lint(dockerfile, facts)
            return (json_report(report).decode() if json else text_report(report)), int(bool(report.warnings))
        case "outline":
            rows = outline(dockerfile, target, facts)
            return (outline_json(rows).decode() if json else outline_text(rows)), 0
        case "targets":
            listed = targets(dockerfile)
            return (outline_json(listed).decode() if json else targets_text(listed)), 0
