"""Writes a plan into an overlay-format directory: beneath it, by directory descriptors, following no link.

Files first, each complete before the next; directories' owners, modes and times last and deepest first, since
writing into a directory changes its mtime.
"""

from __future__ import annotations

import errno
import os
import stat

from builder.errors import LayerwrightError
from builder.fs.copytree import copy_data, create_file, create_special, finish_file, set_metadata, write_data
from builder.fs.entries import Entry, encode_path
from builder.fs.overlay import is_whiteout, make_opaque, place
from builder.ops.copy_plan import Group, Placed, Plan
from builder.ops.destination import Cancelled, Destination

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEEP = 48
_SMALL = 128 << 10


class UpperDirectories:
    """Directories below an upper directory, opened component by component; the recent ones stay open."""

    def __init__(self, path: str) -> None:
        self._open: dict[str, int] = {"": os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)}

    def __enter__(self) -> UpperDirectories:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._open.values():
            os.close(fd)

    def directory(self, path: str) -> int:
        """A descriptor of the directory; valid until the next call."""
        fd = self._open.get(path)
        if fd is not None:
            return fd
        parent, _, name = path.rpartition("/")
        fd = os.open(encode_path(name), _DIRECTORY, dir_fd=self.directory(parent))
        if len(self._open) > _KEEP:
            self.forget()
        self._open[path] = fd
        return fd

    def forget(self) -> None:
        """Close all but the root."""
        for key in [key for key in self._open if key]:
            os.close(self._open.pop(key))


def write_plan(plan: Plan, destination: Destination, check: Cancelled) -> None:
    """Carries the plan out; paths that the upper directory has already are replaced, directories kept."""
    groups: dict[Group, str] = {}
    directories: list[Entry] = []
    with UpperDirectories(destination.upper) as upper:
        for count, (path, placed) in enumerate(plan.placed.items()):
            if not count & 255:
                check()
            parent, _, name = path.rpartition("/")
            try:
                if placed.entry.kind == "dir":
                    make_directory(upper.directory(parent), encode_path(name), destination.opaque_xattr)
                    directories.append(placed.entry)
                else:
                    _write(upper, upper.directory(parent), encode_path(name), placed, groups)
            except OSError as error:
                raise unwritable(path, placed.entry, error) from error
        for entry in reversed(directories):
            finish_directory(upper, entry)


def make_directory(dir_fd: int, name: bytes, opaque_xattr: str) -> None:
    """A directory in `dir_fd`, kept when it is there; one in place of a whiteout hides what is below."""
    try:
        os.mkdir(name, 0o700, dir_fd=dir_fd)
    except FileExistsError:
        there = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if stat.S_ISDIR(there.st_mode):
            return
        os.unlink(name, dir_fd=dir_fd)
        os.mkdir(name, 0o700, dir_fd=dir_fd)
        if is_whiteout(there):
            make_opaque(place(dir_fd, name), opaque_xattr)


def finish_directory(upper: UpperDirectories, entry: Entry) -> None:
    """Owner, attributes, mode and mtime of a directory whose entries are all written."""
    parent, _, name = entry.path.rpartition("/")
    try:
        set_metadata(upper.directory(parent), encode_path(name), entry)
    except OSError as error:
        raise unwritable(entry.path, entry, error) from error


def _write(upper: UpperDirectories, dir_fd: int, name: bytes, placed: Placed, groups: dict[Group, str]) -> None:
    """Anything but a directory."""
    entry = placed.entry
    if entry.kind != "file":
        try:
            create_special(dir_fd, name, entry)
        except FileExistsError:
            os.unlink(name, dir_fd=dir_fd)
            create_special(dir_fd, name, entry)
        set_metadata(dir_fd, name, entry)
        return
    if placed.group is not None:
        first = groups.setdefault(placed.group, entry.path)
        if first != entry.path:
            _link(upper, first, dir_fd, name)
            return
    fd = create_replacing(dir_fd, name)
    try:
        if placed.data is not None:
            write_data(fd, placed.data)
        elif placed.origin is not None:
            source = placed.origin.open(placed.path)
            try:
                _fill(source, fd, entry.size)
            finally:
                os.close(source)
        finish_file(fd, entry)
    finally:
        os.close(fd)


def _link(upper: UpperDirectories, first: str, dir_fd: int, name: bytes) -> None:
    """One more name for a file that this plan wrote."""
    parent, _, last = first.rpartition("/")
    held = os.dup(dir_fd)  # the next call may close what `dir_fd` is
    try:
        source = upper.directory(parent)
        try:
            os.link(encode_path(last), name, src_dir_fd=source, dst_dir_fd=held, follow_symlinks=False)
        except FileExistsError:
            os.unlink(name, dir_fd=held)
            os.link(encode_path(last), name, src_dir_fd=source, dst_dir_fd=held, follow_symlinks=False)
    finally:
        os.close(held)


def create_replacing(dir_fd: int, name: bytes) -> int:
    """A new empty file, in place of whatever but a directory has the name."""
    try:
        return create_file(dir_fd, name)
    except FileExistsError:
        os.unlink(name, dir_fd=dir_fd)
        return create_file(dir_fd, name)


def _fill(source: int, target: int, size: int) -> None:
    """The source's bytes. One whose size is no longer what was seen has other bytes than its key says."""
    if size > _SMALL:
        copy_data(source, target)
        copied = os.fstat(target).st_size
    else:
        data = os.read(source, size + 1)
        write_data(target, data)
        copied = len(data)
    if copied != size:
        raise FileNotFoundError(errno.ENOENT, "the file changed while it was copied")


def unwritable(path: str, entry: Entry, error: OSError) -> LayerwrightError:
    """What the system's refusal means to the author."""
    if entry.kind in ("char", "block") and isinstance(error, PermissionError):
        return LayerwrightError("copy-device", f"the device /{path} cannot be made without root", help="build as root, or exclude it")
    if isinstance(error, FileNotFoundError):
        return LayerwrightError("copy-source-changed", f"the source of /{path} changed while it was copied", help="build again")
    if error.errno == errno.ENOSPC:
        return LayerwrightError("disk-full", f"/{path} cannot be written: no space left", help="free some, or run `layerwright prune`")
    return LayerwrightError("copy-failed", f"/{path} cannot be written: {error.strerror}", help="read the message of the system")
