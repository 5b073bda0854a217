"""COPY, and ADD of anything: the rules of reference 1.5 and 1.6, from sources to an overlay-format directory.

For each path a source names: the destination is resolved in the root as a chroot would (not with --link, for
then the root is empty), its parents are made, and what is copied is put into a plan, which is written at the
end. An archive is extracted at once, after what was planned before it has been written, since its bytes
decide what the root holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from builder.context.globs import inside
from builder.context.ignore import Patterns, parse_patterns
from builder.context.scan import Seen
from builder.errors import LayerwrightError
from builder.fs.entries import Entry
from builder.fs.modes import parse_chmod
from builder.fs.resolve import resolve
from builder.fs.tree import Tree
from builder.graph.operations import CopyAction, CopyFrom, InlineFile
from builder.ops.archive import extract_archive, is_archive
from builder.ops.copy_owner import owner_of
from builder.ops.copy_plan import Placed, Plan
from builder.ops.copy_write import write_plan
from builder.ops.destination import Applied, Cancelled, Destination, Times
from builder.ops.select import Selected, select
from builder.ops.select_walk import Below, Found
from grammar.diagnostics import Diagnostic


def apply_copy(
    action: CopyAction,
    sources: Sequence[Tree],
    destination: Destination,
    times: Times,
    *,
    check: Cancelled = lambda: None,
    take: Callable[[Plan], bool] = lambda plan: False,
) -> Applied:
    """Carries the action out. `sources[i]` is the tree of `action.sources[i]`.

    `take` is offered all that is to be done as a plan, unless something was written already; True says that it is done.
    """
    copier = _Copier(action, destination, times, check)
    for source, tree in zip(action.sources, sources, strict=True):
        copier.copy_from(source, tree)
    for file in action.inline:
        copier.copy_inline(file)
    if not copier.changed and copier.planned.placed and take(copier.planned):
        copier.changed = True
    else:
        copier.flush()
    return Applied(tuple(copier.warnings), changed=copier.changed)


class _Copier:
    """One action being carried out."""

    def __init__(self, action: CopyAction, destination: Destination, times: Times, check: Cancelled) -> None:
        self._action = action
        self._to = destination
        self._times = times
        self._check = check
        self._plan = Plan(destination.root)
        self._excludes: Patterns = parse_patterns(action.excludes)
        self._chmod = parse_chmod(action.chmod) if action.chmod else None
        self._octal = action.chmod is not None and action.chmod.isdigit()
        self._numbered = 0
        self.warnings: list[Diagnostic] = []
        self.changed = False
        self._chown = owner_of(action.chown, destination.users, self.warnings) if action.chown else None

    def copy_from(self, source: CopyFrom, tree: Tree) -> None:
        """Everything one input gives."""
        selection = select(tree, source.paths, parents=self._action.parents)
        self.warnings.extend(selection.warnings)
        for item in selection.items:
            self._check()
            self._numbered += 1
            if source.unpack and item.seen.entry.kind == "file" and is_archive(tree, item.path):
                self._extract(tree, item)
            elif item.seen.entry.kind == "dir":
                self._copy_directory(source, tree, item)
            else:
                self._warn_excluded(item)
                self._copy_file(item.name, self._placed(source, tree, item.seen, ""))

    def copy_inline(self, file: InlineFile) -> None:
        """A here-document: a file named after its delimiter."""
        uid, gid = self._chown or (0, 0)
        mode = self._chmod(0o644, False) if self._chmod else 0o644
        entry = Entry("", "file", mode, uid, gid, self._times.created, len(file.content))
        self._copy_file(file.name.rpartition("/")[2], Placed(entry, data=file.content))

    @property
    def planned(self) -> Plan:
        """What is not written yet."""
        return self._plan

    def flush(self) -> None:
        """Writes what is planned."""
        if self._plan.placed:
            write_plan(self._plan, self._to, self._check)
            self.changed = True
            self._plan = Plan(self._to.root)

    def _destination(self, name: str | None) -> str:
        """Where it goes: parents made, links followed; `name` is added for a file where a directory stands."""
        written = self._action.destination
        owner = self._chown
        target = inside(written)
        directory = target if written.endswith("/") else target.rpartition("/")[0]
        if name is None:
            directory = target.rpartition("/")[0]
        self._plan.make_directories(resolve(self._plan, directory), owner, self._times.created)
        path = resolve(self._plan, target)
        if name is None:
            return path
        current = self._plan.lstat(path)
        if current is not None and current.kind == "dir":
            return f"{path}/{name}" if path else name
        self._plan.make_directories(path.rpartition("/")[0], owner, self._times.created)
        return path

    def _copy_file(self, name: str, placed: Placed) -> None:
        path = self._destination(name)
        if self._left_out(placed.entry, name):
            return
        placed.entry = msgspec.structs.replace(placed.entry, path=path)
        self._plan.put(placed)
        self._plan.touch(path.rpartition("/")[0], self._times.created)

    def _copy_directory(self, source: CopyFrom, tree: Tree, item: Selected) -> None:
        """Its contents, into the destination: made 0755 (or an octal --chmod), or kept but for its mtime."""
        top = self._destination(None)
        current = self._plan.lstat(top)
        if current is None:
            mode = self._chmod(0o755, True) if self._chmod and self._octal else 0o755
            self._plan.make_directories(top.rpartition("/")[0], self._chown, self._times.created)
            self._plan.make_directory(top, self._chown, mode, self._times.created, chmod=self._chmod is not None and self._octal)
        elif current.kind != "dir":
            raise LayerwrightError(
                "copy-directory-onto-file",
                f"cannot copy to non-directory: /{top} is a {current.kind}, and {item.source!r} is a directory",
                help="remove what is there in an earlier step, or copy to another path",
            )
        prefix = top + "/" if top else ""
        for found in Below(tree, item.path, self._excludes, item.include):
            self._copy_found(source, tree, found, prefix + found.relative)
        # No layer lists the root of a stage or an image, so it has no mtime of its own.
        rootless = not item.path and not source.zero_owner
        self._plan.set_mtime(top, self._times.created if rootless else self._times.copied(item.seen.entry.mtime_ns))

    def _copy_found(self, source: CopyFrom, tree: Tree, found: Found, path: str) -> None:
        entry = found.seen.entry
        if self._left_out(entry, entry.path):
            return
        if found.parent:
            current = self._plan.lstat(path)
            if current is not None and current.kind == "dir":
                # fsutil's delayed parents: an existing directory takes the source's mode, and nothing else of it
                self._plan.set_mode(path, entry.mode)
                self._plan.touch(path, self._times.created)
                return
        self._plan.put(self._placed(source, tree, found.seen, path))

    def _placed(self, source: CopyFrom, tree: Tree, seen: Seen, path: str) -> Placed:
        """A source's entry with the metadata it gets, at `path` of the destination."""
        entry = seen.entry
        uid, gid = self._chown or ((0, 0) if source.zero_owner else (entry.uid, entry.gid))
        mode = entry.mode
        if self._chmod is not None and entry.kind != "symlink":
            mode = self._chmod(mode, entry.kind == "dir")
        mtime = self._times.copied(entry.mtime_ns)
        final = Entry(path, entry.kind, mode, uid, gid, mtime, entry.size, entry.link, entry.major, entry.minor, seen.xattrs)
        if entry.kind != "file":
            return Placed(final)
        return Placed(final, tree, entry.path, group=None if seen.identity is None else (self._numbered, seen.identity))

    def _extract(self, tree: Tree, item: Selected) -> None:
        self.flush()
        target = resolve(self._plan, inside(self._action.destination))
        self._plan.make_directories(target, self._chown, self._times.created)
        self.flush()
        self.warnings.extend(extract_archive(tree, item.path, target, self._to, self._chown, self._times, self._check))
        self.changed = True
        self._plan = Plan(self._to.root)

    def _left_out(self, entry: Entry, name: str) -> bool:
        """Whether this is what no layer can hold: a socket, or the device 0:0, by which overlayfs means a deletion."""
        if entry.kind == "socket":
            code, what = "copy-socket", "a socket"
        elif entry.kind == "char" and entry.major == entry.minor == 0:
            code, what = "copy-device", "the device 0:0"
        else:
            return False
        message = f"{name!r} is {what}, which no layer can hold; it is left out"
        self.warnings.append(Diagnostic(code, message, help="exclude it in .dockerignore, or with --exclude", severity="warning"))
        return True

    def _warn_excluded(self, item: Selected) -> None:
        if self._excludes and self._excludes.matches(item.name):
            message = f"--exclude does not apply to {item.name!r}: it is itself a source, and patterns are relative to sources"
            help = "copy the directory that holds it, or use a narrower wildcard"
            self.warnings.append(Diagnostic("copy-exclude-of-source", message, help=help, severity="warning"))
