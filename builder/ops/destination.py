"""What a file operation writes into, and the times it gives: plain data handed in by the solver."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from builder.fs.overlay import TRUSTED
from builder.fs.tree import Tree
from grammar.diagnostics import Diagnostic

Cancelled = Callable[[], None]
"""Called now and then by what takes long; raises when the build was cancelled."""


class Destination(msgspec.Struct, frozen=True):
    """An overlay-format directory, and the root filesystem that it changes.

    `upper` is written to; `root` shows what is there now, `upper` over the layers below, and must show what
    was just written. `users` is the root whose passwd names owners: the target stage's, which with --link is
    not `root` (that is empty then). `opaque_xattr` is how overlayfs marks a directory that hides lower ones.
    """

    upper: str
    root: Tree
    users: Tree
    opaque_xattr: str = TRUSTED


class Times(msgspec.Struct, frozen=True):
    """`now_ns`: the clock. `epoch_ns`: SOURCE_DATE_EPOCH, which then is the time of all a COPY writes.

    BuildKit hands the epoch to fsutil's copier as Utime, which stands in for every copied file's own mtime too;
    members of archives keep theirs.
    """

    now_ns: int
    epoch_ns: int | None = None

    @property
    def created(self) -> int:
        """The mtime of what has none of its own: parents, here-documents, directories that got entries."""
        return self.now_ns if self.epoch_ns is None else self.epoch_ns

    def copied(self, mtime_ns: int) -> int:
        """The mtime of what is copied."""
        return mtime_ns if self.epoch_ns is None else self.epoch_ns


class Applied(msgspec.Struct, frozen=True):
    """What a file operation has to tell: warnings without a place, which the solver adds."""

    warnings: tuple[Diagnostic, ...] = ()
    changed: bool = True
