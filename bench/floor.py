"""The bare work behind a row, with nothing of a builder around it: what no builder on this machine can be faster than."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import zstandard
from isal import isal_zlib

from bench.measure import timed

CHUNK = 1 << 20


def import_click() -> float:
    """An interpreter that has click: what a command line in Python costs before it does anything."""
    return timed([sys.executable, "-c", "import click"]).wall


def chroot_exec(root: Path, times: int) -> float:
    """A chroot and an exec of `true`, so many times, one after the other."""
    program = shutil.which("chroot") or "/usr/sbin/chroot"
    started = time.perf_counter()
    for _ in range(times):
        subprocess.run([program, str(root), "/bin/true"], check=True)
    return time.perf_counter() - started


def hash_and_compress(directory: Path, compression: str) -> float:
    """Read, hash the plain bytes, compress on all cores with the same library and level as we do, hash the result; written nowhere."""
    output = hashlib.sha256()
    plain = hashlib.sha256()
    cores = len(os.sched_getaffinity(0))
    started = time.perf_counter()
    # zstd has threads of its own, and its stream is for one of ours.
    with ThreadPoolExecutor(1) as hashing, ThreadPoolExecutor(1 if compression == "zstd" else cores) as pool:
        compressed = _zstd(cores, pool) if compression == "zstd" else _deflate(cores, pool)
        hashed: deque[Future[None]] = deque()
        for chunk in _chunks(directory):
            hashed.append(hashing.submit(plain.update, chunk))
            output.update(compressed(chunk))
            while len(hashed) > 4:
                hashed.popleft().result()
        output.update(compressed(None))
    return time.perf_counter() - started


def _deflate(cores: int, pool: ThreadPoolExecutor) -> Callable[[bytes | None], bytes]:
    """Blocks of their own; those that are done come out with a later one, and the rest at the end (None)."""
    waiting: deque[Future[bytes]] = deque()

    def block(chunk: bytes) -> bytes:
        deflate = isal_zlib.compressobj(2, zlib.DEFLATED, -15)
        isal_zlib.crc32(chunk)
        return bytes(deflate.compress(chunk) + deflate.flush(zlib.Z_SYNC_FLUSH))

    def take(chunk: bytes | None) -> bytes:
        if chunk is None:
            return b"".join(future.result() for future in waiting)
        waiting.append(pool.submit(block, chunk))
        return waiting.popleft().result() if len(waiting) > cores + 1 else b""

    return take


def _zstd(cores: int, pool: ThreadPoolExecutor) -> Callable[[bytes | None], bytes]:
    """zstd's own threads, fed by one of the pool."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, threads=cores, job_size=1 << 21, write_checksum=True)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    waiting: deque[Future[bytes]] = deque()

    def take(chunk: bytes | None) -> bytes:
        if chunk is None:
            return b"".join(future.result() for future in waiting) + stream.flush()
        waiting.append(pool.submit(stream.compress, chunk))
        return waiting.popleft().result() if waiting[0].done() or len(waiting) > 2 else b""

    return take


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


def _chunks(directory: Path) -> Iterator[bytes]:
    for parent, names, files in os.walk(directory):
        names.sort()
        for name in sorted(files):
            with open(os.path.join(parent, name), "rb", buffering=0) as file:
                while chunk := file.read(CHUNK):
                    yield chunk
