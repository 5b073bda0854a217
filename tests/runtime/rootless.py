"""Run by an ordinary user (see test_runtime_rootless): becomes root of a user namespace and prints what steps see there, as JSON."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from runtime.userns import enter_user_namespace

enter_user_namespace()

from runtime import pasta  # noqa: E402 - the namespace comes before anything that could start a thread
from runtime.host import probe  # noqa: E402
from runtime.sandbox import Sandbox, open_sandbox  # noqa: E402
from runtime.spec import Overlay, Process, Resources, TmpfsMount, User  # noqa: E402


def limited(sandbox: Sandbox, base: str, place: Path) -> dict[str, object]:
    """Steps with limits; what they wrote, how they ended, and the words on it."""
    found: dict[str, object] = {}
    for name, script, resources in (
        ("memory", "x=aaaaaaaa; while :; do x=$x$x; done", Resources(memory=32 << 20)),
        ("enough", "echo fine", Resources(memory=256 << 20, pids=100)),
        ("pids", "f() { f | f & }; f; sleep 1; echo survived", Resources(pids=20)),
        ("processors", "true", Resources(cpu_quota=50000)),
    ):
        written: list[bytes] = []
        process = Process(
            argv=("/bin/sh", "-c", script), env=(("PATH", "/bin"),), network="none", resources=resources,
            root=Overlay((base,), str(place / "upper"), str(place / "work")),
        )  # fmt: skip
        ended = sandbox.run(process, lambda _stream, data: written.append(data), threading.Event())  # noqa: B023
        found[f"limited {name}"] = [ended.ok, ended.notes, ended.setup_error, b"".join(written).decode(errors="replace")[-500:]]
    return found


def main(base: str) -> None:
    place = Path(tempfile.mkdtemp())
    for name in ("upper", "work", "state"):
        (place / name).mkdir(mode=0o755)
    report = probe(str(place))
    found: dict[str, object] = {
        "uid": os.getuid(),
        "mode": report.mode,
        "overlay": report.overlay,
        "prefix": report.overlay_xattr_prefix,
        "pasta": pasta.find() is not None,
    }
    with open_sandbox(state_dir=str(place / "state")) as sandbox:

        def run(script: str, **process: object) -> str:
            written: list[bytes] = []
            root = Overlay((base,), str(place / "upper"), str(place / "work"))
            whole = {"network": "none", "env": (("PATH", "/bin"),), **process}
            exit = sandbox.run(
                Process(argv=("/bin/sh", "-c", script), root=root, **whole),  # type: ignore[arg-type]
                lambda _stream, data: written.append(data),
                threading.Event(),
            )
            return exit.setup_error or b"".join(written).decode()

        found["root"] = run("id -u; id -G; grep -E 'Seccomp:|CapEff|CapInh' /proc/self/status")
        found["user"] = run("id -u; id -g; cat /proc/self/status | grep Groups", user=User(1000, 1001, (7,)))
        found["owners"] = run("touch /a; chown 1000:33 /a; stat -c %u:%g /a")
        found["removed"] = run("rm /bin/yes; ls /bin | grep -c yes")
        found["devices"] = run("echo x > /dev/null; head -c 2 /dev/zero | wc -c; ls /dev/pts /dev/shm | wc -l")
        found["none"] = run("ls /sys/class/net")
        found["host"] = run("ls /sys/class/net", network="host")
        found["default"] = run("ls /sys/class/net; ip route | grep -c default", network="default")
        found["stubs"] = run("echo", mounts=(TmpfsMount("/gone/deep"),))
        found["leaked"] = run("ls -d /gone")
        found["masked"] = run(
            "cat /proc/keys /proc/kcore 2>/dev/null | wc -c; echo 1 > /proc/sys/kernel/printk 2>/dev/null || echo refused"
        )
        found.update(limited(sandbox, base, place))
    found["upper"] = sorted(str(path.relative_to(place / "upper")) for path in (place / "upper").rglob("*"))
    whiteout = os.lstat(place / "upper/bin/yes")
    found["whiteout"] = [os.major(whiteout.st_rdev), os.minor(whiteout.st_rdev)]
    shutil.rmtree(place)
    print(json.dumps(found))


main(sys.argv[1])
