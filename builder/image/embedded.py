"""The embedded base: a small root filesystem from this machine's own files, libraries included; nothing is downloaded.

The same machine gives the same bytes: one order, one time, owners and modes as said here. The layout is
merged-/usr (`/bin` is a link to `usr/bin`), whatever the machine's own is. Not here: how it becomes an image.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from builder.errors import NotFoundError
from builder.fs.entries import Entry
from builder.image.elf import resolve_libraries

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

TOOLS = (
    "[ awk base64 basename cat chgrp chmod chown cp cut date dd df dirname du echo env expr false find grep gzip head id "
    "install join ln ls mkdir mkfifo mknod mktemp mv nl nproc od paste printenv printf pwd readlink realpath rm rmdir sed seq "
    "sha256sum sleep sort split stat sync tail tar tee test timeout touch tr true truncate uname uniq wc whoami xargs yes"
).split()
"""What a shell script takes for granted; those that the machine has are taken."""

APPLETS = ("sh", "ash", "hostname", "ip", "ps", "vi", "wget", *TOOLS)
"""What busybox is called by; a busybox without one of them says so when it is called."""

_DIRECTORIES = (
    ("dev", 0o755), ("etc", 0o755), ("home", 0o755), ("proc", 0o555), ("root", 0o700), ("run", 0o755), ("sys", 0o555), ("tmp", 0o1777),
    ("usr", 0o755), ("usr/bin", 0o755), ("usr/lib", 0o755), ("usr/local", 0o755), ("usr/local/bin", 0o755), ("usr/local/sbin", 0o755),
    ("usr/sbin", 0o755), ("var", 0o755), ("var/tmp", 0o1777),
)  # fmt: skip
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_FILES = (
    ("etc/group", "root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    ("etc/os-release", 'NAME="layerwright base"\nID=layerwright-base\nPRETTY_NAME="layerwright base (files of the building machine)"\n'),
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    ("etc/shells", "/bin/sh\n"),
)


class Piece(msgspec.Struct, frozen=True):
    """One entry of the base and where its bytes come from: a file of this machine, or the text itself."""

    entry: Entry
    source: Path | None = None
    text: str = ""

    def open(self) -> int:
        """A new descriptor of the bytes; the caller closes it."""
        if self.source is not None:
            return os.open(self.source, os.O_RDONLY | os.O_CLOEXEC)
        fd = os.memfd_create("base", os.MFD_CLOEXEC)
        os.write(fd, self.text.encode())
        os.lseek(fd, 0, os.SEEK_SET)
        return fd


def assemble(root: Path = Path("/"), mtime: int = 0, *, busybox: bool = True) -> tuple[Piece, ...]:
    """The whole tree, parents before children, sorted by path; raises NotFoundError on a machine without a shell.

    busybox where it is wanted and the machine has it, else the machine's `sh` and tools.
    """
    box = _program(root, "busybox") if busybox else None
    pieces: dict[str, Piece] = {}

    def add(entry: Entry, source: Path | None = None, text: str = "") -> None:
        pieces.setdefault(entry.path, Piece(msgspec.structs.replace(entry, mtime_ns=mtime * 1_000_000_000), source, text))

    for path, mode in _DIRECTORIES:
        add(Entry(path, "dir", mode))
    for name in _MERGED:
        if name in ("bin", "sbin", "lib") or (root / name).exists():
            add(Entry(f"usr/{name}", "dir", 0o755))
            add(Entry(name, "symlink", 0o777, link=f"usr/{name}"))
    for path, text in _FILES:
        add(Entry(path, "file", 0o644, size=len(text)), text=text)
    programs = {"busybox": box} if box is not None else _tools(root)
    if box is not None:
        for name in APPLETS:
            add(Entry(f"usr/bin/{name}", "symlink", 0o777, link="busybox"))
    files = {f"usr/bin/{name}": path for name, path in programs.items()}
    for looked_up, library in resolve_libraries(programs.values(), root).items():
        files[_merged(looked_up)] = library
    for path, source in sorted(files.items()):
        for parent in _parents(path):
            add(Entry(parent, "dir", 0o755))
        add(
            Entry(path, "file", 0o755 if path.startswith("usr/bin/") or _is_executable(source) else 0o644, size=source.stat().st_size),
            source,
        )
    return tuple(sorted(pieces.values(), key=lambda piece: piece.entry.path.encode().split(b"/")))


def entries(pieces: tuple[Piece, ...]) -> Iterator[tuple[Entry, Callable[[], int] | None]]:
    """The pieces as `builder.fs.pack` takes them."""
    for piece in pieces:
        yield piece.entry, piece.open if piece.entry.kind == "file" else None


def _tools(root: Path) -> dict[str, Path]:
    shell = _program(root, "dash") or _program(root, "sh")
    if shell is None:
        raise NotFoundError("no-shell", "this machine has neither busybox nor a shell to make a base of", help="install busybox-static")
    found = {"sh": shell}
    for name in TOOLS:
        path = _program(root, name)
        if path is not None:
            found[name] = path
    return found


def _program(root: Path, name: str) -> Path | None:
    """The regular file behind a command's name, links followed; None where there is none that root may run."""
    for directory in ("usr/bin", "bin", "usr/sbin", "sbin"):
        path = root / directory / name
        if path.is_file() and os.access(path, os.X_OK):
            return path.resolve()
    return None


def _merged(path: str) -> str:
    """Where a file that is looked up as `path` lies in a merged-/usr tree."""
    relative = path.lstrip("/")
    return f"usr/{relative}" if relative.partition("/")[0] in _MERGED else relative


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _is_executable(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXUSR)
