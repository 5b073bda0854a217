"""Which function handles which instruction of a stage."""

from __future__ import annotations

from typing import assert_never

from builder.frontend import metadata, transfer
from builder.frontend.run import run
from builder.frontend.state import Session, StageState
from grammar.nodes import (
    Add,
    AnyInstruction,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
)


def apply(session: Session, state: StageState, node: AnyInstruction) -> None:
    """One instruction of a stage, or one trigger of its base."""
    match node:
        case Run():
            run(session, state, node)
        case Copy():
            transfer.copy(session, state, node)
        case Add():
            transfer.add(session, state, node)
        case Arg():
            metadata.arg(session, state, node)
        case Env():
            metadata.env(session, state, node)
        case Label():
            metadata.label(session, state, node)
        case Cmd():
            metadata.cmd(session, state, node)
        case Entrypoint():
            metadata.entrypoint(session, state, node)
        case Expose():
            metadata.expose(session, state, node)
        case Volume():
            metadata.volume(session, state, node)
        case User():
            metadata.user(session, state, node)
        case Workdir():
            metadata.workdir(session, state, node)
        case Stopsignal():
            metadata.stopsignal(session, state, node)
        case Shell():
            metadata.shell(session, state, node)
        case Healthcheck():
            metadata.healthcheck(session, state, node)
        case Maintainer():
            metadata.maintainer(session, state, node)
        case Onbuild():
            metadata.onbuild(session, state, node)
        case From():
            raise session.error(node, "nested-from", "FROM cannot be a trigger")
        case _:
            assert_never(node)
