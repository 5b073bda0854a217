"""How many system calls unpacking takes: the cost of a layer of many files is theirs."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.privileges import needs_root

pytestmark = [needs_root, pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")]

FILES, DIRECTORIES = 400, 20
PROGRAM = """
import io, os, sys
from builder.fs.tree import StackTree
from builder.fs.unpack import unpack
data = io.BytesIO(open(sys.argv[1], "rb").read())
os.stat("/begin-here")
"""


def layer(path: Path) -> None:
    with tarfile.open(path, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for number in range(DIRECTORIES):
            info = tarfile.TarInfo(f"d{number}")
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(info)
            for child in range(FILES // DIRECTORIES):
                info = tarfile.TarInfo(f"d{number}/f{child}")
                info.size, info.uid, info.mode = 700, 3, 0o640
                archive.addfile(info, io.BytesIO(bytes(700)))


def test_a_file_takes_six_calls(tmp_path: Path) -> None:
    layer(tmp_path / "layer.tar")
    (tmp_path / "target").mkdir()
    program = PROGRAM.replace('os.stat("/begin-here")', 'try: os.stat("/begin-here")\nexcept FileNotFoundError: pass')
    program += "unpack(data, sys.argv[2], StackTree(()))\n"
    calls = "trace=%file,%desc,fchown,fchmod"
    argv = ["strace", "-f", "-qq", "-e", calls, "-o", str(tmp_path / "calls"), sys.executable, "-c", program]
    subprocess.run([*argv, str(tmp_path / "layer.tar"), str(tmp_path / "target")], check=True)
    lines = (tmp_path / "calls").read_text().splitlines()
    begin = next(at for at, line in enumerate(lines) if "/begin-here" in line)
    # openat, write, fchown, fchmod, utimensat, close; a directory some fifteen, for it is opened again to set its time.
    assert len(lines) - begin < FILES * 6 + DIRECTORIES * 16 + 200
    assert len(list((tmp_path / "target").rglob("f*"))) == FILES
