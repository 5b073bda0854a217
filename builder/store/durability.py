"""What survives a power loss: unpacked directories are not fsync'ed file by file, so the index knows which to trust.

Rules. A killed process loses nothing of the page cache, so within one boot every directory a row speaks of is
whole. Across a power loss it may be torn although the row is there. So a row carries the id of the boot its
directory was written in (`layers.boot`); `settle` flushes the whole file system once (syncfs) and clears it.
When a store is opened in another boot, directories whose rows still carry an older boot are not believed:
they are dropped, and unpacked again from their blob where there is one (blobs are fsync'ed and verified at
every read); a layer without one is forgotten, with its cache records and all that stood on it.
Cache mounts are not covered: their programs must bear a power loss as they do anywhere else.
"""

from __future__ import annotations

import os
from pathlib import Path

from builder.store.index import Index
from builder.store.layertable import LayerId

CHEAP_BYTES = 64 << 20
"""Below this much dirty memory on the whole machine a flush takes well under a second even on a slow disk."""


def boot_id() -> str:
    """Names this boot of the kernel, the same in all containers; "unknown" where /proc does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def dirty_bytes() -> int | None:
    """Memory waiting to be written to disks, as /proc/meminfo says (proc_meminfo(5))."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith(("Dirty:", "Writeback:"))]
    return sum(found) if found else None


def settle(index: Index, root: Path, boot: str) -> int:
    """Flushes the file system, then marks what was written before as durable; how many directories that were."""
    pending = index.database.rows("SELECT id, dir FROM layers WHERE boot = ?", (boot,))
    if not pending:
        return 0
    _syncfs(root)
    index.database.executemany("UPDATE layers SET boot = NULL WHERE id = ? AND dir = ?", pending)
    return len(pending)


def settle_if_cheap(index: Index, root: Path, boot: str) -> int:
    """`settle`, unless so much is dirty that a build would be seen to wait for it; a later close does it then."""
    if index.database.row("SELECT 1 FROM layers WHERE boot = ? LIMIT 1", (boot,)) is None:
        return 0
    dirty = dirty_bytes()
    return settle(index, root, boot) if dirty is None or dirty <= CHEAP_BYTES else 0


def distrust(index: Index, boot: str) -> tuple[str, ...]:
    """Forgets the directories that a power loss may have torn; their names below layers/."""
    if index.database.row("SELECT 1 FROM layers WHERE boot IS NOT NULL AND boot <> ? LIMIT 1", (boot,)) is None:
        return ()
    with index.database.transaction():
        rows = index.database.rows("SELECT id, dir, used_ns FROM layers WHERE boot IS NOT NULL AND boot <> ? ORDER BY id", (boot,))
        for layer, _, used_ns in rows:
            if not index.layers.drop_directory(layer, used_ns):
                index.layers.delete_with_descendants(LayerId(layer))
    return tuple(name for _, name, _ in rows)


def _syncfs(root: Path) -> None:
    import ctypes  # only a store with something to flush needs it

    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(root))
    finally:
        os.close(fd)
