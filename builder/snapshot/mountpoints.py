"""A lowest layer for steps, with the files of /etc that every sandbox mounts something on.

An image that lacks one (few have both) would get it for each step: /etc copied up, files made, and all of that found by
the diff and removed again, a millisecond of each trivial step. Below everything else it hides nothing, no step can write
to it, and no layer holds it.

On the store's file system, since overlayfs gives files of lower layers other device numbers once its layers lie on two.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from msgspec import structs

from runtime.spec import Overlay, Root

_FILES = ("etc/hosts", "etc/resolv.conf")


class MountPoints:
    """The directory, made when it is first needed; it goes with the lease. Thread-safe."""

    def __init__(self, scratch_directory: Callable[[str], Path]) -> None:
        self._scratch_directory = scratch_directory
        self._path = ""
        self._lock = threading.Lock()

    def below(self, root: Root) -> Root:
        """The root with this layer below it; one that is no overlay as it is."""
        if not isinstance(root, Overlay):
            return root
        with self._lock:
            if not self._path:
                self._path = _made(str(self._scratch_directory("mountpoints-")))
        return structs.replace(root, lowers=(*root.lowers, self._path))


def _made(path: str) -> str:
    os.mkdir(f"{path}/etc")
    os.chmod(f"{path}/etc", 0o755)  # whatever the umask
    for name in _FILES:
        os.close(os.open(f"{path}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
        os.chmod(f"{path}/{name}", 0o644)
    return path
