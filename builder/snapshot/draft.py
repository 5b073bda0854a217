"""A root filesystem being changed: an overlay-format directory that becomes a layer when committed, and else goes.

Where overlayfs can be had, a step runs on the layers with the draft's directory as the upper one. Where it
cannot (copy mode), it runs on a full merged copy, and what it changed is then moved into the draft's directory.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from builder.fs.tree import SharedLayers, StackTree
from builder.snapshot.unpacking import like_root
from builder.store.layertable import LayerId
from builder.store.space import guard_space
from runtime.spec import Directory, Overlay, Root

if TYPE_CHECKING:
    from builder.fs.diff import Changes
    from builder.snapshot.copies import Copies, Copy


class Commit(Protocol):
    """Takes a finished overlay-format directory over as a layer."""

    def __call__(self, directory: str, changed: Changes, note: str) -> LayerId: ...


class Draft:
    """One draft; a context manager that discards what was not committed. Used by one thread at a time."""

    def __init__(
        self,
        directory: Path,
        lowers: tuple[str, ...],
        opaque_xattr: str,
        commit: Commit,
        copies: Copies | None,
        ids: tuple[LayerId, ...],
        shared: SharedLayers,
        discard: Callable[[Path], None],
    ) -> None:
        self._directory = directory
        self._lowers = lowers
        self._opaque_xattr = opaque_xattr
        self._commit = commit
        self._copies = copies
        self._ids = ids
        self._shared = shared
        self._discard = discard
        self._copy: Copy | None = None
        self._work = 0
        self.changed = False
        """After `commit`: whether the layer holds anything."""
        self.sockets: tuple[str, ...] = ()
        """After `commit`: the sockets that were left out of it."""
        self.upper = str(directory / "upper")
        """The overlay-format directory that file operations write into; not after `root()` in copy mode."""
        with guard_space(directory):
            os.mkdir(self.upper, 0o755)
            like_root(self.upper, lowers)

    @cached_property
    def tree(self) -> StackTree:
        """The merged view, the draft's own changes included."""
        return self.lower.under(self.upper, self._opaque_xattr)

    @cached_property
    def lower(self) -> StackTree:
        """What the draft stands on; made late, for a tree keeps a descriptor for each layer open."""
        return StackTree.of(self._lowers, self._shared)

    def root(self) -> Root:
        """The root to run a process on; what it writes is part of the draft."""
        if self._copies is not None:
            if self._copy is None:
                with guard_space(self._directory):
                    self._copy = self._copies.writable(self._directory / "root", self._ids, self.tree, self.upper)
            return Directory(self._copy.path)
        self._work += 1
        work = self._directory / f"work{self._work}"  # overlayfs wants it empty, and a killed mount leaves things in it
        work.mkdir(0o700)
        # A step's fsync buys nothing: what it made is believed after a power loss only once the store has been flushed.
        return Overlay(self._lowers, self.upper, str(work), volatile=True)

    def commit(self, note: str = "") -> LayerId:
        """Makes the layer, atomically; EMPTY when nothing changed. The draft is used up."""
        with guard_space(self._directory):
            changed = self._changes()
            self.changed, self.sockets = not changed.empty, changed.sockets
            layer = self._commit(self.upper, changed, note)
            if self._copies is not None and self._copy is not None:
                self._copies.keep(self._copy, (*self._ids, layer) if self.changed else self._ids)
            return layer

    def _changes(self) -> Changes:
        from builder.fs.diff import changes, prune_upper

        if self._copies is not None and self._copy is not None:
            return self._copies.collect(self._copy, self._lowers, self.lower, self.upper)
        changed = changes(self.upper, self.lower, self._opaque_xattr)
        if not changed.empty:
            prune_upper(self.upper, changed)
        return changed

    def close(self) -> None:
        """Discards what was not committed, behind the build's back; idempotent."""
        self._discard(self._directory)

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
