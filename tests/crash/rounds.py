"""Run in namespaces of its own (see test_crash): kills builds at random moments, and prints as JSON what is left.

Alone in its pid, mount and network namespaces, so whatever is there besides it was left by a build.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

PARENT = f"layerwright-crash-{os.path.basename(os.path.dirname(sys.argv[3]))}"  # others may build on this host at the same time
BUILD = "from builder.cli.build import main; main()"
DOCKERFILE = """
FROM box AS a
RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t/u (sleep 9999 &); echo a > /c/a; sleep 0.1; seq 1 3000 > /a
RUN setsid sleep 9999 & sleep 0.1
FROM box AS b
RUN --mount=type=bind,from=a,target=/other (sleep 9999 &); sleep 0.2; seq 1 3000 > /b
FROM box
COPY --from=a /a /
COPY --from=b /b /
RUN rm /a
"""


def main(rounds: int, box: str, place: Path) -> dict[str, object]:
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/tmp"], check=True)
    _own_sysfs()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    (place / "Dockerfile").write_text(DOCKERFILE)
    arguments = ["--progress", "plain", "--build-context", f"box={box}", "--memory", "200m", "--pids-limit", "200", "-t", "crash"]
    arguments += ["--cgroup-parent", PARENT]
    command = [sys.executable, "-c", BUILD, *arguments, str(place)]
    started = time.monotonic()
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    whole = time.monotonic() - started
    if first.returncode:
        return {"error": first.stderr}
    before = state(place)
    choose = random.Random(5)
    survivors = []
    for _ in range(rounds):
        builder = subprocess.Popen([*command, "--no-cache"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(choose.uniform(0.1, whole * 1.1))
        builder.kill()
        builder.wait()
        survivors += wait_for_the_last()
    last = subprocess.run([*command, "--no-cache"], capture_output=True, text=True, check=False)
    after = state(place)
    for path in Path("/sys/fs/cgroup").rglob(PARENT):
        path.rmdir()
    return {"error": last.stderr if last.returncode else "", "survivors": survivors, "before": before, "after": after}


def _own_sysfs() -> None:
    """The links in /sys/class/net are those of the namespace that mounted it; the control groups stay the host's."""
    os.mkdir("/run/cgroup")
    for command in (
        ["--rbind", "/sys/fs/cgroup", "/run/cgroup"], ["-t", "sysfs", "none", "/sys"], ["--rbind", "/run/cgroup", "/sys/fs/cgroup"],
    ):  # fmt: skip
        subprocess.run(["mount", *command], check=True)


def wait_for_the_last() -> list[str]:
    """Reaps what a killed build leaves; what still runs after ten seconds."""
    until = time.monotonic() + 10
    while others := processes():
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        if time.monotonic() > until:
            return others
        time.sleep(0.01)
    return []


def mountinfo() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


def processes() -> list[str]:
    return [
        Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") or pid
        for pid in os.listdir("/proc")
        if pid.isdigit() and int(pid) not in (1, os.getpid()) and os.path.exists(f"/proc/{pid}/cmdline")
    ]


def state(place: Path) -> dict[str, object]:
    """What a build might leave, by kind."""
    wait_for_the_last()
    mounts = [line.split()[4] for line in mountinfo() if line.split()[0] not in INHERITED]
    links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=False).stdout.splitlines()
    groups = [str(path) for parent in Path("/sys/fs/cgroup").rglob(PARENT) for path in parent.iterdir() if path.is_dir()]
    return {
        "mounts": [one for one in mounts if not one.endswith(".ns")],
        "namespaces": len({one for one in mounts if one.endswith(".ns")}),
        "covered": len([one for one in mounts if one.endswith(".ns")]),
        "links": len(links),
        "rules": len(rules),
        "cgroups": groups,
        "temporary": sorted(os.listdir("/tmp")),
        "run": sorted(os.listdir("/run/layerwright")),
        "work": sorted(os.listdir(place / "store/work")) if (place / "store/work").exists() else [],
        "processes": processes(),
    }


INHERITED = {line.split()[0] for line in mountinfo()}
print(json.dumps(main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))))
