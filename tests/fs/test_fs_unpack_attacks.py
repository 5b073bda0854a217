"""Hostile layers: each attack of the published advisories, and a canary outside that must survive."""

from __future__ import annotations

import errno
import io
import os
import resource
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.errors import CorruptionError
from builder.fs.compress import decompress
from builder.fs.entries import Entry
from builder.fs.limits import Limits
from builder.fs.tarread import TarError
from builder.fs.tree import EmptyTree, StackTree, walk
from builder.fs.unpack import unpack
from tests.fs.test_fs_tarread import header, padded, pax
from tests.fs.test_fs_unpack import file, folder, hard, link, tar
from tests.fs.trees import Item, build, needs_root
from tests.privileges import needs_root_of_the_machine

pytestmark = needs_root


def regular(name: bytes, data: bytes = b"evil") -> bytes:
    return header(name, b"0", len(data)) + padded(data)


def symlink(name: bytes, target: bytes) -> bytes:
    return linked(name, b"2", target)


def hardlink(name: bytes, target: bytes) -> bytes:
    return linked(name, b"1", target)


def linked(name: bytes, kind: bytes, target: bytes, **fields: bytes) -> bytes:
    """A long target, such as the path of a test's directory may be, stands in a record of its own."""
    if len(target) <= 100:
        return header(name, kind, link=target, **fields)
    return pax({b"linkpath": target}) + header(name, kind, **fields)


class Scene:
    """A target directory with precious things around it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.outside = root / "outside"
        self.target = root / "store" / "layers" / "one"
        self.outside.mkdir(parents=True)
        self.target.mkdir(parents=True)
        (self.outside / "passwd").write_bytes(b"precious")
        (self.outside / "passwd").chmod(0o600)
        self.before = self.facts()

    def facts(self) -> list[tuple[str, int, int, bytes]]:
        found = []
        for path in sorted([*self.outside.rglob("*"), self.outside, self.root / "store", self.root]):
            st = path.lstat()
            found.append((str(path), st.st_mode, st.st_nlink if path.is_file() else 0, path.read_bytes() if path.is_file() else b""))
        return [
            *found,
            ("names", 0, 0, repr([sorted(os.listdir(path)) for path in (self.root, self.root / "store", self.target.parent)]).encode()),
        ]

    def unpack(self, data: bytes, limits: Limits | None = None) -> None:
        unpack(io.BytesIO(data + bytes(1024)), str(self.target), EmptyTree(), limits=limits or Limits())

    def names(self) -> list[str]:
        return walk(StackTree([str(self.target)]))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    decoy = tmp_path / "cwd"
    old = os.getcwd()
    yield made
    os.chdir(old)
    if decoy.exists():
        (decoy / "decoy").unlink()
        decoy.rmdir()
    assert made.facts() == made.before


@pytest.fixture
def fast_scene(tmp_path: Path) -> Iterator[Scene]:
    """On a memory file system, where there is one: what is measured is us, not the disk."""
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(dir=memory)) if os.access(memory, os.W_OK) else tmp_path
    yield Scene(root)
    if root != tmp_path:
        shutil.rmtree(root)


OUT = b"../../../outside"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (OUT + b"/passwd", "outside/passwd"),
        (b"a/../../../../outside/passwd", "outside/passwd"),
        (b"/../outside/passwd", "outside/passwd"),
        (b"./../" * 15 + b"x", "x"),
    ],
)
def test_names_with_dots_are_clamped(scene: Scene, name: bytes, wanted: str) -> None:
    """CVE-2026-28406, CVE-2007-4559, and the long row of tarfile's."""
    scene.unpack(regular(name))
    assert wanted in scene.names()
    scene.unpack(hardlink(b"h", name) if len(name) < 100 else regular(b"h"))


def absolute(scene: Scene) -> bytes:
    return os.fsencode(scene.outside)


@pytest.mark.parametrize("target", [OUT, b"/", b"ABSOLUTE", b"../" * 30, b"a/../../../../outside"])
def test_writing_through_a_link_stays_inside(scene: Scene, target: bytes) -> None:
    """CVE-2026-42574, CVE-2026-26960, CVE-2020-27833: a link first, then an entry behind it."""
    where = absolute(scene) if target == b"ABSOLUTE" else target
    scene.unpack(symlink(b"link", where) + regular(b"link/passwd") + regular(b"link/new"))
    assert os.readlink(scene.target / "link") == os.fsdecode(where.rstrip(b"\0"))
    assert [name for name in scene.names() if name.endswith("/new") or name == "new"]


def test_chains_of_links(scene: Scene) -> None:
    """CVE-2024-12718 and its kin: each link is harmless, all together lead out."""
    chain = b"".join(symlink(b"d/" * number + b"up", b"..") + header(b"d/" * number + b"d", b"5") for number in range(5))
    scene.unpack(chain + symlink(b"deep", b"d/d/d/d/up/up/up/up/up/up/up/outside") + regular(b"deep/passwd"))
    assert "outside/passwd" in scene.names()


def test_a_link_to_a_link_to_a_file(scene: Scene) -> None:
    out = absolute(scene) + b"/passwd"
    scene.unpack(symlink(b"one", out) + symlink(b"two", b"one") + regular(b"two"))
    assert (scene.target / "two").read_bytes() == b"evil"
    assert not (scene.target / "two").is_symlink()
    assert os.readlink(scene.target / "one") == os.fsdecode(out)


@pytest.mark.parametrize("target", [OUT + b"/passwd", b"ABSOLUTE/passwd", b"link/passwd", b"decoy", b"../decoy"])
def test_hard_links_are_resolved_inside(scene: Scene, target: bytes) -> None:
    """CVE-2026-50163: not against the working directory either."""
    decoy = scene.root / "cwd"
    decoy.mkdir()
    (decoy / "decoy").write_bytes(b"precious")
    os.chdir(decoy)
    data = symlink(b"link", absolute(scene)) + hardlink(b"h", target.replace(b"ABSOLUTE", absolute(scene))) + regular(b"h")
    with pytest.raises(TarError) as caught:
        scene.unpack(data)
    assert caught.value.code == "tar-link"
    assert (decoy / "decoy").read_bytes() == b"precious"


def test_a_hard_link_to_a_link_is_not_followed(scene: Scene) -> None:
    out = absolute(scene) + b"/passwd"
    scene.unpack(symlink(b"l", out) + hardlink(b"h", b"l") + header(b"h", b"0", 0, mode=b"0004777\0"))
    assert stat.S_IMODE(os.stat(scene.target / "h").st_mode) == 0o4777


@pytest.mark.parametrize("kind", [b"0", b"1", b"2", b"3", b"6"])
@pytest.mark.parametrize("name", [b".", b"./", b"/", b"..", b"a/.."])
def test_the_root_stays_a_directory(scene: Scene, kind: bytes, name: bytes) -> None:
    """CVE-2021-29136."""
    with pytest.raises(TarError) as caught:
        scene.unpack(header(b"f") + header(name, kind, 0, link=b"/", major=b"0000001\0"))
    assert caught.value.code in ("tar-root", "tar-corrupt")
    assert scene.target.is_dir()


def test_modes_are_not_set_through_links(scene: Scene) -> None:
    """CVE-2021-32760."""
    out = absolute(scene) + b"/passwd"
    scene.unpack(linked(b"l", b"2", out, mode=b"0007777\0", uid=b"0000005\0"))
    scene.unpack(symlink(b"d", absolute(scene)) + header(b"d", b"5", 0, mode=b"0007777\0"))
    assert stat.S_IMODE((scene.target / "d").lstat().st_mode) == 0o7777


@pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh...", b"d/.wh..", b"d/.wh...", b"d/.wh."])
def test_whiteouts_of_dots(scene: Scene, name: bytes) -> None:
    with pytest.raises(TarError):
        scene.unpack(header(b"d", b"5") + regular(b"d/keep") + header(name))
    assert (scene.target / "d/keep").exists()


@needs_root_of_the_machine
def test_a_whiteout_through_a_link_stays_inside(scene: Scene) -> None:
    scene.unpack(symlink(b"l", absolute(scene)) + header(b"l/.wh.passwd") + header(b"l/.wh..wh..opq"))
    scene.unpack(symlink(b"m", OUT) + header(b"m/.wh.passwd"))
    assert (scene.outside / "passwd").exists()


def test_a_directory_swapped_for_a_link_in_the_middle(scene: Scene) -> None:
    data = (
        header(b"d", b"5")
        + regular(b"d/a")
        + symlink(b"d", absolute(scene))
        + regular(b"d/passwd")
        + header(b"d/sub", b"5")
        + regular(b"d/sub/x")
    )
    scene.unpack(data)
    assert scene.target.joinpath(*scene.outside.parts[1:], "passwd").read_bytes() == b"evil"


def test_a_directory_swapped_for_a_link_by_the_layer_above(scene: Scene, tmp_path: Path) -> None:
    low = scene.root / "store/layers/low"
    scene.target.rmdir()
    scene.target.mkdir()
    low.mkdir()
    try:
        unpack(io.BytesIO(tar([link("d", os.fspath(scene.outside))])), str(low), EmptyTree())
        unpack(io.BytesIO(tar([file("d/passwd"), hard("h", "d/passwd")])), str(scene.target), StackTree([str(low)], frozen=True))
        assert not (scene.target / "d").is_symlink()
        assert (scene.target / "d/passwd").read_bytes() == b"x"
    finally:
        os.unlink(low / "d")
        low.rmdir()


def test_a_hard_link_into_a_lower_link_is_not_followed_out(scene: Scene) -> None:
    low = scene.root / "store/layers/low"
    low.mkdir()
    try:
        unpack(
            io.BytesIO(tar([link("d", os.fspath(scene.outside)), link("f", os.fspath(scene.outside / "passwd"))])), str(low), EmptyTree()
        )
        lower = StackTree([str(low)], frozen=True)
        with pytest.raises(TarError):
            unpack(io.BytesIO(tar([hard("h", "d/passwd")])), str(scene.target), lower)
        unpack(io.BytesIO(tar([hard("h", "f")])), str(scene.target), lower)
        assert os.readlink(scene.target / "h") == os.fspath(scene.outside / "passwd")
    finally:
        for name in ("d", "f"):
            os.unlink(low / name)
        low.rmdir()


def test_attributes_of_overlayfs_are_not_taken_from_archives(scene: Scene) -> None:
    records = {
        b"SCHILY.xattr." + name: b"y"
        for name in (b"trusted.overlay.opaque", b"user.overlay.opaque", b"trusted.overlay.redirect", b"security.selinux")
    }
    scene.unpack(pax(records) + header(b"d", b"5"))
    assert os.listxattr(scene.target / "d") == []


def test_contents_are_never_written_to_a_device(scene: Scene) -> None:
    scene.unpack(header(b"null", b"3", 0, major=b"0000001\0", minor=b"0000003\0") + regular(b"null"))
    assert (scene.target / "null").is_file()


# -- too much -------------------------------------------------------------------------------------------


def test_a_loop_of_links_ends(scene: Scene) -> None:
    with pytest.raises(TarError) as caught:
        scene.unpack(symlink(b"a", b"b") + symlink(b"b", b"a") + regular(b"a/x"))
    assert caught.value.code == "symlink-loop"


def test_links_that_multiply_end(scene: Scene) -> None:
    data = header(b"d", b"5") + symlink(b"l0", b"d/../" * 15 + b"d")
    for number in range(1, 30):
        data += symlink(b"l%d" % number, (b"l%d/../" % (number - 1)) * 9 + b"d")
    start = time.process_time()
    with pytest.raises(TarError) as caught:
        scene.unpack(data + regular(b"l29/x"))
    assert caught.value.code == "symlink-loop"
    assert time.process_time() - start < 5


def linear(scene: Scene, data: bytes, most: float) -> int:
    """How many entries there were; `most` seconds are far more than it takes, unless something is quadratic."""
    start = time.process_time()
    unpacked = unpack(io.BytesIO(data + bytes(1024)), str(scene.target), EmptyTree())
    assert time.process_time() - start < most
    return unpacked.entries


CROWDS: dict[str, Callable[[int], bytes]] = {
    "files": lambda count: b"".join(header(b"f%d" % number) for number in range(count)),
    "duplicates": lambda count: header(b"f") * count,
    "whiteouts": lambda count: b"".join(header(b"d/.wh.%d" % number) for number in range(count)),
    "hard links": lambda count: (
        header(b"f0") + b"".join(hardlink(b"d%d/l%d" % (number // 60_000, number), b"f0") for number in range(count // 2))
    ),
    "directories then files": lambda count: (
        b"".join(header(b"d%d" % number, b"5") for number in range(count // 2)) + header(b"x") * (count // 2)
    ),
    "swaps": lambda count: (
        b"".join(header(b"d%d" % number, b"5") for number in range(count // 2))
        + (header(b"x", b"5") + header(b"x/y") + header(b"x")) * (count // 20)
    ),
    "opaque": lambda count: (header(b"d/.wh..wh..opq") + header(b"d/.wh.a")) * (count // 2),
    "links": lambda count: header(b"d", b"5") + (symlink(b"l", b"d") + header(b"l/x")) * (count // 4),
}


@needs_root_of_the_machine
@pytest.mark.parametrize("name", CROWDS)
def test_time_is_linear(fast_scene: Scene, name: str) -> None:
    """GHSA-rp3h-jf77-q9p4: 100,000 entries; what is quadratic takes minutes."""
    data = CROWDS[name](100_000 if name == "files" else 40_000)
    assert linear(fast_scene, data, 60) == len(data) // 512


def test_deep_paths_that_come_and_go(fast_scene: Scene) -> None:
    deep = b"d/" * 1000 + b"f"
    start = time.process_time()
    fast_scene.unpack((header(b"d", b"5") + pax({b"path": deep}) + header(b"x") + header(b"d")) * 4)
    assert time.process_time() - start < 30
    assert fast_scene.names() == ["d"]


def test_names_too_long_for_the_file_system(scene: Scene) -> None:
    with pytest.raises(TarError) as caught:
        scene.unpack(pax({b"path": b"n" * 256}) + header(b"x"))
    assert caught.value.code == "tar-entry"


class Zeros:
    """Endless zeros, as a bomb decompresses to."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self.given = 0

    def read(self, size: int = -1, /) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        self.given += size
        return bytes(size)


def test_a_bomb_ends_at_the_cap(scene: Scene) -> None:
    endless = Zeros(header(b"f", b"0", b"\x80" + bytes(6) + b"\x7f" + bytes(4)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TarError):
        unpack(endless, str(scene.target), EmptyTree(), limits=Limits(plain=32 << 20))
    assert endless.given < 64 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10
    trailing = Zeros(header(b"f") + bytes(1024))
    with pytest.raises(TarError) as caught:
        unpack(trailing, str(scene.target), EmptyTree(), limits=Limits(plain=32 << 20))
    assert caught.value.code == "tar-too-large"


def test_headers_before_one_entry_are_capped_together(scene: Scene) -> None:
    data = b"".join(pax({b"key%d" % number: b"x" * 100_000}) for number in range(20))
    with pytest.raises(TarError) as caught:
        scene.unpack(data + header(b"f"))
    assert caught.value.code == "tar-header-too-large"


# -- what ends early ------------------------------------------------------------------------------------


def threads() -> int:
    return sum(thread.name == "layerwright-unpack" for thread in threading.enumerate())


def test_no_thread_and_no_descriptor_is_left(scene: Scene) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for data in (regular(b"f") * 5, b"garbage" * 1000, symlink(b"a", b"a") + regular(b"a/b") + regular(b"c", b"x" * (1 << 20)) * 30):
        try:
            scene.unpack(data)
        except TarError:
            continue
    assert threads() == 0
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_errors_of_the_stream_come_out(scene: Scene) -> None:
    class Broken:
        def read(self, size: int = -1, /) -> bytes:
            raise OSError(errno.EIO, "disk")

    with pytest.raises(OSError, match="disk"):
        unpack(Broken(), str(scene.target), EmptyTree())
    with pytest.raises(CorruptionError):
        unpack(decompress(io.BytesIO(b"\x1f\x8b\x08\x00" + bytes(20))), str(scene.target), EmptyTree())
    assert threads() == 0


def test_a_full_disk_is_not_the_archives_fault(scene: Scene) -> None:
    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    limit(1 << 16)
    try:
        with pytest.raises(OSError) as caught:
            scene.unpack(regular(b"f", b"x" * (1 << 20)))
        assert caught.value.errno == errno.EFBIG
    finally:
        limit(resource.RLIM_INFINITY)


ITEMS: list[Item] = [folder("a"), file("a/b")]


def test_a_stack_of_lowers_is_only_read(scene: Scene, tmp_path: Path) -> None:
    low = build(tmp_path / "store" / "low", ITEMS)
    with pytest.raises(TarError):
        unpack(io.BytesIO(tar([(Entry("a/b", "whiteout"), None), hard("c", "a/b")])), str(scene.target), StackTree([str(low)], frozen=True))
    assert walk(StackTree([str(low)])) == ["a", "a/b"]
    os.unlink(low / "a/b")
    os.rmdir(low / "a")
    low.rmdir()
