"""From a plan and what its solver knew to the records of its steps."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from builder.graph.giturl import without_passwords
from builder.graph.operations import ContextSource, GitSource, HttpSource, ImageSource, Merge, Operation, Scratch
from builder.graph.plan import BuildPlan
from builder.graph.vertex import Graph, Label, Vertex
from builder.history.record import BaseRecord, InputRecord, Outcome, StepKind, StepRecord
from builder.history.recorder import Heard
from builder.oci.digest import chain_ids
from builder.ops.protocol import OpRunner
from builder.solver.results import RootResult
from builder.solver.solve import Ledger

_NOTHING = Heard(0, 0)


def step_records(plan: BuildPlan, ledger: Ledger, runner: OpRunner, heard: Mapping[str, Heard]) -> tuple[StepRecord, ...]:
    """One record for each vertex the target's result may come from, inputs first; for builds that failed, too."""
    bases = {chain_ids(base.diff_ids)[-1]: base for base in plan.bases}
    needed = {vertex.id for vertex in ledger.found.needed}
    graph = plan.graph
    records: list[StepRecord] = []
    for vertex in graph.closure(plan.target):
        label, told = graph.labels[vertex.id], heard.get(vertex.id, _NOTHING)
        result = ledger.results.get(vertex.id)
        root = result if isinstance(result, RootResult) else ledger.found.hits.get(vertex.id)
        base: BaseRecord | None = None
        operation = vertex.operation
        if isinstance(operation, ImageSource):
            image = bases[operation.chain]
            base = BaseRecord(image.reference, image.digest, root.layers if root else ())
        records.append(
            StepRecord(
                vertex=vertex.id,
                kind=_kind(operation, label),
                name=label.name,
                stage=label.stage,
                position=label.position,
                span=label.span,
                number=told.number,
                key=ledger.keys.get(vertex.id, ""),
                operation=_publishable(operation),
                inputs=_inputs(vertex, graph, ledger, runner),
                arguments=label.arguments,
                variables=label.variables,
                ignored=label.ignore_cache,
                outcome=_outcome(told, vertex.id in ledger.found.hits, vertex.id in needed),
                by_content=told.outcome == "cached" and vertex.id not in ledger.found.hits,
                started_ns=told.started_ns,
                duration_ns=told.duration_ns,
                usage=told.usage,
                error=told.error,
                logged=told.logged,
                layer=root.own if root else ledger.left.get(vertex.id),
                base=base,
            )
        )
    return tuple(records)


def _kind(operation: Operation, label: Label) -> StepKind:
    if isinstance(operation, ContextSource | Scratch | Merge):
        return "hidden"
    if isinstance(operation, ImageSource):
        return "base"
    if isinstance(operation, HttpSource | GitSource):
        return "source"
    return "step" if label.position is not None or label.name.startswith("FROM ") else "part"


def _outcome(told: Heard, hit: bool, needed: bool) -> Outcome:
    if told.outcome != "waiting":
        return told.outcome
    if hit:
        return "cached" if needed else "not-needed"
    return "waiting" if needed else "not-needed"


def _inputs(vertex: Vertex, graph: Graph, ledger: Ledger, runner: OpRunner) -> tuple[InputRecord, ...]:
    """Digests of contexts were made for the static key, and are remembered by the runner."""
    reads = ledger.reads.get(vertex.id, ())
    found: list[InputRecord] = []
    for index, name in enumerate(vertex.inputs):
        given = graph.vertices[name]
        if not ledger.keys:
            digest = ""
        elif isinstance(given.operation, ContextSource):
            digest = runner.read_digest(vertex, index, runner.source(given))
        else:
            digest = ledger.keys[name]
        found.append(InputRecord(name, digest, reads[index - 1] if 0 < index <= len(reads) else ""))
    return tuple(found)


def _publishable(operation: Operation) -> Operation:
    """The operation without passwords."""
    if isinstance(operation, HttpSource):
        return msgspec.structs.replace(operation, url=without_passwords(operation.url))
    if isinstance(operation, GitSource):
        return msgspec.structs.replace(operation, remote=without_passwords(operation.remote))
    return operation
