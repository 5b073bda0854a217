"""Dockerfile text to a typed tree; a leaf that knows nothing of images or of running anything.

Importing it loads neither lark nor the parser: the names arrive when they are first asked for. The parser itself is
`grammar.parse.parse`; it cannot have its name here too, where its module has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grammar.diagnostics import Diagnostic, DockerfileError, render
    from grammar.nodes import Dockerfile
    from grammar.parse import parse_trigger
    from grammar.source import Source, Span

__all__ = ["Diagnostic", "Dockerfile", "DockerfileError", "Source", "Span", "parse_trigger", "render"]

_HOMES = {
    "Diagnostic": "diagnostics",
    "Dockerfile": "nodes",
    "DockerfileError": "diagnostics",
    "Source": "source",
    "Span": "source",
    "parse_trigger": "parse",
    "render": "diagnostics",
}


def __getattr__(name: str) -> object:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
