"""Builds under other kernels, with control groups of version 2 only and no network: as root, and as an ordinary user.

Under `make prove`: it takes qemu-system-x86 and some minutes. Overlayfs took its layers in another way before Linux 6.7,
and ended differently than a simulation of it did.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from tests.kernels.machine import Disk
from tests.peers.service import Unavailable

pytestmark = [
    pytest.mark.skipif(not os.environ.get("LAYERWRIGHT_PROVE"), reason="takes virtual machines; set LAYERWRIGHT_PROVE=1"),
    pytest.mark.timeout(3000),
    pytest.mark.xdist_group("kernels"),
]
BIN = os.path.dirname(sys.executable)
DOCKERFILE = r"""FROM layerwright/base
RUN mkdir /d && touch /d/f && mkdir /gone && ln /d/f /d/g
RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t touch /c/x /t/y && rm -r /gone && mv /d /e && chown 1:2 /e/f
RUN touch /e/g; test ! -e /gone && ls /e | wc -l
RUN echo "limit $(cat /sys/fs/cgroup/memory.max 2>/dev/null)"; head -c 100000000 /dev/zero | tail -n 1 >/dev/null || echo refused
"""
AS = f"""
export HOME=$(getent passwd $(id -un) | cut -d: -f6)
{BIN}/layerwright doctor | head -1
{BIN}/layerwright base >/dev/null && {BIN}/build --progress=plain --memory 50m -o type=image,name=t,rewrite-timestamp=true /srv/c 2>&1
{BIN}/layerwright inspect t | sed -n 's/.*"diffId": "sha256:\\(.*\\)".*/\\1/p' | xargs echo diff_ids
"""
SCRIPT = f"""
mkdir -p /srv/c; cat >/srv/c/Dockerfile <<'EOF'
{DOCKERFILE}EOF
cat >/srv/as.sh <<'EOF'
{AS}EOF
export SOURCE_DATE_EPOCH=1700000000
echo "== root"; bash /srv/as.sh
echo "== alice"; setpriv --reuid alice --regid alice --init-groups bash /srv/as.sh
rm -rf /home/alice/.local
echo "== delegated"; systemd-run --quiet --pipe --wait --uid=alice -E SOURCE_DATE_EPOCH -p Delegate=yes bash /srv/as.sh
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    try:
        yield Disk(tmp_path_factory.mktemp("machine"))
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def kernels(disk: Disk) -> dict[str, str]:
    """Releases by suite; all are there before the disk's image is made."""
    found = {"bookworm": disk.kernels()[0]}
    for suite in ("bullseye", "trixie"):
        try:
            found[suite] = disk.add_kernel(suite)
        except Unavailable:
            continue
    return found


def _parts(lines: list[str]) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        if line.startswith("== "):
            name = line.removeprefix("== ")
        parts.setdefault(name, []).append(line)
    return parts


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_builds_are_the_same(disk: Disk, kernels: dict[str, str], suite: str) -> None:
    if suite not in kernels:
        pytest.skip(f"the kernel of {suite} cannot be had")
    parts = _parts(said := disk.run(kernels[suite], SCRIPT))
    assert set(parts) >= {"root", "alice", "delegated"}, said
    assert "steps run as root, in namespaces of their own" in parts["root"], parts["root"]
    assert "steps run as root of a user namespace: no root needed" in parts["alice"], parts["alice"]
    ends = {name: [line for line in parts[name] if "diff_ids" in line] for name in ("root", "alice", "delegated")}
    assert len(ends["root"]) == 1, parts["root"]
    assert ends["root"] == ends["alice"] == ends["delegated"], parts
    for name in ("root", "delegated"):
        assert any("Killed" in line for line in parts[name]), parts[name]
        assert not any("limits on each process" in line for line in parts[name]), parts[name]
    assert any("limits on each process" in line for line in parts["alice"]), parts["alice"]


def test_a_kernel_that_is_too_old_is_named(disk: Disk, kernels: dict[str, str]) -> None:
    if "bullseye" not in kernels:
        pytest.skip("the kernel of bullseye cannot be had")
    lines = disk.run(kernels["bullseye"], SCRIPT)
    assert "steps cannot run here" in lines
    assert any("5.12" in line for line in lines), lines
