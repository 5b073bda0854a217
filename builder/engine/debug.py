"""A shell in a step of a build that is over: its root before or after it, made anew from the layers the record names."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from builder.cache.keys import combine
from builder.engine.agents import open_agents
from builder.engine.workshop import Workshop
from builder.errors import NotFoundError
from builder.frontend.state import DEFAULT_PATH
from builder.graph.operations import ImageSource, Merge, MountSpec, RunAction, Scratch, SecretSpec, SshSpec
from builder.history.archive import History, find_step
from builder.history.cause import place_of
from builder.history.record import StepRecord, unpack_steps
from builder.ops.destination import Times
from builder.ops.protocol import RootInput, StepControl
from builder.ops.run import RunSettings, RunSteps
from builder.ops.secrets import GivenSecrets, SecretFile, SecretValue
from builder.ops.shell import Talk, interactive
from builder.snapshot.layers import LayerId
from builder.solver.results import EMPTY_ROOT, RootResult, stacked
from builder.store.cachemounts import CacheMounts
from runtime.spec import Exit

Side = Literal["before", "after"]
_FINISHED = ("ran", "cached")


class DebugRequest(msgspec.Struct, frozen=True):
    """Which step of which build (see History.find and find_step; None: the one that failed, else the last), on which side of
    it, with which program and secrets; `terminal` is TERM."""

    build: str | None = None
    step: str | None = None
    side: Side | None = None
    shell: str | None = None
    secrets: Mapping[str, SecretFile | SecretValue] = {}
    ssh: Mapping[str, tuple[str, ...]] = {}
    terminal: str = ""


def debug_step(request: DebugRequest, shop: Workshop, talk: Talk, told: StepTold) -> Exit:
    """The shell, to its end; `told` hears first what it stands in. Raises LayerwrightError."""
    record = History(shop.store).find(request.build)
    steps = unpack_steps(record)
    step = find_step(steps, request.step) if request.step is not None else _interesting(steps)
    side = request.side or ("after" if step.outcome in _FINISHED or step.layer is not None else "before")
    roots = _Roots(steps)
    inputs = [roots.of(given.vertex) for given in step.inputs]
    root = inputs[0] if side == "before" and inputs else roots.of(step.vertex)
    action, missing = _lenient(_action(step, roots), request)
    for layers in (root.layers, *(given.layers for given in inputs[1:])):
        if not shop.layers.hold(layers):
            raise NotFoundError(
                "layer-collected", f"a layer that {place_of(step)} stands on is not in the store any more", help="build again, then debug"
            )
    control = StepControl(lambda stream, data: None, lambda code, message: None, threading.Event())
    with contextlib.ExitStack() as stack:
        settings = RunSettings(ssh=tuple(stack.enter_context(open_agents(request.ssh)).items()))
        runner = RunSteps(
            shop.layers, CacheMounts(shop.store), shop.sandbox, settings, GivenSecrets(request.secrets), Times(time.time_ns(), None)
        )
        draft, process = runner.prepare(action, (root, *inputs[1:]), control, stack)
        shell = interactive(process, draft.tree, request.shell, request.terminal)
        told(step, side, missing)
        return talk(shop.sandbox(), shell)


class StepTold(Protocol):
    """Hears which step, which side of it, and which secrets and agents it goes without."""

    def __call__(self, step: StepRecord, side: Side, missing: tuple[str, ...]) -> None: ...


def _interesting(steps: Sequence[StepRecord]) -> StepRecord:
    """The step that failed, else the last."""
    shown = [step for step in steps if step.kind == "step"]
    failed = [step for step in shown if step.outcome == "failed"]
    if not shown:
        raise NotFoundError("step-not-found", "this build has no step", help="`layerwright builds` lists the builds")
    return (failed or shown)[-1]


class _Roots:
    """Roots of a build's vertices, from the layers that its record names."""

    def __init__(self, steps: Sequence[StepRecord]) -> None:
        self._steps = {step.vertex: step for step in steps}

    def __getitem__(self, vertex: str) -> StepRecord:
        return self._steps[vertex]

    def chain(self, vertex: str) -> list[StepRecord]:
        """The step and what it stands on, the lowest last."""
        found = [self._steps[vertex]]
        while found[-1].inputs:
            found.append(self._steps[found[-1].inputs[0].vertex])
        return found

    def of(self, vertex: str) -> RootInput:
        """The root after a step; raises where it was never made."""
        root = EMPTY_ROOT
        for step in reversed(self.chain(vertex)):
            root = self._on(root, step)
        return RootInput(root.layers, root.id)

    def _on(self, below: RootResult, step: StepRecord) -> RootResult:
        operation = step.operation
        if isinstance(operation, Scratch):
            return EMPTY_ROOT
        if isinstance(operation, ImageSource):
            layers = step.base.layers if step.base is not None else ()
            return RootResult(tuple(LayerId(layer) for layer in layers), combine("image", operation.chain))
        layer = self._steps[step.inputs[1].vertex].layer if isinstance(operation, Merge) else step.layer
        if layer is None and step.kind != "hidden" and step.outcome not in _FINISHED:
            raise NotFoundError(
                "step-not-made", f"{place_of(step)} has no result in this build", help="look at its root before it, with --before"
            )
        return stacked(below, LayerId(layer) if layer is not None else None, None, True)


def _action(step: StepRecord, roots: _Roots) -> RunAction:
    """The RUN itself; for another instruction a RUN in its place, with the environment of the nearest one below."""
    if isinstance(step.operation, RunAction):
        return step.operation
    for below in roots.chain(step.vertex):
        if isinstance(below.operation, RunAction):
            return msgspec.structs.replace(below.operation, mounts=(), cwd="/", user="", network="default", insecure=False)
    return RunAction(argv=("/bin/sh",), env=(("PATH", DEFAULT_PATH),), cwd="/", user="")


def _lenient(action: RunAction, request: DebugRequest) -> tuple[RunAction, tuple[str, ...]]:
    """Without the secrets and agents that are not given now, and which those are."""
    kept: list[MountSpec] = []
    missing: list[str] = []
    for mount in action.mounts:
        match mount:
            case SecretSpec() if mount.id not in request.secrets:
                missing.append(f"--secret id={mount.id}")
            case SshSpec() if mount.id not in request.ssh:
                missing.append(f"--ssh {mount.id}")
            case _:
                kept.append(mount)
    return msgspec.structs.replace(action, mounts=tuple(kept)), tuple(missing)
