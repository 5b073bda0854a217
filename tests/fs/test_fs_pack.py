"""Packing and compression: digests, determinism, levels, errors, memory."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import resource
import shutil
import subprocess
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from builder.errors import CorruptionError, UsageError
from builder.fs.compress import Readable, compress, decompress
from builder.fs.entries import Entry
from builder.fs.gzipwrite import BLOCK
from builder.fs.lanes import Lane
from builder.fs.limits import Limits
from builder.fs.pack import Opener, Packed, pack, repack
from builder.fs.scan import layer_entries
from builder.fs.sniff import sniff_archive
from builder.fs.tarwrite import TarWriter
from builder.oci.digest import EMPTY_LAYER
from builder.oci.media import Compression

COMPRESSIONS: list[Compression] = ["none", "gzip", "zstd"]


def some_files(root: Path, count: int = 40) -> str:
    for number in range(count):
        path = root / f"d{number % 7}" / f"file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(f"line {number}\n" * (number * 977 % 20000), "ascii"))
        os.utime(path, ns=(10**18, 10**18))
    for path in root.iterdir():
        os.utime(path, ns=(10**18, 10**18))
    return str(root)


def packed(directory: str, compression: Compression, level: int | None = None) -> tuple[Packed, bytes]:
    out = io.BytesIO()
    made = pack(layer_entries(directory), compression, level, out.write)
    return made, out.getvalue()


def plain_of(compression: Compression, data: bytes) -> bytes:
    if compression == "gzip":
        return gzip.decompress(data)
    if compression == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_is_said_of_a_blob_is_true(tmp_path: Path, compression: Compression) -> None:
    made, blob = packed(some_files(tmp_path), compression)
    plain = plain_of(compression, blob)
    assert (made.digest, made.size) == (sha(blob), len(blob))
    assert (made.diff_id, made.plain_size) == (sha(plain), len(plain))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_empty_layer(compression: Compression) -> None:
    out = io.BytesIO()
    made = pack([], compression, None, out.write)
    assert made.diff_id == EMPTY_LAYER
    assert plain_of(compression, out.getvalue()) == bytes(1024)


def test_the_gzip_header_has_no_name_and_no_time(tmp_path: Path) -> None:
    _, blob = packed(some_files(tmp_path), "gzip")
    assert blob[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def levels() -> Iterator[tuple[Compression, int | None]]:
    yield from (("gzip", level) for level in (None, *range(10)))
    yield from (("zstd", level) for level in (None, 0, 1, 3, 10))
    yield ("none", None)


@pytest.mark.parametrize(("compression", "level"), list(levels()))
def test_bytes_do_not_depend_on_how_the_input_is_cut(compression: Compression, level: int | None) -> None:
    data = b"".join(b"%d %d\n" % (number, number * number) for number in range(100_000))
    made = set()
    for step in (1 << 20, 77_777, 1 << 23):
        out = io.BytesIO()
        compressor = compress(compression, level, out.write)
        for at in range(0, len(data), step):
            compressor.write(data[at : at + step])
        compressor.close()
        made.add(out.getvalue())
    assert len(made) == 1
    assert plain_of(compression, made.pop()) == data


def test_levels_differ_and_the_default_is_the_documented_one() -> None:
    data = os.urandom(50_000) * 3 + b"some text " * 30_000
    sizes = {}
    for level in (None, 0, 1, 2, 3, 6, 9):
        out = io.BytesIO()
        compressor = compress("gzip", level, out.write)
        compressor.write(data)
        compressor.close()
        sizes[level] = out.getvalue()
    assert sizes[None] == sizes[2]
    assert len(sizes[0]) > len(data)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    assert sizes[9][10:-10] == deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)


def blob_of(data: bytes, compression: Compression, level: int | None = None) -> bytes:
    out = io.BytesIO()
    compressor = compress(compression, level, out.write)
    compressor.write(data)
    compressor.close()
    return out.getvalue()


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 5 * BLOCK + 17])
@pytest.mark.parametrize("level", [0, 1, 2, 6])
def test_a_gzip_stream_is_one_member_whatever_its_size(size: int, level: int) -> None:
    data = (os.urandom(1000) + bytes(3000)) * (size // 4000 + 1)
    blob = blob_of(data[:size], "gzip", level)
    decoder = zlib.decompressobj(31)
    assert decoder.decompress(blob) == data[:size]
    assert decoder.eof
    assert decoder.unused_data == b""
    assert int.from_bytes(blob[-4:], "little") == size


@pytest.mark.parametrize("level", [1, 2])
def test_isal_begins_no_block_without_history(level: int) -> None:
    """Without, a match is looked for under the hash of an address; see builder.fs.gzipwrite."""
    data = os.urandom(BLOCK + 100)
    blob = blob_of(data, "gzip", level)[10:]
    assert blob[:5] == b"\x00\x10\x00\xef\xff"
    assert blob[5:21] == data[:16]
    second = blob.index(b"\x00\x00\xff\xff\x00\x10\x00\xef\xff") + 9
    assert blob[second : second + 16] == data[BLOCK : BLOCK + 16]


@given(data=st.binary(max_size=70), times=st.integers(1, 2000), level=st.sampled_from([1, 2]))
@settings(max_examples=80, deadline=None)
def test_any_small_input_comes_back(data: bytes, times: int, level: int) -> None:
    blob = blob_of(data * times, "gzip", level)
    assert gzip.decompress(blob) == data * times
    assert drained(decompress(io.BytesIO(blob))) == data * times


def test_a_zstd_stream_is_one_frame() -> None:
    data = os.urandom(5 << 20) + bytes(1 << 20)
    blob = blob_of(data, "zstd")
    decoder = zstandard.ZstdDecompressor().decompressobj()
    assert decoder.decompress(blob) == data
    assert decoder.unused_data == b""


@pytest.mark.parametrize("jobs", [1, 2, 9])
def test_a_zstd_stream_of_whole_jobs_ends_with_an_empty_block(jobs: int) -> None:
    """Always, and not only where its last job had begun before the end was known."""
    blob = blob_of(os.urandom(1 << 20) * 2 * jobs, "zstd")
    checksum = 4
    assert blob[-3 - checksum : -checksum] == b"\x01\0\0"  # RFC 8878, 3.1.1.2: a raw block of size 0, the last


@pytest.mark.skipif(shutil.which("gzip") is None or shutil.which("zstd") is None, reason="needs gzip and zstd")
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_the_usual_programs_read_it(tmp_path: Path, compression: Compression) -> None:
    data = os.urandom(3 << 20) + b"text " * 500_000
    (tmp_path / "blob").write_bytes(blob_of(data, compression))
    with open(tmp_path / "blob", "rb") as blob:
        done = subprocess.run([compression, "-dc"], stdin=blob, capture_output=True, check=True)
    assert done.stdout == data
    assert done.stderr == b""


def test_blocks_of_their_own_cost_next_to_nothing() -> None:
    """Beside one deflate stream over everything, whose window knows what came before."""
    data = b"".join(b"%d times %d is %d\n" % (number, number, number * number) for number in range(150_000))
    whole: Any = isal_zlib.compressobj(2, zlib.DEFLATED, -15)
    assert len(blob_of(data, "gzip")) < 1.01 * len(whole.compress(data) + whole.flush())


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_same_bytes_from_one_thread_and_from_many(monkeypatch: pytest.MonkeyPatch, compression: Compression) -> None:
    data = b"".join(b"%d %d\n" % (number, number * number) for number in range(700_000))
    made = set()
    for cores in (1, 2, 7, 64):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, cores=cores: set(range(cores)))
        made.add(sha(blob_of(data, compression)))
    assert len(made) == 1


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_stream_that_is_given_up_leaves_no_thread(compression: Compression) -> None:
    before = threading.active_count()
    compressor = compress(compression, None, lambda data: None)
    for _ in range(9):
        compressor.write(os.urandom(1 << 20))
    compressor.stop()
    assert threading.active_count() == before


@pytest.mark.parametrize(("compression", "level"), [("gzip", 10), ("gzip", -1), ("zstd", 23), ("zstd", -5), ("none", 1)])
def test_impossible_levels_are_refused(compression: Compression, level: int) -> None:
    with pytest.raises(UsageError, match=f"no level {level}") as caught:
        pack([], compression, level, lambda data: None)
    assert caught.value.code == "compression-level"


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_repacking_keeps_the_diff_id(tmp_path: Path, compression: Compression) -> None:
    first, blob = packed(some_files(tmp_path), "gzip")
    again = io.BytesIO()
    second = repack(decompress(io.BytesIO(blob)), compression, None, again.write)
    direct, expected = packed(str(tmp_path), compression)
    assert second == direct
    assert again.getvalue() == expected
    assert second.diff_id == first.diff_id


def test_errors_of_the_sink_come_out(tmp_path: Path) -> None:
    def full(data: bytes) -> None:
        raise OSError(28, "No space left on device")

    big = tmp_path / "big"
    big.write_bytes(os.urandom(8 << 20))
    for compression in COMPRESSIONS:
        with pytest.raises(OSError, match="No space left"):
            pack(layer_entries(str(tmp_path)), compression, None, full)


def test_errors_of_a_source_come_out(tmp_path: Path) -> None:
    def entries() -> Iterator[tuple[Entry, Opener | None]]:
        yield from layer_entries(some_files(tmp_path))
        yield Entry("gone", "file", size=3), partial(os.open, str(tmp_path / "gone"), os.O_RDONLY)

    with pytest.raises(FileNotFoundError):
        pack(entries(), "gzip", None, lambda data: None)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    directory = some_files(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    packed(directory, "gzip")
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_memory_is_bounded() -> None:
    piece = os.urandom(1 << 20)

    class Endless:
        left = 120

        def read(self, size: int = -1, /) -> bytes:
            self.left -= 1
            return piece if self.left > 0 else b""

    for compression in COMPRESSIONS:
        tracemalloc.start()
        repack(Endless(), compression, None, lambda data: None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 32 << 20


# -- lanes ----------------------------------------------------------------------------------------------


def test_a_lane_keeps_the_order() -> None:
    seen: list[bytes] = []
    lane = Lane(seen.append)
    for number in range(100):
        lane.put(b"%d" % number)
    lane.close()
    assert seen == [b"%d" % number for number in range(100)]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_lane_of_few_chunks(count: int) -> None:
    seen: list[bytes] = []
    lane = Lane(seen.append)
    for _ in range(count):
        lane.put(b"x")
    lane.close()
    lane.stop()
    assert seen == [b"x"] * count


def put_many(lane: Lane, count: int) -> None:
    for _ in range(count):
        lane.put(b"x")


def test_a_lane_tells_its_error_once_and_never_hangs() -> None:
    def fail(data: bytes) -> None:
        raise KeyError(data)

    lane = Lane(fail)
    with pytest.raises(KeyError):
        put_many(lane, 100)
    lane.stop()


# -- decompression --------------------------------------------------------------------------------------

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}


class Trickle:
    """A stream that gives less than it is asked for."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(self._step if size < 0 else min(size, self._step))


def drained(stream: Readable, size: int = 4000) -> bytes:
    parts = []
    while part := stream.read(size):
        assert len(part) <= size
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("name", ENCODERS)
@given(data=st.binary(max_size=3000), step=st.integers(1, 50))
@settings(max_examples=25, deadline=None)
def test_all_formats_are_told_by_their_magic(name: str, data: bytes, step: int) -> None:
    if name == "none":
        data = b"plain" + data
    assert drained(decompress(Trickle(ENCODERS[name](data), step)), 100) == data


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zstd"])
def test_members_one_after_another_are_one_stream(name: str) -> None:
    encode = ENCODERS[name]
    assert drained(decompress(Trickle(encode(b"a" * 5000) + encode(b"") + encode(b"b"), 7))) == b"a" * 5000 + b"b"


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
def test_zeros_after_the_last_member_are_padding(name: str) -> None:
    assert drained(decompress(io.BytesIO(ENCODERS[name](b"abc") + bytes(5000)))) == b"abc"


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
def test_anything_else_after_it_is_an_error(name: str) -> None:
    with pytest.raises(CorruptionError, match="followed by something else"):
        drained(decompress(io.BytesIO(ENCODERS[name](b"abc") + b"garbage")))


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zstd"])
def test_cut_data_are_an_error(name: str) -> None:
    data = ENCODERS[name](os.urandom(5000))
    for size in (len(data) - 1, len(data) // 2, 12):
        with pytest.raises(CorruptionError) as caught:
            drained(decompress(io.BytesIO(data[:size])))
        assert caught.value.code in ("archive-truncated", "archive-corrupt")


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zstd"])
@given(at=st.integers(10, 200), bit=st.integers(0, 7))
@settings(max_examples=30, deadline=None)
def test_damage_is_an_error_or_gives_the_same(name: str, at: int, bit: int) -> None:
    data = bytearray(ENCODERS[name](b"some contents " * 50))
    data[min(at, len(data) - 1)] ^= 1 << bit
    try:
        found = drained(decompress(io.BytesIO(bytes(data))))
    except CorruptionError:
        return
    assert found == b"some contents " * 50


def test_a_bomb_is_read_in_small_pieces() -> None:
    for name in ("gzip", "bzip2", "xz", "zstd"):
        bomb = ENCODERS[name](bytes(64 << 20))
        tracemalloc.start()
        stream = decompress(io.BytesIO(bomb))
        total = sum(len(stream.read(1 << 16)) for _ in range(50))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert total <= 50 << 16
        assert peak < 12 << 20  # xz and bzip2 need 8 and 4 MiB themselves


def test_a_window_over_the_cap_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=24)
    data = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    blob = data.compress(os.urandom(1 << 16)) + data.flush()
    with pytest.raises(CorruptionError, match="zstd"):
        drained(decompress(io.BytesIO(blob), Limits(zstd_window=1 << 23)))


# -- telling archives from other files ------------------------------------------------------------------


def archive() -> bytes:
    out = io.BytesIO()
    writer = TarWriter(out.write)
    writer.add(Entry("n" * 200, "file", size=3), b"abc")
    writer.close()
    return out.getvalue()


@pytest.mark.parametrize("name", ENCODERS)
def test_archives_are_told_by_content(tmp_path: Path, name: str) -> None:
    (tmp_path / "f").write_bytes(ENCODERS[name](archive()))
    with open(tmp_path / "f", "rb") as file:
        file.seek(3)
        assert sniff_archive(file.fileno())
        assert file.tell() == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"#!/bin/sh\n",
        bytes(1024),
        bytes(10),
        b"\x1f\x8b\x08rest",
        gzip.compress(b"text", mtime=0),
        b"PK\x03\x04zip",
        archive()[:300],
        b"BZh9",
        b"x" * 5000,
    ],
)
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f").write_bytes(data)
    with open(tmp_path / "f", "rb") as file:
        assert not sniff_archive(file.fileno())


def test_speed_is_not_lost_to_the_interpreter(tmp_path: Path) -> None:
    """Not a benchmark: only that nothing quadratic or per-byte crept in."""
    directory = some_files(tmp_path, 2000)
    before = resource.getrusage(resource.RUSAGE_SELF)
    packed(directory, "gzip")
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3


def test_bytes_are_the_same_in_another_process_with_one_processor(tmp_path: Path) -> None:
    directory = some_files(tmp_path)
    here, _ = packed(directory, "gzip")
    code = (
        "import os,sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from builder.fs.pack import pack; from builder.fs.scan import layer_entries\n"
        "print(pack(layer_entries(sys.argv[1]), 'gzip', None, lambda data: None).digest)"
    )
    there = subprocess.run(
        [sys.executable, "-c", code, directory], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert there.stdout.strip() == here.digest
