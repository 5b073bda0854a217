"""A place to build in whose builds are explained, and causes in a form that a table can state."""

from __future__ import annotations

from pathlib import Path

from builder.engine.build import foresee, run_build
from builder.engine.request import BuildRequest
from builder.errors import LayerwrightError
from builder.history.cause import Explanation
from tests.engine.site import Site

Why = tuple[str, ...]
"""A cause: its kind, what it names, and for files each path with its aspects as `mode data/a`."""


class Told(Site):
    """A Site that asks for explanations."""

    def __init__(self, directory: Path, box: Path) -> None:
        super().__init__(directory, box)
        self.last: Explanation | None = None

    def request(self, **fields: object) -> BuildRequest:
        """The request that `explained` and `foreseen` build."""
        fields.setdefault("tags", ("told",))
        contexts = {"box": str(self.box), **fields.pop("contexts", {})}  # type: ignore[dict-item]
        return BuildRequest(context=str(self.context), contexts=contexts, **fields)  # type: ignore[arg-type]

    def explained(self, **fields: object) -> dict[str, tuple[Why, ...]]:
        """Build; the misses by instruction, with their causes. A build that fails is explained too."""
        told: list[Explanation] = []
        try:
            run_build(self.request(**fields), self.settings, explained=told.append)
        except LayerwrightError as error:
            if error.code != "run-failed":
                raise
        (self.last,) = told
        return misses(self.last)

    def foreseen(self, **fields: object) -> dict[str, tuple[Why, ...]]:
        """The same, of what a build would do."""
        return misses(foresee(self.request(**fields), self.settings))


def misses(explanation: Explanation) -> dict[str, tuple[Why, ...]]:
    """Instruction -> causes, of the misses."""
    return {
        verdict.step.name: tuple(
            (cause.kind, cause.name, *(f"{'+'.join(change.aspects)} {change.path}" for change in cause.files)) for cause in verdict.causes
        )
        for verdict in explanation.steps
        if not verdict.hit
    }
