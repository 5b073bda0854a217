"""Which shared libraries a program needs: read from the ELF file itself, nothing is executed (ldd runs what it looks at).

System V ABI, "Program Loading and Dynamic Linking"; search order as in ld.so(8): RUNPATH, ld.so.conf, defaults.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path

import msgspec

from builder.errors import CorruptionError

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 15, 29
_MAX_TABLE = 16 << 20


class Elf(msgspec.Struct, frozen=True):
    """What the dynamic linker would look at; `identity` is (class, byte order, machine), equal for what may be linked."""

    identity: tuple[int, int, int]
    interpreter: str | None
    needed: tuple[str, ...]
    runpath: tuple[str, ...]


def read_elf(path: Path) -> Elf | None:
    """The file's dynamic section; None when it is no ELF file (a script), CorruptionError when it is a broken one."""
    with open(path, "rb") as file:
        data = file.read(64)
        if data[:4] != b"\x7fELF" or len(data) < 52:
            return None
        try:
            return _parse(data, file.fileno())
        except (struct.error, ValueError, OSError, OverflowError) as error:
            raise CorruptionError("elf-invalid", f"{path} is not a valid ELF file: {error}") from None


def _parse(head: bytes, fd: int) -> Elf:
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    machine = struct.unpack_from(order + "H", head, 18)[0]
    (phoff,) = struct.unpack_from(order + ("Q" if wide else "I"), head, 32 if wide else 28)
    size, count = struct.unpack_from(order + "HH", head, 54 if wide else 42)
    table = os.pread(fd, min(size * count, _MAX_TABLE), phoff)
    if len(table) < size * count:
        raise ValueError("its program headers lie beyond its end")
    interpreter: str | None = None
    dynamic = b""
    loads: list[tuple[int, int, int]] = []
    for at in range(0, len(table) - size + 1, size):
        if wide:
            kind, _, offset, address, _, length = struct.unpack_from(order + "IIQQQQ", table, at)
        else:
            kind, offset, address, _, length = struct.unpack_from(order + "IIIII", table, at)
        if kind == _PT_INTERP:
            interpreter = os.pread(fd, min(length, 4096), offset).rstrip(b"\0").decode()
        elif kind == _PT_DYNAMIC:
            dynamic = os.pread(fd, min(length, _MAX_TABLE), offset)
        elif kind == _PT_LOAD:
            loads.append((address, offset, length))
    entries = [(tag, value) for tag, value in struct.iter_unpack(order + ("qQ" if wide else "iI"), dynamic[: len(dynamic) // 16 * 16])]
    values = dict(entries)
    strings = _strings(fd, loads, values.get(_DT_STRTAB, 0), values.get(_DT_STRSZ, 0)) if _DT_STRTAB in values else b""
    paths = values.get(_DT_RUNPATH, values.get(_DT_RPATH))
    return Elf(
        identity=(head[4], head[5], machine),
        interpreter=interpreter,
        needed=tuple(_text(strings, value) for tag, value in entries if tag == _DT_NEEDED),
        runpath=tuple(part for part in _text(strings, paths).split(":") if part) if paths is not None else (),
    )


def _strings(fd: int, loads: Iterable[tuple[int, int, int]], address: int, size: int) -> bytes:
    """The string table, found through the segment that its address lies in."""
    for start, offset, length in loads:
        if start <= address < start + length:
            return os.pread(fd, min(size, _MAX_TABLE), offset + address - start)
    return b""


def _text(strings: bytes, offset: int) -> str:
    return strings[offset : strings.index(b"\0", offset)].decode() if offset < len(strings) else ""


def library_directories(root: Path = Path("/")) -> tuple[str, ...]:
    """Where the machine's libraries lie: ld.so.conf and what it includes, then the defaults of ld.so(8)."""
    found: list[str] = []
    queue = [root / "etc/ld.so.conf"]
    seen: set[Path] = set()
    while queue:
        path = queue.pop(0)
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        for line in path.read_text(errors="replace").splitlines():
            line = line.partition("#")[0].strip()
            if line.startswith("include "):
                queue += sorted(root.glob(line.removeprefix("include ").strip().lstrip("/")))
            elif line.startswith("/"):
                found.append(line)
    # What lies in /usr/local is found through ld.so.cache only, which a base does not have: the distribution's own come first.
    found.sort(key=lambda directory: directory.startswith("/usr/local"))
    return tuple(dict.fromkeys([*found, "/lib64", "/usr/lib64", "/lib", "/usr/lib"]))


def resolve_libraries(programs: Iterable[Path], root: Path = Path("/")) -> dict[str, Path]:
    """Every library and interpreter that the programs need, as {path they are looked up by: file on this machine}.

    CorruptionError where one is missing: an image without it would not start.
    """
    directories = library_directories(root)
    found: dict[str, Path] = {}
    queue = list(programs)
    seen: set[Path] = set()
    while queue:
        path = queue.pop(0)
        if path in seen:
            continue
        seen.add(path)
        elf = read_elf(path)
        if elf is None:
            continue
        wanted: list[tuple[str, Path]] = []
        if elf.interpreter is not None:
            wanted.append((elf.interpreter, root / elf.interpreter.lstrip("/")))
        for name in elf.needed:
            wanted.append(_find(name, path, elf, directories, root))
        for name, file in wanted:
            if not file.is_file():
                raise CorruptionError("library-missing", f"{path} needs {name}, which this machine has not")
            found.setdefault(name, file)
            queue.append(file)
    return found


def _find(name: str, user: Path, elf: Elf, directories: tuple[str, ...], root: Path) -> tuple[str, Path]:
    """The first library of this name that fits the program's class and machine."""
    origin = "/" + str(user.parent.relative_to(root))
    own = [part.replace("$ORIGIN", origin).replace("${ORIGIN}", origin) for part in elf.runpath]
    for directory in (*own, *directories):
        path = root / directory.lstrip("/") / name
        if path.is_file():
            other = read_elf(path)
            if other is not None and other.identity == elf.identity:
                return f"{directory.rstrip('/')}/{name}", path
    return name, root / name.lstrip("/")
