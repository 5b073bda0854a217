"""The local output: the result's files in a directory, owned by whoever runs the build.

As buildx does: what is there stays unless the result has it too (mode=delete removes the rest), modes and
times are kept, owners are not. No link in the directory is followed: every step goes by directory fd with
O_NOFOLLOW, and a link that stands where the result has a directory is replaced. Not atomic as a whole; each
file is. Device nodes are left out where the user may not make them.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from builder.errors import LayerwrightError
from builder.export.exporter import Exported, Means
from builder.export.rootfs import entries_of, trees
from builder.export.spec import OutputSpec
from builder.export.tarball import check_split
from builder.fs.copytree import write_entry
from builder.fs.entries import Entry, decode_path, encode_path
from builder.fs.tree import Tree
from builder.image.model import BuildResult
from builder.store.removal import remove_tree
from builder.store.space import guard_space

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalExporter:
    """Writes below `dest`, which is made if need be."""

    def __init__(self, spec: OutputSpec, means: Means) -> None:
        self._spec = spec
        self._means = means
        self._dest = Path(spec.dest or ".")

    def check(self) -> None:
        if self._dest.exists() and not self._dest.is_dir():
            raise LayerwrightError("output-not-directory", f"the output {self._dest} is not a directory", help="name one, or use type=tar")

    def export(self, result: BuildResult) -> Exported:
        check_split(self._spec, result)
        skipped: list[str] = []
        epoch = self._means.epoch if self._spec.epoch is None else self._spec.epoch
        with guard_space(self._dest.parent):
            try:
                for prefix, tree in trees(result.images, self._means.layers, self._spec.platform_split):
                    target = self._dest / prefix if prefix else self._dest
                    target.mkdir(parents=True, exist_ok=True)
                    skipped += write_files(target, tree, epoch=epoch, delete=self._spec.delete)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
                where = error.filename if isinstance(error.filename, str) else self._dest
                raise LayerwrightError(
                    "output-unwritable", f"the output {self._dest} cannot be written: {error.strerror} ({where})"
                ) from error
        notes = (f"{len(skipped)} device nodes were left out, as {skipped[0]}: only root can make them",) if skipped else ()
        return Exported(f"wrote the files to {self._dest}", notes)


def write_files(target: Path, tree: Tree, *, epoch: int | None = None, delete: bool = False) -> list[str]:
    """Copy a tree into a directory; returns the device nodes that could not be made."""
    writer = _Writer(target, tree)
    try:
        for entry in entries_of(tree, epoch):
            writer.add(entry)
        writer.finish()
        if delete:
            writer.remove_others()
    finally:
        writer.close()
    return writer.skipped


class _Writer:
    """Holds the fds from the target down to the directory being written."""

    def __init__(self, target: Path, tree: Tree) -> None:
        self._tree = tree
        self._target = target
        self._uid, self._gid = os.geteuid(), os.getegid()
        self._open: list[tuple[str, int]] = [("", os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))]
        self._directories: list[Entry] = []
        self.skipped: list[str] = []

    def add(self, entry: Entry) -> None:
        parent, _, name = entry.path.rpartition("/")
        fd = self._descend(parent)
        raw = encode_path(name)
        owned = msgspec.structs.replace(entry, uid=self._uid, gid=self._gid)
        if entry.kind == "dir":
            _clear(fd, raw, keep_directory=True)
            # Its own mode and time come last: it may be one that cannot be written to.
            write_entry(fd, raw, msgspec.structs.replace(owned, mode=0o700, xattrs=()))
            self._directories.append(owned)
        elif entry.kind == "hardlink":
            self._beside(fd, raw, lambda temporary: self._link(entry.link, fd, temporary))
        elif entry.kind == "file":
            with self._contents(entry) as data:
                self._beside(fd, raw, lambda temporary: write_entry(fd, temporary, owned, data))
        else:
            try:
                self._beside(fd, raw, lambda temporary: write_entry(fd, temporary, owned))
            except PermissionError:
                if entry.kind not in ("char", "block"):
                    raise
                self.skipped.append(f"/{entry.path}")

    def finish(self) -> None:
        """Give directories their modes and times, the deepest first."""
        for entry in reversed(self._directories):
            parent, _, name = entry.path.rpartition("/")
            write_entry(self._descend(parent), encode_path(name), entry)

    def remove_others(self) -> None:
        """mode=delete: what the result has not goes."""
        directories = ["", *(entry.path for entry in self._directories)]
        for path in directories:
            wanted = {encode_path(name) for name in self._tree.names(path)}
            fd = self._descend(path)
            for name in os.listdir(fd):
                if os.fsencode(name) not in wanted:
                    remove_tree(f"/proc/self/fd/{fd}/{name}")

    def close(self) -> None:
        for _, fd in self._open:
            os.close(fd)
        self._open.clear()

    def _descend(self, path: str) -> int:
        """The fd of a directory of the target; neighbours in the walk cost one open."""
        while self._open[-1][0] and path != self._open[-1][0] and not path.startswith(self._open[-1][0] + "/"):
            os.close(self._open.pop()[1])
        at, fd = self._open[-1]
        rest = path[len(at) :].strip("/") if at else path
        for name in rest.split("/") if rest else ():
            at = f"{at}/{name}" if at else name
            fd = os.open(encode_path(name), _DIRECTORY, dir_fd=fd)
            self._open.append((at, fd))
        return fd

    def _beside(self, fd: int, name: bytes, make: Callable[[bytes], object]) -> None:
        """Make an entry under another name and move it to its own, over whatever stood there."""
        temporary = b".layerwright-" + secrets.token_hex(8).encode()
        try:
            make(temporary)
            _clear(fd, name, keep_directory=False)
            os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=fd)
            raise

    def _link(self, first: str, fd: int, temporary: bytes) -> None:
        parent, _, name = first.rpartition("/")
        with _opened(self._target, parent) as source:
            os.link(encode_path(name), temporary, src_dir_fd=source, dst_dir_fd=fd, follow_symlinks=False)

    @contextmanager
    def _contents(self, entry: Entry) -> Iterator[int | None]:
        if not entry.size:
            yield None
            return
        fd = self._tree.open(entry.path)
        try:
            yield fd
        finally:
            os.close(fd)


@contextmanager
def _opened(target: Path, path: str) -> Iterator[int]:
    """A directory below the target, no link followed."""
    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in path.split("/") if path else ():
            below = os.open(encode_path(name), _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def _clear(fd: int, name: bytes, *, keep_directory: bool) -> None:
    """Make room for an entry of another kind; a link goes itself, never what it points to."""
    try:
        mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        if not keep_directory:
            remove_tree(f"/proc/self/fd/{fd}/{decode_path(name)}")
    elif keep_directory:
        os.unlink(name, dir_fd=fd)
