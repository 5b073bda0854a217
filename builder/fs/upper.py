"""Writes into an overlay-format directory, relative to descriptors: parents, replacements, whiteouts, copy-up.

See builder.fs.parents for the directories on the way.
"""

from __future__ import annotations

import errno
import os
import stat

import msgspec

from builder.errors import LayerwrightError
from builder.fs.copytree import create_file, finish_file, set_metadata, write_data, write_entry
from builder.fs.dirtree import DirTree
from builder.fs.entries import Entry, decode_path
from builder.fs.handles import Directories, Handle, split
from builder.fs.overlay import TRUSTED, clear_opaque, is_whiteout, make_opaque, make_whiteout, opaque_name, place
from builder.fs.parents import Parents
from builder.fs.tree import Tree

_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Upper:
    """One directory being written; a context manager, which sets the directories' times at its end. Not for several threads."""

    def __init__(self, path: str, lower: Tree, opaque_xattr: str = TRUSTED) -> None:
        self.path = path
        self.lower = lower
        self._attribute = opaque_name(opaque_xattr)
        self._parents = Parents(path, lower, self._attribute)

    def __enter__(self) -> Upper:
        return self

    def __exit__(self, *exc: object) -> None:
        if exc[0] is None:
            self.settle()
        self._parents.forget()

    def settle(self) -> None:
        """Sets the mtimes of the directories written so far, what a directory holds before itself."""
        directories = Directories(self.path)
        times = self._parents.made
        for path in sorted(times, reverse=True):
            handle = directories.get(path)
            if handle is not None:
                os.utime(place(handle.fd, b"."), ns=(times[path], times[path]))
        times.clear()

    def parent(self, path: str) -> tuple[Handle, str]:
        """The directory that `path` is in, made with its parents where it is missing, and its real path here.

        Raises LayerwrightError (tar-parent) when something that is no directory is in the way.
        """
        return self._parents.directory(path.rpartition("/")[0])

    def locate(self, path: str) -> tuple[Handle, bytes, str]:
        """The open parent of `path`, its last component, and its real path here."""
        handle, real = self.parent(path)
        _, name = split(path)
        return handle, name, f"{real}/{decode_path(name)}" if real else decode_path(name)

    def _at(self, path: str) -> tuple[Handle, bytes]:
        """`locate` where the real path is not asked for."""
        parent, name = split(path)
        return self._parents.directory(parent)[0], name

    def find(self, path: str) -> os.stat_result | None:
        """What this directory itself has at `path`, the last component not followed; parents are made."""
        handle, name = self._at(path)
        return _stat(handle.fd, name)

    def put(self, entry: Entry, data: int | bytes | None = None) -> None:
        """Writes an entry over whatever is there. A directory over a directory takes the metadata and keeps the contents."""
        if entry.kind == "file":
            fd = self.create(entry)
            try:
                write_data(fd, data)
                finish_file(fd, entry)
            finally:
                os.close(fd)
        elif entry.kind == "hardlink":
            self.link(entry)
        elif entry.kind == "dir":
            self.make_directory(entry)
        elif entry.kind == "whiteout":
            self.hide(entry.path)
        elif entry.kind == "opaque":
            self.make_opaque(entry.path)
        else:
            handle, name = self._at(entry.path)
            try:
                write_entry(handle.fd, name, entry)
            except FileExistsError:
                self.clear(handle, name)
                write_entry(handle.fd, name, entry)

    def take(self, entry: Entry, source: DirTree) -> None:
        """Moves a file here from another directory of the same file system, metadata and all."""
        handle, name, _ = self.locate(entry.path)
        self.clear(handle, name)
        source.move(entry.path, handle.fd, name)

    def create(self, entry: Entry) -> int:
        """A new empty file at the entry's path, for the caller to fill, to `finish_file` and to close."""
        handle, name = self._at(entry.path)
        try:
            return create_file(handle.fd, name)
        except FileExistsError:
            self.clear(handle, name)
            return create_file(handle.fd, name)

    def make_directory(self, entry: Entry) -> None:
        """A directory; opaque when it takes the place of a whiteout or of anything else than a directory."""
        if not entry.path:
            self._set_root(entry)
            return
        handle, name, real = self.locate(entry.path)
        try:
            write_entry(handle.fd, name, entry)
        except FileExistsError:
            st = _stat(handle.fd, name)
            self.clear(handle, name)
            write_entry(handle.fd, name, entry)
            if st is not None and is_whiteout(st):
                make_opaque(place(handle.fd, name), self._attribute)
        self._parents.made[real] = entry.mtime_ns

    def link(self, entry: Entry) -> None:
        """A hard link to a file of this directory, or of a lower layer, which is copied up first."""
        source = self._link_source(entry)
        handle, name, _ = self.locate(entry.path)
        st = _stat(handle.fd, name)
        if st is not None:
            found = os.stat(source[1], dir_fd=source[0].fd, follow_symlinks=False)
            if (found.st_dev, found.st_ino) == (st.st_dev, st.st_ino):
                return
            self.clear(handle, name)
            source = self._link_source(entry)
        try:
            os.link(source[1], name, src_dir_fd=source[0].fd, dst_dir_fd=handle.fd, follow_symlinks=False)
        except FileExistsError:
            # Its target is below its own name, and has just been copied up there again.
            raise _no_target(entry) from None

    def hide(self, path: str) -> None:
        """A whiteout, which hides lower layers only: what this directory itself has at the path stays, opaque if a directory."""
        handle, name, _ = self.locate(path)
        st = _stat(handle.fd, name)
        if st is None:
            make_whiteout(handle.fd, name)
        elif stat.S_ISDIR(st.st_mode):
            make_opaque(place(handle.fd, name), self._attribute)

    def make_opaque(self, path: str) -> None:
        """Hides what lower layers have in a directory. The root's cannot be marked (ovl_get_root), so its names get whiteouts."""
        if path:
            handle, _ = self._parents.directory(path)
            make_opaque(place(handle.fd, b"."), self._attribute)
            return
        for name in self.lower.names(""):
            self.hide(name)

    def copy_up(self, path: str) -> None:
        """Copies a lower entry that is no directory to here, metadata and contents; raises FileNotFoundError when there is none."""
        entry = self.lower.lstat(path)
        if entry is None or entry.kind == "dir":
            raise FileNotFoundError(errno.ENOENT, "no such file in the lower layers", path)
        entry = msgspec.structs.replace(entry, xattrs=self.lower.xattrs(path))
        if entry.kind != "file":
            self.put(entry)
            return
        fd = self.lower.open(path)
        try:
            self.put(entry, fd)
        finally:
            os.close(fd)

    def clear(self, handle: Handle, name: bytes) -> None:
        """Removes whatever this directory has at a place; nothing happens when it has nothing."""
        st = _stat(handle.fd, name)
        if st is None:
            return
        if stat.S_ISDIR(st.st_mode):
            remove_tree(handle.fd, name)
        else:
            os.unlink(name, dir_fd=handle.fd)
        if stat.S_ISDIR(st.st_mode) or stat.S_ISLNK(st.st_mode):
            self._parents.forget()

    def _set_root(self, entry: Entry) -> None:
        handle, _ = self._parents.directory("")
        set_metadata(handle.fd, b".", entry)
        self._parents.made[""] = entry.mtime_ns

    def _link_source(self, entry: Entry) -> tuple[Handle, bytes]:
        handle, name, real = self.locate(entry.link)
        st = _stat(handle.fd, name)
        if st is None:
            try:
                self.copy_up(real)
            except FileNotFoundError:
                raise _no_target(entry) from None
            handle, name, _ = self.locate(entry.link)
            st = _stat(handle.fd, name)
        if st is None or stat.S_ISDIR(st.st_mode) or is_whiteout(st):
            raise _no_target(entry)
        return handle, name

    def unmark(self, path: str) -> None:
        """Takes the opaque mark off a directory."""
        handle, name, _ = self.locate(path)
        clear_opaque(place(handle.fd, name), self._attribute)


def remove_tree(dir_fd: int, name: bytes) -> None:
    """Removes a directory and what is in it, however deep, with two descriptors.

    It goes up by `..`, which is safe where nobody else moves directories about: in a directory of ours, no
    process of a build running in it.
    """
    fd = os.open(name, _LIST, dir_fd=dir_fd)
    trail = [(name, _empty(fd))]
    try:
        while True:
            inside = trail[-1][1]
            if inside:
                below = os.open(inside[-1], _LIST, dir_fd=fd)
                os.close(fd)
                fd = below
                trail.append((inside.pop(), _empty(fd)))
                continue
            gone, _ = trail.pop()
            if not trail:
                break
            above = os.open(b"..", _LIST, dir_fd=fd)
            os.close(fd)
            fd = above
            os.rmdir(gone, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=dir_fd)


def _empty(fd: int) -> list[bytes]:
    """Unlinks all but the directories in an open directory, and names these."""
    with os.scandir(fd) as found:
        items = [(os.fsencode(item.name), item.is_dir(follow_symlinks=False)) for item in found]
    for child, is_dir in items:
        if not is_dir:
            os.unlink(child, dir_fd=fd)
    return [child for child, is_dir in items if is_dir]


def _stat(dir_fd: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _no_target(entry: Entry) -> LayerwrightError:
    return LayerwrightError("tar-link", f"{entry.path!r} is a hard link to {entry.link!r}, which is not there or is a directory")
