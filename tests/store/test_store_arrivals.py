"""Blobs read while they are written."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from builder.errors import CorruptionError
from builder.oci.digest import digest_of
from builder.store.arrivals import ArrivalBroken
from builder.store.blobs import DirectoryBlobs

WHOLE = b"one" + b"two"
DIGEST = digest_of(WHOLE)


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryBlobs:
    return DirectoryBlobs(tmp_path)


def test_what_came_so_far_is_read_before_the_rest_is_there(blobs: DirectoryBlobs) -> None:
    with blobs.writer(DIGEST) as writer:
        writer.write(b"one")
        reader = blobs.arrivals.follow([DIGEST], lambda: True)
        assert reader is not None
        with reader:
            assert reader.read(2) == b"on"
            assert reader.read(9) == b"e"
            waiting: list[bytes] = []
            thread = threading.Thread(target=lambda: waiting.append(reader.read(9)))
            thread.start()
            writer.write(b"two")
            thread.join()
            assert waiting == [b"two"]
            assert not reader.whole
            writer.commit(DIGEST)
            assert reader.read(9) == b""
            assert reader.whole
    assert blobs.read(DIGEST, 100) == WHOLE


def test_a_reader_reads_on_when_the_blob_is_gone_again(blobs: DirectoryBlobs) -> None:
    with blobs.writer(DIGEST) as writer:
        writer.write(WHOLE)
        reader = blobs.arrivals.follow([DIGEST], lambda: True)
        assert reader is not None
        writer.commit(DIGEST)
    blobs.delete(DIGEST)
    with reader:
        assert reader.read() == WHOLE


def test_wrong_bytes_are_never_whole(blobs: DirectoryBlobs) -> None:
    with blobs.writer(DIGEST) as writer:
        writer.write(b"bad")
        reader = blobs.arrivals.follow([DIGEST], lambda: True)
        assert reader is not None
        with pytest.raises(CorruptionError):
            writer.commit(DIGEST)
    with reader, pytest.raises(ArrivalBroken, match="broke off"):
        reader.drain()
    assert not reader.whole


def test_bytes_of_another_digest_are_not_whole_either(blobs: DirectoryBlobs) -> None:
    with blobs.writer(DIGEST) as writer:
        writer.write(b"other")
        reader = blobs.arrivals.follow([DIGEST], lambda: True)
        writer.commit()
    assert reader is not None
    with reader, pytest.raises(ArrivalBroken):
        reader.drain()


def test_following_ends_when_nobody_will_write(blobs: DirectoryBlobs) -> None:
    done = threading.Event()
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(blobs.arrivals.follow([DIGEST], done.is_set)))
    thread.start()
    with blobs.writer() as writer:
        writer.write(b"of no digest that anybody waits for")
    done.set()
    blobs.arrivals.wake()
    thread.join()
    assert found == [None]
