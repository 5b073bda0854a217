"""Real builds in one store over the bases of the differential suite, with what a test looks at: tree, config, history, warnings."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.engine.build import BuildOutcome, run_build
from builder.engine.request import BuildRequest
from builder.errors import LayerwrightError
from builder.progress.events import Recorder, StepLog, Warning
from builder.store.store import Store
from tests.differential.builders import Ours
from tests.differential.flatten import Tree, flatten


@dataclass(frozen=True)
class Made:
    """A finished image."""

    outcome: BuildOutcome
    document: Mapping[str, Any]
    trees: list[Tree]
    contents: Mapping[str, bytes]
    log: str
    warnings: tuple[str, ...]

    @property
    def tree(self) -> Tree:
        """The whole file system."""
        return self.trees[-1] if self.trees else {}

    def text(self, path: str) -> str:
        """What a file says."""
        return self.contents[self.tree[path].digest].decode("utf-8", "surrogateescape")

    def brief(self, path: str) -> str:
        """Kind, mode and owner."""
        node = self.tree[path]
        return f"{node.kind} {node.mode:o} {node.uid}:{node.gid}"

    @property
    def history(self) -> list[str]:
        """created_by of every line that is not the base's."""
        return [line["created_by"] for line in self.document["history"] if line.get("comment") == "buildkit.dockerfile.v0"]


class Workplace:
    """A context directory, and builds of it."""

    def __init__(self, ours: Ours, directory: Path) -> None:
        self._ours = ours
        self.directory = directory
        self.context = directory / "context"
        self.context.mkdir()

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Files of the context; a name that ends in a slash is a directory, `NAME -> TARGET` a link."""
        for name, content in files.items():
            link, arrow, target = name.partition(" -> ")
            path = self.context / link
            path.parent.mkdir(parents=True, exist_ok=True)
            if arrow:
                path.symlink_to(target)
            elif name.endswith("/"):
                path.mkdir(exist_ok=True)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def build(self, text: str, files: Mapping[str, str | bytes] | None = None, **options: Any) -> Made:
        """The image of a Dockerfile; validated, its layers read back."""
        self.write(files or {})
        (self.context / "Dockerfile").write_text(text)
        told = Recorder()
        given = {"context": str(self.context), "outputs": ("type=image",), **options}
        outcome = run_build(BuildRequest(**given), self._ours.settings, told)
        document, layers = self._ours.read(outcome)
        log = b"".join(event.data for event in told.events if isinstance(event, StepLog)).decode(errors="replace")
        warnings = tuple(event.code for event in told.events if isinstance(event, Warning))
        return Made(outcome, document, flatten(layers), _contents(layers), log, warnings)

    def fails(self, text: str, files: Mapping[str, str | bytes] | None = None, **options: Any) -> LayerwrightError:
        """The error that a Dockerfile ends in."""
        try:
            self.build(text, files, **options)
        except LayerwrightError as error:
            return error
        raise AssertionError("it builds")

    def stored(self) -> bytes:
        """Every byte that the store holds outside layer directories: where no secret may be."""
        root = self._ours.settings.root
        return b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file() and not os.path.islink(path))

    def open_store(self) -> Store:
        """The store."""
        return Store.open(self._ours.settings.root)


def _contents(layers: tuple[bytes, ...]) -> dict[str, bytes]:
    import hashlib
    import io
    import tarfile

    found: dict[str, bytes] = {}
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            for info in archive:
                if info.isreg() and info.size < 1 << 20 and (body := archive.extractfile(info)) is not None:
                    data = body.read()
                    found[hashlib.sha256(data).hexdigest()] = data
    return found


def pretty(document: Mapping[str, Any]) -> str:
    """A config for a failure's message."""
    return json.dumps(document, indent=1)
