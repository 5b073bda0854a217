"""Same inputs, same bits: DiffIDs, and with SOURCE_DATE_EPOCH whole images; RUN layers too when times are rewritten."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from tests.acceptance.command import Command

EPOCH = "1700000000"
FILES = "FROM scratch\nCOPY file dir /there/\nWORKDIR /made\nCOPY --chmod=600 file .\nLABEL a=b\n"
STEPS = FILES.replace("FROM scratch", "FROM scratch\nADD box.tar /") + "RUN --network=none date > /fixed && echo > /fixed; mkdir -p /a/b\n"


def _twice(command: Command, box_tar: Path, dockerfile: str, *args: str) -> list[dict[str, object]]:
    """What two cold builds, two seconds apart, say of their image; file times of the context differ."""
    shown = []
    os.link(box_tar, command.cwd / "box.tar")
    (command.cwd / "Dockerfile").write_text(dockerfile)
    (command.cwd / "dir").mkdir()
    for number in range(2):
        (command.cwd / "file").write_text("content")
        (command.cwd / "dir/inner").write_text("content")
        os.utime(command.cwd / "file", (10, 10) if not args else None)
        os.utime(command.cwd / "dir/inner", (10, 10) if not args else None)
        os.utime(command.cwd / "dir", (10, 10) if not args else None)
        other = Command(command.root.with_name(f"store{number}"), command.cwd)
        other.build("-t", "same", *args, ".")
        shown.append(json.loads(other.run("layerwright", "inspect", "same").stdout))
        time.sleep(1.1)
    return shown


def test_copied_files_give_the_same_layers(command: Command, box_tar: Path) -> None:
    first, second = _twice(command, box_tar, "FROM scratch\nCOPY file /\n")
    assert first["layers"] == second["layers"]
    assert first["digest"] != second["digest"], "the config has the time of the build"


def test_an_epoch_gives_the_same_image(command: Command, box_tar: Path) -> None:
    first, second = _twice(command, box_tar, FILES, "--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}")
    assert first["digest"] == second["digest"]
    assert first["created"] == "2023-11-14T22:13:20Z"


def test_rewritten_timestamps_make_run_layers_repeat(command: Command, box_tar: Path) -> None:
    output = ("--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}", "-o", "type=image,rewrite-timestamp=true")
    first, second = _twice(command, box_tar, STEPS, *output)
    assert first["digest"] == second["digest"]
