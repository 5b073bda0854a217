"""The Dockerfile: read from wherever it is, parsed once for each content."""

from __future__ import annotations

import msgspec

from builder.oci.sha256 import small
from builder.store.index import Index
from grammar.nodes import Arg, Dockerfile, From
from grammar.words import learnt, recall

PARSED = 3
"""Raised with every change to the nodes or the grammar, so that an older parse is not believed."""


def parse_cached(text: bytes, name: str, index: Index) -> Dockerfile:
    """The typed tree; a text seen before is taken from the index and needs no parser. Raises DockerfileError."""
    key = _key(text, name)
    # A build that needed no word leaves this behind, and its store is closed by the time somebody else does.
    recall(lambda: None if index.database.closed else index.get_setting(f"{key}/words"))
    known = index.get_setting(key)
    if known is not None:
        try:
            return msgspec.msgpack.decode(known, type=Dockerfile)
        except msgspec.DecodeError:
            pass  # written by another version: parse again
    from grammar.parse import parse

    parsed = parse(text, name)
    index.put_setting(key, msgspec.msgpack.encode(parsed))
    return parsed


def keep_words(text: bytes, name: str, index: Index) -> None:
    """Keeps the trees of words that had to be parsed, so that the next build of this text needs no parser for them either."""
    trees = learnt()
    if trees is not None:
        index.put_setting(f"{_key(text, name)}/words", trees)


def _key(text: bytes, name: str) -> str:
    content = small(b"\0".join((name.encode("utf-8", "surrogateescape"), text))).hexdigest()
    return f"parsed/{PARSED}/{content}"


def has_global(dockerfile: Dockerfile, name: str) -> bool:
    """Whether an ARG before the first FROM declares a name."""
    for node in dockerfile.instructions:
        if isinstance(node, From):
            return False
        if isinstance(node, Arg) and any(pair.key.text == name for pair in node.pairs):
            return True
    return False
