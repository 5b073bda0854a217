"""Writes docs/reference/cli.md from the commands themselves: `make docs`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import click

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "reference" / "cli.md"


def render() -> str:
    """The whole page."""
    from builder.cli.main import COMMANDS

    parts = [
        "# Commands",
        "",
        "`build` is `layerwright build`. Made from the commands' own help by `make docs`.",
        "",
        "The store is `--root`, else `LAYERWRIGHT_ROOT`, else `/var/lib/layerwright` as root and `$XDG_DATA_HOME/layerwright` otherwise.",
        "",
        "As docker's, a switch may have a value (`--pull=false`), and `--rm --force-rm --compress --squash --isolation --security-opt` are "
        "taken by `build` without effect.",
    ]
    for name, (module, _) in sorted(COMMANDS.items(), key=lambda row: (row[0] != "build", row[0])):
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        parts += ["", f"## layerwright {name}", "", *_command(command, name)]
    return "\n".join(parts) + "\n"


def _command(command: click.Command, name: str) -> list[str]:
    context = click.Context(command, info_name=f"layerwright {name}")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"    layerwright {name} {usage}", "", " ".join((command.help or "").replace("\b", "").split()), ""]
    rows = [record for option in command.get_params(context) if (record := option.get_help_record(context)) is not None and record[1]]
    lines += ["| option | |", "|---|---|", *(f"| `{option.replace('|', chr(92) + '|')}` | {_cell(text)} |" for option, text in rows)]
    return lines


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    PAGE.write_text(render(), encoding="utf-8")
