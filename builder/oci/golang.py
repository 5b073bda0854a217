"""JSON as Go programs write it: null for an absent list, object or string."""

from __future__ import annotations

import msgspec

LISTS = frozenset({"layers", "manifests"})
"""Keys whose presence tells what a document is; null there is an empty list."""
SETS = frozenset({"ExposedPorts", "Volumes"})
"""Objects that are sets: a key counts whatever its value, null too."""


def decode_go(raw: bytes) -> object:
    """The document with nulls resolved: absent, but for the keys above.

    Raises msgspec.DecodeError, RecursionError or UnicodeDecodeError.
    """
    return _resolve(msgspec.json.decode(raw))


def _resolve(tree: object) -> object:
    if isinstance(tree, dict):
        found: dict[str, object] = {}
        for key, value in tree.items():
            if key in SETS and isinstance(value, dict):
                found[key] = {name: {} if item is None else item for name, item in value.items()}
            elif value is not None:
                found[key] = _resolve(value)
            elif key in LISTS:
                found[key] = []
        return found
    if isinstance(tree, list):
        return [_resolve(value) for value in tree]
    return tree
