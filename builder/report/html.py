"""HTML by construction: text becomes part of a page only through `text` and `tag`, which escape it.

`Html` is a type of its own, so that a plain string where markup is wanted does not pass the type check. Names, log lines
and whatever else came from a build are first made harmless as for a terminal: control and reordering characters show.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import NewType

from builder.progress.sanitise import clean

Html = NewType("Html", str)

Attributes = Mapping[str, str | int | float | None]

_VOID = frozenset({"meta", "link", "br", "hr"})


def text(value: str) -> Html:
    """One line of text."""
    return Html(html.escape(clean(value)))


def lines(value: Iterable[str]) -> Html:
    """Several, for a `pre`."""
    return Html("\n".join(html.escape(clean(line)) for line in value))


def tag(name: str, attributes: Attributes, *children: Html) -> Html:
    """An element; an attribute of None is left out."""
    given = "".join(f' {key}="{html.escape(clean(str(value)))}"' for key, value in attributes.items() if value is not None)
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{''.join(children)}</{name}>")


def join(parts: Iterable[Html]) -> Html:
    """One after another."""
    return Html("".join(parts))
