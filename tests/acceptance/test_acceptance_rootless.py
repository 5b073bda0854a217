"""As an ordinary user: the same Dockerfile gives the same layers as it gives root, and the Debian example builds."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.acceptance.command import EXAMPLES, Command
from tests.peers.users import OrdinaryUser

pytestmark = pytest.mark.timeout(900)

BUILD = "from builder.cli.build import main; main()"
LAYERWRIGHT = "from builder.cli.main import main; main()"
DOCKERFILE = """
FROM scratch
ADD box.tar /
COPY --chown=app:extra file /owned
RUN --network=none adduser 2>/dev/null; chown 1234:4321 /owned; mkdir /d && chmod 2775 /d && chgrp 2000 /d \
 && ln /owned /d/hard && rm /bin/yes && mkfifo /d/pipe && rm -r /home && mkdir /home
USER app
WORKDIR /home/work
RUN --network=none id > where
"""


def _context(place: Path, box_tar: Path, user: OrdinaryUser) -> Path:
    place.mkdir()
    shutil.copy(box_tar, place / "box.tar")
    (place / "file").write_text("content")
    (place / "Dockerfile").write_text(DOCKERFILE)
    for path in (place, *place.iterdir()):
        os.chown(path, user.uid, user.gid)
    return place


def test_layers_are_the_same_as_those_of_root(command: Command, box_tar: Path, ordinary_user: OrdinaryUser) -> None:
    context = _context(ordinary_user.home / "context", box_tar, ordinary_user)
    args = ("--build-arg", "SOURCE_DATE_EPOCH=1700000000", "-o", "type=image,rewrite-timestamp=true", "-t", "same", str(context))
    command.build(*args)
    ended = ordinary_user.python("-c", BUILD, "--progress", "plain", *args, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    ours = json.loads(command.run("layerwright", "inspect", "same").stdout)
    theirs = json.loads(ordinary_user.python("-c", LAYERWRIGHT, "inspect", "same").stdout)
    assert [layer["diffId"] for layer in theirs["layers"]] == [layer["diffId"] for layer in ours["layers"]]
    assert theirs["digest"] == ours["digest"]


def test_devices_that_only_root_can_make_are_told(command: Command, box_tar: Path, ordinary_user: OrdinaryUser) -> None:
    place = ordinary_user.home / "devices"
    place.mkdir()
    shutil.copy(box_tar, place / "box.tar")
    (place / "Dockerfile").write_text("FROM scratch\nADD box.tar /\nRUN mknod /one c 1 3 && mknod /two b 7 0\n")
    command.build("-t", "devices", "-o", f"type=oci,dest={place}/devices.tar", str(place))
    (place / "Dockerfile").write_text("FROM devices\nRUN --network=none echo ran\n")
    for path in (place, *place.iterdir()):
        os.chown(path, ordinary_user.uid, ordinary_user.gid)
    ordinary_user.python("-c", LAYERWRIGHT, "load", "-i", f"{place}/devices.tar")
    ended = ordinary_user.python("-c", BUILD, "--progress", "plain", "--strict", str(place), check=False)
    said = ended.stderr.decode()
    assert ended.returncode == 0, said
    assert "\n/one and 1 more of a base image could not be made, for only root makes devices; the image keeps what its layers say\n" in said


def test_the_debian_example_builds_and_runs(ordinary_user: OrdinaryUser, debian_base: str) -> None:
    place = ordinary_user.home / "python-app"
    shutil.copytree(EXAMPLES / "python-app", place)
    arguments = ("--progress", "plain", "-t", "app", "--build-arg", f"BASE={debian_base}", str(place))
    ended = ordinary_user.python("-c", BUILD, *arguments, check=False, timeout=600)
    assert ended.returncode == 0, ended.stderr.decode()[-4000:]
    said = ordinary_user.python("-c", LAYERWRIGHT, "run", "app").stdout.decode()
    assert said.startswith("hello "), said
    assert said.endswith(" built by app\n"), said
