"""One build from request to result: contexts, Dockerfile, plans, solving, images, outputs."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

import msgspec

from builder.context.statcache import FileDigests
from builder.engine.bases import BaseImages
from builder.engine.caches import Caches, find_lost
from builder.engine.checks import WarningCount, check, facts_of, tell
from builder.engine.chronicle import Chronicle
from builder.engine.contexts import OpenedContexts, open_contexts
from builder.engine.dockerfiles import has_global, keep_words, parse_cached
from builder.engine.outputs import Output, plan_outputs, trusting
from builder.engine.remote import agents_of, remote_of
from builder.engine.request import EPOCH, MIN_JOBS, BuildRequest, platforms_of
from builder.engine.room import StoreSize, kept_within
from builder.engine.workshop import Workshop, WorkshopSettings
from builder.errors import BuildCancelled, LayerwrightError
from builder.frontend.convert import convert
from builder.frontend.settings import FrontendSettings
from builder.graph.operations import RunAction
from builder.graph.plan import BuildPlan
from builder.graph.vertex import Vertex, VertexID
from builder.image.assemble import assemble, combine_images
from builder.image.model import BuildResult
from builder.image.options import ImageOptions
from builder.oci.digest import ChainID, chain_ids
from builder.oci.platform import Platform
from builder.ops.destination import Times
from builder.ops.runner import Operations, Packing
from builder.ops.secrets import GivenSecrets
from builder.ops.unchanged import Unchanged
from builder.progress.broadcast import Broadcast
from builder.progress.events import BuildFinished, Listener, Note, Silent
from builder.snapshot.layers import LayerId, LayerLost
from builder.solver.solve import Clock, Solution, Solver, system_clock
from builder.store.due import is_due
from grammar.nodes import Dockerfile

if TYPE_CHECKING:
    from builder.history.cause import Explanation
    from builder.history.record import BuildRecord
    from builder.ops.run import RunSteps
    from builder.ops.shell import OnFailure


class BuildOutcome(msgspec.Struct, frozen=True):
    """What a build made. `digest` of the manifest or index, `config_digest` of the (first) image's config."""

    id: str
    result: BuildResult
    digest: str
    config_digest: str
    tags: tuple[str, ...]
    ran: int
    cached: int


def run_build(
    request: BuildRequest,
    settings: WorkshopSettings,
    listener: Listener | None = None,
    cancel: threading.Event | None = None,
    *,
    explained: Callable[[Explanation], object] | None = None,
    on_failure: OnFailure | None = None,
) -> BuildOutcome:
    """Build, and write the outputs; raises LayerwrightError or DockerfileError. Events go to `listener`.

    `explained` is given the explanation of the build's hits and misses, also of one that fails; `on_failure` a RUN
    that failed, on the thread that ran it, while its root and mounts stand.
    """
    told = listener or Silent()
    clock = system_clock(request.epoch)
    started = clock.now_ns()
    cancel = cancel or threading.Event()
    try:
        with Workshop(trusting(settings, request), cancel=cancel) as shop, agents_of(request) as agents:
            chronicle = Chronicle(shop.store, request, started)
            listener = Broadcast((chronicle.recorder, told))

            def note(text: str) -> None:
                told.on_event(Note(time=clock.now_ns(), message=text))

            with kept_within(shop.store, settings.store_size, note) as room, _recorded(chronicle, clock, explained):
                outcome = _Build(request, shop, agents, listener, clock, cancel, chronicle, on_failure, room).run()
                chronicle.made(outcome.digest, *(image.descriptor.digest for image in outcome.result.images))
            if is_due(shop.store):
                from builder.store.sweep import collect_when_due

                collect_when_due(shop.store, settings.store_size)
    except BaseException as error:
        ended = clock.now_ns()
        told.on_event(BuildFinished(time=ended, duration_ns=ended - started, error=str(error) or type(error).__name__))
        if isinstance(error, KeyboardInterrupt):
            raise BuildCancelled() from None
        raise
    ended = clock.now_ns()
    told.on_event(BuildFinished(time=ended, duration_ns=ended - started, ran=outcome.ran, cached=outcome.cached, digest=outcome.digest))
    return outcome


@contextlib.contextmanager
def _recorded(chronicle: Chronicle, clock: Clock, explained: Callable[[Explanation], object] | None) -> Iterator[None]:
    """Saves the build's record, and explains it, however it ends."""
    failure: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failure = error
        raise
    finally:
        record = chronicle.close(clock.now_ns(), failure)
        if record is not None and explained is not None:
            explained(_explained(chronicle, record, dry=False))


def _explained(chronicle: Chronicle, record: BuildRecord, *, dry: bool) -> Explanation:
    from builder.history.explain import explain

    return explain(record, chronicle.steps(), chronicle.history.earlier(record), chronicle.history.manifests, dry=dry)


def foresee(request: BuildRequest, settings: WorkshopSettings) -> Explanation:
    """What a build would find cached and what it would run, and why; nothing is run and nothing recorded."""
    clock = system_clock(request.epoch)
    with Workshop(settings) as shop, agents_of(request) as agents:
        chronicle = Chronicle(shop.store, request, clock.now_ns())
        _Build(request, shop, agents, Silent(), clock, threading.Event(), chronicle).probe()
        return _explained(chronicle, chronicle.record(clock.now_ns(), None), dry=True)


class _Build:
    """One build, with everything open."""

    def __init__(
        self,
        request: BuildRequest,
        shop: Workshop,
        agents: Mapping[str, str],
        listener: Listener,
        clock: Clock,
        cancel: threading.Event,
        chronicle: Chronicle,
        on_failure: OnFailure | None = None,
        room: StoreSize | None = None,
    ) -> None:
        self._request = request
        self._shop = shop
        self._listener = WarningCount(listener)
        self._clock = clock
        self._cancel = cancel
        self._chronicle = chronicle
        self._on_failure = on_failure
        self._agents = agents
        self._room = room
        self._remote = remote_of(request, shop, agents, cancel)
        self._bases = BaseImages(shop.store, shop.registry, pull=request.pull, layouts=self._remote.layouts)
        self._digests = FileDigests(shop.store.index)
        self._caches = Caches(request, shop, listener, clock)
        shop.layers.hear_skipped(self._skipped)
        if request.cache_from:
            chronicle.imported = self._caches.told_of

    def _skipped(self, paths: tuple[str, ...]) -> None:
        """No fault of the build: only the machine's root makes devices, and a step has those of the sandbox."""
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        text = f"/{paths[0]}{more} of a base image could not be made, for only root makes devices; the image keeps what its layers say"
        self._listener.on_event(Note(time=self._clock.now_ns(), message=text))

    def run(self) -> BuildOutcome:
        """All of it."""
        outputs = plan_outputs(self._request)
        for output in outputs:
            output.exporter(self._shop).check()
        with contextlib.ExitStack() as stack:
            contexts, dockerfile, plans = self._plans(stack)
            outputs = plan_outputs(self._request)  # with the epoch that the Dockerfile may have set
            self._check(dockerfile, plans[0], contexts)
            while True:
                try:
                    solutions = [self._solve(plan, contexts, outputs) for plan in plans]
                    return self._finish(plans, solutions, outputs, dockerfile)
                except LayerLost as lost:
                    # An imported cache broke its promise: everything once more without it. What ran is cached by now.
                    self._caches.refuse(lost)
                    self._cancel.clear()

    def probe(self) -> None:
        """As far as a build goes without running anything; the chronicle has what was found."""
        with contextlib.ExitStack() as stack:
            contexts, _, plans = self._plans(stack)
            for plan in plans:
                self._solver(plan, contexts, ()).probe(plan.target)

    def _plans(self, stack: contextlib.ExitStack) -> tuple[OpenedContexts, Dockerfile, list[BuildPlan]]:
        contexts = open_contexts(self._request, self._remote, stack)
        dockerfile = parse_cached(contexts.dockerfile, contexts.dockerfile_name, self._shop.store.index)
        self._date(dockerfile)
        platforms = platforms_of(self._request)
        self._chronicle.opened(contexts, tuple(map(str, platforms)))
        plans = [convert(dockerfile, self._frontend_settings(contexts, platform), self._bases) for platform in platforms]
        keep_words(contexts.dockerfile, contexts.dockerfile_name, self._shop.store.index)
        return contexts, dockerfile, plans

    def _date(self, dockerfile: Dockerfile) -> None:
        """From here on the request's epoch is in seconds, whatever form it came in."""
        if self._request.epoch is None and (EPOCH in self._request.build_args or has_global(dockerfile, EPOCH)):
            from builder.engine.epoch import with_epoch

            self._request = with_epoch(self._request, dockerfile, self._remote)
            self._clock = system_clock(self._request.epoch)

    def _check(self, dockerfile: Dockerfile, plan: BuildPlan, contexts: OpenedContexts) -> None:
        facts = facts_of(plan, contexts, self._request.build_args, plan.stage_bases, plan.platform)
        tell(check(dockerfile, facts, self._shop.store.index), self._listener, self._clock)

    def _frontend_settings(self, contexts: OpenedContexts, platform: Platform) -> FrontendSettings:
        request = self._request
        return FrontendSettings(
            target=request.target,
            build_args=dict(request.build_args),
            labels=dict(request.labels),
            platform=platform,
            platform_given=bool(request.platforms),
            contexts=contexts.named,
            network=request.network,
            host_names=tuple(name for name, _ in request.hosts),
            shm_size=request.shm_size,
            ulimits=request.ulimits,
            no_cache=request.no_cache,
            no_cache_stages=tuple(name.lower() for name in request.no_cache_stages),
            allow=request.allow,
        )

    def _solve(self, plan: BuildPlan, contexts: OpenedContexts, outputs: tuple[Output, ...]) -> Solution:
        return self._solver(plan, contexts, outputs).solve(plan.target)

    def _solver(self, plan: BuildPlan, contexts: OpenedContexts, outputs: tuple[Output, ...]) -> Solver:
        shop = self._shop
        kept = plan.graph.chain(plan.target)
        packings = tuple(dict.fromkeys((output.options.compression, output.options.level) for output in outputs if output.packs_layers))

        def wanted(vertex: VertexID) -> tuple[Packing, ...]:
            """Layers of the result are packed, and those an exported cache wants; others never."""
            return tuple(dict.fromkeys((*(packings if vertex in kept else ()), *self._caches.packings(vertex in kept))))

        def only_packing(vertex: VertexID) -> Packing | None:
            """How a layer is packed that nobody wants in another form, nor as files."""
            found = wanted(vertex) if vertex in kept and all(output.packs_layers for output in outputs) else ()
            return found[0] if len(found) == 1 else None

        def pack(vertex: VertexID, layer: LayerId) -> None:
            """While later steps run."""
            for compression, level in wanted(vertex):
                shop.layers.pack_in_background(layer, compression, level)
            if self._room is not None:
                self._room.grown()

        epoch_ns = None if self._request.epoch is None else self._request.epoch * 10**9
        times = Times(time.time_ns(), epoch_ns)
        bases = {ChainID(chain_ids(base.diff_ids)[-1]): base for base in plan.bases}
        operations = Operations(
            shop.layers,
            contexts.trees,
            bases,
            self._remote,
            cache(partial(self._steps, times)),
            self._digests,
            times,
            self._chronicle.history.manifests,
            Unchanged(shop.store.index),
            only_packing,
        )
        jobs = self._request.jobs or max(MIN_JOBS, os.cpu_count() or 1)
        solver = Solver(
            plan.graph,
            operations,
            self._caches.source,
            self._caches.local,
            self._listener,
            self._clock,
            jobs=jobs,
            cancel=self._cancel,
            committed=pack,
            foreseen=self._foreseen,
        )
        self._chronicle.solving(plan, solver, operations)
        return solver

    def _foreseen(self, misses: Sequence[Vertex]) -> None:
        """The sandbox starts while the rest of what runs steps is loaded."""
        steps = [vertex.operation for vertex in misses if isinstance(vertex.operation, RunAction)]
        if steps:
            self._shop.sandbox().make_ready(network=any(step.network == "default" for step in steps))

    def _steps(self, times: Times) -> RunSteps:
        """What runs RUN steps; loads the sandbox, so only for a build that has a step to run."""
        from builder.ops.run import RunSettings, RunSteps
        from builder.store.cachemounts import CacheMounts

        request, shop = self._request, self._shop
        settings = RunSettings(
            proxies=tuple(request.proxies.items()),
            hosts=tuple((address, name) for name, address in request.hosts),
            resources=request.resources,
            ssh=tuple(self._agents.items()),
        )
        secrets = GivenSecrets(request.secrets)
        if request.cold:
            return RunSteps(shop.layers, CacheMounts(shop.scratch_store()), shop.sandbox, settings, secrets, times, self._on_failure)
        mounts, fill = CacheMounts(shop.store), self._caches.fill_mount
        return RunSteps(shop.layers, mounts, shop.sandbox, settings, secrets, times, self._on_failure, fill)

    def _finish(
        self, plans: list[BuildPlan], solutions: list[Solution], outputs: tuple[Output, ...], dockerfile: Dockerfile
    ) -> BuildOutcome:
        shop = self._shop
        results: dict[ImageOptions, BuildResult] = {}

        def result_for(options: ImageOptions) -> BuildResult:
            if options not in results:
                images = tuple(
                    assemble(plan, solution, shop.layers, shop.store.blobs, options, self._caches.local.lookup)
                    for plan, solution in zip(plans, solutions, strict=True)
                )
                several = len(images) > 1 or self._request.build_args.get("BUILDKIT_MULTI_PLATFORM") == "1"
                results[options] = combine_images(images, shop.store.blobs, options, index=several)
            return results[options]

        if self._request.strict:
            self._listener.enforce()
        last: BuildResult | None = None
        for output in outputs:
            last = result_for(output.options)
            if not self._request.discard:
                last = self._write(output, last, solutions)
        if last is None:
            raise LayerwrightError("no-output", "the build has no output")
        self._caches.export(plans, solutions, [place for output in outputs for place in output.pushed(result_for(output.options))])
        return BuildOutcome(
            id=self._chronicle.id,
            result=last,
            digest=last.descriptor.digest,
            config_digest=last.images[0].manifest.config.digest,
            tags=self._request.tags,
            ran=sum(solution.ran for solution in solutions),
            cached=sum(solution.cached for solution in solutions),
        )

    def _write(self, output: Output, result: BuildResult, solutions: list[Solution]) -> BuildResult:
        try:
            return output.write(self._shop, result, self._listener, self._clock)
        except BuildCancelled:
            raise
        except LayerwrightError:
            find_lost(self._shop, [layer for solution in solutions for layer in solution.target.layers])
            raise
