"""The contexts that are built: made from a seed, the same every time."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import tarfile
from pathlib import Path

from tests.peers.debian import write_layout

BASE = "docker.io/layerwright/base"
_TEXT = ("the quick brown fox jumps over the lazy dog; " * 100).encode()


def runs(directory: Path, steps: int) -> Path:
    """Steps that do next to nothing, each with a layer of its own."""
    lines = [f"FROM {BASE}", *(f"RUN echo {number} > /step{number}" for number in range(steps))]
    return _dockerfile(directory, lines)


def steps20(directory: Path) -> Path:
    """Twenty steps of all kinds over a context of a few files."""
    for number in range(10):
        _write(directory / f"file{number}.txt", f"file {number}\n".encode() * 20)
    lines = [f"FROM {BASE}", "ARG VERSION=1", "ENV APP=/app", "WORKDIR /app"]
    lines += [f"COPY file{number}.txt ./" for number in range(6)]
    lines += [f"RUN echo {number} > step{number}" for number in range(6)]
    lines += ["COPY file6.txt file7.txt ./", "LABEL a=b", "EXPOSE 80", 'CMD ["sh"]']
    return _dockerfile(directory, lines)


def steps20_large(directory: Path, megabytes: int = 60) -> Path:
    """The same over an image of some size."""
    steps20(directory)
    _write_half_compressible(directory / "large.bin", megabytes << 20, 7)
    text = (directory / "Dockerfile").read_text()
    (directory / "Dockerfile").write_text(text.replace("WORKDIR /app", "COPY large.bin /large.bin\nWORKDIR /app"))
    return directory


def big_copy(directory: Path, megabytes: int, base: str = BASE, flags: str = "") -> Path:
    """Files of 64 MB, every second block of 4 KiB random."""
    for number in range(max(1, megabytes // 64)):
        _write_half_compressible(directory / "data" / f"part{number}.bin", min(megabytes, 64) << 20, number)
    return _dockerfile(directory, [f"FROM {base}", f"COPY {flags}data /data"])


def many_files(directory: Path, count: int, files: str = "tree") -> Path:
    """Small files, a hundred a directory; made once."""
    if (directory / "Dockerfile").exists():
        return directory
    source = random.Random(42)
    for number in range(count):
        path = directory / files / f"d{number // 10000}" / f"e{number // 100 % 100}" / f"f{number}.txt"
        if number % 100 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(200) + _TEXT[: source.randrange(4000)])
    return _dockerfile(directory, [f"FROM {BASE}", f"COPY {files} /{files}"])


def tiny_files(directory: Path, count: int) -> Path:
    """Files of a line, a hundred a directory: their number is what costs."""
    for number in range(count):
        if number % 100 == 0:
            parent = directory / "tree" / f"d{number // 10000}" / f"e{number // 100 % 100}"
            parent.mkdir(parents=True, exist_ok=True)
        with open(f"{parent}/f{number}.txt", "wb", buffering=0) as out:
            out.write(b"file %d\n" % number)
    return _dockerfile(directory, [f"FROM {BASE}", "COPY tree /tree"])


def parallel(directory: Path, stages: int = 4, seconds: int = 2) -> Path:
    """Stages that each wait, then joined."""
    lines: list[str] = []
    for number in range(stages):
        lines += [f"FROM {BASE} AS s{number}", f"RUN sleep {seconds} && echo {number} > /out{number}"]
    lines += [f"FROM {BASE}", *(f"COPY --from=s{number} /out{number} /" for number in range(stages))]
    return _dockerfile(directory, lines)


def from_registry(directory: Path, reference: str) -> Path:
    """One step on an image of a registry, which has to be pulled and unpacked for it."""
    return _dockerfile(directory, [f"FROM {reference}", "RUN true"])


def variants(layout: Path, directory: Path, count: int, tag: str) -> list[Path]:
    """Images like the one of a layout, each with one file more, so that no layer of one is a layer of another."""
    index = json.loads((layout / "index.json").read_text())
    blobs = layout / "blobs" / "sha256"
    manifest = json.loads((blobs / index["manifests"][0]["digest"].removeprefix("sha256:")).read_text())
    packed = blobs / manifest["layers"][0]["digest"].removeprefix("sha256:")
    made: list[Path] = []
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        tar = directory / "layer.tar"
        with gzip.open(packed) as source, open(tar, "wb") as out:
            out.write(tarfile.TarInfo(f"round{number}").tobuf())
            shutil.copyfileobj(source, out, 1 << 20)
        made.append(directory / f"debian{number}")
        write_layout(made[-1], tar, tag)
    return made


def renew(directory: Path) -> None:
    """Gives every file a new time, so that no builder may take its word from an earlier build that it is unchanged."""
    for parent, _, files in os.walk(directory):
        for name in files:
            os.utime(os.path.join(parent, name))


def _dockerfile(directory: Path, lines: list[str]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Dockerfile").write_text("\n".join(lines) + "\n")
    return directory


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _write_half_compressible(path: Path, size: int, seed: int) -> None:
    """Blocks of 4 KiB, in turn random and text: gzip makes about half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size == size:
        return
    source = random.Random(seed)
    with open(path, "wb") as out:
        for _ in range(size >> 20):
            block = bytearray()
            for _ in range(128):
                block += source.randbytes(4096)
                block += _TEXT[:4096]
            out.write(block)
