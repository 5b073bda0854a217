"""Instructions that change the config and the history and run nothing (reference 1.3)."""

from __future__ import annotations

from builder.frontend.ports import parse_expose
from builder.frontend.signals import is_signal
from builder.frontend.state import Session, StageState
from builder.graph.operations import MakeDirectory
from builder.oci.config import Health
from grammar.durations import format_duration
from grammar.gostrings import quote
from grammar.nodes import (
    Arg,
    Cmd,
    Command,
    Entrypoint,
    Env,
    ExecForm,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Shell,
    ShellForm,
    Stopsignal,
    User,
    Volume,
    Workdir,
)

SHELL_LIST_HELP = 'write at least one word, as ["/bin/sh", "-c"]'


def command_line(state: StageState, command: Command) -> tuple[str, ...]:
    """The argument vector: the shell in front of a shell form, an exec form as it is."""
    match command:
        case ShellForm(text=text):
            return (*state.shell, text)
        case ExecForm(args=args):
            return args


def go_list(words: tuple[str, ...]) -> str:
    """A list of strings as Go's %v prints it."""
    return "[" + " ".join(words) + "]"


def go_quoted(words: tuple[str, ...]) -> str:
    """A list of strings as Go's %q prints it."""
    return "[" + " ".join(quote(word) for word in words) + "]"


def arg(session: Session, state: StageState, node: Arg) -> None:
    """ARG: --build-arg, else the default here, else the global value; else declared and unset."""
    shown: list[str] = []
    for pair in node.pairs:
        key = session.expander.word(pair.key, {}) if pair.key.text[:1] in "\"'" else pair.key.text
        value: str | None
        if key in session.settings.build_args:
            value = session.settings.build_args[key]
        elif pair.value is not None:
            value = session.expander.word(pair.value, state.scope.env)
        else:
            value = session.global_args.get(key)
        state.scope.declare(key, value)
        shown.append(key if value is None else f"{key}={value}")
    state.note("ARG " + " ".join(shown))


def env(session: Session, state: StageState, node: Env) -> None:
    """ENV: all pairs see the variables as of before the instruction."""
    before = dict(state.scope.env)
    variables = list(state.config.env or ())
    shown = []
    for pair in node.pairs:
        key = session.expander.word(pair.key, before)
        value = session.expander.word(pair.value, before) if pair.value is not None else ""
        state.scope.set_env(key, value)
        shown.append(f"{key}={value}")
        # A base may have a name twice, or one without `=`: what is not set here stays as it is.
        at = next((at for at, item in enumerate(variables) if item.partition("=")[0] == key), len(variables))
        variables[at : at + 1] = shown[-1:]
    state.configure(env=tuple(variables))
    state.note("ENV " + " ".join(shown))


def label(session: Session, state: StageState, node: Label) -> None:
    """LABEL: keys and values are expanded, the later one wins."""
    labels = dict(state.config.labels or {})
    shown = []
    for pair in node.pairs:
        key = session.expander.word(pair.key, state.scope.env)
        value = session.expander.word(pair.value, state.scope.env) if pair.value is not None else ""
        labels[key] = value
        shown.append(f"{key}={value}")
    state.configure(labels=labels)
    state.note("LABEL " + " ".join(shown))


def cmd(session: Session, state: StageState, node: Cmd) -> None:
    """CMD: the last one wins; an empty array is null."""
    args = command_line(state, node.command)
    state.configure(cmd=args or None, args_escaped=True)
    state.cmd_set = True
    state.note(f"CMD {go_quoted(args)}")


def entrypoint(session: Session, state: StageState, node: Entrypoint) -> None:
    """ENTRYPOINT: an inherited CMD goes, one of this stage stays."""
    args = command_line(state, node.command)
    state.configure(entrypoint=args or None)
    if not state.cmd_set:
        state.configure(cmd=None)
    state.note(f"ENTRYPOINT {go_quoted(args)}")


def expose(session: Session, state: StageState, node: Expose) -> None:
    """EXPOSE: sorted as written, before variables, of which one may become several words; then ranges are spread."""
    words = sorted(node.ports, key=lambda word: word.text)
    written = [text for word in words for text in session.expander.words(word, state.scope.env)]
    ports = [
        port for text in written for port in parse_expose(text, lambda message, help=None: session.error(node, "bad-port", message, help))
    ]
    exposed = dict(state.config.exposed_ports or {})
    exposed.update((port, {}) for port in ports)
    state.configure(exposed_ports=exposed)
    state.note(f"EXPOSE {go_list(tuple(ports))}")


def volume(session: Session, state: StageState, node: Volume) -> None:
    """VOLUME: adds keys; an empty path is refused."""
    paths = tuple(session.expander.word(word, state.scope.env) for word in node.paths)
    if not all(path.strip() for path in paths):
        raise session.error(node, "empty-volume", "VOLUME names an empty path", "write an absolute path")
    volumes = dict(state.config.volumes or {})
    volumes.update((path, {}) for path in paths)
    state.configure(volumes=volumes)
    state.note(f"VOLUME {go_list(paths)}")


def user(session: Session, state: StageState, node: User) -> None:
    """USER: stored as it is; resolved when something runs."""
    name = session.expander.word(node.user, state.scope.env)
    state.configure(user=name)
    state.note(f"USER {name}")


def stopsignal(session: Session, state: StageState, node: Stopsignal) -> None:
    """STOPSIGNAL: checked, stored verbatim."""
    name = session.expander.word(node.signal, state.scope.env)
    if not is_signal(name):
        raise session.expander.error("invalid-signal", f"{name!r} is not a signal", node.signal, "write a name as SIGTERM or a number as 9")
    state.configure(stop_signal=name)
    state.note(f"STOPSIGNAL {name}")


def shell(session: Session, state: StageState, node: Shell) -> None:
    """SHELL: for the shell forms that follow."""
    state.configure(shell=node.args)
    state.note(f"SHELL {go_list(node.args)}")


def healthcheck(session: Session, state: StageState, node: Healthcheck) -> None:
    """HEALTHCHECK: replaces the whole of an inherited one."""
    match node.command:
        case None:
            test: tuple[str, ...] = ("NONE",)
        case ShellForm(text=text):
            test = ("CMD-SHELL", text)
        case ExecForm(args=args):
            test = ("CMD", *args)
    health = Health(
        test, node.interval or 0, node.timeout or 0, node.start_period or 0, node.start_interval or 0, node.retries or 0
    )
    state.configure(healthcheck=health)
    times = {
        "Interval": health.interval,
        "Timeout": health.timeout,
        "StartPeriod": health.start_period,
        "StartInterval": health.start_interval,
    }
    shown = " ".join(f"{name}:{format_duration(value)}" for name, value in times.items())
    state.note(f"HEALTHCHECK {{Test:{go_list(test)} {shown} Retries:{health.retries}}}")


def maintainer(session: Session, state: StageState, node: Maintainer) -> None:
    """MAINTAINER: the author of the image."""
    state.author = node.name.text
    state.note(f"MAINTAINER {node.name.text}")


def onbuild(session: Session, state: StageState, node: Onbuild) -> None:
    """ONBUILD: kept for the images built on this one; no history."""
    state.configure(on_build=(*(state.config.on_build or ()), node.trigger))


def workdir(session: Session, state: StageState, node: Workdir) -> None:
    """WORKDIR: an absolute path is kept as written, a relative one joins the one before; the directory is made."""
    path = normalize_workdir(state.config.working_dir, session.expander.word(node.path, state.scope.env))
    state.configure(working_dir=path)
    if path == "/":
        state.note("WORKDIR /")
        return
    session.require_files(state, node, state.config.user)
    state.vertex = session.add(state, node, MakeDirectory(path, state.config.user), (state.vertex,))
    state.note(f"WORKDIR {path}", state.vertex)


def normalize_workdir(current: str, path: str) -> str:
    """The new working directory (reference 1.3 WORKDIR)."""
    if path.startswith("/"):
        return path
    parts: list[str] = []
    for part in f"{current}/{path}".split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)
