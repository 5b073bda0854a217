"""Runs what must run, in parallel, and adds the place to what goes wrong.

One thread a running step, at most `jobs`; threads because a step is a child process, disk, hashing or
compression, all of which let other threads run. The first failure, or Ctrl-C, sets the cancel event: running
steps are killed, waiting ones never start, and solve() returns only when all have ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from builder.cache.keys import CacheKey, content_key
from builder.cache.records import CacheRecord, CacheSink, CacheSource
from builder.errors import BuildCancelled, LayerwrightError
from builder.graph.operations import ContextSource, Merge
from builder.graph.vertex import Graph, Label, Vertex, VertexID
from builder.ops.protocol import OpRunner, RootInput, StepControl, StepInput, TreeInput
from builder.progress.events import BuildStarted, Listener, Note, StepCached, StepFinished, StepLog, StepStarted, Warning
from builder.snapshot.layers import LayerId
from builder.solver.pins import SOURCES, static_keys
from builder.solver.probe import Probe, merged, probe
from builder.solver.results import Result, RootResult, TreeResult, stacked

if TYPE_CHECKING:
    from concurrent.futures import Future


class Clock(msgspec.Struct, frozen=True):
    """Where times come from: `now_ns` for events, `timestamp` (RFC 3339) for what a step made."""

    now_ns: Callable[[], int]
    timestamp: Callable[[], str]


class Solution(msgspec.Struct, frozen=True):
    """The roots of all vertices the target stands on or needed, and how many steps ran and were cached."""

    roots: Mapping[VertexID, RootResult]
    target: RootResult
    ran: int
    cached: int
    keys: Mapping[VertexID, CacheKey] = {}


class Ledger(msgspec.Struct, frozen=True):
    """What a solver knew of each vertex, however far it came: static keys, what the probe found and needs, results so far,
    digests of what steps read of their inputs (from input 1 on), and layers of what failed steps left."""

    keys: Mapping[VertexID, CacheKey]
    found: Probe
    results: Mapping[VertexID, Result]
    reads: Mapping[VertexID, tuple[str, ...]]
    left: Mapping[VertexID, LayerId]


class Solver:
    """One solving of one graph."""

    def __init__(
        self,
        graph: Graph,
        runner: OpRunner,
        source: CacheSource,
        sink: CacheSink,
        listener: Listener,
        clock: Clock,
        *,
        jobs: int,
        cancel: threading.Event,
        committed: Callable[[VertexID, LayerId], None] = lambda vertex, layer: None,
        foreseen: Callable[[Sequence[Vertex]], object] = lambda misses: None,
    ) -> None:
        """`foreseen` is told what must run before any of it does, `committed` each layer that was made."""
        self._graph = graph
        self._runner = runner
        self._source = source
        self._sink = sink
        self._listener = listener
        self._clock = clock
        self._jobs = jobs
        self._cancel = cancel
        self._committed = committed
        self._foreseen = foreseen
        self._results: dict[VertexID, Result] = {}
        self._keys: dict[VertexID, CacheKey] = {}
        self._reads: dict[VertexID, tuple[str, ...]] = {}
        self._left: dict[VertexID, LayerId] = {}
        self._found = Probe({}, ())
        self._ran = 0
        self._read: frozenset[VertexID] = frozenset()

    @property
    def ledger(self) -> Ledger:
        """What is known by now."""
        return Ledger(self._keys, self._found, self._results, self._reads, self._left)

    def probe(self, target: VertexID) -> Probe:
        """What a build of `target` would find cached, without running anything."""
        vertices = self._graph.closure(target)
        self._keys = static_keys(vertices, self._runner, self._place)
        self._found = probe(
            vertices, target, self._keys, lambda vertex: self._graph.labels[vertex].ignore_cache, self._source.lookup, self._runner
        )
        return self._found

    def solve(self, target: VertexID) -> Solution:
        """The target's root, with whatever had to run done and cached; raises the first error, placed."""
        found = self.probe(target)
        misses = list(found.misses)
        self._results.update(found.hits)
        steps = sum(not isinstance(vertex.operation, ContextSource) for vertex in found.needed)
        self._listener.on_event(BuildStarted(time=self._clock.now_ns(), steps=steps))
        for vertex in found.needed:
            if vertex.id in found.hits and not isinstance(vertex.operation, Merge):
                self._tell_cached(vertex)
        if misses:
            self._foreseen(misses)
            self._run_all(misses)
        roots = {name: result for name, result in self._results.items() if isinstance(result, RootResult)}
        cached = sum(root.cached for root in roots.values())
        return Solution(roots, roots[target], self._ran, cached, self._keys)

    # -- scheduling -------------------------------------------------------------------------------------

    def _run_all(self, misses: list[Vertex]) -> None:
        from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

        waiting = {vertex.id: {name for name in vertex.inputs if name not in self._results} for vertex in misses}
        by_id = {vertex.id: vertex for vertex in misses}
        self._read = _read_by(misses)
        users: dict[VertexID, list[VertexID]] = {}
        for name, inputs in waiting.items():
            for needed in inputs:
                users.setdefault(needed, []).append(name)
        running: dict[Future[Result], VertexID] = {}
        pool = ThreadPoolExecutor(self._jobs, thread_name_prefix="step")
        failure: BaseException | None = None
        try:
            ready = [name for name, inputs in waiting.items() if not inputs]
            while ready or running:
                for name in ready:
                    running[pool.submit(self._step, by_id[name])] = name
                ready = []
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    name = running.pop(future)
                    self._results[name] = future.result()
                    for user in users.get(name, ()):
                        waiting[user].discard(name)
                        if not waiting[user]:
                            ready.append(user)
        except KeyboardInterrupt:
            failure = BuildCancelled()
        except BaseException as error:
            failure = error
        finally:
            if failure is not None:
                self._cancel.set()
            pool.shutdown(wait=True, cancel_futures=failure is not None)
        if failure is not None:
            raise failure

    # -- one step ---------------------------------------------------------------------------------------

    def _step(self, vertex: Vertex) -> Result:
        if self._cancel.is_set():
            raise BuildCancelled()
        if isinstance(vertex.operation, Merge):
            below, above = (self._root(name) for name in vertex.inputs)
            return merged(below, above) or below
        label = self._graph.labels[vertex.id]
        if isinstance(vertex.operation, ContextSource):
            given = self._runner.source(vertex)
            return TreeResult(given.tree, given.pin)
        started = self._clock.now_ns()
        self._tell_started(vertex, label)
        try:
            result = self._fetch(vertex) if isinstance(vertex.operation, SOURCES) else self._make(vertex, label, started)
        except BaseException as error:
            ended = self._clock.now_ns()
            cancelled = isinstance(error, BuildCancelled) or self._cancel.is_set()
            self._listener.on_event(
                StepFinished(time=ended, vertex=vertex.id, duration_ns=ended - started, error=str(error), cancelled=cancelled)
            )
            self._place_at(error, label)
            raise
        return result

    def _fetch(self, vertex: Vertex) -> Result:
        started = self._clock.now_ns()
        given = self._runner.source(vertex)
        ended = self._clock.now_ns()
        self._listener.on_event(StepFinished(time=ended, vertex=vertex.id, duration_ns=ended - started))
        return TreeResult(given.tree, given.pin)

    def _make(self, vertex: Vertex, label: Label, started: int) -> RootResult:
        below = self._root(vertex.inputs[0])
        inputs = tuple(_as_input(self._results[name]) for name in vertex.inputs)
        read = tuple(self._runner.read_digest(vertex, index, inputs[index]) for index in range(1, len(inputs)))
        self._reads[vertex.id] = read
        key = content_key(vertex.operation, (below.id,), read)
        # The second key leaves the root out: another machine knows its layers by other ids, but compares the root itself.
        portable = content_key(vertex.operation, (), read)
        record = None if label.ignore_cache else self._source.lookup(key, below) or self._source.lookup(portable, below)
        if record is not None:
            self._sink.save(self._keys[vertex.id], msgspec.structs.replace(record, keys=(portable,)))
            self._listener.on_event(StepCached(time=self._clock.now_ns(), vertex=vertex.id))
            return stacked(below, LayerId(record.layer) if record.layer else None, record.created, True)
        outcome = self._runner.run(vertex, inputs, self._control(vertex, label))
        ended = self._clock.now_ns()
        record = CacheRecord(outcome.layer, below.id, self._clock.timestamp(), ended - started, (portable,))
        if outcome.settled:
            self._sink.save(key, record)
            self._sink.save(self._keys[vertex.id], record)
        self._ran += 1
        if outcome.layer is not None:
            self._committed(vertex.id, outcome.layer)
        self._listener.on_event(StepFinished(time=ended, vertex=vertex.id, duration_ns=ended - started, usage=outcome.usage))
        return stacked(below, outcome.layer, record.created, False)

    def _control(self, vertex: Vertex, label: Label) -> StepControl:
        def output(stream: str, data: bytes) -> None:
            self._listener.on_event(
                StepLog(time=self._clock.now_ns(), vertex=vertex.id, stream="stderr" if stream == "stderr" else "stdout", data=data)
            )

        def warn(code: str, message: str) -> None:
            self._listener.on_event(
                Warning(time=self._clock.now_ns(), code=code, message=message, text=f"warning[{code}]: {message}", span=label.span)
            )

        def left(layer: LayerId) -> None:
            self._left[vertex.id] = layer

        def note(text: str) -> None:
            self._listener.on_event(Note(time=self._clock.now_ns(), message=text))

        return StepControl(output, warn, self._cancel, left, note, last=vertex.id not in self._read)

    def _root(self, name: VertexID) -> RootResult:
        result = self._results[name]
        assert isinstance(result, RootResult), "a root was asked of a source"
        return result

    # -- telling ----------------------------------------------------------------------------------------

    def _tell_started(self, vertex: Vertex, label: Label) -> None:
        self._listener.on_event(
            StepStarted(time=self._clock.now_ns(), vertex=vertex.id, name=step_name(label), stage=label.stage or None, span=label.span)
        )

    def _tell_cached(self, vertex: Vertex) -> None:
        self._tell_started(vertex, self._graph.labels[vertex.id])
        self._listener.on_event(StepCached(time=self._clock.now_ns(), vertex=vertex.id))

    def _place_at(self, error: BaseException, label: Label) -> None:
        """Gives the error the step's place, where it has none of its own."""
        if isinstance(error, LayerwrightError) and error.span is None and label.span is not None and not isinstance(error, BuildCancelled):
            error.span, error.source = label.span, label.source

    def _place(self, error: LayerwrightError, vertex: Vertex) -> None:
        self._place_at(error, self._graph.labels[vertex.id])


def step_name(label: Label) -> str:
    """`[build 2/4] RUN make`: what people read."""
    where = label.stage
    if label.position is not None:
        where = f"{where} {label.position[0]}/{label.position[1]}"
    first = label.name.strip().split("\n", 1)[0]
    return f"[{where}] {first}" if where else first


def _read_by(misses: list[Vertex]) -> frozenset[VertexID]:
    """What steps that run need the files of; a merge needs none itself, but passes on who needs its own."""
    read = {name for vertex in misses if not isinstance(vertex.operation, Merge) for name in vertex.inputs}
    merges = [vertex for vertex in misses if isinstance(vertex.operation, Merge)]
    while passed := {name for vertex in merges if vertex.id in read for name in vertex.inputs} - read:
        read |= passed
    return frozenset(read)


def _as_input(result: Result) -> StepInput:
    if isinstance(result, RootResult):
        return RootInput(result.layers, result.id)
    return TreeInput(result.tree, result.pin)


def system_clock(epoch: int | None) -> Clock:
    """The machine's clock; with SOURCE_DATE_EPOCH every timestamp is that second."""

    def timestamp() -> str:
        now = time.time_ns() if epoch is None else epoch * 1_000_000_000
        return format_time(now)

    return Clock(time.time_ns, timestamp)


def format_time(nanoseconds: int) -> str:
    """RFC 3339 in UTC as Go prints it: nanoseconds without trailing zeros."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    digits = f"{fraction:09d}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"
