"""Secrets and agents that the user hands to a build, by id; never in a key, a layer, a history or a log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from builder.errors import LayerwrightError, NotFoundError

MAX_SECRET = 500 << 10
"""Bytes; BuildKit's limit."""


class Secrets(Protocol):
    """Where secrets come from. `get` is idempotent and gives None when there is no such secret."""

    def get(self, identity: str) -> bytes | None: ...


class SecretFile(msgspec.Struct, frozen=True, tag="file"):
    """A secret in a file."""

    path: str


class SecretValue(msgspec.Struct, frozen=True, tag="value"):
    """A secret taken from the environment by the CLI."""

    value: bytes


class GivenSecrets:
    """Secrets named on the command line; files are read when a step asks."""

    def __init__(self, sources: Mapping[str, SecretFile | SecretValue]) -> None:
        self._sources = dict(sources)

    def get(self, identity: str) -> bytes | None:
        """The bytes of a secret; raises where its file cannot be read or is too large."""
        match self._sources.get(identity):
            case None:
                return None
            case SecretValue(value=value):
                data = value
            case SecretFile(path=path):
                try:
                    with Path(path).open("rb") as stream:
                        data = stream.read(MAX_SECRET + 1)
                except OSError as error:
                    raise NotFoundError(
                        "secret-unreadable", f"the secret {identity!r} cannot be read: {error.strerror}", help="check src= of its --secret"
                    ) from None
        if len(data) > MAX_SECRET:
            raise LayerwrightError(
                "secret-too-large",
                f"the secret {identity!r} is larger than {MAX_SECRET >> 10} KiB",
                help="hand large files over as a context",
            )
        return data


class NoSecrets:
    """A build without secrets."""

    def get(self, identity: str) -> bytes | None:
        """There is none."""
        return None
