"""What differs between two operations of one instruction: its text, variables, user, directory, shell, options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from builder.graph.operations import CopyAction, MakeDirectory, RunAction
from builder.history.cause import Cause, short
from builder.history.record import StepRecord

_SECRET = r"(?i)(_|^)(api_?key|auth|credentials?|key|password|passwd|pword|pwd|secret|token)(_|$)"  # as SecretsUsedInArgOrEnv


def operation_causes(now: StepRecord, was: StepRecord) -> Iterator[Cause]:
    """The causes that lie in the instruction itself; none where it does the same."""
    text = now.name.strip() != was.name.strip()
    if text:
        yield Cause("instruction", f"the instruction changed: it was `{short(was.name)}`", was.name)
    if now.operation == was.operation:
        return
    found = list(_details(now, was))
    yield from found
    if not found and not text:
        yield Cause("instruction", "what the instruction comes to changed", now.name)


def _details(now: StepRecord, was: StepRecord) -> Iterator[Cause]:
    new, old = now.operation, was.operation
    names = {*now.arguments, *was.arguments}
    if isinstance(new, RunAction) and isinstance(old, RunAction):
        yield from _variables(dict(new.env), dict(old.env), names)
        yield from _run(new, old, same_text=now.name == was.name)
        return
    yield from _variables(dict(now.variables), dict(was.variables), names, only_both=now.name != was.name)
    if isinstance(new, MakeDirectory) and isinstance(old, MakeDirectory) and new.user != old.user:
        yield _user(new.user, old.user)
    if isinstance(new, CopyAction) and isinstance(old, CopyAction) and now.name == was.name:
        if new.inline != old.inline:
            yield Cause("instruction", "the text of its here-document changed", now.name)
        if new.destination != old.destination and now.variables == was.variables:
            yield Cause("directory", f"its destination changed: {old.destination} -> {new.destination}", new.destination)


def _run(new: RunAction, old: RunAction, *, same_text: bool) -> Iterator[Cause]:
    if same_text and new.argv != old.argv:
        if new.argv[-1:] == old.argv[-1:]:
            yield Cause("shell", f"the shell changed: {' '.join(old.argv[:-1])} -> {' '.join(new.argv[:-1])}", " ".join(new.argv[:-1]))
        else:
            yield Cause("instruction", "the text of its here-document changed")
    if new.user != old.user:
        yield _user(new.user, old.user)
    if new.cwd != old.cwd:
        yield Cause("directory", f"the working directory changed: {old.cwd} -> {new.cwd}", new.cwd)
    for field, title in _OPTIONS:
        before, after = getattr(old, field), getattr(new, field)
        if before != after and (field != "mounts" or same_text):
            yield Cause(
                "option", f"{title} changed: {_shown(before)} -> {_shown(after)}" if field != "mounts" else f"{title} changed", field
            )


_OPTIONS = (
    ("network", "the network"),
    ("insecure", "--security"),
    ("hostname", "the host name"),
    ("host_names", "--add-host"),
    ("shm_size", "--shm-size"),
    ("ulimits", "--ulimit"),
    ("platform", "the platform"),
    ("mounts", "what --mount comes to"),
)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return str(value)


def _user(new: str, old: str) -> Cause:
    return Cause("user", f"the user changed: {old or 'root'} -> {new or 'root'}", new)


def _variables(new: Mapping[str, str], old: Mapping[str, str], arguments: set[str], *, only_both: bool = False) -> Iterator[Cause]:
    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name), new.get(name)
        if before == after or (only_both and (before is None or after is None)):
            continue
        what, kind = ("build argument", "argument") if name in arguments else ("ENV", "variable")
        if before is None:
            text = f"the {what} {name} is new: {_value(name, after)}"
        elif after is None:
            text = f"the {what} {name} is gone: it was {_value(name, before)}"
        elif _is_secret(name):
            text = f"the {what} {name} changed"
        else:
            text = f"the {what} {name} changed: {_value(name, before)} -> {_value(name, after)}"
        yield Cause("argument" if kind == "argument" else "variable", text, name)


def _value(name: str, value: str | None) -> str:
    if _is_secret(name):
        return "(not shown)"
    return repr(value if value is None or len(value) <= 60 else value[:59] + "…")


def _is_secret(name: str) -> bool:
    """By the words that BuildKit's check looks for; such values stay out of logs."""
    return re.search(_SECRET, name) is not None
