"""A builder killed at any moment leaves nothing: no process, no mount, no namespace in use, no control group for long."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.privileges import needs_root_of_the_machine

REPOSITORY = Path(__file__).resolve().parents[2]
ROUNDS = 8
BUILDER = """
import os, sys, threading
from runtime.sandbox import open_sandbox
from runtime.spec import Overlay, Process, Resources, TmpfsMount
base, place, net, marker = sys.argv[1:]
sandbox = open_sandbox(state_dir=place, network_dir=net)
def run(number):
    root = Overlay((base,), f"{place}/upper{number}", f"{place}/work{number}")
    process = Process(
        argv=("/bin/sh", "-c", "(sleep 98765 &); sleep 98765 & sleep 0.3"), root=root, env=(("PATH", "/bin"), ("MARKER", marker)),
        network="default" if number else "none", mounts=(TmpfsMount("/a/b"),), resources=Resources(pids=50),
    )
    while True:
        os.write(1, ((sandbox.run(process, lambda *_: None, threading.Event()).setup_error or "ok") + "\\n").encode())
threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
[thread.start() for thread in threads]
"""


def _processes(marker: str) -> list[str]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if marker.encode() in Path(f"/proc/{entry}/environ").read_bytes() + Path(f"/proc/{entry}/cmdline").read_bytes():
                    found.append(entry)
            except OSError:
                continue
    return found


@needs_root_of_the_machine
def test_a_builder_killed_at_random_moments(busybox_root: Path, tmp_path: Path) -> None:
    marker = f"layerwright-crash-{os.getpid()}"
    net = Path(f"/run/layerwright-test-crash-{os.getpid()}")
    for number in range(2):
        for name in ("upper", "work"):
            (tmp_path / f"{name}{number}").mkdir()
    choose = random.Random(7)
    arguments = [str(busybox_root), str(tmp_path), str(net), marker]
    try:
        for _round in range(ROUNDS):
            builder = subprocess.Popen([sys.executable, "-c", BUILDER, *arguments], cwd=REPOSITORY, stdout=subprocess.PIPE)
            assert builder.stdout is not None
            first = builder.stdout.readline().strip()
            assert first == b"ok", first
            time.sleep(choose.uniform(0, 0.3))
            builder.send_signal(choose.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)))
            builder.wait()
            builder.stdout.close()
            until = time.monotonic() + 3
            while _processes(marker) and time.monotonic() < until:
                time.sleep(0.01)
            assert _processes(marker) == []
        namespaces = [name for name in os.listdir(net) if name.endswith(".ns")]
        assert len(namespaces) <= 3
    finally:
        _remove_pool(net)
    mounted = Path("/proc/self/mountinfo").read_text()
    assert str(tmp_path) not in mounted
    assert str(net) not in mounted
    assert sorted(path.name for path in (tmp_path / "upper0").iterdir()) in ([], ["a"], ["a", "etc"], ["etc"])


def _remove_pool(net: Path) -> None:
    from runtime.network import Pool

    until = time.monotonic() + 10  # the last supervisors may still be putting things away
    while time.monotonic() < until:
        Pool(str(net)).remove()
        if not any(name.endswith(".ns") for name in os.listdir(net)):
            break
        time.sleep(0.1)
    for name in os.listdir(net):
        os.unlink(net / name)
    net.rmdir()
