"""How a CI service folds a step of the plain view: GitHub Actions groups, GitLab sections, or not at all."""

from __future__ import annotations

from typing import Protocol


class Fold(Protocol):
    """Text around a step; pure. `strict`: blocks may not be interrupted. `line` makes an output line harmless there."""

    strict: bool

    def open(self, number: int, name: str, time: int) -> str:
        """What opens a step: its heading."""
        ...

    def close(self, number: int, time: int) -> str:
        """What ends a step's block."""
        ...

    def line(self, text: str) -> str:
        """An output line that the service takes for nothing but text."""
        ...


class _None:
    strict = False

    def open(self, number: int, name: str, time: int) -> str:
        return f"#{number} {name}\n"

    def close(self, number: int, time: int) -> str:
        return "\n"

    def line(self, text: str) -> str:
        return text


class _GitHub:
    """Workflow commands: `::x::` counts at a line's start only, the older `##[x]` anywhere (actions/runner ActionCommand.cs)."""

    strict = True

    def open(self, number: int, name: str, time: int) -> str:
        return f"::group::#{number} {self.line(name)}\n"

    def close(self, number: int, time: int) -> str:
        return "::endgroup::\n"

    def line(self, text: str) -> str:
        return text.replace("##[", "# #[")


class _GitLab:
    """Section markers carry unix seconds and a name (docs.gitlab.com, "Custom collapsible sections")."""

    strict = True

    def open(self, number: int, name: str, time: int) -> str:
        return f"\x1b[0Ksection_start:{time // 1_000_000_000}:step_{number}\r\x1b[0K#{number} {name}\n"

    def close(self, number: int, time: int) -> str:
        return f"\x1b[0Ksection_end:{time // 1_000_000_000}:step_{number}\r\x1b[0K\n"

    def line(self, text: str) -> str:
        return text


FOLDS: dict[str, Fold] = {"none": _None(), "github": _GitHub(), "gitlab": _GitLab()}
