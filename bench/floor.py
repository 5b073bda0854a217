"""The bare work behind a row, with nothing of a builder around it: what no builder on this machine can be faster than."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

CHUNK = 1 << 20


def import_click() -> float:
    """An interpreter that has click: what a command line in Python costs before it does anything."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import click"], check=True)
    return time.perf_counter() - started


def chroot_exec(root: Path, times: int) -> float:
    """A chroot and an exec of `true`, so many times, one after the other."""
    program = shutil.which("chroot") or "/usr/sbin/chroot"
    started = time.perf_counter()
    for _ in range(times):
        subprocess.run([program, str(root), "/bin/true"], check=True)
    return time.perf_counter() - started


def hash_and_compress(directory: Path, compression: str) -> float:
    """Read, hash the plain bytes, compress with the same library and level as we do, hash the result; on all cores."""
    from builder.fs.compress import compress

    output = hashlib.sha256()
    plain = hashlib.sha256()
    started = time.perf_counter()
    compressor = compress("zstd" if compression == "zstd" else "gzip", None, output.update)
    for chunk in _chunks(directory):
        hashing = threading.Thread(target=plain.update, args=(chunk,))
        hashing.start()
        compressor.write(chunk)
        hashing.join()
    compressor.close()
    return time.perf_counter() - started


def walk_and_stat(directory: Path) -> float:
    """Every file looked at once."""
    started = time.perf_counter()
    queue = [str(directory)]
    while queue:
        with os.scandir(queue.pop()) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    queue.append(entry.path)
    return time.perf_counter() - started


def read_all(directory: Path) -> float:
    """Every file opened, read and hashed."""
    started = time.perf_counter()
    digest = hashlib.sha256()
    for chunk in _chunks(directory):
        digest.update(chunk)
    return time.perf_counter() - started


def best(work: Callable[[], float], rounds: int = 3) -> float:
    """The fastest of a few rounds: a floor has no noise below it."""
    return min(work() for _ in range(rounds))


def _chunks(directory: Path) -> Iterator[bytes]:
    for parent, names, files in os.walk(directory):
        names.sort()
        for name in sorted(files):
            with open(os.path.join(parent, name), "rb", buffering=0) as file:
                while chunk := file.read(CHUNK):
                    yield chunk
