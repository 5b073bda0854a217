"""From a build's record to the facts of its report: steps with their causes, layers with their files, the path that took longest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from builder.fs.entries import decode_path
from builder.graph.operations import ContextSource, CopyAction, Merge
from builder.history.archive import History
from builder.history.cause import Explanation, place_of
from builder.history.record import BuildRecord, StepRecord, unpack_steps
from builder.ops.manifest import decode_manifest
from builder.progress.sanitise import Lines
from builder.report.advice import advise
from builder.report.contents import Contents, layer_contents
from builder.report.facts import ContextFile, Facts, LayerFacts, StepFacts
from builder.report.schedule import critical_path
from builder.store.layertable import EMPTY, LayerId, LayerRecord
from builder.store.store import Store

EARLIER = 30
"""Builds looked through for what a hit took when it ran."""

LOG_LINES = 25
_TAIL = 64 << 10
_SHOWN = frozenset({"base", "step", "source"})


def gather(store: Store, record: BuildRecord, told: Explanation) -> Facts:
    """The facts of one build of this store."""
    history = History(store)
    records = unpack_steps(record)
    layers = _Layers(store)
    steps = _steps(record, records, told, history, layers)
    critical = critical_path(steps)
    steps = tuple(msgspec.structs.replace(step, critical=True) if index in critical else step for index, step in enumerate(steps))
    asked = record.request
    facts = Facts(
        id=record.id,
        name=", ".join(asked.tags) or (f"target {asked.target}" if asked.target else "without a name"),
        dockerfile=asked.dockerfile,
        context=asked.context,
        target=asked.target,
        platforms=asked.platforms,
        state=record.state,
        error=record.error,
        digest=record.digest,
        started_ns=record.started_ns,
        duration=record.duration_ns,
        against=told.against,
        steps=steps,
        critical=critical,
        layers=_layer_facts(records, layers),
        warnings=record.warnings,
        exports=record.exports,
        context_files=_context_files(steps, records, history),
        log=_log(history, record, records),
    )
    return msgspec.structs.replace(facts, advice=advise(facts))


class _Layers:
    """Each layer looked into once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[LayerRecord | None, Contents | None]] = {}

    def of(self, layer: str) -> tuple[LayerRecord | None, Contents | None]:
        """See layer_contents."""
        if layer not in self._known:
            self._known[layer] = layer_contents(self._store, LayerId(layer))
        return self._known[layer]


def _steps(
    record: BuildRecord, records: Sequence[StepRecord], told: Explanation, history: History, layers: _Layers
) -> tuple[StepFacts, ...]:
    shown = [step for step in records if step.kind in _SHOWN]
    order = {step.vertex: index for index, step in enumerate(shown)}
    by_id = {step.vertex: step for step in records}
    causes = {verdict.step.vertex: verdict.causes for verdict in told.steps}
    before = _durations(history, record)
    found: list[StepFacts] = []
    for step in shown:
        inputs, context = _inputs(step, by_id, order)
        cached = step.outcome == "cached"
        found.append(
            StepFacts(
                record=step,
                start=step.started_ns - record.started_ns if step.started_ns else -1,
                duration=0 if cached else step.duration_ns,
                inputs=inputs,
                reads_context=context,
                causes=causes.get(step.vertex, ()),
                took_before=before.get((step.vertex, step.layer), 0) if cached else 0,
                size=_size(step, layers),
            )
        )
    return tuple(found)


def _size(step: StepRecord, layers: _Layers) -> int | None:
    """Bytes of the files that a step added; None where it adds none by its kind, or its layer is not here."""
    if step.kind != "step" or step.outcome in ("waiting", "not-needed"):
        return None
    if step.layer is None or step.layer == EMPTY:
        return 0 if step.outcome in ("ran", "cached") else None
    contents = layers.of(step.layer)[1]
    return contents.size if contents is not None else None


def _inputs(step: StepRecord, by_id: Mapping[str, StepRecord], order: Mapping[str, int]) -> tuple[tuple[int, ...], bool]:
    """The steps that people see behind a step's inputs, and whether there is a context among them."""
    found: dict[int, None] = {}
    context = False
    pending = [given.vertex for given in step.inputs]
    seen: set[str] = set()
    while pending:
        vertex = pending.pop(0)
        if vertex in order:
            found[order[vertex]] = None
        elif vertex in by_id and vertex not in seen:
            seen.add(vertex)
            context |= isinstance(by_id[vertex].operation, ContextSource)
            pending.extend(given.vertex for given in by_id[vertex].inputs)
    return tuple(found), context


def _durations(history: History, record: BuildRecord) -> dict[tuple[str, str | None], int]:
    """What steps took when they ran, by vertex and layer; the newest counts."""
    found: dict[tuple[str, str | None], int] = {}
    for other in islice((other for other in history.list() if other.started_ns < record.started_ns), EARLIER):
        for step in unpack_steps(other):
            if step.outcome == "ran":
                found.setdefault((step.vertex, step.layer), step.duration_ns)
    return found


def _layer_facts(records: Sequence[StepRecord], layers: _Layers) -> tuple[LayerFacts, ...]:
    """The layers of bases that were needed, and those of steps, in the order of the Dockerfile."""
    image = _in_image(records)
    found: list[LayerFacts] = []
    listed: set[str] = set()
    for step in records:
        names = step.base.layers if step.base is not None else (step.layer,) if step.kind == "step" else ()
        for number, layer in enumerate(names, 1):
            if layer is None or layer == EMPTY or layer in listed:
                continue
            listed.add(layer)
            title = f"{step.base.reference}, layer {number} of {len(names)}" if step.base is not None else step.name
            found.append(_layer(title, "" if step.base is not None else place_of(step), *layers.of(layer), step.vertex in image))
    return tuple(found)


def _layer(title: str, place: str, record: LayerRecord | None, contents: Contents | None, in_image: bool) -> LayerFacts:
    packed = min((blob.size for blob in record.blobs), default=None) if record is not None else None
    if contents is None:
        return LayerFacts(title, place, 0, packed, 0, known=False, in_image=in_image)
    return LayerFacts(title, place, contents.size, packed, contents.count, contents.largest, contents.waste, in_image=in_image)


def _in_image(records: Sequence[StepRecord]) -> frozenset[str]:
    """What results stand on: from what nothing uses, down input 0 (and both inputs of a --link)."""
    by_id = {step.vertex: step for step in records}
    used = {given.vertex for step in records for given in step.inputs}
    found: set[str] = set()
    pending = [step.vertex for step in records if step.vertex not in used]
    while pending:
        step = by_id.get(pending.pop())
        if step is not None and step.vertex not in found:
            found.add(step.vertex)
            below = step.inputs if isinstance(step.operation, Merge) else step.inputs[:1]
            pending.extend(given.vertex for given in below)
    return frozenset(found)


def _context_files(steps: Sequence[StepFacts], records: Sequence[StepRecord], history: History) -> tuple[ContextFile, ...]:
    """What COPYs of contexts took, as far as it is remembered."""
    by_id = {step.vertex: step for step in records}
    found: list[ContextFile] = []
    for index, step in enumerate(steps):
        if not isinstance(step.record.operation, CopyAction):
            continue
        for given in step.record.inputs:
            source = by_id.get(given.vertex)
            if source is not None and isinstance(source.operation, ContextSource):
                rows = decode_manifest(history.manifests.get(given.digest)) or ()
                found += [ContextFile(index, decode_path(row.path), row.size) for row in rows if row.kind == "file"]
    return tuple(found)


def _log(history: History, record: BuildRecord, records: Sequence[StepRecord]) -> tuple[str, ...]:
    """The last lines of the step that failed."""
    failed = next((step for step in records if step.outcome == "failed"), None)
    where = history.log(record, failed) if failed is not None else None
    if where is None:
        return ()
    lines = Lines()
    return tuple((*lines.feed(_tail(where[1])), *lines.flush())[-LOG_LINES:])


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - _TAIL))
            return log.read()
    except OSError:
        return b""
