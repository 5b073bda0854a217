"""Resolution inside a root: the walk by hand against the kernel's, and overlays of as many layers as there can be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.child import kernel, libc
from runtime.child.paths import Walk
from runtime.unsupported import setup_remedy

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = ("a", "b", "c")
PARTS = st.sampled_from((*NAMES, "..", ".", ""))
PATHS = st.builds(
    lambda absolute, parts: ("/" if absolute else "") + "/".join(parts), st.booleans(), st.lists(PARTS, min_size=1, max_size=5)
)
TREES = st.lists(
    st.tuples(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), st.sampled_from(("dir", "file", "link")), PATHS),
    min_size=1,
    max_size=10,
)


def _kernel(root_fd: int, path: str) -> tuple[int, int] | int | None:
    try:
        fd = libc.openat2(root_fd, path or ".", os.O_PATH, libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        return error.errno
    return _identity(fd)


def _walk(root_fd: int, path: str) -> tuple[int, int] | int | None:
    try:
        fd = Walk(root_fd, None).open(path)
    except OSError as error:
        return error.errno
    return _identity(fd)


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    os.close(fd)
    return found.st_dev, found.st_ino


def _grow(root: Path, tree: list[tuple[list[str], str, str]]) -> None:
    for parts, kind, target in tree:
        path = root.joinpath(*parts)
        try:
            if kind == "dir":
                path.mkdir(parents=True)
            elif kind == "file":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(exist_ok=False)
            elif target:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(target)
        except OSError:
            continue


def _openat2() -> bool:
    try:
        os.close(libc.openat2(libc.AT_FDCWD, "/", os.O_PATH, libc.RESOLVE_IN_ROOT))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _openat2(), reason="no openat2 here")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES, path=PATHS)
def test_the_walk_agrees_with_the_kernel(
    tmp_path_factory: pytest.TempPathFactory, tree: list[tuple[list[str], str, str]], path: str
) -> None:
    root = tmp_path_factory.mktemp("root")
    _grow(root, tree)
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        kernel, ours = _kernel(root_fd, path), _walk(root_fd, path)
    finally:
        os.close(root_fd)
    if isinstance(kernel, int):
        # A trailing slash, or `..` after a file, is an error for the kernel only: we clean paths as the builder does.
        assert (
            isinstance(ours, int)
            or path.rstrip("/.") != path
            or ".." in path
            or any(target.endswith(("/", ".")) or ".." in target for _, _, target in tree)
        )
    else:
        assert ours == kernel


def test_a_magic_link_is_not_followed() -> None:
    root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY)
    with pytest.raises(OSError, match="symbolic links"):
        libc.openat2(root_fd, "proc/self/root", os.O_PATH, libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_MAGICLINKS)
    os.close(root_fd)


def test_what_is_missing_is_made_once_and_inside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    root = tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (root / "link").symlink_to(f"../../{outside}")
    made: list[str] = []

    def make(parent_fd: int, parent: str, name: str, last: bool) -> None:
        made.append(f"{parent}/{name}{'!' if last else ''}")
        os.mkdir(name, dir_fd=parent_fd)

    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    os.close(Walk(root_fd, make).open("/link/x"))
    assert list(outside.iterdir()) == []
    assert made[-1].endswith("outside/x!")
    made.clear()
    os.close(Walk(root_fd, make).open("link/x"))
    assert made == []
    os.close(root_fd)


MANY_LAYERS = """
import os, sys
from runtime.child import libc
from runtime.child.mounts import Stacker
place = sys.argv[1]
libc.unshare(libc.CLONE_NEWNS)
libc.mount("none", "/", None, libc.MS_REC | libc.MS_PRIVATE)
scratch = place + "/scratch"
libc.mount("none", scratch, "tmpfs", 0)
lowers = sorted((place + "/" + name for name in os.listdir(place) if name.startswith("layer")), reverse=True)
stacker = Stacker(scratch, os.open(place + "/empty", os.O_PATH), False)
fd = stacker.mount({"type": "overlay", "lowers": lowers, "upper": place + "/upper", "work": place + "/work"})
os.mkdir("new", dir_fd=fd)
print(len(os.listdir(f"/proc/self/fd/{fd}")), open(f"/proc/self/fd/{fd}/top").read())
"""


@pytest.mark.parametrize(
    ("release", "numbers"),
    [("6.1.0-56-amd64", (6, 1)), ("5.15.167.4-microsoft-standard-WSL2", (5, 15)), ("6.7", (6, 7)), ("6.18+", (6, 18)), ("7", (7, 0))],
)
def test_the_version_of_a_release(release: str, numbers: tuple[int, int]) -> None:
    assert kernel.version(release) == numbers


def test_a_step_that_cannot_be_set_up_on_an_old_kernel_says_so() -> None:
    assert setup_remedy("cannot mount /sys: Function not implemented", "5.10.0-32-amd64") == "use Linux 5.12 or newer"
    assert setup_remedy("cannot mount /sys: Function not implemented", "5.12.0") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_many_layers_as_overlayfs_takes(tmp_path: Path) -> None:
    """mount(2) takes one page of options: numbers stand for the directories, whatever they are called."""
    for name in ("scratch", "empty", "upper", "work"):
        (tmp_path / name).mkdir()
    for number in range(500):
        layer = tmp_path / f"layer,{number:03}:{'x' * 50}"
        layer.mkdir()
        (layer / "top").write_text(str(number))
        (layer / f"file{number}").touch()
    done = subprocess.run([sys.executable, "-c", MANY_LAYERS, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.stdout == "502 499\n", done.stderr
    assert (tmp_path / "upper/new").is_dir()
