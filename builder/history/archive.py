"""Builds as a store keeps them: found by id, the earlier ones of the same Dockerfile, logs by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from builder.errors import NotFoundError, UsageError
from builder.history.record import BuildRecord, StepRecord, decode_build, encode_build, unpack_steps
from builder.store.buildfiles import ManifestFiles, log_path
from builder.store.store import Store

LISTED = 200
LATEST = ("last", "latest")


class History:
    """The builds of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.manifests = ManifestFiles(store.root)

    def save(self, record: BuildRecord) -> None:
        """Keep it; replaces one of the same id."""
        self._store.index.put_build(encode_build(record))

    def list(self, limit: int = LISTED) -> list[BuildRecord]:
        """The newest, newest first; those of other versions are left out."""
        return [record for row in self._store.index.builds(limit) if (record := decode_build(row)) is not None]

    def find(self, text: str | None) -> BuildRecord:
        """A build by the beginning of its id; `last`, or nothing, for the newest; NotFoundError where there is none."""
        records = self.list()
        if text is None or text in LATEST:
            if not records:
                raise NotFoundError("no-builds", "this store knows of no build", help="build something; each build leaves a record")
            return records[0]
        found = [record for record in records if record.id.startswith(text)]
        if len(found) > 1:
            raise UsageError("build-ambiguous", f"several builds have an id that begins with {text}", help="write more of it")
        if not found:
            raise NotFoundError("build-not-found", f"there is no build {text}", help="`layerwright builds` lists what there is")
        return found[0]

    def earlier(self, record: BuildRecord) -> Iterator[BuildRecord]:
        """The builds before it of the same context, Dockerfile and target, newest first; then those of other targets.

        Where there is none (a fresh checkout in another directory), those that are most like it.
        """
        before = [other for other in self.list() if other.started_ns < record.started_ns]
        same = [other for other in before if _same_file(other, record)]
        yield from (other for other in same if _same_result(other, record))
        yield from (other for other in same if not _same_result(other, record))
        if not same:
            from builder.history.kin import kin

            yield from kin(record, before)

    def log(self, record: BuildRecord, step: StepRecord) -> tuple[BuildRecord, Path] | None:
        """The whole log of a step; of a cached one that of the build that ran it, where it is still there."""
        path = log_path(self._store.root, record.id, step.number)
        if step.logged:
            return (record, path) if path.exists() else None
        if step.outcome != "cached" or not step.key:
            return None
        for other in self.list():
            if other.started_ns >= record.started_ns:
                continue
            ran = next(
                (found for found in unpack_steps(other) if found.layer == step.layer and found.vertex == step.vertex and found.logged), None
            )
            if ran is not None:
                path = log_path(self._store.root, other.id, ran.number)
                return (other, path) if path.exists() else None
        return None


def find_step(steps: Sequence[StepRecord], text: str) -> StepRecord:
    """A step by its number, its place (`build 2/4`, `build:2`, `2/4`), or a part of its text that no other has."""
    shown = [step for step in steps if step.kind in ("step", "source", "part")]
    if text.isdigit():
        for step in (*shown, *steps):
            if step.number == int(text):
                return step
    place = text.strip("[]").replace(":", " ")
    for step in shown:
        if step.position is not None:
            number, count = step.position
            if place in (f"{step.stage} {number}/{count}", f"{step.stage} {number}", f"{number}/{count}"):
                return step
    found = [step for step in shown if text in step.name]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError("step-ambiguous", f"several steps have {text!r} in their text", help="name the step by its number")
    raise NotFoundError("step-not-found", f"there is no step {text!r} in this build", help="`layerwright builds BUILD` lists its steps")


def _same_file(one: BuildRecord, other: BuildRecord) -> bool:
    return (one.request.context, one.request.dockerfile) == (other.request.context, other.request.dockerfile)


def _same_result(one: BuildRecord, other: BuildRecord) -> bool:
    return (one.request.target, one.request.platforms) == (other.request.target, other.request.platforms)
