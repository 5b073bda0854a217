"""After the child has entered a root, its interpreter opens nothing that the image could have put there (CVE-2019-14271)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BUILDER = """
import sys, threading
from runtime.sandbox import NamespaceSandbox
from runtime.spec import Overlay, Process, User
base, place = sys.argv[1:]
with NamespaceSandbox(place, None) as sandbox:
    root = Overlay((base,), place + "/upper", place + "/work")
    for argv in (("true",), ("no-such-program",)):
        process = Process(argv=argv, root=root, env=(("PATH", "/usr/bin:/bin"),), network="none", user=User(1000, 1000, (7,)), cwd="/tmp")
        print(sandbox.run(process, lambda *_: None, threading.Event()).setup_error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_only_what_the_kernel_provides_is_opened_in_the_root(busybox_root: Path, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    log = tmp_path / "trace"
    calls = "trace=%file,pivot_root"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", log, "-e", calls, sys.executable, "-c", BUILDER, str(busybox_root), str(tmp_path)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if "PTRACE" in done.stderr:
        pytest.skip("tracing is not allowed here")
    assert done.stdout.splitlines() == ["None", 'exec: "no-such-program": executable file not found in $PATH'], done.stderr
    opened: set[str] = set()
    inside: set[str] = set()
    for line in log.read_text(errors="replace").splitlines():
        pid, _space, call = line.partition(" ")
        call = call.strip()
        if call.startswith("pivot_root("):
            inside.add(pid)
        elif call.startswith("execve(") and call.endswith("= 0"):
            inside.discard(pid)
        elif pid in inside and (found := re.match(r'(?:open|openat|openat2)\((?:\w+, )?"([^"]*)"', call)):
            opened.add(found[1])
    assert opened == {"/dev/null"}
