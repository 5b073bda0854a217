"""A store with a size stays within it through fifty different builds, all of which succeed; and `du` counts what `du -s` counts."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.command import Command

pytestmark = pytest.mark.timeout(3000)

STAGES = """\
FROM scratch AS box
ADD box.tar /
FROM box AS made
ARG NUMBER
RUN --network=none head -c {bytes} /dev/urandom > /made-$NUMBER
RUN --network=none --mount=type=cache,id=kept-{mount},target=/cache \\
    head -c {mounted} /dev/urandom > /cache/$NUMBER && cp /made-$NUMBER /copy
FROM box
COPY --from=made /copy /copy
COPY part /part
RUN --network=none echo {number} > /number
"""


class Sizes:
    """What the store took: at most at any look, and at the last one."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.most = 0

    def look(self) -> int:
        now = on_disk(self._root)
        self.most = max(self.most, now)
        return now

    @contextmanager
    def watched(self, every: float) -> Iterator[None]:
        """Looks while something runs, for steps that grow in between."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(every):
                self.look()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def on_disk(root: Path) -> int:
    """`du -s` in bytes; what goes while it looks is not counted."""
    told = subprocess.run(["du", "-s", "--block-size=1", str(root)], capture_output=True, check=False).stdout
    return int(told.split()[0]) if told else 0


def _builds(command: Command, box_tar: Path, size: int, builds: int) -> Sizes:
    """Each build makes about a seventh of the size; nearly all get a name, and they share seven cache mounts."""
    os.link(box_tar, command.cwd / "box.tar")
    sizes = Sizes(command.root)
    with sizes.watched(0.5):
        for number in range(builds):
            unit = size // 30
            text = STAGES.format(bytes=unit, mounted=unit // 4, mount=number % 7, number=number)
            (command.cwd / "Dockerfile").write_text(text)
            (command.cwd / "part").write_bytes(os.urandom(unit // 8))
            name = ("-t", f"build:{number}") if number % 10 != 5 else ("-o", "type=cacheonly")
            command.build("--store-size", str(size), "--build-arg", f"NUMBER={number}", *name, ".")
            assert sizes.look() <= size, f"after build {number}"
    return sizes


@pytest.mark.parametrize(
    ("size", "builds"),
    [
        (30 << 20, 30),
        pytest.param(
            1 << 30,
            50,
            marks=pytest.mark.skipif("LAYERWRIGHT_PROVE" not in os.environ, reason="5 GB of layers: LAYERWRIGHT_PROVE=1 asks for it"),
        ),
    ],
    ids=["30 MiB", "1 GiB"],
)
def test_a_store_with_a_size_stays_within_it(command: Command, box_tar: Path, size: int, builds: int) -> None:
    sizes = _builds(command, box_tar, size, builds)
    assert size // 2 < sizes.most <= size
    images = command.run("layerwright", "images").stdout.split()
    assert f"build:{builds - 1}" in images
    assert "build:1" not in images
    counted = json.loads(command.run("layerwright", "du", "--json").stdout)
    assert counted["total"] == sum(thing["size"] for thing in counted["things"])
    entries = sum(len(names) + len(files) for _, names, files in os.walk(command.root))
    assert abs(counted["total"] - on_disk(command.root)) <= 4096 * entries
    assert abs(counted["total"] - on_disk(command.root)) < size // 100
