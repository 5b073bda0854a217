"""Facts of builds that never were, and pages read back."""

from __future__ import annotations

from html.parser import HTMLParser

from builder.graph.operations import CopyAction, CopyFrom, Operation, RunAction
from builder.history.cause import Cause, FileChange
from builder.history.record import BaseRecord, ExportRecord, Outcome, StepKind, StepRecord, WarningRecord
from builder.report.facts import Advice, Facts, FileSize, LayerFacts, StepFacts
from grammar.source import Span

MS = 10**6
LINE = Span(1, 1, 1, 2)
VOID = frozenset({"meta", "link", "br", "hr"})


def run(command: str) -> RunAction:
    """A RUN of a shell."""
    return RunAction(argv=("/bin/sh", "-c", command), env=(("HOME", "/root"),), cwd="/", user="")


def copy(*paths: str) -> CopyAction:
    """A COPY of a context."""
    return CopyAction((CopyFrom(1, paths, zero_owner=True),), "/app/")


def step(
    name: str,
    *inputs: int,
    outcome: Outcome = "ran",
    stage: str = "app",
    start: int = 0,
    ms: int = 10,
    kind: StepKind = "step",
    operation: Operation | None = None,
    **fields: object,
) -> StepFacts:
    """One step; times in milliseconds."""
    record = StepRecord(
        vertex=name, kind=kind, name=name, stage=stage, span=LINE, number=1, outcome=outcome,
        operation=operation or run(name.partition(" ")[2]), base=BaseRecord("debian", "sha256:" + "0" * 64) if kind == "base" else None,
    )  # fmt: skip
    took = ms * MS if outcome in ("ran", "failed") else 0
    return StepFacts(record=record, start=start * MS, duration=took, inputs=inputs, **fields)  # type: ignore[arg-type]


def facts(*steps: StepFacts, **fields: object) -> Facts:
    """A build of these steps."""
    known: dict[str, object] = {
        "id": "0123456789abcdef",
        "name": "app",
        "dockerfile": "Dockerfile",
        "context": "/src",
        "target": "",
        "platforms": ("linux/amd64",),
        "state": "done",
        "error": "",
        "digest": "sha256:" + "1" * 64,
        "started_ns": 0,
        "duration": max((given.end for given in steps), default=0),
        "against": "",
        "steps": steps,
        "critical": (),
        "layers": (),
        "warnings": (),
        "exports": (),
    }
    return Facts(**{**known, **fields})  # type: ignore[arg-type]


def hostile(text: str) -> Facts:
    """A build in which everything that a user can name is called `text`."""
    cause = Cause("files", text, text, tuple(FileChange(text, ("content",), text) for _ in range(9)))
    steps = (
        step(text, kind="base", stage=""),
        step(f"RUN {text}", 0, stage=text, causes=(cause,), outcome="failed"),
        step(f"COPY {text} /", 1, stage=text + "2", start=10, ms=30, reads_context=True, critical=True, size=5),
    )
    layer = LayerFacts(text, f"[{text}] {text}", 10, 5, 2, (FileSize(text, 7),), (FileSize(text, 3),))
    return facts(
        *steps, name=text, dockerfile=text, context=text, target=text, platforms=(text,), state="failed", error=text, digest=text,
        against=text, critical=(2,), layers=(layer,), warnings=(WarningRecord(text, text, f"{text}\n{text}", 3),),
        exports=(ExportRecord(text, 40 * MS, MS, (text,), text),), advice=(Advice(text, text, text, (text,), 10**9, 10**6),), log=(text,),
    )  # fmt: skip


class Page(HTMLParser):
    """A page read back: elements with their attributes, and the text of those that are wanted. Refuses what is not balanced."""

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(data.decode())
        self.close()
        assert self._open == [], "not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice: {tag} {names}"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> out of place"

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.append((self._open[-1], data))

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of each element of a name."""
        return [attributes for name, attributes in self.elements if name == tag]
