"""ADD of a local archive: told by its content, and extracted into the destination (reference 1.6).

Members keep owner, mode and mtime; --chown applies to them and to a destination that is made, not to parents
that the archive only implies, which are 0:0 0755. Names, links and the parents they pass are resolved with the
destination as the root, as in a chroot; a parent that is a link to nothing is an error. A member replaces what has
its name, a link to a directory too, except that a directory merges with a directory. Names like `.wh.x` mean nothing here.
"""

from __future__ import annotations

import os
import stat

import msgspec

from builder.errors import CorruptionError, LayerwrightError
from builder.fs.compress import decompress
from builder.fs.copytree import create_special, finish_file, set_metadata, write_data
from builder.fs.entries import Entry, encode_path
from builder.fs.limits import DEFAULT, Limits
from builder.fs.overlay import make_opaque, place
from builder.fs.resolve import resolve
from builder.fs.sniff import sniff_archive
from builder.fs.tarread import Body, read_tar
from builder.fs.tree import Tree
from builder.fs.upper import remove_tree
from builder.ops.archive_root import Subtree
from builder.ops.copy_write import UpperDirectories, create_replacing, finish_directory, unwritable
from builder.ops.destination import Cancelled, Destination, Times
from grammar.diagnostics import Diagnostic

MAX_MTIME = (1 << 62) - 1


def is_archive(tree: Tree, path: str) -> bool:
    """Whether a regular file decompresses to something that begins with a tar header (five formats, never zip)."""
    try:
        with open(tree.open(path), "rb", buffering=0) as file:
            return sniff_archive(file.fileno())
    except OSError:
        return False


def extract_archive(
    tree: Tree,
    path: str,
    target: str,
    destination: Destination,
    chown: tuple[int, int] | None,
    times: Times,
    check: Cancelled,
    limits: Limits = DEFAULT,
) -> list[Diagnostic]:
    """Extracts the archive `path` of `tree` into `target`, a directory of the destination's root."""
    with open(tree.open(path), "rb", buffering=0) as file, UpperDirectories(destination.upper) as upper:
        extraction = _Extraction(destination, upper, target, chown, times)
        for count, (entry, body) in enumerate(read_tar(decompress(file, limits), limits, whiteouts=False)):
            if not count & 255:
                check()
            if entry.path:
                extraction.add(entry, body)
        extraction.finish()
        return extraction.warnings


class _Extraction:
    """One archive being extracted. Paths inside are of the whole root; `_below` gives them for a member's name."""

    def __init__(self, destination: Destination, upper: UpperDirectories, target: str, chown: tuple[int, int] | None, times: Times) -> None:
        self._root = destination.root
        self._opaque = destination.opaque_xattr
        self._upper = upper
        self._target = target
        self._chown = chown
        self._times = times
        self._view = Subtree(destination.root, target)
        self._parents: dict[str, str] = {}
        self._known: dict[str, frozenset[str]] = {}
        self._fresh: set[str] = set()
        self._hidden: set[str] = set()
        self._directories: dict[str, Entry] = {}
        self._carried: set[str] = set()
        self.warnings: list[Diagnostic] = []

    def add(self, entry: Entry, body: Body) -> None:
        """One member."""
        if entry.kind == "char" and entry.major == entry.minor == 0:
            # Device 0:0 is how overlayfs writes a deletion down; no layer can hold it.
            message = f"the archive's {entry.path!r} is the device 0:0, which no layer can hold; it is left out"
            self.warnings.append(Diagnostic("archive-device", message, severity="warning"))
            return
        parent, _, name = entry.path.rpartition("/")
        where = self._parent(parent)
        path = f"{where}/{name}" if where else name
        uid, gid = self._chown or (entry.uid, entry.gid)
        mtime = max(0, min(entry.mtime_ns, MAX_MTIME))
        final = Entry(path, entry.kind, entry.mode, uid, gid, mtime, entry.size, entry.link, entry.major, entry.minor, entry.xattrs)
        try:
            if entry.kind == "dir":
                self._add_directory(final)
            else:
                self._add_file(where, name, final, body)
        except OSError as error:
            raise unwritable(path, final, error) from error

    def finish(self) -> None:
        """Metadata of all directories that were made or written into, deepest first."""
        for path in sorted(self._directories, reverse=True):
            finish_directory(self._upper, self._directories[path])

    def _parent(self, name: str) -> str:
        """The directory that a member's parent is, in the upper directory by now."""
        known = self._parents.get(name)
        if known is None:
            inside = resolve(self._view, name)
            if inside != name:
                self._refuse_dangling(name)
            known = self._target + "/" + inside if self._target and inside else self._target or inside
            self._ensure(known)
            self._parents[name] = known
        return known

    def _refuse_dangling(self, name: str) -> None:
        """What is missing is made below the directories there are, never where a link points: mkdir takes the link for a file."""
        parts = name.split("/")
        for count in range(1, len(parts) + 1):
            path = resolve(self._view, "/".join(parts[:count]), follow_last=False)
            entry = self._view.lstat(path)
            if entry is not None and entry.kind == "symlink" and self._view.lstat(resolve(self._view, path)) is None:
                raise LayerwrightError(
                    "archive-not-a-directory",
                    f"the archive has a member below {path!r}, which is a symbolic link to {entry.link!r}, where nothing is",
                    help="links are followed with the destination of ADD as their root; extract to /, or make the directory first",
                )

    def _ensure(self, path: str) -> None:
        """A directory that gets an entry: made 0755 0:0 where it is missing, else carried up from below."""
        if not path or path in self._directories:
            return
        parent, _, name = path.rpartition("/")
        self._ensure(parent)
        current = self._current(parent, name, path)
        if current is None:
            self._make(parent, name, path)
            above = self._directories.get(parent) or self._root.lstat(parent)
            # mkdir(2) hands the bit down, and BuildKit's chown to 0:0 leaves it
            setgid = above.mode & stat.S_ISGID if above is not None else 0
            self._directories[path] = Entry(path, "dir", 0o755 | setgid, 0, 0, self._times.created)
        elif current.kind != "dir":
            raise LayerwrightError(
                "archive-not-a-directory",
                f"the archive has a member below /{path}, which is not a directory",
                help="extract to another path, or remove what is there in an earlier step",
            )
        else:
            self._carry(parent, name, path)
            self._directories[path] = msgspec.structs.replace(current, path=path, xattrs=self._root.xattrs(path))
            self._carried.add(path)

    def _touch(self, path: str) -> None:
        """A directory from below whose entries change gets a new mtime; one that is merely passed keeps its own."""
        if path in self._carried:
            self._carried.discard(path)
            self._directories[path] = msgspec.structs.replace(self._directories[path], mtime_ns=self._times.created)

    def _current(self, parent: str, name: str, path: str) -> Entry | None:
        """What stands at a path; the layers below are asked only where they can have something."""
        if parent in self._fresh:
            return self._written(parent, name, path)
        known = self._known.get(parent)
        if known is None:
            known = self._known[parent] = frozenset(self._root.names(parent))
        if name in known:
            return self._root.lstat(path)
        return self._written(parent, name, path)

    def _written(self, parent: str, name: str, path: str) -> Entry | None:
        try:
            info = os.stat(encode_path(name), dir_fd=self._upper.directory(parent), follow_symlinks=False)
        except FileNotFoundError:
            return None
        return self._root.lstat(path) if info is not None else None

    def _make(self, parent: str, name: str, path: str) -> None:
        """A directory where none stands; opaque where this archive put something over a directory of a lower layer."""
        self._touch(parent)
        fd = self._upper.directory(parent)
        os.mkdir(encode_path(name), 0o700, dir_fd=fd)
        self._fresh.add(path)
        if path in self._hidden:
            make_opaque(place(fd, encode_path(name)), self._opaque)

    def _carry(self, parent: str, name: str, path: str) -> None:
        """The directory in the upper layer too."""
        try:
            os.mkdir(encode_path(name), 0o700, dir_fd=self._upper.directory(parent))
        except FileExistsError:
            return

    def _add_directory(self, entry: Entry) -> None:
        parent, _, name = entry.path.rpartition("/")
        current = self._current(parent, name, entry.path)
        if current is not None and current.kind == "symlink":
            message = f"the archive's directory {entry.path!r} takes the place of a symbolic link to {current.link!r}"
            self.warnings.append(Diagnostic("archive-replaces-link", message, severity="warning"))
        if current is not None and current.kind == "dir":
            self._carry(parent, name, entry.path)
            kept = dict(self._root.xattrs(entry.path)) | dict(entry.xattrs)
            entry = msgspec.structs.replace(entry, xattrs=tuple(sorted(kept.items())))
        else:
            if current is not None:
                self._remove(parent, name, entry.path, current)
            self._make(parent, name, entry.path)
        self._carried.discard(entry.path)
        self._directories[entry.path] = entry

    def _add_file(self, parent: str, name: str, entry: Entry, body: Body) -> None:
        self._touch(parent)
        source = self._link_source(entry) if entry.kind == "hardlink" else None
        if source == entry.path:
            raise CorruptionError("archive-bad-link", f"the archive's {entry.path!r} is a hard link to itself")
        if parent not in self._fresh:
            current = self._current(parent, name, entry.path)
            if current is not None:
                self._remove(parent, name, entry.path, current)
        self._create(self._upper.directory(parent), parent, name, entry, body, source)
        if entry.kind == "symlink":
            self._parents.clear()

    def _create(self, fd: int, parent: str, name: str, entry: Entry, body: Body, source: str | None) -> None:
        raw = encode_path(name)
        try:
            if source is not None:
                self._link(source, parent, raw, entry)
            elif entry.kind == "file":
                target = create_replacing(fd, raw)
                try:
                    body.copy_to(target)
                    finish_file(target, entry)
                finally:
                    os.close(target)
            else:
                create_special(fd, raw, entry)
                set_metadata(fd, raw, entry)
        except (FileExistsError, IsADirectoryError):
            current = self._root.lstat(entry.path)
            if current is None:
                raise
            self._remove(parent, name, entry.path, current)
            self._create(self._upper.directory(parent), parent, name, entry, body, source)

    def _link_source(self, entry: Entry) -> str:
        """The file that a hard link joins, in the upper directory by now."""
        directory, _, name = entry.link.rpartition("/")
        where = self._parent(directory)
        path = f"{where}/{name}" if where else name
        current = self._root.lstat(path)
        if current is None or current.kind == "dir":
            raise CorruptionError("archive-bad-link", f"the archive's {entry.path!r} is a hard link to {entry.link!r}, which is no file")
        if not self._in_upper(where, name):
            self._copy_up(where, name, current)
        return path

    def _in_upper(self, parent: str, name: str) -> bool:
        try:
            os.stat(encode_path(name), dir_fd=self._upper.directory(parent), follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _copy_up(self, parent: str, name: str, entry: Entry) -> None:
        entry = msgspec.structs.replace(entry, xattrs=self._root.xattrs(entry.path))
        fd, raw = self._upper.directory(parent), encode_path(name)
        if entry.kind != "file":
            create_special(fd, raw, entry)
            set_metadata(fd, raw, entry)
            return
        source = self._root.open(entry.path)
        try:
            target = create_replacing(fd, raw)
            try:
                write_data(target, source)
                finish_file(target, entry)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _link(self, source: str, parent: str, name: bytes, entry: Entry) -> None:
        """One more name, and the metadata of its header, which then are the file's."""
        directory, _, last = source.rpartition("/")
        source_fd = os.dup(self._upper.directory(directory))
        try:
            fd = self._upper.directory(parent)
            os.link(encode_path(last), name, src_dir_fd=source_fd, dst_dir_fd=fd, follow_symlinks=False)
            kind = stat.S_IFMT(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
            set_metadata(fd, name, msgspec.structs.replace(entry, kind="symlink" if kind == stat.S_IFLNK else "file"))
        finally:
            os.close(source_fd)

    def _remove(self, parent: str, name: str, path: str, current: Entry) -> None:
        """Takes away what has a member's name: from the upper directory; what is below will be hidden by the member."""
        fd, raw = self._upper.directory(parent), encode_path(name)
        if current.kind != "dir":
            if self._in_upper(parent, name):
                os.unlink(raw, dir_fd=fd)
            if current.kind == "symlink":
                self._parents.clear()
            return
        self._hidden.add(path)
        if self._in_upper(parent, name):
            held = os.dup(fd)
            try:
                self._upper.forget()
                remove_tree(held, raw)
            finally:
                os.close(held)
        self._parents.clear()
        self._known.clear()
        for gone in [key for key in self._directories if key == path or key.startswith(path + "/")]:
            del self._directories[gone]
        self._fresh = {key for key in self._fresh if key != path and not key.startswith(path + "/")}
