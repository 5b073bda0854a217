"""Cases of the differential suite as text: a Dockerfile, its context, and what is to be known about it.

=== NAME
row: the row of the reference that it stands for
arg: K=V              a --build-arg; may be repeated, as may all of these
target: STAGE  label: K=V  file: DOCKERFILE  host: NAME:IP  secret: ID=TEXT  network: none
fails: CODE           both builders refuse it; CODE is our error's
reference: none, WHY  the reference cannot be asked; it is taken to refuse
except: NAME          differences that this named exception covers are let pass
--- Dockerfile
FROM base
--- reference         the same in words of 2020, for features younger than the reference builder
--- PATH [MODE] [UID:GID]            a file; its lines follow
--- PATH/ [MODE] [UID:GID]           a directory
--- PATH -> TARGET                   a symbolic link
--- PATH = OTHER                     a hard link
--- PATH fifo                        a named pipe
--- PATH bytes SIZE                  a file of SIZE bytes that repeat
(%XX stands for a byte in PATH and TARGET)
--- PATH tar [COMPRESSION]           an archive; each line a member, as `PATH MODE UID:GID [TEXT | -> TARGET | = OTHER]`
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

FILE_TIME = 1_600_000_000
"""The mtimes of a context's files lie in the third of a year after this."""


@dataclass(frozen=True)
class Part:
    """One `---` section: its head and its text."""

    head: str
    text: str


@dataclass(frozen=True)
class Case:
    """One case; `options` in written order."""

    name: str
    area: str
    options: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...] = field(repr=False)

    def values(self, key: str) -> tuple[str, ...]:
        """All values of an option."""
        return tuple(value for name, value in self.options if name == key)

    def value(self, key: str) -> str | None:
        """The one value of an option."""
        return next(iter(self.values(key)), None)

    @property
    def reference(self) -> str | None:
        """The Dockerfile for the reference builder, where it differs."""
        return next((part.text for part in self.parts if part.head == "reference"), None)


def read_cases(path: Path) -> Iterator[Case]:
    """The cases of one file."""
    for block in ("\n" + path.read_text(encoding="utf-8", errors="surrogateescape")).split("\n=== ")[1:]:
        head, *sections = block.split("\n--- ")
        name, *lines = head.split("\n")
        options = tuple((key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines if line.strip()))
        parts = tuple(Part(*_cut(section)) for section in sections)
        yield Case(name.strip(), path.stem, options, parts)


def _cut(section: str) -> tuple[str, str]:
    head, newline, text = section.partition("\n")
    return head.strip(), text.rstrip("\n") + "\n" if newline and text.strip("\n") else ""


def lay_out(case: Case, directory: Path) -> None:
    """Writes the context; the same case gives the same files with the same times."""
    directory.mkdir()
    for part in case.parts:
        if part.head != "reference":
            _write(part, directory)
    for path in sorted(directory.rglob("*"), key=lambda path: -len(path.parts)):
        # By name, so that files of one content are of one time in all cases: steps that cases share are built once.
        seconds = FILE_TIME + zlib.crc32(os.fsencode(path.name)) % 10_000_000
        os.utime(path, ns=(seconds * 10**9, seconds * 10**9 + 123_456_789), follow_symlinks=False)


def _write(part: Part, directory: Path) -> None:
    words = [unquote(word, errors="surrogateescape") for word in part.head.split(" ")]
    if "->" in words:
        _parent(directory / words[0]).symlink_to(words[2])
        return
    if len(words) == 3 and words[1] == "=":
        os.link(directory / words[2], _parent(directory / words[0]))
        return
    path = _parent(directory / words[0])
    rest = words[1:]
    mode = 0o755 if words[0].endswith("/") else 0o644
    if words[0].endswith("/"):
        path.mkdir(exist_ok=True)
    elif rest[:1] == ["fifo"]:
        os.mkfifo(path)
        rest = rest[1:]
    elif rest[:1] == ["bytes"]:
        size = int(rest[1])
        path.write_bytes((b"0123456789abcdef" * (size // 16 + 1))[:size])
        rest = rest[2:]
    elif rest[:1] == ["tar"]:
        path.write_bytes(_compressed(_tar(part.text), rest[1] if len(rest) > 1 else ""))
        rest = []
    else:
        path.write_bytes(part.text.encode("utf-8", "surrogateescape"))
    for word in rest:
        if ":" in word:
            uid, gid = word.split(":")
            os.chown(path, int(uid), int(gid))
        else:
            mode = int(word, 8)
    path.chmod(mode)


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _tar(text: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number, line in enumerate(text.splitlines()):
            name, mode, owner, *rest = line.split(" ", 3)
            info = tarfile.TarInfo(name.rstrip("/"))
            info.mode, info.mtime = int(mode, 8), 1_500_000_000 + 61 * number
            info.uid, info.gid = (int(word) for word in owner.split(":"))
            content = rest[0] if rest else ""
            data = None
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
            elif content.startswith("-> "):
                info.type, info.linkname = tarfile.SYMTYPE, content[3:]
            elif content.startswith("= "):
                info.type, info.linkname = tarfile.LNKTYPE, content[2:]
            elif content == "fifo":
                info.type = tarfile.FIFOTYPE
            else:
                data = content.encode() + b"\n"
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data) if data is not None else None)
    return out.getvalue()


def _compressed(data: bytes, compression: str) -> bytes:
    match compression:
        case "":
            return data
        case "gzip":
            return gzip.compress(data, mtime=0)
        case "bzip2":
            return bz2.compress(data)
        case "xz":
            return lzma.compress(data)
        case "zstd":
            return subprocess.run(["zstd", "-q", "-c"], input=data, check=True, capture_output=True).stdout
    raise ValueError(compression)
