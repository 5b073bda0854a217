"""As root of a user namespace only: whiteouts, marks and owners that an ordinary user can make."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def namespaced(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Runs Python as root of a new user namespace that maps one id; skips where that cannot be had."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare(1) is not installed")
    probe = subprocess.run(["unshare", "--user", "--map-root-user", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("no user namespaces for this user")
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", code, str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)


PROLOGUE = """
import io, os, sys
from pathlib import Path
from builder.errors import LayerwrightError
from builder.fs.entries import Entry
from builder.fs.scan import layer_entries
from builder.fs.tarwrite import TarWriter
from builder.fs.tree import EmptyTree, StackTree, walk
from builder.fs.unpack import unpack
root = Path(sys.argv[1])
def layer(name, entries):
    out = io.BytesIO()
    writer = TarWriter(out.write)
    for entry in entries:
        writer.add(entry)
    writer.close()
    out.seek(0)
    (root / name).mkdir()
    return unpack(out, str(root / name), EmptyTree(), "user.overlay.")
"""


def test_layers_can_be_unpacked_and_read(tmp_path: Path) -> None:
    code = """
lower = [Entry("d/a", "file", 0o4755, xattrs=(("user.x", b"1"),)), Entry("d/b", "file"), Entry("e/x", "file"), Entry("f", "fifo", 0o600)]
layer("low", lower)
null = Entry("dev/null", "char", 0o666, major=1, minor=3)
made = layer("top", [Entry("d/a", "whiteout"), Entry("e", "dir", 0o755), Entry("e", "opaque"), null])
print(made.skipped, walk(StackTree([str(root / "top"), str(root / "low")], "user.overlay.")))
print([(entry.kind, entry.path) for entry, _ in layer_entries(str(root / "top"), "user.overlay.")])
"""
    ran = namespaced(PROLOGUE + code, tmp_path)
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [
        "('dev/null',) ['d', 'd/b', 'dev', 'e', 'f']",
        "[('dir', 'd'), ('whiteout', 'd/a'), ('dir', 'dev'), ('dir', 'e'), ('opaque', 'e')]",
    ]


def test_an_owner_that_is_not_mapped_is_told(tmp_path: Path) -> None:
    code = """
for entry in (Entry("f", "file", uid=1000), Entry("d", "dir", gid=1000), Entry("l", "symlink", uid=5, link="x")):
    try:
        layer(entry.path, [entry])
    except LayerwrightError as error:
        print(error.code, error.message[:40])
"""
    ran = namespaced(PROLOGUE + code, tmp_path)
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [
        "owner-unmapped 'f' is to belong to 1000:0, which is out",
        "owner-unmapped 'd' is to belong to 0:1000, which is out",
        "owner-unmapped 'l' is to belong to 5:0, which is outsid",
    ]
