"""A bench for file operations: a context, a lower layer and an upper one, and what is in the merged root afterwards."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from builder.context.directory import open_directory
from builder.fs.tree import EmptyTree, StackTree, Tree, walk
from builder.graph.operations import CopyAction, CopyFrom, InlineFile, MakeDirectory
from builder.ops.copy import apply_copy
from builder.ops.copy_plan import Plan
from builder.ops.destination import Applied, Destination, Times
from builder.ops.mkdir import make_directory

NOW = 1_700_000_000_000_000_000
OLD = 1_500_000_000_000_000_000
USER_OPAQUE = "user.overlay.opaque"


class Bench:
    """Fills `context` and `lower`, runs operations into `upper`."""

    def __init__(self, path: Path) -> None:
        self.context = path / "context"
        self.lower = path / "lower"
        self.upper = path / "upper"
        for directory in (self.context, self.lower, self.upper):
            directory.mkdir(mode=0o755)
        self.times = Times(NOW)

    def fill(self, where: Path, files: Mapping[str, object]) -> None:
        """`a/`: a directory; `a`: str or bytes are a file, `-> x` a link. A mode may follow as a tuple. All times are OLD."""
        for name, what in files.items():
            path = where / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content, mode = what if isinstance(what, tuple) else (what, None)
            if name.endswith("/"):
                path.mkdir(exist_ok=True)
                path.chmod(mode or 0o755)
            elif isinstance(content, str) and content.startswith("-> "):
                path.symlink_to(content[3:])
            else:
                path.write_bytes(content if isinstance(content, bytes) else str(content).encode())
                path.chmod(mode or 0o644)
        for found in sorted(where.rglob("*"), reverse=True):
            os.utime(found, ns=(OLD, OLD), follow_symlinks=False)
        os.utime(where, ns=(OLD, OLD))

    @property
    def root(self) -> StackTree:
        """The merged root, live."""
        return StackTree([str(self.upper), str(self.lower)], USER_OPAQUE)

    def destination(self, *, link: bool = False) -> Destination:
        """Where the operation writes."""
        below = StackTree([str(self.upper)], USER_OPAQUE) if link else self.root
        return Destination(str(self.upper), below, self.root, USER_OPAQUE)

    def copy(
        self, *words: str, tree: Tree | None = None, link: bool = False, take: Callable[[Plan], bool] = lambda plan: False, **flags: object
    ) -> Applied:
        """COPY of the context (or `tree`, a stage's) by words, the last one the destination."""
        unpack = bool(flags.pop("unpack", False))
        inline = tuple(InlineFile(name, body) for name, body in flags.pop("inline", ()))  # type: ignore[attr-defined]
        source = CopyFrom(0, words[:-1], unpack=unpack, zero_owner=tree is None)
        sources = (source,) if words[:-1] else ()
        action = msgspec.structs.replace(CopyAction(sources, words[-1], inline, link=link), **flags)
        trees = [tree if tree is not None else open_directory(str(self.context))] if sources else []
        return apply_copy(action, trees, self.destination(link=link), self.times, take=take)

    def workdir(self, path: str, user: str = "") -> Applied:
        """WORKDIR."""
        return make_directory(MakeDirectory(path, user), self.destination(), self.times)

    def shown(self, tree: Tree | None = None) -> dict[str, str]:
        """What is in the upper layer: type letter, mode, owner, and contents or target."""
        tree = tree or StackTree([str(self.upper)], USER_OPAQUE)
        return {path: self._one(tree, path) for path in walk(tree)}

    def _one(self, tree: Tree, path: str) -> str:
        entry = tree.lstat(path)
        assert entry is not None
        text = f"{entry.kind[0]} {entry.mode:o} {entry.uid}:{entry.gid}"
        if entry.kind == "symlink":
            return f"l {entry.uid}:{entry.gid} -> {entry.link}"
        if entry.kind == "file":
            with open(tree.open(path), "rb") as file:
                return f"{text} {file.read(60).decode('latin-1')}"
        return text

    def mtime(self, path: str) -> int:
        """The mtime of a path of the upper layer."""
        return (self.upper / path).lstat().st_mtime_ns

    def is_directory(self, path: str) -> bool:
        """Whether the upper layer has a directory there."""
        return stat.S_ISDIR((self.upper / path).lstat().st_mode)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """See Bench."""
    if os.geteuid() != 0:
        pytest.skip("files of other owners need root")
    return Bench(tmp_path)


@pytest.fixture
def empty() -> EmptyTree:
    """A root of nothing."""
    return EmptyTree()
