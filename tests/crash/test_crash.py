"""Builds killed at random moments leave nothing that the next build does not use again or clean (issue: no leak after 100 builds)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.privileges import root_of_the_machine_only

REPOSITORY = Path(__file__).resolve().parents[2]
ROUNDS = 100 if os.environ.get("LAYERWRIGHT_PROVE") else 5
POOLED = 8  # namespaces: two builds' worth of parallel steps, however many rounds


@pytest.mark.timeout(1200)
def test_nothing_is_left(busybox_root: Path) -> None:
    root_of_the_machine_only()
    for tool in ("unshare", "ip", "nft"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    hidden = [path for path in (sys.executable, str(REPOSITORY)) if path.startswith(("/tmp/", "/run/"))]
    if hidden:
        pytest.skip(f"the rounds have a /tmp of their own, and {hidden[0]} lies in the host's")
    outside = _of_the_host()
    place = Path("/var/tmp") / f"layerwright-crash-{os.getpid()}"
    shutil.copytree(busybox_root, place / "box", symlinks=True)
    (place / "context").mkdir()
    try:
        done = subprocess.run(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
             sys.executable, str(Path(__file__).with_name("rounds.py")), str(ROUNDS), str(place / "box"), str(place / "context")],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "LAYERWRIGHT_ROOT": str(place / "context/store")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        shutil.rmtree(place, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["error"] == ""
    before, after = found["before"], found["after"]
    assert found["survivors"] == []
    for kind in ("mounts", "cgroups", "temporary", "work", "processes", "run"):
        assert after[kind] == before[kind], kind
    assert after["namespaces"] <= POOLED, (before, after)
    assert after["covered"] == after["namespaces"], "a namespace is mounted over another"
    assert after["links"] - before["links"] == after["namespaces"] - before["namespaces"]
    assert after["rules"] <= before["rules"] + POOLED
    assert _of_the_host() == outside


def _of_the_host() -> list[str]:
    """Mounts that name the test's place; namespaces of the run show in none."""
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "layerwright-crash" in line]
