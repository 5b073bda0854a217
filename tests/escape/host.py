"""What escape.c is told of the host it wants to reach, and the reading of its report."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

PATH = ("PATH", "/bin:/usr/bin")
COMMAND = "/escape; true"  # not as pid 1, whose signals and parents are special


@contextlib.contextmanager
def reachable(canary: Path) -> Iterator[tuple[tuple[str, str], ...]]:
    """The step's environment, while a port and an abstract socket of the host wait for it."""
    name = f"layerwright-escape-{os.getpid()}"
    with socket.socket() as port, socket.socket(socket.AF_UNIX) as abstract:
        port.bind(("127.0.0.1", 0))
        port.listen()
        abstract.bind(f"\0{name}")
        abstract.listen()
        told = {"CANARY": str(canary), "BUILDER": str(os.getpid()), "PORT": str(port.getsockname()[1]), "ABSTRACT": name, "KEY": "774401"}
        yield (PATH, *told.items())


def outcomes(report: str) -> dict[str, str]:
    """Attempt -> `contained`, or how it got through."""
    found = {}
    said: list[str] = []
    for line in report.splitlines():
        match = re.fullmatch(r"= (\w+) (\w+) \d+", line)
        if match is None:
            said.append(line)
            continue
        found[match[1]] = match[2] if match[2] != "through" else f"through: {' '.join(said)}"
        said = []
    return found
