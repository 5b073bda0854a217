"""Where the bytes of a single-file output go: a file that appears whole under its name, or a stream."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from builder.errors import LayerwrightError, UsageError
from builder.store.blobs import VerifiedReader
from builder.store.space import guard_space

Write = Callable[[bytes], object]


class FileSink:
    """A Write of a regular file, which takes blobs by the kernel."""

    def __init__(self, file: FileIO) -> None:
        self._fd = file.fileno()
        self._put = _whole(file.write)

    def __call__(self, data: bytes) -> None:
        self._put(data)

    def take(self, blob: VerifiedReader) -> int:
        """All of a blob, verified; how many bytes that were."""
        return blob.copy_to(self._fd)


def check_file(dest: str, stdout: BinaryIO | None) -> None:
    """Raise for a destination that cannot become a file."""
    if dest == "-":
        if stdout is None:
            raise UsageError("no-output-stream", "there is no standard output to write to", help="name a file with dest=")
        if stdout.isatty():
            raise UsageError("output-is-terminal", "an archive is not written to a terminal", help="redirect it, or name a file with dest=")
        return
    path = Path(dest)
    if path.is_dir():
        raise LayerwrightError(
            "output-is-directory", f"the output {dest} is a directory", help=f"name a file in it, as dest={dest.rstrip('/')}/image.tar"
        )
    if not path.parent.is_dir():
        raise LayerwrightError(
            "output-no-directory", f"the output {dest} is in a directory that is not there", help=f"make it: mkdir -p {path.parent}"
        )
    if not os.access(path.parent, os.W_OK):
        raise LayerwrightError(
            "output-unwritable", f"the directory of the output {dest} cannot be written to", help="choose another, or change its mode"
        )


@contextmanager
def open_sink(dest: str, stdout: BinaryIO | None) -> Iterator[Write]:
    """Yields what writes; the file is renamed to its name at the end, and gone when anything fails.

    A device or pipe (dest=/dev/null, a FIFO) is written to as it is.
    """
    check_file(dest, stdout)
    if dest == "-":
        assert stdout is not None
        yield _whole(stdout.write)
        stdout.flush()
        return
    path = Path(os.path.realpath(dest))
    if path.exists() and not path.is_file():
        with open(path, "wb", buffering=0) as special:
            yield _whole(special.write)
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with guard_space(path.parent), _nameless(path.parent, temporary) as file:
            yield FileSink(file)
            os.fsync(file.fileno())
            if not temporary.exists():
                _name(file.fileno(), temporary)
            os.rename(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise LayerwrightError(
            "output-unwritable", f"the output {dest} cannot be written: {error.strerror}", help="check its directory"
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _name(fd: int, path: Path) -> None:
    """Give a nameless file its name; with a descriptor for the source, for without one os.link() is link(2), which follows nothing."""
    links = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(str(fd), path, src_dir_fd=links, follow_symlinks=True)
    finally:
        os.close(links)


def _nameless(directory: Path, temporary: Path) -> FileIO:
    """A file without a name, so that a killed build leaves nothing; under a temporary one where the file system has no such files.

    O_TMPFILE: open(2), since Linux 3.11; NFS and some FUSE file systems refuse it.
    """
    try:
        return open(os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666), "wb", buffering=0)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            raise
        return open(temporary, "xb", buffering=0)


def _whole(write: Callable[[bytes], int | None]) -> Write:
    """Writes all of each piece (a raw file or a pipe may take a part)."""

    def put(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[write(view) or 0 :]  # type: ignore[arg-type]

    return put
