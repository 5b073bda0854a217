"""Reads plain command lines of `build` without click, which is a fifth of a build that finds everything cached.

Plain is: one context, and options in full (`--tag NAME`, `--tag=NAME`, `-t NAME`, `--push`). Everything else, a mistake
among it, is click's business: what is read here must be what click reads (tests/cli/test_cli_build_arguments.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from builder.cli.build_options import OPTIONS, Option


def read_plain(arguments: Sequence[str]) -> dict[str, Any] | None:
    """The values by key; None where the line is not plain."""
    by_name = {name: option for option in OPTIONS for name in option.names}
    values: dict[str, Any] = {option.key: option.missing for option in OPTIONS}
    contexts: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-") or argument == "-":
            contexts.append(argument)
            continue
        name, equals, value = argument.partition("=")
        option = by_name.get(name)
        if option is None or (equals and (option.kind == "flag" or len(name) == 2)):
            return None
        if option.kind != "flag" and not equals:
            value = next(rest, "-")
            if value.startswith("-"):
                return None
        if not _take(values, option, value):
            return None
    if len(contexts) != 1:
        return None
    return {**values, "context": contexts[0]}


def _take(values: dict[str, Any], option: Option, value: str) -> bool:
    """Whether the option could take it; of several the last one counts, but of those that may be repeated."""
    match option.kind:
        case "flag":
            values[option.key] = True
        case "texts":
            values[option.key] = (*values[option.key], value)
        case "text":
            values[option.key] = value
        case "choice" if value in option.choices:
            values[option.key] = value
        case _:
            return False
    return True
