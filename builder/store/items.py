"""What garbage collection can take away one by one, as data."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["layer", "directory", "blob", "cache-mount", "history"]
"""`layer`: all of a layer; `directory`: only its unpacked form; `blob`: one that no layer has; `history`: a build's record and logs."""

Group = Literal["image", "base", "step", "merged", "blob", "cache-mount", "history"]
"""What people call it: `image` is what image names need, `merged` a view of many layers as one, `blob` what nothing speaks of."""


class Item(msgspec.Struct, frozen=True):
    """One thing that can be removed by itself; sizes of all items add up to what the store takes."""

    kind: Kind
    name: str
    size: int
    used_ns: int
    parents: tuple[str, ...] = ()
    kept: str = ""
    """Why it may not be removed; "" when it may."""
    note: str = ""
    group: Group = "blob"
