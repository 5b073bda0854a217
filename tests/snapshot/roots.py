"""Root filesystems for tests: shell commands run on a draft's root, and all that a tree shows, as data."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

import pytest

from builder.fs.tree import StackTree, Tree, walk
from builder.snapshot.layers import Draft
from runtime.spec import Directory, Overlay, Root
from tests.privileges import ROOT, XATTR_PREFIX

SCRIPT_OVERLAY = 'mount -t overlay overlay -o "$1" "$2" && cd "$2" && eval "$3"'


def can_mount() -> bool:
    """Whether overlay mounts can be made here, as root in a mount namespace."""
    return ROOT and shutil.which("unshare") is not None


needs_overlay = pytest.mark.skipif(not can_mount(), reason="overlay mounts need root and unshare")


def run(root: Root, script: str) -> None:
    """Runs a shell script of the host with the root as its working directory."""
    match root:
        case Overlay():
            options = "lowerdir=" + ":".join(root.lowers or ("/var/empty",))
            if root.upper is not None:
                options += f",upperdir={root.upper},workdir={root.work}"
            if XATTR_PREFIX == "user.overlay.":
                options += ",userxattr"
            point = f"{root.work or f'/tmp/layerwright-{os.getpid()}'}-mount"
            os.makedirs(point, exist_ok=True)
            try:
                subprocess.run(["unshare", "-m", "sh", "-euc", SCRIPT_OVERLAY, "sh", options, point, script], check=True)
            finally:
                os.rmdir(point)
        case Directory():
            subprocess.run(["sh", "-euc", script], cwd=root.path, check=True)


def change(draft: Draft, script: str) -> None:
    """Runs a script on a draft as a RUN step would; with no layers below, straight in its directory."""
    root = draft.root()
    if isinstance(root, Overlay) and not root.lowers:
        root = Directory(draft.upper)
    run(root, script)


def shows(tree: Tree) -> dict[str, Any]:
    """Everything a tree shows: entries, attributes, contents, and which names are one file."""
    groups: dict[tuple[int, int], str] = {}
    found: dict[str, Any] = {}
    for path in walk(tree):
        entry = tree.lstat(path)
        assert entry is not None
        content = b""
        if entry.kind == "file":
            fd = tree.open(path)
            with open(fd, "rb") as file:
                content = file.read()
        identity = tree.identity(path)
        first = path if identity is None else groups.setdefault(identity, path)
        found[path] = (entry, tree.xattrs(path), content, first)
    return found


def names(tree: StackTree) -> set[str]:
    """The paths in a tree."""
    return set(walk(tree))
