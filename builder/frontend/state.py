"""The state of a stage while its instructions are read: what grows, and how a step is added to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from builder.errors import LayerwrightError
from builder.frontend.scope import Expander, Scope
from builder.frontend.settings import FrontendSettings
from builder.frontend.stages import Stage
from builder.graph.operations import ContextSource, Operation
from builder.graph.plan import BaseImage, HistoryItem
from builder.graph.vertex import GraphBuilder, Label, VertexID
from builder.oci.config import RunConfig
from builder.oci.platform import Platform
from grammar.nodes import AnyInstruction, Word

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")
MAIN_CONTEXT = "context"


class StageState:
    """One stage as it stands after the instructions read so far."""

    def __init__(self, stage: Stage, platform: Platform, vertex: VertexID) -> None:
        self.stage = stage
        self.platform = platform
        self.vertex = vertex
        self.config = RunConfig()
        self.author = ""
        self.scope = Scope()
        self.history: list[HistoryItem] = []
        self.base: BaseImage | None = None
        self.cmd_set = False
        self.position = 0
        self.steps = 0

    @property
    def shell(self) -> tuple[str, ...]:
        """The shell that shell forms are handed to."""
        return self.config.shell or DEFAULT_SHELL

    @property
    def workdir(self) -> str:
        """The working directory, absolute."""
        return self.config.working_dir or "/"

    def configure(self, **changes: Any) -> None:
        """Replace fields of the image config."""
        self.config = msgspec.structs.replace(self.config, **changes)

    def note(self, created_by: str, vertex: VertexID | None = None) -> None:
        """Add a line of history; with a vertex it is the line of that vertex's layer."""
        self.history.append(HistoryItem(created_by, vertex))


class Session:
    """What all stages of one conversion share; `root_of` finds or builds the root named by a --from."""

    def __init__(
        self,
        settings: FrontendSettings,
        graph: GraphBuilder,
        expander: Expander,
        global_args: dict[str, str],
        root_of: Callable[[StageState, Word, str], VertexID],
    ) -> None:
        self.settings = settings
        self.graph = graph
        self.expander = expander
        self.global_args = global_args
        self.root_of = root_of

    def with_expander(self, expander: Expander) -> Session:
        """The same session for text of another source (an ONBUILD trigger)."""
        return Session(self.settings, self.graph, expander, self.global_args, self.root_of)

    def add(
        self, state: StageState, node: AnyInstruction, operation: Operation, inputs: tuple[VertexID, ...], name: str | None = None
    ) -> VertexID:
        """Add a vertex for an instruction of a stage."""
        ignore = self.settings.no_cache or state.stage.title.lower() in self.settings.no_cache_stages
        label = Label(
            name or node.text,
            state.stage.title,
            (state.position, state.steps),
            node.span,
            self.expander.source,
            ignore,
            state.scope.arguments,
            state.scope.used(node.text),
        )
        return self.graph.add(operation, inputs, label)

    def require_files(self, state: StageState, node: AnyInstruction, owner: str) -> None:
        """A name needs a file system to be looked up in: on nothing at all BuildKit refuses it ("invalid user index: -1")."""
        names = [part for part in owner.split(":", 1) if part not in ("", "root") and not part.lstrip("+-").isdigit()]
        if names and self.graph.is_scratch(state.vertex):
            raise self.error(
                node, "owner-on-scratch", f"{names[0]!r} cannot be looked up: this stage has no file yet", "give numbers, as 1000:1000"
            )

    def main_context(self) -> VertexID:
        """The vertex of the build context."""
        return self.graph.add(ContextSource(MAIN_CONTEXT), (), Label("the build context"))

    def error(self, node: AnyInstruction, code: str, message: str, help: str | None = None) -> LayerwrightError:
        """An error that points at the whole instruction."""
        return LayerwrightError(code, message, span=node.span, source=self.expander.source, help=help)
