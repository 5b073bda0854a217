"""Why each step of a build was a hit or a miss, against the nearest earlier builds.

A step is compared with the step it answers to in the newest earlier build that finished it; where none did, with
the newest that knew it. All its own reasons are named; that it stands on an earlier miss is one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from builder.graph.operations import CopyAction, GitSource, HttpSource, ImageSource, Scratch
from builder.history.cause import Cause, Explanation, FileChange, StepVerdict, place_of, short
from builder.history.files import file_changes
from builder.history.match import match_steps
from builder.history.operations import operation_causes
from builder.history.record import BuildRecord, InputRecord, StepRecord, unpack_steps
from builder.ops.manifest import Manifests, decode_manifest

COMPARED = 8
"""Earlier builds looked through for a step, at most."""


class _Earlier(msgspec.Struct, frozen=True):
    """An earlier build with its steps, and which of them the present ones answer to."""

    record: BuildRecord
    steps: Mapping[str, StepRecord]
    matches: Mapping[str, StepRecord]


def explain(
    record: BuildRecord, steps: Sequence[StepRecord], earlier: Iterable[BuildRecord], manifests: Manifests, *, dry: bool = False
) -> Explanation:
    """The build explained; `earlier` newest first, read no further than needed."""
    compared = _Compared(earlier, steps)
    work = _Explainer(steps, compared, manifests, dry=dry)
    verdicts = tuple(work.verdict(step) for step in steps if step.kind in ("step", "source") and step.outcome != "not-needed")
    if compared.first is None:
        return Explanation(record.id, "", 0, verdicts, dry)
    first = compared.first.record
    elsewhere = first.request.context if first.request.context != record.request.context else ""
    return Explanation(record.id, first.id, first.started_ns, verdicts, dry, elsewhere)


class _Compared:
    """Earlier builds, matched with this one as they are asked for."""

    def __init__(self, records: Iterable[BuildRecord], steps: Sequence[StepRecord]) -> None:
        self._records = iter(records)
        self._steps = steps
        self._read: list[tuple[BuildRecord, Mapping[str, StepRecord]]] = []
        self._known: list[_Earlier] = []

    @property
    def first(self) -> _Earlier | None:
        """The nearest."""
        return next(iter(self), None)

    def __iter__(self) -> Iterator[_Earlier]:
        for index in range(COMPARED):
            if len(self._known) <= index:
                found = self._nth(index)
                if found is None:
                    return
                record, steps = found
                self._known.append(_Earlier(record, steps, match_steps(self._steps, tuple(steps.values()))))
            yield self._known[index]

    def _nth(self, index: int) -> tuple[BuildRecord, Mapping[str, StepRecord]] | None:
        while len(self._read) <= index:
            record = next(self._records, None)
            if record is None:
                return None
            steps = unpack_steps(record)
            if steps:
                self._read.append((record, {step.vertex: step for step in steps}))
        return self._read[index]

    def content(self, was: StepRecord, index: int) -> str:
        """What a step read of an input, told by the build that ran it: a hit asks for no content."""
        number = 0
        while (found := self._nth(number)) is not None:
            step = found[1].get(was.vertex)
            if step is not None and step.key == was.key and index < len(step.inputs) and step.inputs[index].content:
                return step.inputs[index].content
            number += 1
        return ""

    def of(self, vertex: str) -> tuple[_Earlier, StepRecord] | None:
        """The newest build that finished the step this one answers to, else the newest that knew it."""
        known: tuple[_Earlier, StepRecord] | None = None
        for build in self:
            step = build.matches.get(vertex)
            if step is None:
                continue
            if step.outcome in ("ran", "cached", "not-needed"):
                return build, step
            known = known or (build, step)
        return known


class _Explainer:
    def __init__(self, steps: Sequence[StepRecord], compared: _Compared, manifests: Manifests, *, dry: bool) -> None:
        self._steps = {step.vertex: step for step in steps}
        self._compared = compared
        self._manifests = manifests
        self._dry = dry

    def verdict(self, step: StepRecord) -> StepVerdict:
        """One step."""
        if step.outcome == "cached":
            return StepVerdict(step, True)
        return StepVerdict(step, False, tuple(self._causes(step)))

    def _causes(self, step: StepRecord) -> list[Cause]:
        if step.kind == "source":
            return list(self._source_causes(step))
        if step.ignored:
            return [Cause("no-cache", "--no-cache was given for it")]
        if self._compared.first is None:
            return self._first(step)
        answer = self._compared.of(step.vertex)
        found: list[Cause] = []
        if answer is None:
            found.append(Cause("new-step", "the instruction is new"))
            found.extend(self._upstream(step))
            return found
        build, was = answer
        found.extend(operation_causes(step, was))
        found.extend(self._root_causes(step, was, build))
        for index, (given, taken) in enumerate(zip(step.inputs[1:], was.inputs[1:], strict=False), 1):
            found.extend(self._input_causes(given, taken, build, step, was, index))
        if not found:
            found.append(self._nothing_changed(step, was, build))
        return list(dict.fromkeys(found))

    def _first(self, step: StepRecord) -> list[Cause]:
        """Nothing to compare with but what imported caches said; a step above a miss is told by that, for its key follows."""
        above = list(self._upstream(step)) if any(other.imported for other in self._steps.values()) else []
        if above:
            return above
        if step.imported:
            return [Cause("not-imported", f"the first build of this Dockerfile in this store; {step.imported}")]
        return [Cause("first-build", "this is the first build of this Dockerfile in this store")]

    # -- the root it stands on --------------------------------------------------------------------------

    def _upstream(self, step: StepRecord) -> Iterator[Cause]:
        """That an earlier step was a miss: the first of them, which the others follow from."""
        origin = self._origin(step)
        if origin is not None:
            verb = "would run" if self._dry and origin.outcome == "waiting" else "ran"
            yield Cause("earlier-step", f"an earlier step {verb} again: {place_of(origin)}", place_of(origin))

    def _origin(self, step: StepRecord) -> StepRecord | None:
        """The lowest miss among what a step stands on; a Merge has two."""
        found: StepRecord | None = None
        pending = [step.inputs[0].vertex] if step.inputs else []
        while pending:
            below = self._steps[pending.pop()]
            if below.kind in ("step", "part") and below.outcome != "cached" and below.outcome != "not-needed":
                found = below
            if below.kind == "hidden" and len(below.inputs) == 2:
                pending.append(below.inputs[1].vertex)
            if below.inputs:
                pending.append(below.inputs[0].vertex)
        return found

    def _root_causes(self, step: StepRecord, was: StepRecord, build: _Earlier) -> Iterator[Cause]:
        if not step.inputs or not was.inputs:
            return
        below, before = self._steps[step.inputs[0].vertex], build.steps.get(was.inputs[0].vertex)
        if before is None:
            return
        if isinstance(below.operation, ImageSource | Scratch) and isinstance(before.operation, ImageSource | Scratch):
            yield from _base_causes(below, before)
            return
        upstream = list(self._upstream(step))
        if upstream:
            yield from upstream
        elif below.key and before.key and below.key != before.key:
            yield self._moved(below, before, build)

    def _moved(self, below: StepRecord, before: StepRecord, build: _Earlier) -> Cause:
        """It stands on a hit, and on another one than it did: something was taken out, or put in between."""
        kept = {match.vertex for match in build.matches.values()}
        if before.kind == "step" and before.vertex not in kept:
            return Cause("moved", f"a step before it was removed: {place_of(before)}", place_of(before))
        return Cause("moved", f"it stands on {place_of(below)} now, and stood on {place_of(before)}", place_of(below))

    # -- other inputs -----------------------------------------------------------------------------------

    def _input_causes(
        self, given: InputRecord, taken: InputRecord, build: _Earlier, step: StepRecord, was: StepRecord, index: int
    ) -> Iterator[Cause]:
        source, before = self._steps[given.vertex], build.steps.get(taken.vertex)
        if before is None or (given.digest == taken.digest and given.digest):
            return
        match source.operation:
            case ImageSource() | Scratch() if isinstance(before.operation, ImageSource | Scratch):
                yield from _base_causes(source, before)
            case HttpSource() | GitSource():
                yield Cause("source", f"what {short(source.name)} gives changed", source.name)
            case _ if source.kind == "part":
                yield from (cause for cause in self._causes(source) if cause.kind != "first-build")
            case _ if source.kind == "hidden" and not source.inputs:
                yield self._files("files", _context(source), given.digest, taken.digest)
            case _:
                yield from self._stage_causes(source, given.content, taken.content or self._compared.content(was, index), step, index)

    def _stage_causes(self, source: StepRecord, now: str, was: str, step: StepRecord, index: int) -> Iterator[Cause]:
        """What it takes of another stage: compared by content, once that was there."""
        stage = source.stage or short(source.name)
        if now and was:
            if now != was:
                owner = isinstance(step.operation, CopyAction) and step.operation.owner_input == index
                title = f"who --chown means in stage {stage}" if owner else f"what it takes from stage {stage}"
                yield self._files("stage", title, now, was)
        elif self._dry or not now:
            text = f"stage {stage} is built again; a hit after all if what this takes of it comes out the same"
            yield Cause("stage-rebuilt", text, stage)
        else:
            yield Cause("stage", f"stage {stage} was built again", stage)

    def _files(self, sort: Literal["files", "stage"], title: str, now: str, was: str) -> Cause:
        after, before = decode_manifest(self._manifests.get(now)), decode_manifest(self._manifests.get(was))
        if after is None or before is None:
            return Cause(sort, f"{title} changed (which files is not known any more)", title)
        changes = file_changes(before, after)
        return Cause(sort, f"{title} changed: {_count(changes)}", title, changes)

    def _source_causes(self, step: StepRecord) -> Iterator[Cause]:
        answer = self._compared.of(step.vertex)
        if answer is None:
            yield Cause("new-step", "it was not asked for before")
        elif answer[1].key != step.key:
            yield Cause("source", f"what {short(step.name)} gives changed", step.name)
        else:
            yield Cause("earlier-step", "a step that uses it runs again")

    # -- the same, and yet a miss -----------------------------------------------------------------------

    def _nothing_changed(self, step: StepRecord, was: StepRecord, build: _Earlier) -> Cause:
        when = f"build {build.record.id[:12]}"
        if was.outcome in ("failed", "cancelled", "waiting"):
            return Cause("unfinished", f"nothing changed, but it did not finish in {when}: it {_ENDED[was.outcome]}")
        below = self._steps[step.inputs[0].vertex] if step.inputs else None
        before = build.steps.get(was.inputs[0].vertex) if was.inputs else None
        if below is not None and before is not None and below.layer != before.layer:
            return Cause("rebuilt-below", f"the step before it was run again since {when}: {place_of(below)}", place_of(below))
        if step.key == was.key:
            return Cause("collected", f"nothing changed since {when}, but its result is not in the store any more")
        return Cause("unknown", f"it differs from {when} in nothing that was recorded")


_ENDED = {"failed": "failed", "cancelled": "was cancelled", "waiting": "was never reached"}


def _base_causes(now: StepRecord, was: StepRecord) -> Iterator[Cause]:
    new, old = now.base, was.base
    if now.vertex == was.vertex:
        return
    if new is None or old is None:
        before, after = (old.reference if old else "scratch"), (new.reference if new else "scratch")
        yield Cause("base", f"the base changed: {before} -> {after}", after)
    elif new.reference != old.reference:
        yield Cause("base", f"the base changed: {old.reference} -> {new.reference}", new.reference)
    else:
        yield Cause("base", f"the base {new.reference} changed: {_brief(old.digest)} -> {_brief(new.digest)}", new.reference)


def _brief(digest: str) -> str:
    return digest[:19]


def _context(source: StepRecord) -> str:
    name = source.name.removeprefix("context ").removeprefix("the build ")
    return "the build context" if name == "context" else f"the context {name}"


def _count(changes: tuple[FileChange, ...]) -> str:
    counts: dict[str, int] = {}
    for change in changes:
        word = change.aspects[0] if change.aspects[0] in ("added", "removed") else "changed"
        counts[word] = counts.get(word, 0) + 1
    return ", ".join(f"{number} {word}" for word, number in sorted(counts.items())) or "the same files in another order"
