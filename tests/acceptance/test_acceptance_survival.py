"""Builds that are killed, builds at once, and a full disk: the next build works, and the store is whole."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.command import Command

KILLS = 100 if os.environ.get("LAYERWRIGHT_PROVE") else 8

DOCKERFILE = """
FROM scratch
ADD box.tar /
RUN --network=none seq 1 20000 > /numbers
COPY . /src
RUN --network=none mkdir /many && cd /many && for i in $(seq 1 200); do echo $i > $i; done
RUN --network=none sleep 0.2; date > /date
"""


@pytest.fixture
def prepared(command: Command, box_tar: Path) -> Command:
    """A context of some files."""
    os.link(box_tar, command.cwd / "box.tar")
    (command.cwd / "Dockerfile").write_text(DOCKERFILE)
    for number in range(50):
        (command.cwd / f"file{number}").write_bytes(os.urandom(2000))
    return command


def test_killed_at_any_moment_the_next_build_works(prepared: Command) -> None:
    started = time.monotonic()
    prepared.build("-t", "killed", "-o", "type=oci,dest=a.tar", ".")
    whole = time.monotonic() - started
    chance = random.Random(11)
    for number in range(KILLS):
        (prepared.cwd / "file0").write_bytes(os.urandom(2000))
        process = prepared.start("build", "-t", "killed", "-o", "type=oci,dest=a.tar", "--no-cache", ".")
        time.sleep(chance.uniform(0.02, whole * 1.1))
        process.kill()
        process.communicate()
        ended = prepared.build("-t", "killed", ".", check=False)
        assert ended.returncode == 0, (number, ended.stderr)
        checked = prepared.run("layerwright", "fsck", check=False)
        assert checked.returncode == 0, (number, checked.stdout, checked.stderr)
    assert [name for name in os.listdir(prepared.cwd) if name.startswith(".") or name.endswith(".tmp")] == []


def test_two_builds_at_once_share_a_store(prepared: Command) -> None:
    both = [prepared.start("build", "-q", "-t", f"twin{number}", ".") for number in range(3)]
    ended = [(*process.communicate(), process.returncode) for process in both]
    assert [code for _, _, code in ended] == [0, 0, 0], ended
    assert prepared.run("layerwright", "fsck").returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 24 MB."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_and_the_store_stays_usable(prepared: Command, small_disk: Path) -> None:
    command = Command(small_disk / "store", prepared.cwd)
    command.build("-q", "-t", "fits", ".")
    (command.cwd / "Dockerfile").write_text("FROM fits\nCOPY big /big\n")
    (command.cwd / "big").write_bytes(os.urandom(40 << 20))
    ended = command.build("-t", "large", ".", check=False)
    assert ended.returncode == 1
    assert "error[disk-full]" in ended.stderr
    assert "layerwright prune" in ended.stderr
    assert "Traceback" not in ended.stderr
    (command.cwd / "big").write_bytes(b"small now")
    command.build("-q", "-t", "large", ".")
    assert command.run("layerwright", "fsck").returncode == 0
