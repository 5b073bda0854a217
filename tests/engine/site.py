"""A place to build in: a store, a context directory, and what a build did told step by step."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

from builder.engine.build import BuildOutcome, run_build
from builder.engine.request import BuildRequest
from builder.engine.workshop import WorkshopSettings
from builder.image.model import Image
from builder.image.validate import validate
from builder.progress.events import Recorder, StepCached, StepFinished, StepLog, StepStarted
from builder.registry.settings import Settings
from builder.store.store import Store
from tests.privileges import XATTR_PREFIX


class Site:
    """Builds on a busybox root handed in as the context `box`."""

    def __init__(self, directory: Path, box: Path) -> None:
        self.context = directory / "context"
        self.context.mkdir()
        self.settings = WorkshopSettings(directory / "store", Settings(), state_dir=str(directory / "store/run"), xattr_prefix=XATTR_PREFIX)
        self.box = box
        self.heard = Recorder()

    def write(self, path: str, text: str = "") -> Path:
        """A file of the context."""
        target = self.context / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def dockerfile(self, text: str) -> None:
        """The Dockerfile, its indentation taken away."""
        self.write("Dockerfile", textwrap.dedent(text))

    def build(self, **fields: object) -> BuildOutcome:
        """One build; its image is checked bit by bit."""
        self.heard = Recorder()
        fields.setdefault("tags", ("site",))
        request = BuildRequest(context=str(self.context), contexts={"box": str(self.box)}, **fields)  # type: ignore[arg-type]
        outcome = run_build(request, self.settings, self.heard)
        with Store.open(self.settings.root) as store:
            assert validate(store.blobs, outcome.result.descriptor) == []
        return outcome

    def ran(self) -> list[str]:
        """The instructions that the last build ran, in the order they ended."""
        names = {event.vertex: event.name for event in self.heard.events if isinstance(event, StepStarted)}
        return [names[event.vertex].partition("] ")[2] for event in self.heard.events if isinstance(event, StepFinished)]

    def cached(self) -> list[str]:
        """The instructions that the last build found done."""
        names = {event.vertex: event.name for event in self.heard.events if isinstance(event, StepStarted)}
        return [names[event.vertex].partition("] ")[2] for event in self.heard.events if isinstance(event, StepCached)]

    def output(self) -> str:
        """All that the last build's steps wrote."""
        return b"".join(event.data for event in self.heard.events if isinstance(event, StepLog)).decode()

    def forget(self) -> None:
        """An empty store."""
        shutil.rmtree(self.settings.root, ignore_errors=True)


def image(outcome: BuildOutcome) -> Image:
    """The only image of a build."""
    (only,) = outcome.result.images
    return only
