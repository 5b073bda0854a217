"""A build's record as it comes about: what was asked, what the solvers knew, what was heard; saved however it ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

import msgspec

from builder.engine.contexts import OpenedContexts
from builder.engine.request import BuildRequest
from builder.errors import BuildCancelled, LayerwrightError
from builder.graph.giturl import without_passwords
from builder.graph.plan import BuildPlan
from builder.history.archive import History
from builder.history.facts import step_records
from builder.history.record import BuildRecord, BuildState, Request, StepRecord, pack_steps
from builder.history.recorder import Recorder
from builder.ops.protocol import OpRunner
from builder.solver.solve import Solver
from builder.store.store import Store


class Chronicle:
    """One build's; `recorder` is to be told all events."""

    def __init__(self, store: Store, request: BuildRequest, started_ns: int) -> None:
        self.id = os.urandom(8).hex()
        self.recorder = Recorder(store.root, self.id)
        self.history = History(store)
        self._request = request
        self._started_ns = started_ns
        self.imported: Callable[[str], str] | None = None
        """What imported caches say of a step's key."""
        self._asked: Request | None = None
        self._digests: tuple[str, ...] = ()
        self._solved: list[tuple[BuildPlan, Solver, OpRunner]] = []

    def opened(self, contexts: OpenedContexts, platforms: tuple[str, ...]) -> None:
        """What is built is known; a build that ends before leaves no record."""
        request = self._request
        self._asked = Request(
            context=_address(request.context),
            dockerfile=_dockerfile(request, contexts.dockerfile_name),
            target=request.target or "",
            platforms=platforms,
            tags=request.tags,
            no_cache=request.no_cache,
        )

    def solving(self, plan: BuildPlan, solver: Solver, runner: OpRunner) -> None:
        """A platform's plan is about to be solved."""
        self._solved.append((plan, solver, runner))

    def steps(self) -> tuple[StepRecord, ...]:
        """The steps of all platforms, each vertex once."""
        found: dict[str, StepRecord] = {}
        for plan, solver, runner in self._solved:
            if not solver.ledger.keys:
                continue  # a file that COPY names is not there: nothing is known to compare with
            for step in step_records(plan, solver.ledger, runner, self.recorder.heard):
                found.setdefault(step.vertex, self._with_imported(step))
        return tuple(found.values())

    def _with_imported(self, step: StepRecord) -> StepRecord:
        if self.imported is None or step.kind != "step" or not step.key or step.outcome in ("cached", "not-needed"):
            return step
        told = self.imported(step.key)
        return msgspec.structs.replace(step, imported=told) if told else step

    def made(self, *digests: str) -> None:
        """The digest of the result, then those of its images."""
        self._digests = digests

    def record(self, ended_ns: int, error: BaseException | None) -> BuildRecord:
        """The record as of now."""
        assert self._asked is not None, "there is no record before the Dockerfile is open"
        steps = self.steps()
        shown = [step for step in steps if step.kind == "step"]
        return BuildRecord(
            id=self.id,
            request=self._asked,
            started_ns=self._started_ns,
            duration_ns=ended_ns - self._started_ns,
            state=_state(error),
            error=str(error) or type(error).__name__ if error is not None else "",
            digest=self._digests[0] if self._digests else "",
            images=self._digests[1:],
            ran=sum(step.outcome == "ran" for step in shown),
            cached=sum(step.outcome == "cached" for step in shown),
            steps=pack_steps(steps),
            warnings=tuple(self.recorder.warnings),
            exports=tuple(self.recorder.exports.values()),
        )

    def close(self, ended_ns: int, error: BaseException | None) -> BuildRecord | None:
        """Save it; a store that cannot take it (a full disk) fails no build."""
        self.recorder.close()
        if self._asked is None:
            return None
        record = self.record(ended_ns, error)
        with suppress(LayerwrightError):
            self.history.save(record)
        return record


def _state(error: BaseException | None) -> BuildState:
    if error is None:
        return "done"
    return "cancelled" if isinstance(error, BuildCancelled | KeyboardInterrupt) else "failed"


def _address(context: str) -> str:
    return os.path.realpath(context) if os.path.isdir(context) else without_passwords(context)


def _dockerfile(request: BuildRequest, name: str) -> str:
    """An absolute path for one named by -f, else its name in the context."""
    if request.dockerfile is None or request.dockerfile == "-":
        return name
    return os.path.realpath(request.dockerfile) if os.path.exists(request.dockerfile) else without_passwords(request.dockerfile)
