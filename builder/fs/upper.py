"""Writes into an overlay-format directory, relative to descriptors: parents, replacements, whiteouts, copy-up.

Nothing is followed that the lower layers hold: a parent this directory lacks becomes a directory with the
lower one's metadata, or 0755 of root where the lower tree has none. Links of this directory itself are followed
in parents as in a chroot (so do tar and containerd), clamped at its root.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict

import msgspec

from builder.errors import LayerwrightError
from builder.fs.copytree import create_file, finish_file, set_metadata, set_mtime, write_data, write_entry
from builder.fs.dirtree import DirTree
from builder.fs.entries import Entry, decode_path, encode_path
from builder.fs.handles import Handle, split
from builder.fs.limits import DEFAULT
from builder.fs.overlay import TRUSTED, clear_opaque, is_whiteout, make_opaque, make_whiteout, opaque_name, place
from builder.fs.tree import Tree

_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEEP = 32


class Upper:
    """One directory being written; a context manager, which sets the directories' times at its end. Not for several threads."""

    def __init__(self, path: str, lower: Tree, opaque_xattr: str = TRUSTED) -> None:
        self.path = path
        self.lower = lower
        self._attribute = opaque_name(opaque_xattr)
        self._root = Handle(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        self._open: OrderedDict[str, tuple[Handle, str]] = OrderedDict()
        self._times: dict[str, int] = {}

    def __enter__(self) -> Upper:
        return self

    def __exit__(self, *exc: object) -> None:
        if exc[0] is None:
            self.settle()
        self._open.clear()

    def settle(self) -> None:
        """Sets the mtimes of the directories written so far, children first."""
        for path in sorted(self._times, key=lambda path: path.count("/"), reverse=True):
            if not path:
                os.utime(place(self._root.fd, b"."), ns=(self._times[path],) * 2)
                continue
            try:
                handle, name, _ = self.locate(path)
                set_mtime(handle.fd, name, self._times[path])
            except FileNotFoundError:
                continue
        self._times.clear()

    def parent(self, path: str) -> tuple[Handle, str]:
        """The directory that `path` is in, made with its parents where it is missing, and its real path here.

        Raises LayerwrightError (tar-parent) when something that is no directory is in the way.
        """
        return self._directory(path.rpartition("/")[0])

    def locate(self, path: str) -> tuple[Handle, bytes, str]:
        """The open parent of `path`, its last component, and its real path here."""
        handle, real = self.parent(path)
        _, name = split(path)
        return handle, name, f"{real}/{decode_path(name)}" if real else decode_path(name)

    def find(self, path: str) -> os.stat_result | None:
        """What this directory itself has at `path`, the last component not followed; parents are made."""
        handle, name, _ = self.locate(path)
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
            handle, name, real = self.locate(entry.path)
            self.clear(handle, name, real)
            write_entry(handle.fd, name, entry)

    def take(self, entry: Entry, source: DirTree) -> None:
        """Moves a file here from another directory of the same file system, metadata and all."""
        handle, name, real = self.locate(entry.path)
        self.clear(handle, name, real)
        source.move(entry.path, handle.fd, name)

    def create(self, entry: Entry) -> int:
        """A new empty file at the entry's path, for the caller to fill, to `finish_file` and to close."""
        handle, name, real = self.locate(entry.path)
        try:
            return create_file(handle.fd, name)
        except FileExistsError:
            self.clear(handle, name, real)
            return create_file(handle.fd, name)

    def make_directory(self, entry: Entry) -> None:
        """A directory; opaque when it takes the place of a whiteout or of anything else than a directory."""
        if not entry.path:
            self._set_root(entry)
            return
        handle, name, real = self.locate(entry.path)
        st = _stat(handle.fd, name)
        hides = st is not None and is_whiteout(st)
        if st is not None and not stat.S_ISDIR(st.st_mode):
            self.clear(handle, name, real)
        write_entry(handle.fd, name, entry)
        if hides:
            make_opaque(place(handle.fd, name), self._attribute)
        self._times[real] = entry.mtime_ns

    def link(self, entry: Entry) -> None:
        """A hard link to a file of this directory, or of a lower layer, which is copied up first."""
        source = self._link_source(entry)
        handle, name, real = self.locate(entry.path)
        st = _stat(handle.fd, name)
        if st is not None:
            found = os.stat(source[1], dir_fd=source[0].fd, follow_symlinks=False)
            if (found.st_dev, found.st_ino) == (st.st_dev, st.st_ino):
                return
            self.clear(handle, name, real)
            source = self._link_source(entry)
        os.link(source[1], name, src_dir_fd=source[0].fd, dst_dir_fd=handle.fd, follow_symlinks=False)

    def hide(self, path: str) -> None:
        """A whiteout, which hides lower layers only: what this directory itself has at the path stays, opaque if a directory."""
        handle, name, _ = self.locate(path)
        st = _stat(handle.fd, name)
        if st is None:
            make_whiteout(handle.fd, name)
        elif stat.S_ISDIR(st.st_mode):
            make_opaque(place(handle.fd, name), self._attribute)

    def remove(self, path: str) -> None:
        """Takes a path away, as a process in the merged root would: a whiteout stays where a lower layer has it."""
        handle, name, real = self.locate(path)
        self.clear(handle, name, real)
        if self.lower.lstat(path) is not None:
            make_whiteout(handle.fd, name)

    def make_opaque(self, path: str) -> None:
        """Hides what lower layers have in a directory. The root's cannot be marked (ovl_get_root), so its names get whiteouts."""
        if path:
            handle, _ = self._directory(path)
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

    def clear(self, handle: Handle, name: bytes, real: str) -> None:
        """Removes whatever this directory has at a place; nothing happens when it has nothing."""
        try:
            os.unlink(name, dir_fd=handle.fd)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):
            remove_tree(handle.fd, name)
        self._forget(real)

    def _forget(self, real: str) -> None:
        # A removed link or directory may be on the way to anything that is remembered.
        self._open.clear()
        below = real + "/"
        for path in [path for path in self._times if path == real or path.startswith(below)]:
            del self._times[path]

    def _set_root(self, entry: Entry) -> None:
        set_metadata(self._root.fd, b".", entry)
        self._times[""] = entry.mtime_ns

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

    def _directory(self, path: str) -> tuple[Handle, str]:
        if not path:
            return self._root, ""
        known = self._open.get(path)
        if known is None:
            known = self._walk(path)
            self._open[path] = known
            if len(self._open) > _KEEP:
                self._open.popitem(last=False)
        return known

    def _walk(self, path: str) -> tuple[Handle, str]:
        todo = list(reversed(path.split("/")))
        trail: list[tuple[Handle, str]] = [(self._root, "")]
        links = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                trail = trail[: max(1, len(trail) - 1)]
                continue
            handle, real = trail[-1]
            inside = f"{real}/{part}" if real else part
            step = self._step(handle, encode_path(part), inside)
            if isinstance(step, Handle):
                trail.append((step, inside))
                continue
            links += 1
            if links > DEFAULT.links:
                raise LayerwrightError("symlink-loop", f"{path!r} leads through more than {DEFAULT.links} symbolic links")
            if step.startswith("/"):
                trail = trail[:1]
            todo.extend(reversed(step.split("/")))
        return trail[-1]

    def _step(self, handle: Handle, name: bytes, real: str) -> Handle | str:
        """The directory `name`, made if it is missing; or the target of a link that stands there."""
        try:
            return Handle(os.open(name, _PATH, dir_fd=handle.fd))
        except FileNotFoundError:
            self._make_implied(handle, name, real, opaque=False)
        except NotADirectoryError:
            st = os.stat(name, dir_fd=handle.fd, follow_symlinks=False)
            if stat.S_ISLNK(st.st_mode):
                return decode_path(os.readlink(name, dir_fd=handle.fd))
            if not is_whiteout(st):
                raise LayerwrightError("tar-parent", f"{real!r} is not a directory, but files are to be put into it") from None
            os.unlink(name, dir_fd=handle.fd)
            self._make_implied(handle, name, real, opaque=True)
        return Handle(os.open(name, _PATH, dir_fd=handle.fd))

    def _make_implied(self, handle: Handle, name: bytes, real: str, *, opaque: bool) -> None:
        below = self.lower.lstat(real)
        entry = Entry(real, "dir", 0o755)
        if below is not None and below.kind == "dir" and not opaque:
            entry = msgspec.structs.replace(below, xattrs=self.lower.xattrs(real))
        write_entry(handle.fd, name, entry)
        if opaque:
            make_opaque(place(handle.fd, name), self._attribute)
        self._times[real] = entry.mtime_ns

    def unmark(self, path: str) -> None:
        """Takes the opaque mark off a directory."""
        handle, name, _ = self.locate(path)
        clear_opaque(place(handle.fd, name), self._attribute)


def remove_tree(dir_fd: int, name: bytes) -> None:
    """Removes a directory and what is in it, following nothing; as deep as it goes, a few descriptors at a time."""
    todo = [name]
    while todo:
        path = todo[-1]
        fd = _open_below(dir_fd, path)
        try:
            with os.scandir(fd) as found:
                items = [(os.fsencode(item.name), item.is_dir(follow_symlinks=False)) for item in found]
            for child, is_dir in items:
                if is_dir:
                    todo.append(path + b"/" + child)
                else:
                    os.unlink(child, dir_fd=fd)
        finally:
            os.close(fd)
        if todo[-1] == path:
            todo.pop()
            parent, _, base = path.rpartition(b"/")
            if not parent:
                os.rmdir(base, dir_fd=dir_fd)
                continue
            above = _open_below(dir_fd, parent)
            try:
                os.rmdir(base, dir_fd=above)
            finally:
                os.close(above)


def _open_below(dir_fd: int, path: bytes) -> int:
    fd = dir_fd
    for part in path.split(b"/"):
        below = os.open(part, _LIST, dir_fd=fd)
        if fd != dir_fd:
            os.close(fd)
        fd = below
    return fd


def _stat(dir_fd: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _no_target(entry: Entry) -> LayerwrightError:
    return LayerwrightError("tar-link", f"{entry.path!r} is a hard link to {entry.link!r}, which is not there or is a directory")
