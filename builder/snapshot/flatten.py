"""Deep stacks made shallow: each full block of old layers merged by hard links into one overlay-format directory.

Why: an overlay mount takes at most 500 lower layers (kernel fs/overlayfs/params.h, OVL_MAX_STACK), and every
layer costs each look-up. Blocks are counted from the bottom of a stack, so a stack that grows keeps the blocks
it has, and a build of n steps links each file at most once: linear. A merged directory is a row of kind
`merged` whose parents are the layers in it, so garbage collection takes it before them.

What a merge keeps of whiteouts depends on what is below the block, so it is named by all layers up to its top.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from builder.fs.tree import StackTree
from builder.snapshot.unpacking import Place
from builder.store.layertable import LayerId, LayerRecord, stack_digest
from builder.store.store import Store

OVER = 60
"""Stacks of at most so many layers are left alone."""

BLOCK = 50


class Flattener:
    """Finds or makes the merged directories of stacks."""

    def __init__(self, store: Store, opaque_xattr: str, place: Place, *, over: int = OVER, block: int = BLOCK) -> None:
        self._store = store
        self._opaque_xattr = opaque_xattr
        self._place = place
        self._over = over
        self._block = block
        self._known: dict[LayerId, str] = {}
        self._names: dict[tuple[str, tuple[LayerId, ...]], str] = {}

    def flatten(self, stack: Sequence[LayerId], paths: tuple[str, ...]) -> tuple[str, ...]:
        """Directories that show the same as `paths` (lowest first, one for each of `stack`), fewer of them when there are many."""
        if len(stack) <= self._over:
            return paths
        merged: list[str] = []
        name = ""
        whole = len(stack) // self._block * self._block
        for start in range(0, whole, self._block):
            block = tuple(stack[start : start + self._block])
            name = self._name(name, block)
            merged.append(self._merged(name, block, paths[start : start + self._block], merged))
        return (*merged, *paths[whole:])

    def _name(self, below: str, block: tuple[LayerId, ...]) -> str:
        known = self._names.get((below, block))
        if known is None:
            known = self._names[below, block] = stack_digest((LayerId(below), *block))
        return known

    def _merged(self, name: str, block: tuple[LayerId, ...], paths: Sequence[str], lower: Sequence[str]) -> str:
        layer = LayerId(f"merged-{name}")
        path = self._known.get(layer) or self._existing(layer)
        if path is None:
            with self._store.lock(f"merge-{layer}"):
                path = self._existing(layer) or self._merge(layer, block, paths, lower)
        self._known[layer] = path
        return path

    def _existing(self, layer: LayerId) -> str | None:
        table = self._store.index.layers
        if not table.touch((layer,), self._store.now()):
            return None
        record = table.get(layer)
        if record is None or record.dir is None:
            return None
        path = str(self._store.root / "layers" / record.dir)
        if os.path.isdir(path):
            return path
        table.delete_with_descendants(layer)
        return None

    def _merge(self, layer: LayerId, block: tuple[LayerId, ...], paths: Sequence[str], lower: Sequence[str]) -> str:
        from builder.snapshot.merging import merge_directories

        with self._store.temporary("merge-") as temporary:
            target = str(temporary / "upper")
            os.mkdir(target, 0o755)
            tree = StackTree(tuple(reversed(lower)), self._opaque_xattr, frozen=True)
            size = merge_directories(tuple(reversed(paths)), target, tree, self._opaque_xattr)
            now = self._store.now()

            def insert(name: str) -> bool:
                record = LayerRecord(layer, "merged", None, (), None, name, size, now, now, "", "")
                return self._store.index.layers.add(record, parents=block, boot=self._store.boot)

            path = self._place(layer, target, size, insert)
        if path is None:  # another process was faster in spite of the lock: its lock file had been removed
            path = self._existing(layer)
        assert path is not None
        return path
