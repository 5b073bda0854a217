"""What a step changed: BuildKit's rules one by one, and random work in a real overlay mount."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.errors import LayerwrightError
from builder.fs.diff import Changes, changes, changes_between, prune_upper
from builder.fs.entries import Entry
from builder.fs.pack import pack
from builder.fs.scan import layer_entries
from builder.fs.tree import DirTree, StackTree, Tree, walk
from builder.fs.unpack import unpack
from tests.fs.trees import Facts, Item, build, facts_of, needs_root, read_all
from tests.privileges import ROOT_OF_THE_MACHINE, XATTR_PREFIX, needs_root_of_the_machine

pytestmark = needs_root
_LIBC = ctypes.CDLL(None, use_errno=True)
OPAQUE = f"{XATTR_PREFIX}opaque"
T = 1_700_000_000 * 10**9


def file(path: str, data: bytes = b"x", mode: int = 0o644, mtime_ns: int = T) -> Item:
    return Entry(path, "file", mode, mtime_ns=mtime_ns), data


def folder(path: str, mode: int = 0o755) -> Item:
    return Entry(path, "dir", mode, mtime_ns=T), None


LOWER: list[Item] = [
    folder("a"), file("a/1", b"one"), file("a/2", b"two"), folder("a/sub"), file("a/sub/x"), folder("b"), file("b/1", mode=0o640),
    (Entry("b/hard", "hardlink", link="b/1"), None),
    (Entry("l", "symlink", link="a", mtime_ns=T), None), (Entry("p", "fifo", 0o644, mtime_ns=T), None), file("top", b"top", 0o755),
    folder("z"),
]  # fmt: skip
LOWEST: list[Item] = [
    folder("old"),
    file("old/f"),
    folder("a"),
    file("a/3", b"three"),
    file("a/1", b"hidden"),
    folder("a/sub"),
    file("a/sub/deep"),
]


class Scene:
    """Two lower layers and an overlay of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.layers = [str(build(root / "low", LOWER)), str(build(root / "lowest", LOWEST))]
        self.upper = root / "upper"
        self.lower = StackTree(self.layers, frozen=True)
        for name in ("upper", "work", "merged"):
            (root / name).mkdir()

    @contextlib.contextmanager
    def mounted(self, options: str = "") -> Iterator[Path]:
        target = os.fsencode(self.root / "merged")
        # As the sandbox mounts it: in a user namespace overlayfs can keep what it must remember in user.* only.
        own = "" if ROOT_OF_THE_MACHINE else ",userxattr"
        data = f"lowerdir={':'.join(self.layers)},upperdir={self.upper},workdir={self.root / 'work'}{own}{options}"
        if _LIBC.mount(b"overlay", target, b"overlay", 0, data.encode()) != 0:
            pytest.skip(f"no overlayfs here: {os.strerror(ctypes.get_errno())}")
        try:
            yield self.root / "merged"
        finally:
            _LIBC.umount2(target, 2)

    def changes(self) -> Changes:
        return changes(str(self.upper), self.lower, OPAQUE)

    def merged(self) -> Tree:
        return StackTree([str(self.upper), *self.layers], OPAQUE)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "scene")


def told(changed: Changes) -> list[str]:
    marks = {"whiteout": "-", "dir": "/", "hardlink": "=", "symlink": "@", "fifo": "|", "char": "%"}
    return [entry.path + marks.get(entry.kind, "") for entry in changed.entries]


def touch(path: Path, mtime_ns: int = T + 5 * 10**9) -> None:
    os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=False)


def rewrite(path: Path, data: bytes = b"new") -> None:
    path.write_bytes(data)


STEPS: list[tuple[str, Callable[[Path], object], str]] = [
    ("nothing", lambda m: None, ""),
    ("new file", lambda m: rewrite(m / "new"), "new"),
    ("new file below", lambda m: rewrite(m / "a/sub/new"), "a/ a/sub/ a/sub/new"),
    ("new directory", lambda m: (m / "d/e").mkdir(parents=True), "d/ d/e/"),
    ("write", lambda m: rewrite(m / "a/1"), "a/ a/1"),
    ("chmod of a file", lambda m: (m / "top").chmod(0o700), "top"),
    ("chmod to the same", lambda m: (m / "top").chmod(0o755), ""),
    ("chmod there and back", lambda m: ((m / "a").chmod(0o700), (m / "a").chmod(0o755)), ""),
    ("chmod of a directory", lambda m: (m / "a").chmod(0o700), "a/"),
    ("chown of a link", lambda m: os.lchown(m / "l", 5, 5), "l@"),
    ("chown of the root", lambda m: os.chown(m, 5, 5), ""),
    ("touch of a file", lambda m: touch(m / "top"), "top"),
    ("touch of a directory", lambda m: touch(m / "a"), ""),
    ("touch of a link", lambda m: touch(m / "l"), "l@"),
    ("touch to the same", lambda m: touch(m / "top", T), ""),
    ("open for writing", lambda m: (m / "top").open("r+").close(), ""),
    ("same size, same time, other bytes", lambda m: (rewrite(m / "top", b"TOP"), touch(m / "top", T)), "top"),
    ("same size, same time, same bytes", lambda m: (rewrite(m / "top", b"top"), touch(m / "top", T)), ""),
    ("user attribute", lambda m: os.setxattr(m / "top", "user.x", b"1"), "top"),
    ("attribute of a directory", lambda m: os.setxattr(m / "b", "user.x", b"1"), "b/"),
    ("attribute that is not kept", lambda m: os.setxattr(m / "top", "trusted.x", b"1"), ""),
    ("remove a file", lambda m: (m / "a/1").unlink(), "a/ a/1-"),
    ("remove at the top", lambda m: (m / "top").unlink(), "top-"),
    ("remove and make again", lambda m: ((m / "top").unlink(), rewrite(m / "top")), "top"),
    ("make and remove", lambda m: (rewrite(m / "tmp"), (m / "tmp").unlink(), (m / "t").mkdir(), (m / "t").rmdir()), ""),
    ("make and remove below", lambda m: (rewrite(m / "a/tmp"), (m / "a/tmp").unlink()), ""),
    ("remove a tree", lambda m: remove(m / "a"), "a-"),
    ("remove a tree and make it again", lambda m: (remove(m / "a"), (m / "a").mkdir()), "a/ a/1- a/2- a/3- a/sub-"),
    (
        "replace a tree",
        lambda m: (remove(m / "a"), (m / "a/sub").mkdir(parents=True), rewrite(m / "a/11"), rewrite(m / "a/sub/y")),
        "a/ a/1- a/11 a/2- a/3- a/sub/ a/sub/deep- a/sub/x- a/sub/y",
    ),
    ("a directory becomes a file", lambda m: (remove(m / "a"), rewrite(m / "a")), "a"),
    ("a file becomes a directory", lambda m: ((m / "top").unlink(), (m / "top").mkdir(), rewrite(m / "top/x")), "top/ top/x"),
    ("a link becomes a directory", lambda m: ((m / "l").unlink(), (m / "l").mkdir()), "l/"),
    ("a directory becomes a link", lambda m: (remove(m / "a"), (m / "a").symlink_to("b")), "a@"),
    ("a file becomes a FIFO", lambda m: ((m / "top").unlink(), os.mkfifo(m / "top")), "top|"),
    ("rename a file", lambda m: (m / "top").rename(m / "moved"), "moved top-"),
    ("a link to a lower file", lambda m: os.link(m / "top", m / "again"), "again top="),
    ("a link in another directory", lambda m: os.link(m / "top", m / "z/again"), "top z/ z/again="),
    ("a link to a lower file, removed again", lambda m: (os.link(m / "top", m / "again"), (m / "again").unlink()), ""),
    ("two new links", lambda m: (rewrite(m / "n1"), os.link(m / "n1", m / "n2")), "n1 n2="),
    ("a socket", lambda m: make_socket(m / "sock"), ""),
    ("a device", lambda m: os.mknod(m / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3)), "null%"),
    ("order", lambda m: [rewrite(m / name) for name in ("a-b", "a.b", "a0", "A", "é", "a/zz")], "A a/ a/zz a-b a.b a0 é"),
]  # fmt: skip


def remove(path: Path) -> None:
    for child in list(path.iterdir()):
        if child.is_dir() and not child.is_symlink():
            remove(child)
        else:
            child.unlink()
    path.rmdir()


def make_socket(path: Path) -> None:
    old = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(old)


def as_params() -> list[Any]:
    machine = ("attribute that is not kept", "a device")
    return [pytest.param(step, wanted, id=name, marks=[needs_root_of_the_machine] * (name in machine)) for name, step, wanted in STEPS]


@pytest.mark.parametrize(("step", "wanted"), as_params())
def test_what_a_step_leaves(scene: Scene, step: Callable[[Path], object], wanted: str) -> None:
    shown = without_sockets(seen_after(scene, step))
    changed = scene.changes()
    assert sorted(told(changed)) == sorted(wanted.split())
    assert changed.empty is (not wanted)
    check(scene, changed, shown)


def seen_after(scene: Scene, work: Callable[[Path], object]) -> Facts:
    """By another mount: in a user namespace the one that was worked in shows a lower file and its new link as two inodes."""
    with scene.mounted() as merged:
        work(merged)
    with scene.mounted() as merged:
        return facts_of(DirTree(merged))


def without_sockets(facts: Facts) -> Facts:
    return {path: fact for path, fact in facts.items() if fact[0] != "socket"}


def timeless(facts: Facts) -> Facts:
    """Without directories' times, which are no change by themselves."""
    return {path: tuple(value for at, value in enumerate(fact) if at != 4 or fact[0] != "dir") for path, fact in facts.items()}


def check(scene: Scene, changed: Changes, shown: Facts) -> None:
    """The layer over the lower ones, however it gets there, is what the process saw."""
    paths = [entry.path for entry in changed.entries]
    assert paths == sorted(paths, key=lambda path: [part.encode("utf-8", "surrogateescape") for part in path.split("/")])
    for entry in changed.entries:
        parent = entry.path.rpartition("/")[0]
        assert not parent or parent in paths
    assert timeless(without_sockets(facts_of(scene.merged()))) == timeless(shown)
    blob = io.BytesIO()
    packed = pack(changed.files(), "none", None, blob.write)
    prune_upper(str(scene.upper), changed)
    assert [entry for entry, _ in layer_entries(str(scene.upper), OPAQUE)] == list(changed.entries)
    assert timeless(facts_of(scene.merged())) == timeless(shown)
    assert pack(layer_entries(str(scene.upper), OPAQUE), "none", None, lambda data: None).diff_id == packed.diff_id
    again = scene.changes()
    assert (again.entries, again.dropped, again.unmarked) == (changed.entries, (), ())
    fresh = scene.root / "fresh"
    fresh.mkdir()
    blob.seek(0)
    unpack(blob, str(fresh), scene.lower, OPAQUE)
    assert timeless(facts_of(StackTree([str(fresh), *scene.layers], OPAQUE))) == timeless(shown)


def test_the_order_is_that_of_the_bytes(scene: Scene) -> None:
    with scene.mounted() as merged:
        for name in ("a-b", "a.b", "a0", "A", "é", "a/zz", "a/sub/x"):
            rewrite(merged / name)
    assert told(scene.changes()) == ["A", "a/", "a/sub/", "a/sub/x", "a/zz", "a-b", "a.b", "a0", "é"]


def test_a_whiteout_of_an_opaque_directory_stands_where_its_name_stands(scene: Scene) -> None:
    with scene.mounted() as merged:
        remove(merged / "a")
        (merged / "a").mkdir()
        rewrite(merged / "a/2")
        rewrite(merged / "a/0")
        rewrite(merged / "a/4")
    changed = scene.changes()
    assert told(changed) == ["a/", "a/0", "a/1-", "a/2", "a/3-", "a/4", "a/sub-"]
    assert changed.unmarked == ("a",)


def test_an_equal_file_in_an_opaque_directory_is_not_listed(scene: Scene) -> None:
    with scene.mounted() as merged:
        remove(merged / "a")
        (merged / "a").mkdir()
        rewrite(merged / "a/1", b"one")
        touch(merged / "a/1", T)
    changed = scene.changes()
    assert told(changed) == ["a/", "a/2-", "a/3-", "a/sub-"]
    prune_upper(str(scene.upper), changed)
    assert read_all(scene.merged().open("a/1")) == b"one"


def test_sockets_are_told(scene: Scene) -> None:
    with scene.mounted() as merged:
        make_socket(merged / "a/sock")
    changed = scene.changes()
    assert changed.sockets == ("a/sock",)
    assert changed.empty


def test_the_root_takes_the_lower_metadata_again(scene: Scene) -> None:
    with scene.mounted() as merged:
        merged.chmod(0o711)
        rewrite(merged / "new")
    prune_upper(str(scene.upper), scene.changes())
    assert stat.S_IMODE(scene.upper.stat().st_mode) == stat.S_IMODE(os.stat(scene.layers[0]).st_mode)


def test_a_name_of_whiteouts_cannot_be_packed(scene: Scene) -> None:
    with scene.mounted() as merged:
        rewrite(merged / ".wh.top")
    with pytest.raises(LayerwrightError, match="cannot be stored in a layer"):
        pack(scene.changes().files(), "none", None, lambda data: None)


def test_links_newly_joined_are_listed_though_each_is_as_it_was(scene: Scene) -> None:
    with scene.mounted() as merged:
        (merged / "a/2").unlink()
        rewrite(merged / "a/2", b"x")
        (merged / "a/2").chmod(0o640)
        os.utime(merged / "a/2", ns=(T, T))
        (merged / "b/1").unlink()
        os.link(merged / "a/2", merged / "b/1")
    assert told(scene.changes()) == ["a/", "a/2", "b/", "b/1="]


def test_a_link_that_overlayfs_alone_broke_is_whole_again(scene: Scene) -> None:
    """A chmod without effect copies one name up. BuildKit drops such an entry, so the names are one file again."""
    with scene.mounted() as merged:
        (merged / "b/1").chmod(0o640)
        assert (merged / "b/1").stat().st_ino != (merged / "b/hard").stat().st_ino
    changed = scene.changes()
    assert (told(changed), changed.dropped) == ([], ("b/1", "b"))
    prune_upper(str(scene.upper), changed)
    assert scene.merged().identity("b/1") == scene.merged().identity("b/hard")


# -- random work ----------------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "1", "sub", "x", "n", "top", "l"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
actions = st.one_of(
    st.tuples(st.just("write"), paths, st.sampled_from([b"x", b"yy", b""])),
    st.tuples(st.just("mkdir"), paths, st.just(b"")),
    st.tuples(st.just("remove"), paths, st.just(b"")),
    st.tuples(st.just("symlink"), paths, st.sampled_from([b"a", b"/b", b"nowhere"])),
    st.tuples(st.just("link"), paths, paths.map(str.encode)),
    st.tuples(st.just("rename"), paths, paths.map(str.encode)),
    st.tuples(st.just("chmod"), paths, st.sampled_from([b"700", b"644"])),  # never the mode of b/1: see the test above
    st.tuples(st.just("touch"), paths, st.just(b"")),
    st.tuples(st.just("xattr"), paths, st.just(b"1")),
)


def act(root: Path, action: tuple[str, str, bytes]) -> None:
    what, name, value = action
    path = root / name
    if any(parent.is_symlink() for parent in [*path.parents][: len(name.split("/")) - 1]):
        return
    other = root / value.decode() if what in ("link", "rename") else root
    with contextlib.suppress(FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError, OSError):
        match what:
            case "write":
                if not path.is_symlink():
                    path.write_bytes(value)
            case "mkdir":
                path.mkdir()
            case "remove":
                remove(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            case "symlink":
                os.symlink(value, path)
            case "link":
                os.link(other, path, follow_symlinks=False)
            case "rename":
                path.rename(other)
            case "chmod":
                if not path.is_symlink():
                    path.chmod(int(value, 8))
            case "touch":
                touch(path)
            case _:
                os.setxattr(path, "user.x", value, follow_symlinks=False)


@given(st.lists(actions, min_size=1, max_size=10))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_work_in_an_overlay_becomes_its_layer(tmp_path: Path, work: list[tuple[str, str, bytes]]) -> None:
    scene = Scene(tmp_path / os.urandom(8).hex())
    shown = seen_after(scene, lambda merged: [act(merged, action) for action in work])
    check(scene, scene.changes(), shown)


@given(st.lists(actions, min_size=1, max_size=10), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_work_in_a_full_copy_becomes_the_same(tmp_path: Path, work: list[tuple[str, str, bytes]], move: bool, since: bool) -> None:
    scene = Scene(tmp_path / os.urandom(8).hex())
    copy = build(scene.root / "copy", flat(scene.lower))
    marker = scene.root / "marker"
    marker.touch()
    for action in work:
        act(copy, action)
    shown = facts_of(DirTree(copy))
    since_ns = marker.stat().st_ctime_ns if since else 0
    found = changes_between(scene.lower, str(copy), str(scene.upper), OPAQUE, since_ns=since_ns, move=move)
    assert timeless(facts_of(scene.merged())) == timeless(shown)
    changed = scene.changes()
    assert [strip(entry) for entry in changed.entries] == [strip(entry) for entry in found.entries]
    assert (changed.dropped, changed.unmarked) == ((), ())
    if not move:
        assert facts_of(DirTree(copy)) == shown
    check(scene, changed, shown)


def strip(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, mtime_ns=0) if entry.kind == "dir" else entry


def flat(tree: Tree) -> list[Item]:
    items: list[Item] = []
    first: dict[tuple[int, int], str] = {}
    for path in walk(tree):
        entry = tree.lstat(path)
        assert entry is not None
        identity = tree.identity(path)
        if identity is not None and first.setdefault(identity, path) != path:
            items.append((Entry(path, "hardlink", link=first[identity]), None))
            continue
        items.append(
            (msgspec.structs.replace(entry, xattrs=tree.xattrs(path)), read_all(tree.open(path)) if entry.kind == "file" else None)
        )
    return items


def test_a_file_older_than_the_copy_is_not_read(scene: Scene) -> None:
    """Told by a change that its ctime hides: none but the clock can make one."""
    copy = build(scene.root / "copy", flat(scene.lower))
    (copy / "top").write_bytes(b"TOP")
    touch(copy / "top", T)
    later = copy.joinpath("top").stat().st_ctime_ns + 1
    assert changes_between(scene.lower, str(copy), str(scene.upper), since_ns=later).empty
    assert told(changes_between(scene.lower, str(copy), str(scene.upper))) == ["top"]
