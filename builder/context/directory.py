"""A directory of the user's as a build context: its files less what .dockerignore leaves out.

The ignore file is read beneath the context and never through a link (CVE-2022-4122), and nothing of it shows
in an error but the pattern at fault.
"""

from __future__ import annotations

import os
import stat

from builder.context.ignore import IgnoredTree, Patterns, parse_ignore
from builder.errors import LayerwrightError, NotFoundError
from builder.fs.resolve import resolve
from builder.fs.tree import DirTree, Tree

MAX_IGNORE_FILE = 4 << 20
MAX_DOCKERFILE = 16 << 20


def open_directory(path: str, *, dockerfile: str | None = None) -> Tree:
    """The tree of a context directory. `dockerfile`: its path in the context, for `<Dockerfile>.dockerignore`."""
    try:
        info = os.stat(path)
    except OSError as error:
        raise NotFoundError(
            "context-not-found",
            f"the build context {path!r} cannot be read: {error.strerror}",
            help="name a directory that exists, `.` for this one",
        ) from None
    if not stat.S_ISDIR(info.st_mode):
        raise LayerwrightError(
            "context-not-a-directory", f"the build context {path!r} is not a directory", help="name the directory that holds the files"
        )
    return with_ignore(DirTree(path), dockerfile)


def with_ignore(tree: Tree, dockerfile: str | None = None) -> Tree:
    """`tree` less what its ignore file leaves out; the Dockerfile's own one replaces `.dockerignore`."""
    patterns = read_patterns(tree, dockerfile)
    return IgnoredTree(tree, patterns) if patterns else tree


def read_patterns(tree: Tree, dockerfile: str | None = None) -> Patterns:
    """The patterns that apply; none when there is no ignore file."""
    names = ([f"{dockerfile}.dockerignore"] if dockerfile else []) + [".dockerignore"]
    for name in names:
        text = read_context_file(tree, name, MAX_IGNORE_FILE)
        if text is not None:
            return parse_ignore(text)
    return Patterns(())


def read_context_file(tree: Tree, path: str, limit: int) -> bytes | None:
    """A small regular file of a context, links followed inside it only; None when it is not there.

    For what the build itself reads (Dockerfile, ignore files), which .dockerignore may exclude: give the
    unfiltered tree.
    """
    resolved = resolve(tree, path)
    entry = tree.lstat(resolved)
    if entry is None or entry.kind == "dir":
        return None
    if entry.kind != "file":
        raise LayerwrightError("context-not-a-file", f'"{path}" in the context is a {entry.kind}', help="make it a regular file")
    if entry.size > limit:
        raise LayerwrightError("context-file-too-large", f'"{path}" in the context is larger than {limit} bytes')
    try:
        fd = tree.open(resolved)
    except OSError as error:
        raise LayerwrightError(
            "context-unreadable", f'"{path}" in the context cannot be read: {error.strerror}', help="change its permissions"
        ) from None
    with open(fd, "rb") as file:
        return file.read(limit + 1)[:limit]


def read_dockerfile(tree: Tree, path: str | None = None) -> tuple[str, bytes]:
    """The Dockerfile of a context, and its name there; without a path `Dockerfile`, else `dockerfile`."""
    plain = tree.unfiltered if isinstance(tree, IgnoredTree) else tree
    for name in (path,) if path is not None else ("Dockerfile", "dockerfile"):
        text = read_context_file(plain, name, MAX_DOCKERFILE)
        if text is not None:
            return name, text
    wanted = path or "Dockerfile"
    raise NotFoundError(
        "dockerfile-not-found", f'"{wanted}" is not in the build context', help="name it with `-f`, relative to where you are"
    )
