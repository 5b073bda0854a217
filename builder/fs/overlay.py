"""How an overlay-format layer directory marks what it hides (kernel Documentation/filesystems/overlayfs.rst).

A whiteout is a character device 0:0, or, in a directory whose opaque attribute is "x", an empty regular file
with the whiteout attribute (Linux 6.7). A directory is opaque when its opaque attribute is "y". The attributes
are trusted.overlay.*, or user.overlay.* when overlayfs is mounted with `userxattr` (Linux 5.11).
"""

from __future__ import annotations

import errno
import os
import stat

TRUSTED = "trusted.overlay.opaque"
USER = "user.overlay.opaque"

_ABSENT = frozenset({errno.ENODATA, errno.ENOTSUP, errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EACCES})


def opaque_name(attribute: str) -> str:
    """The opaque attribute's whole name; the prefix ("user.overlay.") will do as well."""
    return attribute + "opaque" if attribute.endswith(".") else attribute


def whiteout_name(opaque_xattr: str) -> str:
    """The attribute that makes an empty file a whiteout, beside this opaque attribute."""
    return opaque_xattr.removesuffix("opaque") + "whiteout"


def is_whiteout(st: os.stat_result) -> bool:
    """Whether this is a character device 0:0."""
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def place(dir_fd: int, name: bytes) -> bytes:
    """A path to `name` in the directory `dir_fd` for the calls that take no directory descriptor; follows no link of the tree."""
    return b"/proc/self/fd/%d/%s" % (dir_fd, name)


def opaque_mark(path: bytes | int, opaque_xattr: str) -> str:
    """The directory's mark: "" (merges with what is below), "y" (opaque) or "x" (may hold attribute whiteouts)."""
    try:
        value = os.getxattr(path, opaque_xattr) if isinstance(path, int) else os.getxattr(path, opaque_xattr, follow_symlinks=False)
    except OSError as error:
        if error.errno in _ABSENT:
            return ""
        raise
    return {b"y": "y", b"x": "x"}.get(value, "")


def is_attribute_whiteout(dir_fd: int, name: bytes, st: os.stat_result, opaque_xattr: str) -> bool:
    """Whether an empty file in a directory marked "x" is a whiteout."""
    if st.st_size or not stat.S_ISREG(st.st_mode):
        return False
    try:
        os.getxattr(place(dir_fd, name), whiteout_name(opaque_xattr), follow_symlinks=False)
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise
    return True


def make_whiteout(dir_fd: int, name: bytes) -> None:
    """Hides `name` in lower layers; needs no privilege beyond the directory's since Linux 5.8."""
    os.mknod(name, stat.S_IFCHR, 0, dir_fd=dir_fd)


def make_opaque(path: bytes | int, opaque_xattr: str) -> None:
    """Hides what lower layers have in this directory."""
    if isinstance(path, int):
        os.setxattr(path, opaque_xattr, b"y")
    else:
        os.setxattr(path, opaque_xattr, b"y", follow_symlinks=False)


def clear_opaque(path: bytes, opaque_xattr: str) -> None:
    """Removes the mark; nothing happens when it is absent."""
    try:
        os.removexattr(path, opaque_xattr, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
