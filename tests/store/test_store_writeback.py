"""Large files are handed to the disk while they grow: in whole pieces, each range once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.store.blobs import DirectoryBlobs
from builder.store.writeback import PIECE, WriteBack, begin_writing


@pytest.mark.parametrize("step", [1 << 20, 3 << 20, PIECE, PIECE + 1])
def test_pieces_follow_one_another(step: int) -> None:
    begun: list[tuple[int, int, int]] = []
    behind = WriteBack(7, 512, lambda fd, at, size: begun.append((fd, at, size)))
    for _ in range(100):
        behind.grew(step)
    end = 512
    for fd, at, size in begun:
        assert (fd, at) == (7, end)
        assert size >= PIECE
        end += size
    assert 512 + 100 * step - end < PIECE


def test_a_small_file_is_left_to_its_fsync() -> None:
    begun: list[int] = []
    WriteBack(7, 0, lambda fd, at, size: begun.append(size)).grew(PIECE - 1)
    assert not begun


def test_what_was_begun_is_as_it_was(tmp_path: Path) -> None:
    data = os.urandom(1 << 16) * 3
    with open(tmp_path / "file", "wb", buffering=0) as file:
        file.write(data)
        begin_writing(file.fileno(), 0, len(data))
        file.write(b"more")
    assert (tmp_path / "file").read_bytes() == data + b"more"


def test_what_cannot_be_begun_is_no_error() -> None:
    reader, writer = os.pipe()  # ESPIPE
    begin_writing(writer, 0, 1)
    os.close(writer)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_large_blob_and_its_copy_are_whole(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path / "blobs")
    piece = os.urandom(1 << 20)
    with blobs.writer() as writer:
        for _ in range(2 * PIECE // len(piece) + 1):
            writer.write(piece)
        digest, size = writer.commit()
    with blobs.open(digest) as reader, open(tmp_path / "copy", "w+b", buffering=0) as copy:
        copy.write(b"head")
        assert reader.copy_to(copy.fileno()) == size
    assert (tmp_path / "copy").read_bytes() == b"head" + piece * (size // len(piece))
