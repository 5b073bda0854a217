"""Contexts that are archives, from standard input or a URL; threats 5.1 CVE-2020-10696, CVE-2019-10152, CVE-2026-44517."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import zstandard

from builder.context.tarball import read_context
from builder.errors import LayerwrightError
from builder.fs.tree import DirTree, walk
from tests.privileges import needs_root, needs_root_of_the_machine


def tar(*members: tuple[str, dict[str, Any]], format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, fields in members:
            info = tarfile.TarInfo(name)
            data = fields.get("data", b"")
            for key, value in fields.items():
                if key != "data":
                    setattr(info, key, value)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


PLAIN = tar(("Dockerfile", {"data": b"FROM scratch\n"}), ("s/a", {"data": b"1", "mode": 0o755}), (".wh.x", {"data": b"2"}))


class Trickle(io.RawIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int = -1, /) -> bytes:
        count = min(7, size if size >= 0 else 7)
        piece, self._data = self._data[:count], self._data[count:]
        return piece


def opened(data: bytes, directory: Path, stream: BinaryIO | None = None) -> DirTree | bytes:
    return read_context(stream or io.BytesIO(data), directory, 1 << 20)


@needs_root
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress])
def test_1_9_an_archive_is_unpacked(tmp_path: Path, pack: Any) -> None:
    tree = opened(pack(PLAIN), tmp_path)
    assert isinstance(tree, DirTree)
    assert walk(tree) == [".wh.x", "Dockerfile", "s", "s/a"]
    entry = tree.lstat("s/a")
    assert entry is not None
    assert entry.mode == 0o755


@pytest.mark.parametrize("text", [b"", b"FROM scratch\n", b"FROM scratch\n# " + b"x" * 2000])
def test_1_9_anything_else_is_a_dockerfile(tmp_path: Path, text: bytes) -> None:
    assert opened(text, tmp_path) == text
    assert os.listdir(tmp_path) == []


@needs_root
def test_1_9_a_pipe_gives_what_it_has(tmp_path: Path) -> None:
    tree = read_context(Trickle(PLAIN), tmp_path, 1 << 20)
    assert isinstance(tree, DirTree)
    assert read_context(Trickle(b"FROM x\n" * 100), tmp_path, 1 << 20) == b"FROM x\n" * 100  # type: ignore[arg-type]


@needs_root
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_1_9_archives_that_begin_with_an_extended_header(tmp_path: Path, format: int) -> None:
    name = "/".join(["d" * 60] * 3)
    tree = opened(tar((name, {"data": b"1"}), format=format), tmp_path)
    assert isinstance(tree, DirTree)
    assert name in walk(tree)


def test_1_9_a_dockerfile_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayerwrightError, match="larger than"):
        read_context(io.BytesIO(b"FROM x\n" * 1000), tmp_path, 1000)


def test_1_9_a_broken_archive_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LayerwrightError):
        opened(gzip.compress(PLAIN)[:60], tmp_path)


LINK = {"type": tarfile.SYMTYPE}
HOSTILE: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "dotdot": (("../escape", {"data": b"x"}),),
    "absolute": (("/escape", {"data": b"x"}),),
    "link_then_write": (("l", {**LINK, "linkname": "OUT"}), ("l/escape", {"data": b"x"})),
    "relative_link": (("l", {**LINK, "linkname": "../outside"}), ("l/escape", {"data": b"x"})),
    "hard_link": (("h", {"type": tarfile.LNKTYPE, "linkname": "../outside/canary"}),),
    "hard_link_through_a_link": (("l", {**LINK, "linkname": "OUT"}), ("h", {"type": tarfile.LNKTYPE, "linkname": "l/canary"})),
    "root_as_a_link": ((".", {**LINK, "linkname": "OUT"}), ("escape", {"data": b"x"})),
    "file_over_a_link": (("l", {**LINK, "linkname": "OUT/canary"}), ("l", {"data": b"evil"})),
}


@needs_root
@pytest.mark.parametrize("name", HOSTILE)
def test_5_1_hostile_contexts_stay_inside(tmp_path: Path, name: str) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "canary").write_text("alive")
    members = tuple(
        (path, {k: v.replace("OUT", str(outside)) if k == "linkname" else v for k, v in fields.items()}) for path, fields in HOSTILE[name]
    )
    try:
        opened(tar(*members), inside)
    except LayerwrightError as error:
        refused = error.code
    else:
        refused = ""
    assert refused in ("", "tar-link", "tar-corrupt")
    assert os.listdir(outside) == ["canary"]
    assert (outside / "canary").read_text() == "alive"
    assert sorted(os.listdir(tmp_path)) == ["inside", "outside"]


@needs_root_of_the_machine
def test_1_9_devices_and_deletions(tmp_path: Path) -> None:
    device = {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}
    tree = opened(tar(("null", device), ("zero", {**device, "devmajor": 0, "devminor": 0})), tmp_path)
    assert isinstance(tree, DirTree)
    assert walk(tree) == ["null"]
