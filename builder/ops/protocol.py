"""What the solver asks of whoever runs operations, and what passes between them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import msgspec

from builder.fs.tree import Tree
from builder.graph.vertex import Vertex
from builder.snapshot.layers import LayerId
from runtime.spec import Usage


class Outcome(msgspec.Struct, frozen=True):
    """What a step left: its layer, or None where the root is as it was; `usage` of a RUN.

    `settled` False: what the step read changed meanwhile, so its key does not stand for this result.
    """

    layer: LayerId | None
    usage: Usage | None = None
    settled: bool = True


class RootInput(msgspec.Struct, frozen=True):
    """A root file system by its layers, lowest first."""

    layers: tuple[LayerId, ...]
    id: str


class TreeInput(msgspec.Struct, frozen=True):
    """Files outside any layer, with the pin of their content."""

    tree: Tree
    pin: str


StepInput = RootInput | TreeInput


class StepControl(msgspec.Struct, frozen=True):
    """How a running step is heard and stopped: `output` takes (stream, bytes), `warn` a (code, sentence), `left` the layer
    of what a failed step left, for people to look at; `note` a sentence on this machine, which is no fault of the build.
    `last`: nothing that runs in this build reads what the step makes, so its files need not stand anywhere."""

    output: Callable[[str, bytes], None]
    warn: Callable[[str, str], None]
    cancel: threading.Event
    left: Callable[[LayerId], None] = lambda layer: None
    note: Callable[[str], None] = lambda text: None
    last: bool = False


class OpRunner(Protocol):
    """Runs operations. All methods are thread-safe and raise LayerwrightError."""

    def base(self, vertex: Vertex) -> RootInput:
        """The root of an image source or of scratch; fetches nothing, idempotent."""

    def pin(self, vertex: Vertex) -> str:
        """What fixes a source (context, URL, repository) for this build; may ask the network, once."""

    def source(self, vertex: Vertex) -> TreeInput:
        """A source's files; fetched at the first call."""

    def read_digest(self, vertex: Vertex, index: int, source: StepInput) -> str:
        """The content digest of what `vertex` reads from its input `index`; raises where a named file is absent."""

    def run(self, vertex: Vertex, inputs: tuple[StepInput, ...], control: StepControl) -> Outcome:
        """Do the step and commit its layer; on a cancellation nothing is left behind, on an error at most what `control.left` heard of."""
