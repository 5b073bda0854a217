"""What one inode says, as an Entry: kind, owner, mode, times, and the extended attributes that images keep."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from builder.fs.entries import Entry, Kind, decode_path
from builder.fs.overlay import place

CAPABILITY = "security.capability"

_SPECIAL: dict[int, Kind] = {stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket"}
_NO_XATTRS = frozenset(
    {errno.ENOTSUP, errno.ENODATA, errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP}
)


def kept_xattr(name: str) -> bool:
    """Whether images keep this attribute: file capabilities and user.*, never SELinux labels, ACLs or overlay's own marks."""
    return name == CAPABILITY or (name.startswith("user.") and not name.startswith("user.overlay."))


def entry_of(path: str, st: os.stat_result, read_link: Callable[[], bytes]) -> Entry:
    """The entry of an inode; `read_link` is called for symlinks only."""
    kind = stat.S_IFMT(st.st_mode)
    mode = st.st_mode & 0o7777
    if kind == stat.S_IFREG:
        return Entry(path, "file", mode, st.st_uid, st.st_gid, st.st_mtime_ns, st.st_size)
    if kind == stat.S_IFDIR:
        return Entry(path, "dir", mode, st.st_uid, st.st_gid, st.st_mtime_ns)
    if kind == stat.S_IFLNK:
        return Entry(path, "symlink", 0o777, st.st_uid, st.st_gid, st.st_mtime_ns, 0, decode_path(read_link()))
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        device: Kind = "char" if kind == stat.S_IFCHR else "block"
        return Entry(path, device, mode, st.st_uid, st.st_gid, st.st_mtime_ns, 0, "", os.major(st.st_rdev), os.minor(st.st_rdev))
    return Entry(path, _SPECIAL[kind], mode, st.st_uid, st.st_gid, st.st_mtime_ns)


def entry_at(dir_fd: int, name: bytes, path: str, st: os.stat_result) -> Entry:
    """The entry of `name` in an open directory, its stat known."""
    return entry_of(path, st, lambda: os.readlink(name, dir_fd=dir_fd))


def kept_xattrs(path: bytes | int) -> tuple[tuple[str, bytes], ...]:
    """The kept attributes of a file or directory, sorted by name; `path` is not followed."""
    follow = isinstance(path, int)
    try:
        names = os.listxattr(path, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return ()
        raise
    if not names:
        return ()
    found: list[tuple[str, bytes]] = []
    for name in sorted(filter(kept_xattr, names)):
        try:
            found.append((decode_path(os.fsencode(name)), os.getxattr(path, name, follow_symlinks=follow)))
        except OSError as error:
            if error.errno not in _NO_XATTRS:
                raise
    return tuple(found)


def xattrs_at(dir_fd: int, name: bytes) -> tuple[tuple[str, bytes], ...]:
    """The kept attributes of `name` in an open directory."""
    return kept_xattrs(place(dir_fd, name))
