"""RUN: a draft on the step's root, the sandbox's process, and the layer of what changed (reference 1.4).

Not here: namespaces and mounts (runtime), what changed in the upper directory (fs.diff).
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, assert_never

import msgspec

from builder.errors import BuildCancelled, LayerwrightError
from builder.fs.ownership import Identity, lookup_user
from builder.fs.tree import DirTree
from builder.graph.operations import (
    BindSpec,
    CacheSpec,
    CopyAction,
    CopyFrom,
    InlineSpec,
    MakeDirectory,
    MountSpec,
    RunAction,
    SecretSpec,
    SshSpec,
    TmpfsSpec,
)
from builder.oci.platform import parse_platform
from builder.ops.copy import apply_copy
from builder.ops.destination import Destination, Times
from builder.ops.emulation import require_platform
from builder.ops.leavings import commit
from builder.ops.limits import parse_ulimit
from builder.ops.mkdir import make_directory
from builder.ops.protocol import Outcome, RootInput, StepControl, StepInput
from builder.ops.secrets import Secrets
from builder.snapshot.layers import Draft, LayerId, Layers
from builder.store.cachemounts import CacheMounts
from runtime.sandbox import Sandbox
from runtime.spec import BindMount, Directory, Exit, FileMount, Mount, Process, Resources, SocketMount, TmpfsMount, User

if TYPE_CHECKING:
    from builder.ops.shell import OnFailure

LAST_LINES = 20
"""Lines of output that an error shows."""


class RunSettings(msgspec.Struct, frozen=True):
    """What holds for every RUN of a build and stands in no key: proxies, host addresses, limits."""

    proxies: tuple[tuple[str, str], ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    resources: Resources = Resources()
    ssh: tuple[tuple[str, str], ...] = ()
    """Agents by id: the path of the host's socket."""


class RunSteps:
    """Runs RUN steps; thread-safe."""

    def __init__(
        self,
        layers: Layers,
        caches: CacheMounts,
        sandbox: Callable[[], Sandbox],
        settings: RunSettings,
        secrets: Secrets,
        times: Times,
        on_failure: OnFailure | None = None,
        fill_mount: Callable[[str, str], object] = lambda mount_id, directory: None,
    ) -> None:
        """`fill_mount` gives a cache mount that is new, by id, the content that another machine had in it."""
        self._layers = layers
        self._caches = caches
        self._sandbox = sandbox
        self._settings = settings
        self._secrets = secrets
        self._times = times
        self._on_failure = on_failure
        self._fill_mount = fill_mount
        self._noted: set[str] = set()

    def run(self, action: RunAction, inputs: Sequence[StepInput], control: StepControl, note: str) -> Outcome:
        """The step, whole; raises LayerwrightError `run-failed` with the last lines of output."""
        require_platform(parse_platform(action.platform))
        with contextlib.ExitStack() as stack:
            draft, process = self.prepare(action, inputs, control, stack)
            tail = _Tail()

            def output(stream: Literal["stdout", "stderr"], data: bytes) -> None:
                tail.feed(data)
                control.output(stream, data)

            ended = self._sandbox().run(process, output, control.cancel)
            for text in ended.notes:
                if text not in self._noted:  # once a build
                    self._noted.add(text)
                    control.note(text)
            if control.cancel.is_set() and not ended.ok:
                raise BuildCancelled()
            if not ended.ok:
                error = _failure(ended, tail.lines())
                self._tell(error, action, draft, process)
                with contextlib.suppress(LayerwrightError, OSError):  # a full disk may be why it failed
                    control.left(draft.commit(f"left by {note}"))
                raise error
            return Outcome(commit(draft, note, control), ended.usage)

    def prepare(
        self, action: RunAction, inputs: Sequence[StepInput], control: StepControl, stack: contextlib.ExitStack
    ) -> tuple[Draft, Process]:
        """The step's root and its process, ready to be run; both last as long as `stack`."""
        draft = stack.enter_context(self._layers.draft(_root(inputs[0])))
        identity = lookup_user(draft.tree, action.user)
        destination = Destination(draft.upper, draft.tree, draft.tree, self._layers.opaque_xattr)
        make_directory(MakeDirectory(action.cwd), destination, self._times)
        return draft, self._process(action, inputs, draft, identity, stack, control)

    def _tell(self, error: LayerwrightError, action: RunAction, draft: Draft, process: Process) -> None:
        """Whoever wants to look at a failure gets a shell in the root as the step left it."""
        if self._on_failure is not None:
            from builder.ops.shell import FailedStep, interactive

            again = msgspec.structs.replace(process, root=draft.root())
            self._on_failure(FailedStep(error, action.argv[-1], interactive(again, draft.tree), self._sandbox()))

    def _process(
        self,
        action: RunAction,
        inputs: Sequence[StepInput],
        draft: Draft,
        identity: Identity,
        stack: contextlib.ExitStack,
        control: StepControl,
    ) -> Process:
        env = dict(action.env)
        for key, value in self._settings.proxies:
            env.setdefault(key, value)
        if not env.get("HOME"):  # runc takes an empty one for none
            env["HOME"] = identity.home
        mounts: list[Mount] = []
        for spec in action.mounts:
            mounts.extend(self._mount(spec, inputs, env, stack, control))
        return Process(
            argv=action.argv,
            root=self._layers.step_root(draft),
            env=tuple(env.items()),
            cwd=action.cwd,
            user=User(identity.uid, identity.gid, identity.all_groups),
            mounts=tuple(mounts),
            network=action.network,
            insecure=action.insecure,
            hostname=action.hostname,
            hosts=self._settings.hosts,
            shm_size=action.shm_size,
            ulimits=tuple(parse_ulimit(text) for text in action.ulimits),
            resources=self._settings.resources,
        )

    # -- mounts -----------------------------------------------------------------------------------------

    def _mount(
        self, spec: MountSpec, inputs: Sequence[StepInput], env: dict[str, str], stack: contextlib.ExitStack, control: StepControl
    ) -> tuple[Mount, ...]:
        match spec:
            case BindSpec():
                given = _root(inputs[spec.input])
                root = stack.enter_context(self._layers.mount_root(given) if spec.read_only else self._layers.scratch_root(given))
                return (BindMount(root, spec.source, spec.target, spec.read_only),)
            case CacheSpec():
                return (self._cache(spec, inputs, stack, control),)
            case TmpfsSpec():
                return (TmpfsMount(spec.target, spec.size),)
            case SecretSpec():
                return self._secret(spec, env)
            case SshSpec():
                return self._ssh(spec, env, stack)
            case InlineSpec():
                return (FileMount(spec.target, spec.content, 0o755, executable=True),)
            case _ as never:
                assert_never(never)

    def _cache(self, spec: CacheSpec, inputs: Sequence[StepInput], stack: contextlib.ExitStack, control: StepControl) -> Mount:
        seed = inputs[spec.input] if spec.input is not None else None

        def fill(directory: str) -> None:
            if seed is None:
                self._fill_mount(spec.id, directory)
                return
            tree = self._layers.tree(_root(seed))
            action = CopyAction(sources=(CopyFrom(0, (spec.source,)),), destination="/")
            target = DirTree(directory)
            apply_copy(action, [tree], Destination(directory, target, target, self._layers.opaque_xattr), self._times)

        lease = self._caches.open(
            spec.id,
            spec.sharing,
            seed="" if seed is None else f"{_root_id(seed)}:{spec.source}",
            mode=spec.mode,
            uid=spec.uid,
            gid=spec.gid,
            fill=fill,
            cancel=control.cancel,
        )
        stack.enter_context(lease)
        return BindMount(Directory(str(lease.path)), "/", spec.target, spec.read_only)

    def _secret(self, spec: SecretSpec, env: dict[str, str]) -> tuple[Mount, ...]:
        data = self._secrets.get(spec.id)
        if data is None:
            if spec.required:
                raise LayerwrightError(
                    "secret-missing",
                    f"the secret {spec.id!r} is required and was not given",
                    help=f"build with --secret id={spec.id},src=FILE",
                )
            return ()
        if spec.env is not None:
            env[spec.env] = data.decode("utf-8", "surrogateescape")
        if spec.target is None:
            return ()
        return (FileMount(spec.target, data, spec.mode, spec.uid, spec.gid),)

    def _ssh(self, spec: SshSpec, env: dict[str, str], stack: contextlib.ExitStack) -> tuple[Mount, ...]:
        # Set whether or not there is an agent, as BuildKit does; the first mount's, unless ENV says otherwise.
        env.setdefault("SSH_AUTH_SOCK", spec.target)
        agent = dict(self._settings.ssh).get(spec.id)
        if agent is None:
            if spec.required:
                raise LayerwrightError(
                    "ssh-missing", f"the ssh agent {spec.id!r} is required and was not given", help=f"build with --ssh {spec.id}"
                )
            return ()
        if not _is_socket(agent):
            raise LayerwrightError(
                "ssh-no-socket",
                f"the ssh agent {spec.id!r} is not a socket: {agent}",
                help="start an agent, or name its socket with --ssh ID=SOCKET",
            )
        from builder.ops.agents import AgentRelay

        relay = stack.enter_context(AgentRelay(agent))
        return (SocketMount(relay.path, spec.target, spec.mode, spec.uid, spec.gid),)


class _Tail:
    """The last lines of what a step wrote, for its error."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque(maxlen=LAST_LINES)
        self._partial = b""

    def feed(self, data: bytes) -> None:
        """Take output as it comes; a line without an end is cut at 4 KiB."""
        *whole, rest = (self._partial + data).split(b"\n")
        self._lines.extend(line[-4096:] for line in whole)
        self._partial = rest[-4096:]

    def lines(self) -> tuple[str, ...]:
        """The lines as text."""
        kept = [*self._lines, self._partial] if self._partial else list(self._lines)
        return tuple(line.decode("utf-8", "replace").rstrip("\r") for line in kept[-LAST_LINES:])


def _failure(ended: Exit, lines: tuple[str, ...]) -> LayerwrightError:
    if ended.setup_error is not None:
        message = f"the command could not be started: {ended.setup_error}"
        return LayerwrightError("run-not-started", message, help=ended.setup_help or None, notes=lines)
    seconds = ended.usage.wall_ns / 1e9
    if ended.out_of_memory:
        return LayerwrightError(
            "run-out-of-memory",
            f"the command was killed because memory ran out, after {seconds:.1f} s",
            help="give it more with --memory, or let it use less",
            notes=lines,
        )
    if ended.signal is not None:
        message = f"the command was killed by {_signal_name(ended.signal)} after {seconds:.1f} s"
        return LayerwrightError("run-failed", message, help=_LOOK, notes=lines)
    return LayerwrightError(
        "run-failed", f"the command ended with exit code {ended.code} after {seconds:.1f} s", help=_exit_help(ended.code), notes=lines
    )


_LOOK = "`layerwright debug` opens a shell in what it left, `layerwright logs` has its whole output"


def _exit_help(code: int | None) -> str:
    if code == 127:
        return "127 means that the shell did not find the command: is it installed in this stage?"
    if code == 126:
        return "126 means that the command was found but may not be executed: check its mode and its interpreter"
    return _LOOK


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _root(source: StepInput) -> tuple[LayerId, ...]:
    assert isinstance(source, RootInput), "a mount or a root is always a root file system"
    return source.layers


def _root_id(source: StepInput) -> str:
    assert isinstance(source, RootInput)
    return source.id
