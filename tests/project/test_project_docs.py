"""The documentation points at what is there, and names every command."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.project.cli_reference import PAGE, render

REPOSITORY = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def pages() -> list[Path]:
    """Every Markdown file that belongs to the project."""
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode != 0:
        return sorted(REPOSITORY.glob("*.md")) + sorted((REPOSITORY / "docs").rglob("*.md"))
    return sorted({REPOSITORY / line for line in found.stdout.splitlines()})


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_reference_names_no_command_that_is_gone() -> None:
    """What is new comes in with `make docs`."""
    headings = re.findall(r"^## (.*)$", render(), re.MULTILINE)
    assert headings[0] == "layerwright build"
    assert set(re.findall(r"^## (.*)$", PAGE.read_text(), re.MULTILINE)) <= set(headings)


def test_flags_in_the_readme_exist() -> None:
    known = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", render()))
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", (REPOSITORY / "README.md").read_text()))
    assert used - known - {"--chown", "--from", "--mount", "--pretty"} == set()
