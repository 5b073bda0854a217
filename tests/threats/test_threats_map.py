"""The page of threats is whole: every known attack is in it, and every test it names exists."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs/reference/threats.md"
REFERENCE = REPOSITORY.parent / "shared/reference/threats.md"
IDENTIFIER = re.compile(r"CVE-\d{4}-\d+|GHSA(?:-\w{4}){3}|[\w-]*#\d+")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def _rows(text: str) -> list[list[str]]:
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("|")]
    return [row for row in cells if not set(row[0]) <= set("-|") and row[0] not in ("id", "attack")]


def _key(cell: str) -> str:
    """The row's identifiers, or the first word of a row that has none."""
    return " ".join(IDENTIFIER.findall(cell)) or cell.split()[0]


@cache
def _tests(path: str) -> frozenset[str]:
    tree = ast.parse((REPOSITORY / path).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_attack_is_in_the_map() -> None:
    if not REFERENCE.is_file():
        pytest.skip(f"no {REFERENCE}")
    known = Counter(_key(row[0]) for row in _rows(REFERENCE.read_text()))
    assert known, "the reference has no rows"
    assert known - Counter(_key(row[0]) for row in _rows(PAGE.read_text())) == Counter()


def test_every_row_has_a_test_or_a_reason() -> None:
    rows = _rows(PAGE.read_text())
    assert len(rows) > 50
    assert [row[0] for row in rows if not (NAMED.search(row[2]) or row[1].startswith("does not apply"))] == []


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED.findall(PAGE.read_text()))))
def test_every_named_test_exists(path: str, name: str) -> None:
    assert name in _tests(path)
