"""RUN: its command line, environment and mounts (reference 1.3, 1.4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.frontend.metadata import normalize_workdir
from builder.frontend.state import Session, StageState
from builder.graph.operations import (
    BindSpec,
    CacheSpec,
    CopyAction,
    CopyFrom,
    InlineSpec,
    MountSpec,
    RunAction,
    Scratch,
    SecretSpec,
    SshSpec,
    TmpfsSpec,
)
from builder.graph.plan import Network
from builder.graph.vertex import Label, VertexID
from grammar.nodes import Run, ShellForm, Word

if TYPE_CHECKING:
    from grammar.mounts import MountSpec as MountFlags

SECRET_DIRECTORY = "/run/secrets/"


def run(session: Session, state: StageState, node: Run) -> None:
    """RUN: one vertex on the stage's root, with an input for each mount source."""
    arguments, inline = _arguments(state, node)
    inputs: list[VertexID] = [state.vertex]
    mounts: list[MountSpec] = []
    for word in node.mounts:
        mounts.append(_mount(session, state, word, inputs, sum(isinstance(mount, SshSpec) for mount in mounts)))
    if inline is not None:
        mounts.append(inline)
    network, insecure = _network(session, node), _security(session, node)
    if node.devices:
        raise session.expander.error(
            "device-unsupported",
            "RUN --device is not supported",
            node.devices[0],
            "bind the device's node with --security=insecure, where that is allowed",
        )
    action = RunAction(
        argv=arguments,
        env=tuple(state.scope.env.items()),
        cwd=state.workdir,
        user=state.config.user,
        mounts=tuple(mounts),
        network=network,
        insecure=insecure,
        hostname=session.settings.build_args.get("BUILDKIT_SANDBOX_HOSTNAME", "buildkitsandbox"),
        host_names=session.settings.host_names,
        shm_size=session.settings.shm_size,
        ulimits=session.settings.ulimits,
        platform=str(state.platform),
    )
    state.vertex = session.add(state, node, action, tuple(inputs))
    declared = state.scope.history_args()
    words = [f"|{len(declared)}", *declared] if declared else []
    state.note(" ".join(["RUN", *words, *arguments, "# buildkit"]), state.vertex)


def _arguments(state: StageState, node: Run) -> tuple[tuple[str, ...], InlineSpec | None]:
    """The argument vector, and the script to mount where a here-document begins with `#!` (reference 1.1)."""
    command = node.command
    if not isinstance(command, ShellForm):
        return command.args, None
    script = InlineSpec(command.text, command.heredocs[0].body.encode("utf-8", "surrogateescape")) if command.script else None
    return (*state.shell, command.text), script


def _network(session: Session, node: Run) -> Network:
    if node.network is None:
        return session.settings.network
    match node.network.text:
        case "default":
            return session.settings.network
        case "none":
            return "none"
        case "host":
            _entitled(session, node.network, "network.host")
            return "host"
        case other:
            raise session.expander.error(
                "bad-network", f"{other!r} is not a network mode", node.network, "the modes are default, none and host"
            )


def _security(session: Session, node: Run) -> bool:
    if node.security is None or node.security.text == "sandbox":
        return False
    if node.security.text != "insecure":
        raise session.expander.error(
            "bad-security", f"{node.security.text!r} is not a security mode", node.security, "the modes are sandbox and insecure"
        )
    _entitled(session, node.security, "security.insecure")
    return True


def _entitled(session: Session, word: Word, name: str) -> None:
    if name not in session.settings.allow:
        raise session.expander.error(
            "not-allowed", f"this step needs {name}, which was not allowed", word, f"build with --allow {name}, if you trust the Dockerfile"
        )


def _mount(session: Session, state: StageState, word: Word, inputs: list[VertexID], agents: int) -> MountSpec:
    """One --mount, checked, each option's value expanded, its source added to `inputs`."""
    from grammar.mounts import FlagError, parse_mount  # most builds have no mounts

    try:
        spec = parse_mount(word.text, lambda value: session.expander.word(Word(value, word.span), state.scope.env))
    except FlagError as error:
        raise session.expander.error(error.code, error.message, word, error.help) from None
    place = Word(spec.from_ or "", word.span)
    match spec.type:
        case "bind":
            root = session.root_of(state, place, "mount from") if spec.from_ else session.main_context()
            source = normalize_workdir("/", (spec.source or "/").lstrip("/"))
            if session.graph.is_context(root):
                root = _context_part(session, state, word, root, source)
            return BindSpec(_target(session, state, spec, word), _input(inputs, root), source, spec.read_only)
        case "cache":
            target = _target(session, state, spec, word)
            namespace = session.settings.build_args.get("BUILDKIT_CACHE_MOUNT_NS", "")
            identity = spec.id or target
            return CacheSpec(
                target,
                f"{namespace}/{identity}" if namespace else identity,
                spec.sharing or "shared",
                _input(inputs, session.root_of(state, place, "mount from")) if spec.from_ else None,
                spec.source or "/",
                0o755 if spec.mode is None else spec.mode,
                spec.uid or 0,
                spec.gid or 0,
                spec.read_only,
            )
        case "tmpfs":
            return TmpfsSpec(_target(session, state, spec, word), spec.size)
        case "secret":
            return _secret(session, state, spec, word)
        case "ssh":
            target = normalize_workdir(state.workdir, spec.target) if spec.target else f"/run/buildkit/ssh_agent.{agents}"
            return SshSpec(
                spec.id or "default", target, spec.required, 0o600 if spec.mode is None else spec.mode, spec.uid or 0, spec.gid or 0
            )


def _context_part(session: Session, state: StageState, word: Word, context: VertexID, source: str) -> VertexID:
    """The part of a context that a mount shows, as a root of its own: owners 0:0, ignored files left out, cached by content."""
    scratch = session.graph.add(Scratch(), (), Label("scratch"))
    literal = re.sub(r"([*?\[\]\\])", r"\\\1", source)
    action = CopyAction(sources=(CopyFrom(1, (literal,), zero_owner=True),), destination=source)
    return session.graph.add(
        action, (scratch, context), Label(f"mount {source} of the context", state.stage.title, None, word.span, session.expander.source)
    )


def _secret(session: Session, state: StageState, spec: MountFlags, word: Word) -> SecretSpec:
    target = normalize_workdir(state.workdir, spec.target) if spec.target else None
    identity = spec.id or (target.rpartition("/")[2] if target else "")
    if not identity:
        raise session.expander.error("bad-mount", "a secret mount needs an id", word, "write --mount=type=secret,id=NAME")
    if target is None and spec.env is None:
        target = SECRET_DIRECTORY + identity.rpartition("/")[2]
    return SecretSpec(identity, target, spec.env, spec.required, 0o400 if spec.mode is None else spec.mode, spec.uid or 0, spec.gid or 0)


def _target(session: Session, state: StageState, spec: MountFlags, word: Word) -> str:
    if not spec.target:
        raise session.expander.error("bad-mount", f"a {spec.type} mount needs a target", word, "add target=/PATH")
    target = normalize_workdir("/", normalize_workdir(state.workdir, spec.target).lstrip("/"))
    if target == "/":
        raise session.expander.error("bad-mount", "a mount cannot cover the root of the file system", word, "give it a target below /")
    return target


def _input(inputs: list[VertexID], root: VertexID) -> int:
    if root in inputs[1:]:
        return inputs.index(root, 1)
    inputs.append(root)
    return len(inputs) - 1
