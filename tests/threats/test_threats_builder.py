"""What other people of the machine can see of a builder while it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance.command import REPOSITORY
from tests.engine.site import Site
from tests.peers.users import OrdinaryUser
from tests.privileges import needs_root_of_the_machine

BUILD = "from builder.cli.build import main; main()"
LOOK = """
import ctypes, os, sys
pid = int(sys.argv[1])
for name in ("environ", "mem", "root", "fd/0", "cwd", "exe", "maps"):
    try:
        path = f"/proc/{pid}/{name}"
        os.readlink(path) if name in ("root", "cwd", "exe", "fd/0") else open(path, "rb").read(1)
        print("read", name)
    except OSError as error:
        pass
libc = ctypes.CDLL(None, use_errno=True)
print("traced") if libc.ptrace(0x4206, pid, None, None) == 0 else None
print("looked")
"""


def test_the_builder_cannot_be_looked_into_while_steps_run(ordinary_user: OrdinaryUser, busybox_root: Path) -> None:
    """By another process of the same user, that is: the secrets of a build are in its memory."""
    place = ordinary_user.home / "looked-into"
    shutil.copytree(busybox_root, place / "box", symlinks=True)
    (place / "Dockerfile").write_text("FROM box\nRUN echo started; sleep 20\n")
    subprocess.run(["chown", "-R", f"{ordinary_user.uid}:{ordinary_user.gid}", str(place)], check=True)
    pid_file = place / "pid"
    script = f"import os; open({str(pid_file)!r}, 'w').write(str(os.getpid())); {BUILD}"
    arguments = ("--network", "none", "--build-context", f"box={place}/box", "--progress", "plain", str(place))
    ordinary_user.python("-c", "import builder")
    program, path = ordinary_user._python or ("", "")
    builder = subprocess.Popen(
        ["setpriv", "--reuid", str(ordinary_user.uid), "--regid", str(ordinary_user.gid), "--init-groups", "--", "env", "-i",
         f"HOME={ordinary_user.home}", "PATH=/usr/bin:/bin", f"PYTHONPATH={path}", program, "-c", script, *arguments],
        cwd=ordinary_user.home, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert builder.stderr is not None
        for line in builder.stderr:
            if b" started" in line and b"RUN" not in line:
                break
        else:
            pytest.fail("the step never started")
        seen = ordinary_user.python("-c", LOOK, pid_file.read_text(), check=False).stdout.decode().split("\n")
    finally:
        builder.kill()
        builder.communicate()
    assert seen == ["looked", ""]


@needs_root_of_the_machine
def test_root_of_a_user_namespace_builds(tmp_path: Path, busybox_root: Path) -> None:
    """A builder with uid 0 in a user namespace, as in many CI containers: whiteouts and opaque marks in user attributes."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare")
    work = tmp_path / "work"
    work.mkdir()
    (work / "Dockerfile").write_text(
        "FROM base\nRUN rm /bin/yes; mkdir -p /a/b; touch /a/b/c\nRUN rm -rf /a && mkdir /a && touch /a/d\n"
        "RUN ls /a /bin/yes; test ! -e /a/b\nRUN ls /bin/yes\n"
    )
    command = ["unshare", "--user", "--mount", "sh", "-c", 'read -r ready; exec "$@"', "sh", sys.executable, "-c", BUILD]
    builder = subprocess.Popen(
        [*command, "--network", "none", "--progress", "plain", "--build-context", f"base={busybox_root}", str(work)],
        cwd=work, env={**os.environ, "PYTHONPATH": str(REPOSITORY), "LAYERWRIGHT_ROOT": str(tmp_path / "store")},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    outer = os.readlink("/proc/self/ns/user")
    while os.readlink(f"/proc/{builder.pid}/ns/user") == outer:
        time.sleep(0.01)
    for kind in ("uid", "gid"):  # by root from outside, since newuidmap(1) gives root no range
        Path(f"/proc/{builder.pid}/{kind}_map").write_text("0 0 65536")
    _out, said = builder.communicate(b"\n")
    lines = [line.partition(" ")[2].partition(" ")[2] for line in said.decode().splitlines()]
    assert builder.returncode == 1, said.decode()
    assert lines.count("ls: /bin/yes: No such file or directory") >= 2, said.decode()
    assert "d" in lines


@needs_root_of_the_machine
def test_unpacked_layers_are_closed_to_others(site: Site) -> None:
    site.dockerfile("FROM box\nRUN chmod 4755 /bin/busybox; mknod /device c 1 3 && chmod 666 /device\n")
    site.build(network="none")
    devices = [path for path in site.settings.root.rglob("device") if path.is_char_device()]
    assert devices
    for path in devices:
        assert any(parent.stat().st_mode & 0o077 == 0 for parent in path.parents if parent.is_relative_to(site.settings.root)), path


def test_a_running_build_is_never_dumpable(site: Site) -> None:
    script = (
        "import sys, ctypes; sys.path.insert(0, sys.argv[1]); from runtime.sandbox import open_sandbox; "
        "open_sandbox(state_dir=sys.argv[2]); print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(REPOSITORY), str(site.context)], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
