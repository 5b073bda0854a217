"""Stages: where each begins, what it is called, and which the target needs.

Lookups follow reference 1.1: FROM binds to the newest earlier stage of a name; COPY --from and mounts to the
last stage of that name in the file, which must stand above; an index counts from 0.
"""

from __future__ import annotations

import msgspec

from builder.errors import LayerwrightError, UsageError
from grammar.diagnostics import suggest
from grammar.nodes import AnyInstruction, Arg, Dockerfile, From


class Stage(msgspec.Struct, frozen=True):
    """A FROM line and the instructions up to the next; `name` is lower-cased, empty where there is none."""

    index: int
    name: str
    begin: From
    instructions: tuple[AnyInstruction, ...]

    @property
    def title(self) -> str:
        """What people call it: its name, or `stage-N`."""
        return self.name or f"stage-{self.index}"


class StageList(msgspec.Struct, frozen=True):
    """All stages of a file, and the ARGs before the first FROM."""

    dockerfile: Dockerfile
    global_args: tuple[Arg, ...]
    stages: tuple[Stage, ...]

    def newest_before(self, name: str, index: int) -> Stage | None:
        """FROM's rule: the newest stage of that name above stage `index`; in upper case it is no stage's name to BuildKit."""
        found = [stage for stage in self.stages[:index] if stage.name and stage.name == name]
        return found[-1] if found else None

    def last_named(self, name: str) -> Stage | None:
        """COPY's rule: the last stage of that name in the file, or the one of that index."""
        found = [stage for stage in self.stages if stage.name and stage.name == name.lower()]
        if found:
            return found[-1]
        if name.isdigit() and int(name) < len(self.stages):
            return self.stages[int(name)]
        return None

    def target(self, name: str | None) -> Stage:
        """The stage asked for by `--target`, or the last one; an index is taken too. Raises UsageError."""
        if name is None:
            return self.stages[-1]
        stage = self.last_named(name)
        if stage is None:
            near = suggest(name, [stage.name for stage in self.stages if stage.name])
            known = ", ".join(f"`{stage.name}`" for stage in self.stages if stage.name) or "none has a name"
            raise UsageError(
                "unknown-target",
                f"target stage {name!r} is not in {self.dockerfile.source.name}",
                help=f"did you mean `{near}`?" if near else f"the stages are: {known}",
            )
        return stage


def split_stages(dockerfile: Dockerfile) -> StageList:
    """The file cut at its FROM lines; raises LayerwrightError where an instruction stands before the first."""
    global_args: list[Arg] = []
    stages: list[tuple[From, list[AnyInstruction]]] = []
    for node in dockerfile.instructions:
        if isinstance(node, From):
            stages.append((node, []))
        elif stages:
            stages[-1][1].append(node)
        elif isinstance(node, Arg):
            global_args.append(node)
        else:
            raise LayerwrightError(
                "no-stage",
                f"{node.keyword.upper()} stands before the first FROM",
                help="begin the stage with FROM; only ARG may come before it",
                span=node.keyword_span,
                source=dockerfile.source,
            )
    if not stages:
        raise LayerwrightError("no-stage", "the Dockerfile contains no stages to build", help="add a FROM line", source=dockerfile.source)
    made = tuple(
        Stage(index, begin.alias.text.lower() if begin.alias else "", begin, tuple(nodes)) for index, (begin, nodes) in enumerate(stages)
    )
    return StageList(dockerfile, tuple(global_args), made)
