"""Results of root's builds, taken by an ordinary user; and eight builds at once that export to one name."""

from __future__ import annotations

import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.command import Command
from tests.peers.distribution import Registry
from tests.peers.users import OrdinaryUser

pytestmark = pytest.mark.timeout(600)

BUILD = "from builder.cli.build import main; main()"
DOCKERFILE = """\
FROM scratch
ADD box.tar /
RUN --network=none mkdir /d && echo old > /d/old && echo gone > /gone && chown 1234:4321 /d
RUN --network=none rm -r /d /gone && mkdir /d && echo new > /d/new
RUN --network=none --mount=type=cache,target=/cache echo compiled > /cache/object && chown 5:6 /cache/object
"""
FURTHER = "RUN --network=none --mount=type=cache,target=/cache ls /d / && ls -n /cache/object && cat /cache/object\n"


def test_an_ordinary_user_takes_what_root_made(
    tmp_path: Path, box_tar: Path, registry: Registry, command: Command, ordinary_user: OrdinaryUser
) -> None:
    context = ordinary_user.home / "cached"
    context.mkdir()
    shutil.copy(box_tar, context / "box.tar")
    (context / "Dockerfile").write_text(DOCKERFILE)
    for path in (context, *context.iterdir()):
        os.chown(path, ordinary_user.uid, ordinary_user.gid)
    cache = f"{registry.host}/rootless:cache"
    command.build("-o", "type=cacheonly", "--cache-to", cache, "--cache-mounts", str(context))
    (context / "Dockerfile").write_text(DOCKERFILE + FURTHER)
    arguments = ("--progress", "plain", "-o", "type=cacheonly", "--cache-from", cache, str(context))
    ended = ordinary_user.python("-c", BUILD, *arguments, check=False)
    said = ended.stderr.decode()
    assert ended.returncode == 0, said
    assert said.count("CACHED") == 5, said  # scratch is one
    shown = re.findall(r"^#6 [0-9.]+ (.*)$", said, re.MULTILINE)
    assert "gone" not in shown
    assert shown[shown.index("/d:") + 1] == "new"
    assert re.fullmatch(r"-rw-r--r--\s+1\s+5\s+6\s.* /cache/object", shown[-2]), shown
    assert shown[-1] == "compiled"


def test_eight_builds_at_once_export_to_one_name(tmp_path: Path, registry: Registry) -> None:
    cache = f"{registry.host}/eight:cache"
    contexts = [tmp_path / f"context{number}" for number in range(8)]
    for number, context in enumerate(contexts):
        context.mkdir()
        (context / "file").write_text(f"{number}\n")
        (context / "Dockerfile").write_text("FROM scratch\nCOPY file /\nCOPY file /again\n")

    def export(number: int) -> None:
        runner = Command(tmp_path / f"store{number}", tmp_path)
        runner.build("-o", "type=cacheonly", "--cache-to", f"type=registry,ref={cache},mode=max", str(contexts[number]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(export, range(8)))
    reader = Command(tmp_path / "reader", tmp_path)
    for context in contexts:
        said = reader.build("-o", "type=cacheonly", "--cache-from", cache, str(context)).stderr
        assert said.count("CACHED") == 3, said  # scratch is one
