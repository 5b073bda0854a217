"""What a Dockerfile offers to its users: `--call outline` (arguments, secrets, ssh, caches of a target) and `--call targets`.

The JSON is that of BuildKit's `frontend.outline` and `frontend.targets` results.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from builder.frontend.stages import split_stages
from builder.lint.facts import LintFacts
from builder.lint.options import is_check_comment
from builder.lint.report import Location, encode, location, source_bytes
from builder.lint.view import Environment, StageView, View, expanded, look
from grammar.mounts import FlagError, MountSpec, parse_mount
from grammar.nodes import AnyInstruction, Arg, Copy, Dockerfile, Pair, Run


class ArgRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A build argument that the target declares; `value` is the one in force."""

    name: str
    description: str = ""
    value: str = ""
    location: Location | None = None


class NeedRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A secret or an ssh agent."""

    name: str
    required: bool = False
    location: Location | None = None


class CacheRow(msgspec.Struct, frozen=True, rename={"id": "ID"}):
    """A cache mount."""

    id: str
    location: Location | None = None


class Outline(msgspec.Struct, frozen=True, omit_defaults=True):
    """`frontend.outline`; `sources` are the files that the locations point into."""

    name: str = ""
    description: str = ""
    args: tuple[ArgRow, ...] = ()
    secrets: tuple[NeedRow, ...] = ()
    ssh: tuple[NeedRow, ...] = ()
    cache: tuple[CacheRow, ...] = ()
    sources: tuple[bytes, ...] = ()


class TargetRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stage that `--target` can name."""

    name: str = ""
    default: bool = False
    description: str = ""
    base: str = ""
    platform: str = ""
    location: Location | None = None


class TargetList(msgspec.Struct, frozen=True):
    """`frontend.targets`."""

    targets: tuple[TargetRow, ...]
    sources: tuple[bytes, ...]


def outline(dockerfile: Dockerfile, target: str | None = None, facts: LintFacts | None = None) -> Outline:
    """What the target and the stages it needs ask for; raises UsageError for a target that does not exist."""
    view = look(dockerfile, facts or LintFacts())
    chosen = split_stages(dockerfile).target(target)
    needed = _needed(view, chosen.index)
    args: dict[str, ArgRow] = {}
    for node in view.global_args:
        _take_args(args, node, view.global_env)
    mounts: list[tuple[MountSpec, int]] = []
    for stage in needed:
        for step in stage.steps:
            if isinstance(step.node, Arg):
                _take_args(args, step.node, _after(stage, step.node, view))
            mounts += _mounts(step.node, step.env, dockerfile.directives.escape)
    keys = ((spec.id or spec.target or "", line) for spec, line in mounts if spec.type == "cache")
    caches = {key: CacheRow(key, location(line)) for key, line in keys}
    return Outline(
        name=chosen.name,
        description=_description(chosen.begin, chosen.name),
        args=tuple(args.values()),
        secrets=_needs(mounts, "secret"),
        ssh=_needs(mounts, "ssh"),
        cache=tuple(caches.values()),
        sources=(source_bytes(dockerfile.source),),
    )


def targets(dockerfile: Dockerfile) -> TargetList:
    """All named stages and the last one."""
    stages = split_stages(dockerfile).stages
    rows = tuple(
        TargetRow(
            name=stage.name,
            default=stage.index == len(stages) - 1,
            description=_description(stage.begin, stage.name),
            base=stage.begin.image.text,
            platform=stage.begin.platform.text if stage.begin.platform is not None else "",
            location=location(stage.begin.span.line),
        )
        for stage in stages
        if stage.name or stage.index == len(stages) - 1
    )
    return TargetList(rows, (source_bytes(dockerfile.source),))


def outline_text(rows: Outline) -> str:
    """The tables that people read."""
    blocks: list[str] = []
    if rows.name or rows.description:
        head = [["TARGET:", rows.name or "(default)"]]
        if rows.description:
            head.append(["DESCRIPTION:", rows.description])
        blocks.append(_table(head))
    if rows.args:
        blocks.append(_table([["BUILD ARG", "VALUE", "DESCRIPTION"], *([row.name, row.value, row.description] for row in rows.args)]))
    for title, needs in (("SECRET", rows.secrets), ("SSH", rows.ssh)):
        if needs:
            blocks.append(_table([[title, "REQUIRED"], *([row.name, "true" if row.required else ""] for row in needs)]))
    if rows.cache:
        blocks.append(_table([["CACHE MOUNT"], *([row.id] for row in rows.cache)]))
    return "\n".join(blocks)


def targets_text(rows: TargetList) -> str:
    """The table that people read."""
    table = [["TARGET", "DESCRIPTION"]]
    for row in rows.targets:
        name = row.name if not row.default else f"{row.name} (default)".strip()
        table.append([name, row.description])
    return _table(table)


def outline_json(rows: Outline | TargetList) -> bytes:
    """The JSON form of either."""
    return encode(rows)


def _needed(view: View, index: int) -> list[StageView]:
    """The stage, its parents, and what they copy or mount from, in file order."""
    names = {stage.stage.name: stage.index for stage in view.stages if stage.stage.name}
    seen: set[int] = set()
    queue = [index]
    while queue:
        stage = view.stages[queue.pop()]
        if stage.index in seen:
            continue
        seen.add(stage.index)
        wanted = [step.node.from_.text for step in stage.steps if isinstance(step.node, Copy) and step.node.from_ is not None]
        for step in stage.steps:
            wanted += [spec.from_ for spec, _ in _mounts(step.node, step.env, view.dockerfile.directives.escape) if spec.from_]
        found = [names.get(name.lower(), int(name) if name.isdigit() else -1) for name in wanted]
        queue += [number for number in (*found, -1 if stage.parent is None else stage.parent) if 0 <= number < len(view.stages)]
    return [view.stages[number] for number in sorted(seen)]


def _take_args(args: dict[str, ArgRow], node: Arg, env: Environment) -> None:
    for pair in node.pairs:
        known = args.get(pair.key.text)
        description = _description(node, pair.key.text) or (known.description if known else "")
        value = env.get(pair.key.text, known.value if known else "")
        args[pair.key.text] = ArgRow(pair.key.text, description, value, location(node.span.line))


def _after(stage: StageView, node: Arg, view: View) -> dict[str, str]:
    """The variables once the ARG has run: those before the next instruction."""
    at = next(number for number, step in enumerate(stage.steps) if step.node is node)
    if at + 1 < len(stage.steps):
        return dict(stage.steps[at + 1].env)
    env = dict(stage.steps[at].env)
    for pair in node.pairs:
        value = view.facts.build_args.get(pair.key.text) or _default(pair, env, view) or view.global_env.get(pair.key.text)
        if value is not None:
            env[pair.key.text] = value
    return env


def _default(pair: Pair, env: dict[str, str], view: View) -> str | None:
    made = expanded(pair.value.text, env, view.dockerfile.directives.escape) if pair.value is not None else None
    return made.text if made is not None else None


def _mounts(node: AnyInstruction, env: Environment, escape: str) -> Iterator[tuple[MountSpec, int]]:
    for word in node.mounts if isinstance(node, Run) else ():
        made = expanded(word.text, env, escape)
        try:
            if made is not None:
                yield parse_mount(made.text), node.span.line
        except FlagError:
            continue


def _needs(mounts: list[tuple[MountSpec, int]], kind: str) -> tuple[NeedRow, ...]:
    """Secrets or agents by name; required if one mount requires it."""
    rows: dict[str, NeedRow] = {}
    for spec, line in mounts:
        if spec.type == kind:
            name = spec.id or ("default" if kind == "ssh" else (spec.target or "").rpartition("/")[2])
            known = rows.get(name)
            rows[name] = NeedRow(name, spec.required or (known is not None and known.required), known.location if known else location(line))
    return tuple(rows.values())


def _description(node: AnyInstruction, name: str) -> str:
    """`# name text` right above, without the name."""
    comments = [word.text.strip() for word in node.comments if not is_check_comment(word.text)]
    if not name or not comments:
        return ""
    first, _, rest = comments[-1].partition(" ")
    return rest.strip() if first.lower() == name.lower() else ""


def _table(rows: list[list[str]], gap: int = 3) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "".join((" " * gap).join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows)
