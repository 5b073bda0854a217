"""Unpacks a layer's tar into an overlay-format directory.

The rules, where a reader of layers has a choice:
- whiteouts hide lower layers only, wherever they stand in the archive (image-spec layer.md, "Whiteouts");
- the later of two entries for one path wins, and a directory over a directory keeps its contents;
- parents follow the links of this layer, clamped at its root, never those of lower layers;
- a missing parent takes the lower directory's metadata; a hard link to a lower file copies it up;
- devices that this user may not make are passed over and told.
The target directory is private to its owner; nothing in it is ever opened by more than one component at a time.
"""

from __future__ import annotations

import errno
import hashlib
import os
import queue
import threading

import msgspec

from builder.errors import LayerwrightError
from builder.fs.compress import Readable
from builder.fs.copytree import finish_file
from builder.fs.entries import Entry
from builder.fs.limits import DEFAULT, Limits
from builder.fs.overlay import TRUSTED
from builder.fs.tarread import Body, TarError, read_tar
from builder.fs.tree import Tree
from builder.fs.upper import Upper
from builder.oci.digest import DiffID

_READ = 1 << 20
_BLOCK = 4096
_LARGE = 1 << 16
_DEPTH = 8


class Unpacked(msgspec.Struct, frozen=True):
    """What was unpacked; `skipped` are devices that could not be made, `disk_size` what it takes of the disk."""

    entries: int
    plain_size: int
    diff_id: DiffID
    skipped: tuple[str, ...] = ()
    disk_size: int = 0


def unpack(
    stream: Readable,
    target_dir: str,
    lower: Tree,
    opaque_xattr: str = TRUSTED,
    limits: Limits = DEFAULT,
) -> Unpacked:
    """Unpacks a decompressed layer into `target_dir`, an empty directory, and takes its DiffID on the way.

    Raises TarError for a broken or oversized archive, and what `stream` raises; the directory is then void.
    """
    count = size = 0
    skipped: list[str] = []
    ahead = _Ahead(stream, limits)
    try:
        with Upper(target_dir, lower, opaque_xattr) as upper:
            _start_root(upper)
            for entry, body in read_tar(ahead, limits):
                count += 1
                written = _write(upper, entry, body)
                if written is None:
                    skipped.append(entry.path)
                else:
                    size += written
        return ahead.finish(count, tuple(skipped), size)
    except LayerwrightError as error:
        if isinstance(error, TarError) or error.code not in ("tar-parent", "tar-link", "symlink-loop"):
            raise
        raise TarError(error.code, f"a layer cannot be unpacked: {error.message}") from None
    finally:
        ahead.stop()


def _start_root(upper: Upper) -> None:
    """The layer directory's own metadata show as the root's (overlayfs takes them from the topmost layer)."""
    root = upper.lower.lstat("")
    upper.make_directory(root if root is not None else Entry("", "dir", 0o755))


def _write(upper: Upper, entry: Entry, body: Body) -> int | None:
    """Bytes it takes of the disk; None for a device that could not be made."""
    if not entry.path and entry.kind not in ("dir", "opaque"):
        raise TarError("tar-root", f"an archive makes its root a {entry.kind} (CVE-2021-29136)")
    if entry.kind == "char" and not entry.major and not entry.minor:
        # What overlayfs takes for a whiteout, under whatever name it came.
        upper.hide(entry.path)
        return 0
    try:
        if entry.kind != "file":
            upper.put(entry)
            return _BLOCK if entry.kind == "dir" else 0
        fd = upper.create(entry)
        try:
            body.copy_to(fd)
            finish_file(fd, entry)
            # A large file may be sparse.
            return -(-entry.size // _BLOCK) * _BLOCK if entry.size < _LARGE else os.fstat(fd).st_blocks * 512
        finally:
            os.close(fd)
    except PermissionError:
        # mknod(2) in a user namespace; containerd passes over devices there as well.
        if entry.kind in ("char", "block"):
            return None
        raise
    except (OSError, ValueError) as error:
        raise _refused(entry, error) from None


def _refused(entry: Entry, error: Exception) -> Exception:
    """Names the file system does not take are the archive's fault; the rest (a full disk) is not."""
    if isinstance(error, ValueError) or (isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EISDIR)):
        return TarError("tar-entry", f"an archive's entry {entry.path[:200]!r} cannot be made here: {error}")
    return error


class _Ahead:
    """Reads and hashes the stream in a thread of its own, a few pieces ahead of the unpacking."""

    def __init__(self, stream: Readable, limits: Limits) -> None:
        self._stream = stream
        self._most = limits.plain
        self._hash = hashlib.sha256()
        self._size = 0
        self._queue: queue.Queue[bytes | BaseException] = queue.Queue(_DEPTH)
        self._stopped = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="layerwright-unpack", daemon=True)
        self._thread.start()

    def read(self, size: int = -1, /) -> bytes:
        """The next piece, whatever its size; empty at the end."""
        if self._ended:
            return b""
        piece = self._queue.get()
        if isinstance(piece, BaseException):
            self._ended = True
            raise piece
        self._ended = not piece
        return piece

    def finish(self, entries: int, skipped: tuple[str, ...], disk_size: int) -> Unpacked:
        """Reads what stands behind the end of the archive, which the DiffID covers."""
        while self.read():
            pass
        self._thread.join()
        return Unpacked(entries, self._size, DiffID("sha256:" + self._hash.hexdigest()), skipped, disk_size)

    def stop(self) -> None:
        """Ends the thread, whatever it is at."""
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.01)
            except queue.Empty:
                continue
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                piece = self._stream.read(_READ)
                self._hash.update(piece)
                self._size += len(piece)
                if self._size > self._most:
                    raise TarError("tar-too-large", f"an archive is larger than the limit of {self._most} bytes")
                self._queue.put(piece)
                if not piece:
                    return
        except BaseException as error:  # raised again by read() in the caller's thread
            self._queue.put(error)
