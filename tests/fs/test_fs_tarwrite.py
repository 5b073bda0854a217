"""The tar writer, against tarfile, GNU tar and Go's rules."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.errors import LayerwrightError
from builder.fs.entries import Entry, Kind, decode_path, encode_path
from builder.fs.tarread import read_tar
from builder.fs.tarwrite import CHUNK, TarWriter
from builder.oci.digest import EMPTY_LAYER

Item = tuple[Entry, bytes | None]


def written(items: list[Item]) -> bytes:
    out = io.BytesIO()
    writer = TarWriter(out.write)
    for entry, data in items:
        writer.add(entry, data)
    writer.close()
    return out.getvalue()


def members(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as archive:
        return archive.getmembers()


names = (
    st.binary(min_size=1, max_size=120)
    .map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"~"))
    .filter(lambda raw: raw.strip(b".") and not raw.startswith(b".wh."))
)
paths = st.lists(names, min_size=1, max_size=5).map(lambda parts: decode_path(b"/".join(parts)))
targets = st.binary(min_size=1, max_size=300).map(lambda raw: decode_path(raw.replace(b"\0", b"/")))
kinds: list[Kind] = ["file", "dir", "symlink", "hardlink", "char", "block", "fifo"]


@st.composite
def items(draw: st.DrawFn) -> Item:
    kind = draw(st.sampled_from(kinds))
    data = draw(st.binary(max_size=1500)) if kind == "file" else None
    device = kind in ("char", "block")
    entry = Entry(
        draw(paths),
        kind,
        0o777 if kind == "symlink" else draw(st.integers(0, 0o7777)),
        draw(st.one_of(st.integers(0, 70000), st.integers(0, (1 << 31) - 1))),
        draw(st.one_of(st.integers(0, 70000), st.integers(0, (1 << 31) - 1))),
        draw(st.one_of(st.integers(0, 1 << 40), st.integers(-(1 << 35), 1 << 33))) * 10**6,
        len(data or b""),
        draw(targets) if kind == "symlink" else draw(paths) if kind == "hardlink" else "",
        draw(st.integers(0, 4095)) if device else 0,
        draw(st.integers(0, (1 << 20) - 1)) if device else 0,
        tuple(
            sorted(
                draw(
                    st.dictionaries(
                        st.sampled_from(["user.a", "user.b=c%3D", "security.capability"]), st.binary(min_size=1, max_size=80), max_size=3
                    )
                ).items()
            )
        )
        if kind in ("file", "dir")
        else (),
    )
    return entry, data


def cut(entry: Entry) -> tuple[object, ...]:
    return (
        entry.path, entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime_ns // 10**9, entry.size,
        entry.link, entry.major, entry.minor, entry.xattrs,
    )  # fmt: skip


@given(st.lists(items(), max_size=8))
@settings(max_examples=150, deadline=None)
def test_our_reader_reads_back_what_was_written(many: list[Item]) -> None:
    data = written(many)
    assert len(data) % 512 == 0
    found = [(cut(entry), body.read()) for entry, body in read_tar(io.BytesIO(data), whiteouts=False)]
    assert found == [(cut(entry), content or b"") for entry, content in many]


TYPES = {
    tarfile.REGTYPE: "file", tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink",
    tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block", tarfile.FIFOTYPE: "fifo",
}  # fmt: skip


@given(st.lists(items(), max_size=5))
@settings(max_examples=100, deadline=None)
def test_tarfile_reads_the_same(many: list[Item]) -> None:
    found = members(written(many))
    assert len(found) == len(many)
    for member, (entry, _) in zip(found, many, strict=True):
        assert TYPES[member.type] == entry.kind
        assert encode_path(member.name.rstrip("/")) == encode_path(entry.path.rstrip("/"))
        assert encode_path(member.linkname) == encode_path(entry.link.rstrip("/") if entry.kind == "hardlink" else entry.link)
        assert (member.mode, member.uid, member.gid, member.size) == (entry.mode, entry.uid, entry.gid, entry.size)
        assert int(member.mtime) == entry.mtime_ns // 10**9
        if entry.kind in ("char", "block"):
            assert (member.devmajor, member.devminor) == (entry.major, entry.minor)
        assert not member.uname
        assert not member.gname


def test_an_empty_layer_is_two_zero_blocks() -> None:
    data = written([])
    assert data == bytes(1024)
    assert "sha256:" + hashlib.sha256(data).hexdigest() == EMPTY_LAYER


def test_an_ordinary_header_byte_by_byte() -> None:
    """As Go's archive/tar writes Header{Format: PAX} (format.go, templateV7Plus)."""
    data = written([(Entry("a/b", "file", 0o4755, 1000, 1001, 1_700_000_000_999_999_999, 3), b"abc")])
    header = data[:512]
    assert header[:100] == b"a/b".ljust(100, b"\0")
    assert header[100:148] == b"0004755\x000001750\x000001751\x0000000000003\x0014524770400\x00"
    assert header[148:156] == b"%06o\0 " % (sum(header[:148]) + 256 + sum(header[156:]))
    assert header[156:257] == b"0" + bytes(100)
    assert header[257:265] == b"ustar\x0000"
    assert header[265:329] == bytes(64)
    assert header[329:345] == b"0000000\x000000000\x00"
    assert header[345:] == bytes(167)
    assert data[512:1024] == b"abc".ljust(512, b"\0")
    assert data[1024:] == bytes(1024)


def test_records_byte_by_byte() -> None:
    """The name of the extended header and the cut name field are Go's (writer.go, writePAXHeader and writeRawFile)."""
    name = "d" * 99 + "/" + "é" * 3 + "x"
    data = written([(Entry(name, "dir", 0o755, 3_000_000, 5, 0, xattrs=(("user.x", b"\0\n"),)), None)])
    assert data[:100] == (("d" * 99) + "/PaxHeaders.0")[:100].rstrip("/").encode().ljust(100, b"\0")
    assert (
        data[100:157]
        == b"0000000\x000000000\x000000000\x00" + b"%011o\0" % int(data[124:135], 8) + b"00000000000\x00" + data[148:156] + b"x"
    )
    assert data[329:345] == bytes(16)
    path = name.encode() + b"/"
    records = b"29 SCHILY.xattr.user.x=\0\n\n".replace(b"29", b"26") + b"%d path=" % (len(path) + 10) + path + b"\n" + b"15 uid=3000000\n"
    assert data[512 : 512 + len(records)] == records
    main = data[1024:]
    # ASCII letters only, cut to 100 bytes, and not ending in the slash that stood there.
    assert main[:100] == b"d" * 99 + b"\0"
    assert main[108:116] == b"0000000\x00"
    assert main[116:124] == b"0000005\x00"


@pytest.mark.parametrize("size", [*range(88, 112), *range(985, 1000)])
def test_record_lengths_count_themselves(size: int) -> None:
    entry = Entry("x" * size, "file")
    ((found, _),) = read_tar(io.BytesIO(written([(entry, None)])))
    assert found.path == entry.path
    assert members(written([(entry, None)]))[0].name == entry.path


def test_whiteouts() -> None:
    long = "/".join(["d" * 60] * 3)
    data = written(
        [
            (Entry("a/gone", "whiteout"), None),
            (Entry("top", "whiteout"), None),
            (Entry("dir", "opaque"), None),
            (Entry("", "opaque"), None),
            (Entry(f"{long}/x", "whiteout"), None),
            (Entry(f"{long}/é", "whiteout"), None),
        ]
    )
    found = members(data)
    assert [member.name for member in found] == [
        "a/.wh.gone",
        ".wh.top",
        "dir/.wh..wh..opq",
        ".wh..wh..opq",
        f"{long}/.wh.x",
        f"{long}/.wh.é",
    ]
    assert {(member.mode, member.uid, member.gid, member.mtime, member.size, member.type) for member in found} == {(0, 0, 0, 0, 0, b"0")}
    # A whiteout has no format of its own in Go, which then prefers ustar with a prefix to records.
    assert data.count(b" path=") == 1
    assert [(entry.kind, entry.path) for entry, _ in read_tar(io.BytesIO(data))] == [
        ("whiteout", "a/gone"), ("whiteout", "top"), ("opaque", "dir"), ("opaque", ""),
        ("whiteout", f"{long}/x"), ("whiteout", f"{long}/é"),
    ]  # fmt: skip


@pytest.mark.parametrize("path", [".wh.x", "a/.wh.x", ".wh.d/x", ".wh..wh..opq"])
def test_real_files_with_whiteout_names_are_refused(path: str) -> None:
    with pytest.raises(LayerwrightError, match="cannot be stored in a layer") as caught:
        written([(Entry(path, "file"), None)])
    assert caught.value.code == "whiteout-name"
    assert written([(Entry("x.wh.y", "file"), None)])


def test_sockets_are_dropped() -> None:
    assert written([(Entry("s", "socket"), None)]) == bytes(1024)


def test_contents_come_in_chunks_of_one_size() -> None:
    sizes: list[int] = []
    writer = TarWriter(lambda data: sizes.append(len(data)))
    for number, size in enumerate((CHUNK - 512, 3 * CHUNK + 5, 1, 511, 513, 2 * CHUNK - 512)):
        writer.add(Entry(f"f{number}", "file", size=size), bytes(size))
    writer.close()
    assert set(sizes[:-1]) == {CHUNK}
    assert sum(sizes) % 512 == 0


@given(st.lists(st.integers(0, 5000) | st.sampled_from([CHUNK - 1024, CHUNK - 512, CHUNK, CHUNK + 1]), max_size=5))
@settings(max_examples=20, deadline=None)
def test_descriptors_and_bytes_give_the_same(sizes: list[int]) -> None:
    many: list[Item] = [(Entry(f"f{number}", "file", size=size), os.urandom(1) * size) for number, size in enumerate(sizes)]
    out = io.BytesIO()
    writer = TarWriter(out.write)
    for entry, data in many:
        fd = os.memfd_create("x")
        os.write(fd, data or b"")
        os.lseek(fd, 0, os.SEEK_SET)
        writer.add(entry, fd)
        os.close(fd)
    writer.close()
    assert out.getvalue() == written(many)


def test_a_file_that_shrank_is_an_error(tmp_path: Path) -> None:
    for size in (10, 1 << 20):
        (tmp_path / "f").write_bytes(b"x" * (size - 1))
        fd = os.open(tmp_path / "f", os.O_RDONLY)
        with pytest.raises(LayerwrightError, match="became shorter") as caught:
            TarWriter(lambda data: None).add(Entry("f", "file", size=size), fd)
        assert caught.value.code == "file-changed"
        os.close(fd)


def test_a_file_that_grew_is_cut(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 2000)
    out = io.BytesIO()
    writer = TarWriter(out.write)
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    writer.add(Entry("f", "file", size=600), fd)
    os.close(fd)
    writer.close()
    assert [body.read() for _, body in read_tar(io.BytesIO(out.getvalue()))] == [b"x" * 600]


def sparse(path: Path, size: int, stretches: dict[int, bytes]) -> Path:
    with path.open("wb") as file:
        for offset, data in stretches.items():
            file.seek(offset)
            file.write(data)
        file.truncate(size)
    return path


@pytest.mark.parametrize(
    ("size", "stretches"),
    [
        (3 << 20, {}),
        (3 << 20, {0: b"start"}),
        (3 << 20, {(3 << 20) - 3: b"end"}),
        ((5 << 20) + 17, {4096: b"a" * 9000, 3 << 20: b"b", (5 << 20) + 10: b"c"}),
    ],
)
def test_holes_are_written_as_zeros(tmp_path: Path, size: int, stretches: dict[int, bytes]) -> None:
    path = sparse(tmp_path / "f", size, stretches)
    out = io.BytesIO()
    writer = TarWriter(out.write)
    fd = os.open(path, os.O_RDONLY)
    writer.add(Entry("f", "file", size=size), fd)
    os.close(fd)
    writer.close()
    assert out.getvalue() == written([(Entry("f", "file", size=size), path.read_bytes())])


def test_a_file_over_8_gib_is_told_by_a_record(tmp_path: Path) -> None:
    size = (8 << 30) + 5
    path = sparse(tmp_path / "f", size, {8 << 30: b"tail!"})
    head = bytearray()
    total, tail = 0, b""

    def take(data: bytes) -> None:
        nonlocal total, tail
        total += len(data)
        tail = data
        if len(head) < 4096:
            head.extend(data[:4096])

    writer = TarWriter(take)
    fd = os.open(path, os.O_RDONLY)
    writer.add(Entry("f", "file", 0o644, size=size), fd)
    os.close(fd)
    writer.close()
    assert total == 1024 + 512 + (8 << 30) + 512 + 1024
    assert b"19 size=8589934597\n" in head
    assert bytes(head[1024 + 124 : 1024 + 136]) == b"00000000000\x00"
    assert b"tail!" in tail[-2048:]
    with tarfile.open(fileobj=io.BytesIO(bytes(head)), mode="r|") as archive:
        assert next(iter(archive)).size == size


@pytest.mark.skipif(shutil.which("tar") is None, reason="GNU tar is not installed")
def test_gnu_tar_lists_the_same(tmp_path: Path) -> None:
    many: list[Item] = [
        (Entry("dir", "dir", 0o1777, 12345, 3_000_000, 10**18), None),
        (Entry("dir/" + "n" * 180, "file", 0o4755, 0, 0, 10**18, 5), b"hello"),
        (Entry("dir/link", "symlink", 0o777, 1, 2, 10**18, link="/" + "t" * 150), None),
        (Entry("dir/hard", "hardlink", 0o4755, 0, 0, 10**18, link="dir/" + "n" * 180), None),
        (Entry("null", "char", 0o666, 0, 0, -5 * 10**9, major=1, minor=300), None),
        (Entry(decode_path(b"raw\xff"), "fifo", 0o600, 0, 0, 1 << 62), None),
    ]
    (tmp_path / "a.tar").write_bytes(written(many))
    listed = subprocess.run(
        ["tar", "--numeric-owner", "--quoting-style=escape", "--full-time", "--utc", "-tvf", tmp_path / "a.tar"],
        capture_output=True,
        check=True,
    )
    lines = [line.split() for line in listed.stdout.decode().splitlines()]
    assert listed.stderr == b""
    assert [line[0] for line in lines] == ["drwxrwxrwt", "-rwsr-xr-x", "lrwxrwxrwx", "hrwsr-xr-x", "crw-rw-rw-", "prw-------"]
    assert lines[0][1:] == ["12345/3000000", "0", "2001-09-09", "01:46:40", "dir/"]
    assert lines[1][2] == "5"
    assert lines[2][-1] == "/" + "t" * 150
    assert lines[3][-1] == "dir/" + "n" * 180
    assert lines[4][2:5] == ["1,300", "1969-12-31", "23:59:55"]
    assert lines[5][-1] == "raw\\377"
