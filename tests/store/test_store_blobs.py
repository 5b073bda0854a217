"""One suite for every blob store, and what is particular to the one on disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.errors import CorruptionError, NotFoundError
from builder.oci.digest import Digest, digest_of
from builder.store.blobs import BlobStore, DirectoryBlobs, MemoryBlobs, VerifiedReader

Spoil = Callable[[Digest, bytes], None]


@pytest.fixture(params=["directory", "memory"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[BlobStore, Spoil]:
    """A blob store, and a way to put bytes under a wrong name."""
    if request.param == "memory":
        memory = MemoryBlobs()
        return memory, memory.place
    directory = DirectoryBlobs(tmp_path / "blobs")

    def spoil(digest: Digest, data: bytes) -> None:
        Path(directory.path(digest)).write_bytes(data)

    return directory, spoil


def test_what_is_put_is_read(stored: tuple[BlobStore, Spoil]) -> None:
    blobs, _ = stored
    digest = blobs.put(b"hello")
    assert digest == digest_of(b"hello")
    assert blobs.has(digest)
    assert blobs.size(digest) == 5
    assert blobs.read(digest, 5) == b"hello"
    assert list(blobs.digests()) == [digest]


def test_the_empty_blob(stored: tuple[BlobStore, Spoil]) -> None:
    blobs, _ = stored
    digest = blobs.put(b"")
    assert blobs.size(digest) == 0
    assert blobs.read(digest, 0) == b""


def test_absence(stored: tuple[BlobStore, Spoil]) -> None:
    blobs, _ = stored
    absent = digest_of(b"absent")
    assert not blobs.has(absent)
    assert blobs.size(absent) is None
    with pytest.raises(NotFoundError):
        blobs.open(absent)
    blobs.delete(absent)
    assert list(blobs.digests()) == []


def test_putting_twice_is_fine_and_deleting_forgets(stored: tuple[BlobStore, Spoil]) -> None:
    blobs, _ = stored
    assert blobs.put(b"x") == blobs.put(b"x")
    blobs.delete(digest_of(b"x"))
    assert not blobs.has(digest_of(b"x"))


def test_a_writer_that_is_left_leaves_nothing(stored: tuple[BlobStore, Spoil]) -> None:
    blobs, _ = stored
    with blobs.writer() as writer:
        writer.write(b"half")
    assert list(blobs.digests()) == []


def test_a_writer_refuses_other_bytes_than_expected(stored: tuple[BlobStore, Spoil]) -> None:
    blobs, _ = stored
    with blobs.writer() as writer:
        writer.write(b"evil")
        with pytest.raises(CorruptionError) as caught:
            writer.commit(digest_of(b"good"))
    assert caught.value.code == "blob-digest"
    assert list(blobs.digests()) == []


def test_a_writer_counts_and_takes_any_buffer(stored: tuple[BlobStore, Spoil]) -> None:
    blobs, _ = stored
    with blobs.writer() as writer:
        assert writer.write(b"ab") == 2
        assert writer.write(bytearray(b"cd")) == 2
        assert writer.write(memoryview(b"efgh")[::2].tobytes()) == 2
        assert writer.commit() == (digest_of(b"abcdeg"), 6)
    assert blobs.read(digest_of(b"abcdeg"), 100) == b"abcdeg"


@pytest.mark.parametrize("wrong", [b"hellO", b"hell", b"hello!", b""])
def test_wrong_bytes_never_read_to_the_end(stored: tuple[BlobStore, Spoil], wrong: bytes) -> None:
    blobs, spoil = stored
    digest = blobs.put(b"hello")
    spoil(digest, wrong)
    with pytest.raises(CorruptionError) as caught:
        blobs.read(digest, 100)
    assert caught.value.code == "blob-corrupt"
    with blobs.open(digest) as reader, pytest.raises(CorruptionError):
        reader.drain()


def test_a_reader_says_when_it_is_verified(stored: tuple[BlobStore, Spoil]) -> None:
    blobs, _ = stored
    digest = blobs.put(b"hello")
    with blobs.open(digest) as reader:
        assert reader.read(3) == b"hel"
        assert not reader.verified
        assert reader.read(10) == b"lo"
        assert reader.read(10) == b""
        assert reader.verified
    with blobs.open(digest) as reader:
        assert reader.readall() == b"hello"
        assert reader.verified


def test_more_than_the_limit_is_refused(stored: tuple[BlobStore, Spoil]) -> None:
    blobs, _ = stored
    digest = blobs.put(b"12345")
    with pytest.raises(CorruptionError) as caught:
        blobs.read(digest, 4)
    assert caught.value.code == "blob-too-large"


@pytest.mark.parametrize("name", ["sha256:../../etc/passwd", "sha256:" + "A" * 64, "sha512:" + "0" * 64, "", "sha256:" + "0" * 63 + "\n"])
def test_only_a_digest_is_a_name(stored: tuple[BlobStore, Spoil], name: str) -> None:
    blobs, _ = stored
    with pytest.raises(CorruptionError) as caught:
        blobs.has(Digest(name))
    assert caught.value.code == "invalid-digest"


def test_several_writers_of_one_blob(stored: tuple[BlobStore, Spoil]) -> None:
    blobs, _ = stored
    data = os.urandom(1 << 16)
    threads = [threading.Thread(target=blobs.put, args=(data,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(blobs.digests()) == [digest_of(data)]
    assert blobs.read(digest_of(data), len(data)) == data


def test_nothing_is_left_beside_the_blobs(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path / "blobs")
    blobs.put(b"one")
    with blobs.writer() as writer:
        writer.write(b"two")
    assert os.listdir(tmp_path / "blobs/ingest") == []


def test_a_torn_blob_is_written_anew(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path / "blobs")
    digest = blobs.put(b"whole")
    os.truncate(blobs.path(digest), 2)
    blobs.put(b"whole")
    assert blobs.read(digest, 5) == b"whole"


def test_a_blob_touched_since_is_not_deleted(tmp_path: Path) -> None:
    now = [1_000_000_000]
    blobs = DirectoryBlobs(tmp_path / "blobs", clock=lambda: now[0])
    digest = blobs.put(b"x")
    now[0] = 3_000_000_000
    assert blobs.has(digest)
    assert not blobs.delete_unused(digest, 2_000_000_000)
    assert blobs.read(digest, 1) == b"x"
    assert blobs.delete_unused(digest, 3_000_000_000)
    assert not blobs.has(digest)
    assert not blobs.delete_unused(digest, 3_000_000_000)


def test_a_link_in_the_place_of_a_blob_is_not_followed(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path / "blobs")
    (tmp_path / "secret").write_bytes(b"secret")
    os.symlink(tmp_path / "secret", blobs.path(digest_of(b"secret")))
    with pytest.raises(OSError, match="symbolic link"):
        blobs.open(digest_of(b"secret"))


def test_readers_of_a_deleted_blob_read_on(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path / "blobs")
    digest = blobs.put(b"x" * 100)
    reader: VerifiedReader
    with blobs.open(digest) as reader:
        blobs.delete(digest)
        assert reader.readall() == b"x" * 100


def copied(blobs: DirectoryBlobs, digest: Digest, out: Path) -> bytes:
    with open(out, "wb", buffering=0) as file, blobs.open(digest) as reader:
        file.write(b"before")
        assert reader.copy_to(file.fileno()) == os.stat(blobs.path(digest)).st_size
        file.write(b"after")
    return out.read_bytes()


def test_a_blob_is_copied_by_the_kernel(tmp_path: Path) -> None:
    blobs, data = DirectoryBlobs(tmp_path / "store"), os.urandom(3 << 20)
    digest = blobs.put(data)
    assert copied(blobs, digest, tmp_path / "out") == b"before" + data + b"after"
    assert copied(DirectoryBlobs(tmp_path / "store"), digest, tmp_path / "out") == b"before" + data + b"after"


@pytest.mark.parametrize("touched", [False, True])
@pytest.mark.parametrize("same_process", [False, True])
def test_a_blob_that_was_written_to_is_not_copied_as_good(tmp_path: Path, same_process: bool, touched: bool) -> None:
    blobs, data = DirectoryBlobs(tmp_path / "store"), os.urandom(1 << 17)
    digest = blobs.put(data)
    with open(blobs.path(digest), "r+b") as file:
        file.write(b"rotten")
    reading = blobs if same_process else DirectoryBlobs(tmp_path / "store")
    if touched:
        assert reading.has(digest)
    with pytest.raises(CorruptionError):
        copied(reading, digest, tmp_path / "out")
