"""Creates one entry in an open directory: kind, contents, owner, mode, attributes and times.

Nothing existing is written to or followed: a new name is created exclusively, and what is set afterwards is set
on its own descriptor or without following it. Contents are shared where the file system can (FICLONE), else
copied by the kernel, and holes stay holes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from builder.errors import LayerwrightError
from builder.fs.entries import Entry, encode_path
from builder.fs.overlay import make_whiteout, place

FICLONE = 0x40049409
"""ioctl_ficlone(2)."""
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_CLONE = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.EISDIR, errno.ETXTBSY})
_COPY = 1 << 24
_SPARSE_FROM = 1 << 18
_DEVICE = {"char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK}


def write_entry(dir_fd: int, name: bytes, entry: Entry, data: int | bytes | None = None) -> None:
    """Creates `name` in `dir_fd` as the entry says, xattrs and mtime included; `data` is a file's contents.

    A directory may be there already, and then takes the entry's metadata; anything else there raises
    FileExistsError. A whiteout is made as overlayfs marks it. Hard links are `os.link`'s, `opaque` is
    builder.fs.overlay's. Attributes that the file system does not have are left out.
    """
    match entry.kind:
        case "file":
            fd = create_file(dir_fd, name)
            try:
                write_data(fd, data)
                finish_file(fd, entry)
            finally:
                os.close(fd)
        case "whiteout":
            make_whiteout(dir_fd, name)
        case "hardlink" | "opaque":
            raise ValueError(f"{entry.kind} is not an entry that can be created by itself")
        case _:
            create_special(dir_fd, name, entry)
            set_metadata(dir_fd, name, entry)


def create_file(dir_fd: int, name: bytes) -> int:
    """A new empty file, open for writing, with no permissions yet."""
    return os.open(name, _CREATE, 0o600, dir_fd=dir_fd)


def create_special(dir_fd: int, name: bytes, entry: Entry) -> None:
    """A directory, symlink, device, FIFO or socket, its metadata not set yet; a directory may be there already."""
    if entry.kind == "dir":
        try:
            os.mkdir(name, 0o700, dir_fd=dir_fd)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode):
                raise
    elif entry.kind == "symlink":
        os.symlink(encode_path(entry.link), name, dir_fd=dir_fd)
    else:
        os.mknod(name, _DEVICE[entry.kind] | 0o600, os.makedev(entry.major, entry.minor), dir_fd=dir_fd)


def finish_file(fd: int, entry: Entry) -> None:
    """Sets owner, mode, attributes and times of an open file or directory; in this order, for chown(2) clears setuid and capabilities."""
    try:
        os.fchown(fd, entry.uid, entry.gid)
    except OSError as error:
        raise _unmapped(entry, error) from None
    os.fchmod(fd, entry.mode)
    for key, value in entry.xattrs:
        _set_xattr(fd, key, value)
    os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))


def set_metadata(dir_fd: int, name: bytes, entry: Entry) -> None:
    """Sets owner, mode, attributes and times of anything but a file, not following it."""
    if entry.kind == "dir":
        try:
            fd = os.open(name, _LIST, dir_fd=dir_fd)
        except PermissionError:
            fd = -1  # one that was there before, and that only root may read
        if fd >= 0:
            try:
                finish_file(fd, entry)
            finally:
                os.close(fd)
            return
    try:
        os.chown(name, entry.uid, entry.gid, dir_fd=dir_fd, follow_symlinks=False)
    except OSError as error:
        raise _unmapped(entry, error) from None
    if entry.kind != "symlink":
        set_mode(dir_fd, name, entry.mode)
    for key, value in entry.xattrs:
        _set_xattr(place(dir_fd, name), key, value)
    set_mtime(dir_fd, name, entry.mtime_ns)


def _unmapped(entry: Entry, error: OSError) -> Exception:
    """chown(2) gives EINVAL for an id that the user namespace has no mapping for."""
    if error.errno != errno.EINVAL:
        return error
    return LayerwrightError(
        "owner-unmapped",
        f"{entry.path!r} is to belong to {entry.uid}:{entry.gid}, which is outside of the ids that this user may give files to",
        help="widen the ranges in /etc/subuid and /etc/subgid (usually 65536 ids), or build as root",
    )


def set_mode(dir_fd: int, name: bytes, mode: int) -> None:
    """chmod of anything but a symlink; fchmodat2(2) is too new (6.6), so the inode is held by O_PATH and named through /proc."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        if stat.S_ISLNK(os.fstat(fd).st_mode):
            raise OSError(errno.ELOOP, "is a symbolic link", name)
        os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)


def set_mtime(dir_fd: int, name: bytes, mtime_ns: int) -> None:
    """Sets the times, not following a link."""
    os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=dir_fd, follow_symlinks=False)


def _set_xattr(target: int | bytes, key: str, value: bytes) -> None:
    name = encode_path(key)
    try:
        os.setxattr(target, name, value, follow_symlinks=isinstance(target, int))
    except OSError as error:
        # ENOTSUP: tmpfs before 6.6, or a file system without them; EPERM: user.* on what is no file or directory.
        if error.errno not in (errno.ENOTSUP, errno.EPERM):
            raise


def write_data(target: int, data: int | bytes | None) -> None:
    """Fills a new file with bytes, or with the contents of a descriptor."""
    if isinstance(data, int):
        copy_data(data, target)
    elif data:
        view = memoryview(data)
        while view:
            view = view[os.write(target, view) :]


def copy_data(source: int, target: int) -> None:
    """Copies a whole file from its start into an empty one: a clone if the file system has them, holes kept otherwise."""
    size = os.fstat(source).st_size
    if not size:
        return
    try:
        fcntl.ioctl(target, FICLONE, source)
        return
    except OSError as error:
        if error.errno not in _NO_CLONE:
            raise
    at = 0
    while at < size:
        start, end = (at, size) if size < _SPARSE_FROM else _data_after(source, at, size)
        _copy_range(source, target, start, end)
        at = end
    if os.fstat(target).st_size < size:
        os.ftruncate(target, size)


def _data_after(fd: int, at: int, size: int) -> tuple[int, int]:
    try:
        start = os.lseek(fd, at, os.SEEK_DATA)
        return start, min(os.lseek(fd, start, os.SEEK_HOLE), size)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size, size
        return at, size


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        try:
            count = os.copy_file_range(source, target, min(end - start, _COPY), start, start)
        except OSError as error:
            if error.errno not in _NO_CLONE:
                raise
            count = os.pwrite(target, os.pread(source, min(end - start, 1 << 20), start), start)
        if not count:
            return
        start += count
