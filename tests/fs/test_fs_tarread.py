"""The tar reader: formats of other writers, sparse files, caps, and bytes that are no archive."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from builder.fs.entries import Entry, decode_path
from builder.fs.limits import Limits
from builder.fs.tarread import TarError, read_tar
from builder.fs.tarwrite import TarWriter
from tests.privileges import needs_root_of_the_machine

GNU_TAR = pytest.mark.skipif(shutil.which("tar") is None, reason="GNU tar is not installed")


def header(name: bytes = b"f", kind: bytes = b"0", size: int | bytes = 0, **fields: bytes) -> bytes:
    """A ustar header block; fields given by name replace the ordinary ones."""
    offsets = {
        "mode": (100, 8), "uid": (108, 8), "gid": (116, 8), "mtime": (136, 12), "link": (157, 100), "magic": (257, 8),
        "major": (329, 8), "minor": (337, 8), "prefix": (345, 155), "tail": (500, 12), "gnu": (386, 114),
    }  # fmt: skip
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108] = b"0000644\0"
    block[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    block[136:148] = b"00000000001\0"
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    for key, value in fields.items():
        start, length = offsets[key]
        assert len(value) <= length, f"{key} does not fit into a header"
        block[start : start + length] = value.ljust(length, b"\0")
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(records: dict[bytes, bytes] | list[tuple[bytes, bytes]], kind: bytes = b"x") -> bytes:
    body = b""
    for key, value in records.items() if isinstance(records, dict) else records:
        rest = b" " + key + b"=" + value + b"\n"
        size = len(rest)
        while size != len(rest) + len(str(size)):
            size = len(rest) + len(str(size))
        body += b"%d" % size + rest
    return header(b"x", kind, len(body)) + padded(body)


def read(data: bytes, limits: Limits | None = None, *, whiteouts: bool = True) -> list[tuple[Entry, bytes]]:
    return [(entry, body.read()) for entry, body in read_tar(io.BytesIO(data), limits or Limits(), whiteouts=whiteouts)]


def one(data: bytes) -> Entry:
    ((entry, _),) = read(data + bytes(1024))
    return entry


# -- numbers and names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        (b"00000000012\0", 10), (b"         12 ", 10), (b"12\0garbage!!", 10), (bytes(12), 0), (b"            ", 0),
        (b"\x80" + bytes(9) + b"\x01\x02", 258), (b"000000000012", 10),
    ],
)  # fmt: skip
def test_sizes(field: bytes, wanted: int) -> None:
    data = header(b"f", b"0", field) + padded(b"x" * wanted) + bytes(1024)
    assert [(entry.size, len(content)) for entry, content in read(data)] == [(wanted, wanted)]


@pytest.mark.parametrize("field", [b"\xff" * 12, b"\xff" + bytes(11), b"0000000008x\0", b"-1\0" + bytes(9), b"\x80" + b"\xff" * 11])
def test_impossible_sizes(field: bytes) -> None:
    with pytest.raises(TarError):
        read(header(b"f", b"0", field) + bytes(2048))


@pytest.mark.parametrize(
    ("records", "wanted"),
    [
        ({b"mtime": b"1.5"}, 1_500_000_000), ({b"mtime": b"-1.5"}, -1_500_000_000), ({b"mtime": b"7"}, 7 * 10**9),
        ({b"mtime": b"0.1234567899"}, 123_456_789), ({b"mtime": b""}, 10**9), ({b"mtime": b"9" * 20}, 1 << 62),
    ],
)  # fmt: skip
def test_times(records: dict[bytes, bytes], wanted: int) -> None:
    assert one(pax(records) + header()).mtime_ns == wanted


def test_a_negative_time_in_base_256() -> None:
    assert one(header(mtime=b"\xff" * 12)).mtime_ns == -(10**9)


@pytest.mark.parametrize(
    "records", [{b"mtime": b"x"}, {b"mtime": b"1.x"}, {b"uid": b"-1"}, {b"uid": b"4294967295"}, {b"size": b"-5"}, {b"gid": b"1e3"}]
)
def test_impossible_records(records: dict[bytes, bytes]) -> None:
    with pytest.raises(TarError):
        read(pax(records) + header() + bytes(1024))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (b"a/b", "a/b"), (b"./a//b/", "a/b"), (b"/a", "a"), (b"../../a", "a"),
        (b"a/../../b", "b"), (b"a/./../c", "c"), (b".", ""), (b"./", ""),
        (b"/", ""), (b"..", ""), (b"caf\xc3\xa9", "café"), (b"raw\xff", decode_path(b"raw\xff")), (b"a\\b", "a\\b"),
    ],
)  # fmt: skip
def test_names_are_cleaned_and_clamped(name: bytes, wanted: str) -> None:
    assert one(header(name)).path == wanted
    assert one(pax({b"path": name}) + header(b"other")).path == wanted


def test_prefixes() -> None:
    assert one(header(b"name", prefix=b"dir/sub")).path == "dir/sub/name"
    # GNU's header has times where ustar has the prefix, star's has them at its end.
    assert one(header(b"name", magic=b"ustar  \0", prefix=b"12345670123\x00")).path == "name"
    star = b"dir".ljust(131, b"\0") + b"00000000001\x0000000000001\0"
    assert one(header(b"name", prefix=star, tail=b"\0" * 8 + b"tar\0")).path == "dir/name"


def test_v7_headers() -> None:
    assert one(header(b"dir/", b"\0", magic=bytes(8))).kind == "dir"
    assert one(header(b"file", b"\0", magic=bytes(8))).kind == "file"
    assert one(header(b"file", b"7")).kind == "file"


def test_gnu_long_names() -> None:
    name, target = b"n" * 300, b"t" * 400
    data = header(b"././@LongLink", b"L", len(name) + 1) + padded(name + b"\0")
    data += header(b"././@LongLink", b"K", len(target)) + padded(target)
    entry = one(data + header(b"n" * 100, b"2", link=b"t" * 100))
    assert (entry.path, entry.link) == (name.decode(), target.decode())


def test_pax_beats_gnu_beats_the_header() -> None:
    data = header(b"L", b"L", 3) + padded(b"gnu") + pax({b"path": b"pax"}) + header(b"old")
    assert one(data).path == "pax"
    assert one(header(b"L", b"L", 3) + padded(b"gnu") + header(b"old")).path == "gnu"


def test_extended_headers_hold_for_one_entry() -> None:
    data = pax({b"path": b"one", b"uid": b"7"}) + header(b"x") + header(b"two") + bytes(1024)
    assert [(entry.path, entry.uid) for entry, _ in read(data)] == [("one", 7), ("two", 0)]


def test_global_headers_and_volume_labels_are_passed_over() -> None:
    data = pax({b"path": b"global", b"uid": b"9"}, b"g") + header(b"label", b"V", 0) + header(b"f") + bytes(1024)
    assert [(entry.path, entry.uid) for entry, _ in read(data)] == [("f", 0)]


def test_an_empty_record_leaves_what_the_header_says() -> None:
    assert one(pax({b"path": b"", b"linkpath": b"", b"uid": b""}) + header(b"f", uid=b"0000005\0")).path == "f"


def test_only_kept_xattrs_come_out() -> None:
    names = (b"user.b", b"user.a%3D%25", b"security.selinux", b"trusted.overlay.opaque", b"user.overlay.opaque")
    records = {b"SCHILY.xattr." + name: b"v\0\n=" for name in names}
    assert one(pax(records) + header()).xattrs == (("user.a=%", b"v\0\n="), ("user.b", b"v\0\n="))


def test_devices() -> None:
    entry = one(header(b"d", b"4", major=b"0000010\0", minor=b"0003777\0"))
    assert (entry.kind, entry.major, entry.minor) == ("block", 8, 2047)
    with pytest.raises(TarError, match="out of range"):
        one(header(b"d", b"3", major=b"7777777\0"))


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"5", b"6"])
def test_what_has_no_contents_has_none_whatever_its_size(kind: bytes) -> None:
    data = header(b"a", kind, 700, link=b"t") + header(b"b") + bytes(1024)
    assert [(entry.path, entry.size) for entry, _ in read(data)] == [("a", 0), ("b", 0)]


def test_symlink_targets_are_kept_verbatim() -> None:
    for target in (b"../../../../etc/passwd", b"/abs//x/", b"./../.", b"\xff"):
        assert one(header(b"l", b"2", link=target)).link == decode_path(target)


def test_hard_link_targets_are_cleaned() -> None:
    assert one(header(b"l", b"1", link=b"../../a/../etc/x")).link == "etc/x"


@pytest.mark.parametrize(
    "data", [header(b"l", b"2"), header(b"l", b"1"), header(b"l", b"1", link=b"../.."), header(b"x", b"Z"), header(b"x", b"D")]
)
def test_impossible_entries(data: bytes) -> None:
    with pytest.raises(TarError):
        read(data + bytes(1024))


def test_nul_in_a_record_is_refused() -> None:
    for key in (b"path", b"linkpath"):
        with pytest.raises(TarError, match="NUL"):
            read(pax({key: b"a\0b"}) + header() + bytes(1024))


@pytest.mark.parametrize(
    "body", [b"garbage", b"5 a=b", b"6 ab\n\n", b"999 a=b\n", b"3 =\n", b"-5 a=b\n", b"99999999999999999999999 a=b\n", b"6 a=bc"]
)
def test_broken_records(body: bytes) -> None:
    with pytest.raises(TarError):
        read(header(b"x", b"x", len(body)) + padded(body) + header() + bytes(1024))


# -- whiteouts ------------------------------------------------------------------------------------------


def test_whiteouts_are_told() -> None:
    names = [b"a/.wh.b", b".wh.top", b"a/.wh..wh..opq", b".wh..wh..opq", b"./a/.wh..hidden"]
    names += [b".wh..wh.aufs", b".wh..wh.plnk/123.4", b"a.wh.b"]
    data = b"".join(header(name) for name in names) + bytes(1024)
    assert [(entry.kind, entry.path) for entry, _ in read(data)] == [
        ("whiteout", "a/b"), ("whiteout", "top"), ("opaque", "a"), ("opaque", ""), ("whiteout", "a/.hidden"), ("file", "a.wh.b"),
    ]  # fmt: skip
    assert [entry.kind for entry, _ in read(data, whiteouts=False)] == ["file"] * 8


@pytest.mark.parametrize("name", [b".wh.", b"a/.wh.", b".wh..", b".wh...", b"a/.wh...", b".wh.x/y", b"a/.wh.b/c"])
def test_whiteouts_that_name_nothing_are_refused(name: bytes) -> None:
    with pytest.raises(TarError) as caught:
        read(header(name) + bytes(1024))
    assert caught.value.code == "tar-bad-whiteout"


# -- ends -----------------------------------------------------------------------------------------------


def test_where_an_archive_ends() -> None:
    assert read(b"") == []
    assert read(bytes(512)) == []
    assert len(read(header())) == 1
    assert len(read(header() + bytes(512) + header(b"behind"))) == 1


@pytest.mark.parametrize("cut", [1, 511, 513, 1000, 1024 + 511])
def test_an_archive_cut_short(cut: int) -> None:
    data = pax({b"path": b"x"}) + header(b"f", b"0", 600) + bytes(1024)
    with pytest.raises(TarError, match="ends in the middle"):
        read(data[:cut])


def test_a_wrong_checksum() -> None:
    block = bytearray(header())
    block[0] ^= 1
    with pytest.raises(TarError, match="checksum"):
        read(bytes(block))


def test_a_signed_checksum_is_right_too() -> None:
    block = bytearray(header(b"caf\xe9"))
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % (sum(block) - 256)
    assert one(bytes(block)).path == decode_path(b"caf\xe9")


def test_contents_need_not_be_read() -> None:
    data = b"".join(header(b"f%d" % number, b"0", 1000) + padded(b"x" * 1000) for number in range(5)) + bytes(1024)
    seen: list[tuple[str, bytes]] = []
    for entry, body in read_tar(io.BytesIO(data)):
        seen.append((entry.path, body.read(number) if (number := len(seen)) else b""))
    assert seen == [(f"f{number}", b"x" * number) for number in range(5)]


# -- caps -----------------------------------------------------------------------------------------------


def many(count: int) -> bytes:
    return b"".join(header(b"f%d" % number) for number in range(count)) + bytes(1024)


@pytest.mark.parametrize(
    ("limits", "data", "code"),
    [
        (Limits(entries=5), many(6), "tar-too-many-entries"),
        (Limits(plain=4096), many(20) + bytes(1 << 20), "tar-too-large"),
        (Limits(file=100), header(b"f", b"0", 101) + bytes(2048), "tar-file-too-large"),
        (Limits(header=100), pax({b"comment": b"x" * 100}) + header() + bytes(1024), "tar-header-too-large"),
        (Limits(header=100), header(b"L", b"L", 101) + bytes(2048), "tar-header-too-large"),
        (Limits(), header(b"x", b"x", (1 << 33) - 1), "tar-header-too-large"),
        (Limits(path=50), pax({b"path": b"x" * 51}) + header() + bytes(1024), "tar-name-too-long"),
        (Limits(depth=10), header(b"d/" * 11) + bytes(1024), "tar-name-too-deep"),
    ],
)
def test_caps(limits: Limits, data: bytes, code: str) -> None:
    with pytest.raises(TarError) as caught:
        read(data, limits)
    assert caught.value.code == code


def test_as_many_entries_as_the_cap_allows() -> None:
    assert len(read(many(5), Limits(entries=5))) == 5


# -- sparse files ---------------------------------------------------------------------------------------

CONTENT = {0: b"start", 1 << 16: b"a" * 5000, 3 << 20: b"middle", (4 << 20) + 100: b"end"}
SIZE = (4 << 20) + 50_000


def sparse_file(path: Path, count: int = 0) -> bytes:
    with path.open("wb") as file:
        for offset, data in CONTENT.items():
            file.seek(offset)
            file.write(data)
        for number in range(count):
            file.seek((5 << 20) + number * 16384)
            file.write(b"x")
        file.truncate(SIZE if not count else (5 << 20) + count * 16384 + 7)
    return path.read_bytes()


@GNU_TAR
@pytest.mark.parametrize("count", [0, 60])
@pytest.mark.parametrize("form", ["gnu", "oldgnu", *(f"posix --sparse-version={version}" for version in ("0.0", "0.1", "1.0"))])
def test_sparse_files_of_gnu_tar(tmp_path: Path, form: str, count: int) -> None:
    data = sparse_file(tmp_path / "sparse", count)
    (tmp_path / "after").write_bytes(b"after")
    subprocess.run(["tar", "--sparse", *f"--format={form}".split(), "-cf", "a.tar", "sparse", "after"], cwd=tmp_path, check=True)
    archive = (tmp_path / "a.tar").read_bytes()
    assert len(archive) < 2 << 20
    found = read(archive)
    assert [(entry.path, entry.size, entry.kind) for entry, _ in found] == [("sparse", len(data), "file"), ("after", 5, "file")]
    assert found[0][1] == data
    assert found[1][1] == b"after"
    out = tmp_path / "out"
    with out.open("wb") as file:
        for entry, body in read_tar(io.BytesIO(archive)):
            if entry.path == "sparse":
                body.copy_to(file.fileno())
    assert out.read_bytes() == data
    assert out.stat().st_blocks * 512 < 2 << 20


@pytest.mark.parametrize(
    "records",
    [
        {b"GNU.sparse.map": b"0,10,5,10", b"GNU.sparse.size": b"100"},
        {b"GNU.sparse.map": b"0,600", b"GNU.sparse.size": b"1000"},
        {b"GNU.sparse.map": b"90,20", b"GNU.sparse.size": b"100"},
        {b"GNU.sparse.map": b"0,1,2", b"GNU.sparse.size": b"100"},
        {b"GNU.sparse.map": b"a,b", b"GNU.sparse.size": b"100"},
        {b"GNU.sparse.map": b"0,5", b"GNU.sparse.size": b"-1"},
        {b"GNU.sparse.map": b"0,5", b"GNU.sparse.size": b"9" * 19},
        {b"GNU.sparse.offset": b"0", b"GNU.sparse.size": b"9"},
        {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"100"},
    ],
)
def test_impossible_maps(records: dict[bytes, bytes]) -> None:
    with pytest.raises(TarError):
        read(pax(records) + header(b"f", b"0", 512) + b"x" * 512 + bytes(1024))


@pytest.mark.parametrize("body", [b"2\n0\n1\n", b"99999999999\n", b"1\n-1\n5\n", b"1\n0\n" + b"9" * 30 + b"\n", b"x\n", b"9" * 512])
def test_impossible_maps_of_the_last_form(body: bytes) -> None:
    records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.name": b"f", b"GNU.sparse.realsize": b"100"}
    with pytest.raises(TarError):
        read(pax(records) + header(b"f", b"0", len(padded(body))) + padded(body) + bytes(1024))


def test_segments_are_capped() -> None:
    records = {b"GNU.sparse.map": b",".join(b"%d,1" % (2 * number) for number in range(11)), b"GNU.sparse.size": b"100"}
    with pytest.raises(TarError, match="more than 10"):
        read(pax(records) + header(b"f", b"0", 11) + bytes(1024), Limits(segments=10))


def test_extension_blocks_without_end_are_cut_off() -> None:
    block = bytearray(header(b"f", b"S", 0))
    block[386:410] = b"00000000000\x0000000000000\0"
    block[482] = 1
    block[483:495] = b"00000000100\0"
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    extension = b"00000000000\x0000000000000\0" * 21 + b"\x01" + bytes(7)
    with pytest.raises(TarError, match="more than 1000"):
        read(bytes(block) + extension * 2000, Limits(segments=1000))


# -- other writers --------------------------------------------------------------------------------------


def make_files(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / ("n" * 150)).write_bytes(b"long")
    (root / "d" / "café").write_bytes(b"text")
    os.symlink("t" * 130, root / "d" / "link")
    os.link(root / "d" / "café", root / "hard")
    os.mkfifo(root / "fifo")
    os.chown(root / "hard", 3_000_000, 5)
    for path in (root / "d" / ("n" * 150), root / "fifo", root / "hard"):
        os.utime(path, ns=(10**18 + 5, 10**18 + 5))


@GNU_TAR
@needs_root_of_the_machine
@pytest.mark.parametrize("form", ["gnu", "oldgnu", "posix"])
def test_archives_of_gnu_tar(tmp_path: Path, form: str) -> None:
    (tmp_path / "root").mkdir()
    make_files(tmp_path / "root")
    subprocess.run(["tar", f"--format={form}", "--sort=name", "-cf", "a.tar", "-C", "root", "."], cwd=tmp_path, check=True)
    found = {entry.path: (entry, data) for entry, data in read((tmp_path / "a.tar").read_bytes())}
    assert sorted(found) == ["", "d", "d/café", "d/link", "d/" + "n" * 150, "fifo", "hard"]
    assert found["d/" + "n" * 150][1] == b"long"
    assert found["d/link"][0].link == "t" * 130
    assert found["hard"][0].kind == "hardlink"
    assert found["hard"][0].link == "d/café"
    assert found["d/café"][0].uid == 3_000_000
    assert found["fifo"][0].mtime_ns // 10**9 == 10**9


NAMES = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=30)
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


@pytest.mark.parametrize("form", FORMATS)
@given(st.lists(st.tuples(NAMES, st.binary(max_size=700)), max_size=5))
@settings(max_examples=30, deadline=None)
def test_archives_of_tarfile(form: int, files: list[tuple[str, bytes]]) -> None:
    files = [(name, data) for name, data in files if name.strip(".") and not name.startswith(".wh.")]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in files:
            member = tarfile.TarInfo(f"dir/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    assert [(entry.path, data) for entry, data in read(out.getvalue())] == [(f"dir/{name}", data) for name, data in files]


# -- anything -------------------------------------------------------------------------------------------


def small() -> bytes:
    out = io.BytesIO()
    writer = TarWriter(out.write)
    writer.add(Entry("d" * 120, "dir", xattrs=(("user.a", b"b"),)))
    writer.add(Entry("f", "file", size=5), b"hello")
    writer.add(Entry("l", "symlink", link="x" * 120))
    writer.close()
    return out.getvalue() + pax([(b"GNU.sparse.offset", b"0"), (b"GNU.sparse.numbytes", b"5"), (b"GNU.sparse.size", b"9")])


SMALL = small()
SMALL_LIMITS = Limits(entries=100, plain=1 << 20, file=1 << 20, header=1 << 16, segments=100)


class InPieces(io.BytesIO):
    """Gives no more than 13 bytes at a time, as a pipe may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(13 if size is None or size < 0 else min(size, 13))


def consumed(stream: io.BytesIO) -> tuple[list[tuple[Entry, bytes]], str]:
    """All entries with their bodies, and the code of the TarError that ended it; no other error may come."""
    found: list[tuple[Entry, bytes]] = []
    try:
        for entry, body in read_tar(stream, SMALL_LIMITS):
            found.append((entry, body.read()))
    except TarError as error:
        return found, error.code
    return found, ""


def safe_and_the_same_in_pieces(data: bytes) -> None:
    """What is read stays inside and is whole, and does not depend on how the bytes come."""
    entries, code = consumed(io.BytesIO(data))
    for entry, body in entries:
        assert ".." not in entry.path.split("/")
        assert not entry.path.startswith("/")
        assert len(body) == entry.size
    assert code.startswith("tar-") or not code
    assert consumed(InPieces(data)) == (entries, code)


@given(st.binary(max_size=3000))
@example(b"\0")
@settings(max_examples=150, deadline=None)
def test_random_bytes_give_an_archive_or_a_tar_error(data: bytes) -> None:
    safe_and_the_same_in_pieces(data)


@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
@settings(max_examples=300, deadline=None)
def test_damaged_archives_give_an_archive_or_a_tar_error(damage: list[tuple[int, int]], fix: bool) -> None:
    data = bytearray(SMALL)
    for at, byte in damage:
        data[at] = byte
    if fix:
        for start in range(0, len(data), 512):
            block = data[start : start + 512]
            if block[257:262] == b"ustar":
                block[148:156] = b"        "
                data[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    safe_and_the_same_in_pieces(bytes(data))


def timed(make: Callable[[int], bytes], count: int) -> float:
    data = make(count)
    start = time.process_time()
    for _ in read_tar(io.BytesIO(data)):
        pass
    return time.process_time() - start


def test_time_is_linear_in_the_entries() -> None:
    assert timed(many, 100_000) < 12
