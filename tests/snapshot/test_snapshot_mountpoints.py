"""The lowest layer that steps stand on: what is in it, and who gets it."""

from __future__ import annotations

import os
from pathlib import Path

from builder.snapshot.mountpoints import MountPoints
from runtime.spec import Directory, Overlay


def test_below_an_overlay_once_made(tmp_path: Path) -> None:
    made: list[str] = []

    def scratch(prefix: str) -> Path:
        made.append(prefix)
        path = tmp_path / f"{prefix}{len(made)}"
        path.mkdir(mode=0o700)
        return path

    points = MountPoints(scratch)
    before = os.umask(0o077)
    try:
        root = points.below(Overlay(("/a", "/b"), "/upper", "/work"))
        again = points.below(Overlay((), "/upper2", "/work2"))
    finally:
        os.umask(before)
    assert isinstance(root, Overlay)
    assert isinstance(again, Overlay)
    assert (root.lowers[:-1], root.upper, root.work) == (("/a", "/b"), "/upper", "/work")
    assert again.lowers == root.lowers[-1:]
    assert made == ["mountpoints-"]
    found = {str(path.relative_to(root.lowers[-1])): oct(path.stat().st_mode) for path in Path(root.lowers[-1]).rglob("*")}
    assert found == {"etc": "0o40755", "etc/hosts": "0o100644", "etc/resolv.conf": "0o100644"}


def test_a_copied_root_is_left_as_it_is(tmp_path: Path) -> None:
    points = MountPoints(lambda prefix: tmp_path)
    assert points.below(Directory("/copy")) == Directory("/copy")
    assert list(tmp_path.iterdir()) == []
