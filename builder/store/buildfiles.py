"""What builds leave beside their rows: the whole log of each step, and manifests of what a COPY took.

    <root>/builds/<build id>/<number>.log     what a step wrote, both streams in the order it came
    <root>/manifests/<digest>                 see builder.ops.manifest; its mtime is when a build last used it

Rules. A build's directory goes with its row; one without a row belongs to a running build, or to a killed one
and goes after two days. A manifest goes when it was last used before the oldest row began. Nothing else in
the store depends on either, so a failure to write one is no failure of a build.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from builder.store.removal import remove_tree

MAX_LOG_BYTES = 1 << 30
"""What logs of finished builds may take together; the oldest builds' go first."""

_ORPHAN_NS = 48 * 3600 * 10**9


class ManifestFiles:
    """Manifests below one directory; see builder.ops.manifest.Manifests."""

    def __init__(self, root: Path) -> None:
        self._directory = f"{root}/manifests/"

    def has(self, digest: str) -> bool:
        """One system call: the use is marked by the time."""
        try:
            os.utime(self._directory + digest)
        except OSError:
            return False
        return True

    def put(self, digest: str, data: bytes) -> None:
        """Written beside and renamed; a full disk just has none."""
        temporary = f"{self._directory}.{digest}.{os.urandom(4).hex()}"
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(data)
            os.rename(temporary, self._directory + digest)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)

    def get(self, digest: str) -> bytes | None:
        """None when absent."""
        try:
            return Path(self._directory + digest).read_bytes()
        except OSError:
            return None


def log_path(root: Path, build: str, number: int) -> Path:
    """Where the log of a step is, or would be."""
    return root / "builds" / build / f"{number}.log"


def sweep_build_files(root: Path, kept: dict[str, int], now_ns: int, *, limit: int = MAX_LOG_BYTES, since_ns: int | None = None) -> int:
    """Removes what no row of `kept` (id -> when it began) has a use for; how many things.

    `since_ns`: a build that runs, which has no row yet, began no earlier.
    """
    count = 0
    sizes: list[tuple[int, str, int]] = []
    for entry in _entries(root / "builds"):
        began = kept.get(entry.name)
        if began is None:
            if now_ns - entry.stat(follow_symlinks=False).st_mtime_ns > _ORPHAN_NS:
                remove_tree(Path(entry.path))
                count += 1
        else:
            sizes.append((began, entry.path, sum(log.stat(follow_symlinks=False).st_size for log in _entries(Path(entry.path)))))
    total = sum(size for _, _, size in sizes)
    for _, path, size in sorted(sizes):
        if total <= limit:
            break
        remove_tree(Path(path))
        total -= size
        count += 1
    oldest = min(*kept.values(), now_ns if since_ns is None else since_ns, now_ns)
    for entry in _entries(root / "manifests"):
        with suppress(OSError):
            if entry.stat(follow_symlinks=False).st_mtime_ns < oldest:
                os.unlink(entry.path)
                count += 1
    return count


def remove_logs(root: Path, build: str) -> None:
    """Those of one build."""
    remove_tree(root / "builds" / build)


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError:
        return []
