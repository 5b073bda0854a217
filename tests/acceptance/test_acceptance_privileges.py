"""Builders with less than they need: what can be done is done, and the rest is told in one sentence with a remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.command import Command
from tests.peers.users import OrdinaryUser
from tests.privileges import root_of_the_machine_only

BUILD = "from builder.cli.build import main; main()"
LAYERWRIGHT = "from builder.cli.main import main; main()"
DOCKERFILE = """
FROM scratch AS base
COPY sh /bin/sh
RUN ["sh", "-c", "echo it ran"]
FROM base
USER 1000
RUN ["sh"]
"""
NOBODY = 61234  # a number that no subuid file names


@pytest.fixture
def context(ordinary_user: OrdinaryUser) -> Path:
    """A context of a static busybox that everybody may read; the store goes elsewhere."""
    busybox = shutil.which("busybox")
    if busybox is None or shutil.which("unshare") is None:
        pytest.skip("busybox or unshare is not installed")
    place = ordinary_user.home / "few"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    shutil.copy(busybox, place / "sh")
    (place / "Dockerfile").write_text(DOCKERFILE)
    ordinary_user.home.chmod(0o755)
    return place


def test_one_id_is_enough_for_a_build_that_needs_no_other(ordinary_user: OrdinaryUser, context: Path) -> None:
    """`unshare -r`: one id, and setgroups(2) denied."""
    program, path = ordinary_user.interpreter
    store = str(ordinary_user.home / "few-store")
    arguments = ("unshare", "-r", program, "-c", BUILD, "--network=none", "--progress=plain", "--root", store)
    done = ordinary_user.run(*arguments, "--target=base", str(context), env={"PYTHONPATH": path}, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert "it ran" in done.stderr.decode()
    other = ordinary_user.run(*arguments, str(context), env={"PYTHONPATH": path}, check=False)
    said = other.stderr.decode()
    assert other.returncode == 1
    assert "cannot become user 1000:0: the builder's user namespace has no such id\n" in said
    assert "help: start the command without `unshare -r`" in said


def test_a_user_without_ids_is_told_what_to_ask_for(ordinary_user: OrdinaryUser, context: Path, tmp_path: Path) -> None:
    program, path = ordinary_user.interpreter
    done = subprocess.run(
        ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", program, "-c", BUILD, str(context)],
        env={"PYTHONPATH": path, "HOME": "/nonexistent", "PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first == f"error[no-user-namespace]: /etc/subuid gives {NOBODY} no subordinate ids"
    assert "usermod --add-subuids" in second


def test_root_without_the_capability_is_told(command: Command, context: Path) -> None:
    root_of_the_machine_only()
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    build, doctor = (
        subprocess.run(["setpriv", "--bounding-set", "-sys_admin", *argv], env=command.env, capture_output=True, text=True, check=False)
        for argv in (command.argv("build", "--target=base", str(context)), command.argv("layerwright", "doctor"))
    )
    assert build.returncode == 1
    assert "cannot make a mount namespace: Operation not permitted" in build.stderr
    assert "help: run the builder as root" in build.stderr
    assert doctor.returncode == 1
    assert doctor.stdout.startswith("steps cannot run here\n")
