"""The embedded base: whole, deterministic, and it runs."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from builder.errors import CorruptionError, NotFoundError
from builder.image.elf import read_elf, resolve_libraries
from builder.image.embedded import Piece, assemble, entries


def write(pieces: tuple[Piece, ...], root: Path) -> None:
    root.mkdir()
    for piece in pieces:
        path = root / piece.entry.path
        if piece.entry.kind == "dir":
            path.mkdir()
            path.chmod(piece.entry.mode)
        elif piece.entry.kind == "symlink":
            path.symlink_to(piece.entry.link)
        else:
            with open(piece.open(), "rb") as source, open(path, "wb") as out:
                shutil.copyfileobj(source, out)
            path.chmod(piece.entry.mode)
            assert path.stat().st_size == piece.entry.size


@pytest.mark.parametrize("busybox", [True, False])
def test_the_base_runs(tmp_path: Path, busybox: bool) -> None:
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    root = tmp_path / "root"
    write(assemble(busybox=busybox), root)
    script = "echo hello world | sed s/world/base/ | grep base && ls /etc | wc -l && id -un && head -n1 /etc/os-release"
    argv = [shutil.which("chroot") or "/usr/sbin/chroot", str(root), "/bin/sh", "-c", script]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, env={"PATH": "/usr/bin"})
    assert said.stdout.splitlines()[:4] == ["hello base", "5", "root", 'NAME="layerwright base"']


def test_the_same_machine_gives_the_same_base_in_order() -> None:
    first, second = assemble(), assemble()
    assert first == second
    paths = [piece.entry.path for piece in first]
    assert len(set(paths)) == len(paths)
    seen: set[str] = set()
    for path in paths:
        parent = path.rpartition("/")[0]
        assert parent == "" or parent in seen
        seen.add(path)
    assert [opener is not None for _, opener in entries(first)] == [piece.entry.kind == "file" for piece in first]


def test_a_machine_without_a_shell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="neither busybox nor a shell"):
        assemble(tmp_path)


def test_libraries_agree_with_ldd() -> None:
    program = Path(shutil.which("ls") or "/bin/ls")
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    expected = {os.path.basename(line.split()[0]) for line in said.splitlines() if "/" in line}
    assert {os.path.basename(name) for name in resolve_libraries([program])} == expected


def test_a_script_is_no_elf_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    assert read_elf(script) is None
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF\x02\x01" + b"\0" * 26 + struct.pack("<Q", 1 << 62) + b"\0" * 14 + struct.pack("<HH", 56, 3) + b"\0" * 8)
    with pytest.raises(CorruptionError, match="not a valid ELF"):
        read_elf(broken)


def test_a_missing_library_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy2(Path(shutil.which("ls") or "/bin/ls").resolve(), tmp_path / "bin/ls")
    with pytest.raises(CorruptionError, match="which this machine has not"):
        resolve_libraries([tmp_path / "bin/ls"], tmp_path)
