"""The commands that the documentation and the help show, each with where it stands."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from builder.cli.main import COMMANDS

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAMS = ("build", "layerwright", "docker", "docker-registry", "make", "pip", "apt-get", "perf", "valgrind", "strace", "python", "echo")

_PROMPT = re.compile(r"\$ ")
_SETTING = re.compile(r"[A-Z_]+=")
_INLINE = re.compile(r"`((?:layerwright (?:%s)|build -|build \.)[^`]*)`" % "|".join(COMMANDS))  # noqa: UP031
_HELD = ("reference/cli.md", "docs/checks/")
"""Pages without commands of their own: one is made from the help, the others show Dockerfiles."""


class Written(NamedTuple):
    """One command, as somebody would copy it."""

    page: str
    line: int
    text: str


def pages() -> list[Path]:
    """README and everything in docs and examples that people read."""
    found = [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "examples").rglob("*.md")]
    return sorted(page for page in found if not any(held in str(page) for held in _HELD))


def on_page(page: Path) -> list[Written]:
    """Commands in blocks, then those within sentences that say more than a command's name."""
    name = str(page.relative_to(REPOSITORY))
    lines = page.read_text().splitlines()
    found = [Written(name, number, text) for block in _blocks(lines) for number, text in _commands(block)]
    for number, line in enumerate(lines, 1):
        if not line.startswith("    "):
            found += [Written(name, number, match[1]) for match in _INLINE.finditer(line) if "…" not in match[1]]
    return found


def in_help(name: str | None = None) -> list[Written]:
    """The examples in the help of a command, or of the list of commands."""
    module = import_module("builder.cli.main" if name is None else COMMANDS[name][0])
    command = getattr(module, name or "layerwright")
    lines = (command.epilog or "").replace("\b", "").splitlines()
    return [Written(f"help of {name or 'layerwright'}", number, line.strip()) for number, line in enumerate(lines) if line.startswith("  ")]


def _blocks(lines: list[str]) -> list[list[tuple[int, str]]]:
    """Indented blocks, and fenced ones that are for a shell, as numbered lines."""
    blocks: list[list[tuple[int, str]]] = [[]]
    fence: str | None = None
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            fence = None if fence is not None else line[3:].strip()
            blocks.append([])
        elif fence is not None:
            if fence in ("", "sh", "shell", "bash", "console"):
                blocks[-1].append((number, line))
        elif line.startswith("    "):
            blocks[-1].append((number, line[4:]))
        elif line.strip():
            blocks.append([])
    return [block for block in blocks if block]


def _commands(block: list[tuple[int, str]]) -> list[tuple[int, str]]:
    shown = [(number, line[2:]) for number, line in block if _PROMPT.match(line)]
    if not shown:
        plain = [(number, line) for number, line in block if line.strip() and not line.startswith("#")]
        if not plain or not _is_command(plain[0][1]):
            return []
        shown = plain
    joined: list[tuple[int, str]] = []
    going_on = False
    for number, line in shown:
        if going_on:
            joined[-1] = (joined[-1][0], joined[-1][1] + " " + line.strip().removesuffix("\\").strip())
        else:
            joined.append((number, line.removesuffix("\\").strip()))
        going_on = line.endswith("\\")
    return [(number, re.sub(r"\s{2,}#.*$", "", text)) for number, text in joined]


def _is_command(line: str) -> bool:
    words = line.split()
    while words and _SETTING.match(words[0]):
        words.pop(0)
    return bool(words) and words[0] in PROGRAMS
