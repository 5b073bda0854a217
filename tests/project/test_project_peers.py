"""The shared fixtures are what they say."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

from tests.peers.distribution import Registry
from tests.peers.engine import Engine
from tests.peers.users import OrdinaryUser


def test_busybox_root_runs(busybox_root: Path) -> None:
    assert (busybox_root / "bin/sh").is_symlink()
    assert (busybox_root / "tmp").stat().st_mode & 0o7777 == 0o1777


def test_registry_serves_the_debian_base(registry: Registry, debian_base: str) -> None:
    with urllib.request.urlopen(f"{registry.url}/v2/debian/tags/list") as answer:
        assert json.load(answer) == {"name": "debian", "tags": ["bookworm"]}
    assert debian_base == f"{registry.host}/debian:bookworm"


def test_dockerd_pulls_from_the_registry_and_runs(dockerd: Engine, debian_base: str) -> None:
    dockerd.docker("pull", "-q", debian_base)
    said = dockerd.docker("run", "--rm", "--network=none", debian_base, "sh", "-c", "cat /etc/os-release")
    assert b"VERSION_CODENAME=bookworm" in said.stdout


def test_ordinary_user_has_a_range_and_an_interpreter(ordinary_user: OrdinaryUser) -> None:
    assert ordinary_user.run("id", "-u").stdout.decode().strip() == str(ordinary_user.uid)
    assert ordinary_user.name in Path("/etc/subuid").read_text()
    said = ordinary_user.python("-c", "import builder, os; print(os.getuid())")
    assert said.stdout.decode().strip() == str(ordinary_user.uid)


def test_the_layout_is_a_valid_image_to_others(debian_layout: Path) -> None:
    said = subprocess.run(["skopeo", "inspect", f"oci:{debian_layout}:bookworm"], check=True, capture_output=True)
    assert json.loads(said.stdout)["Os"] == "linux"
