"""Sources from elsewhere: URLs and repositories for ADD and for contexts, archives on standard input, OCI layouts.

Everything is asked for at most once a build; what was fetched lives in the store's working directory.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import BinaryIO

from builder.engine.workshop import Workshop
from builder.errors import LayerwrightError
from builder.fs.tree import Tree
from builder.graph.operations import GitSource, HttpSource
from builder.ops.protocol import TreeInput
from builder.ops.secrets import Secrets


class Remote:
    """A Fetcher for operations, and what contexts need beside it; thread-safe."""

    def __init__(self, shop: Workshop, secrets: Secrets) -> None:
        self._shop = shop
        self._secrets = secrets
        self._lock = threading.Lock()
        self._fetched: dict[HttpSource | GitSource, TreeInput] = {}

    def pin(self, source: HttpSource | GitSource) -> str:
        """The content digest of a URL, the commit of a repository."""
        return self.fetch(source).pin

    def fetch(self, source: HttpSource | GitSource) -> TreeInput:
        raise LayerwrightError("unsupported", "remote sources are not available")

    def git_context(self, url: str) -> Tree:
        raise LayerwrightError("unsupported", "remote sources are not available")

    def http_context(self, url: str, stack: ExitStack, limit: int) -> Tree | bytes:
        raise LayerwrightError("unsupported", "remote sources are not available")

    def http_bytes(self, url: str, limit: int) -> bytes:
        raise LayerwrightError("unsupported", "remote sources are not available")

    def unpack_stream(self, stream: BinaryIO, stack: ExitStack, limit: int) -> Tree | bytes:
        raise LayerwrightError("unsupported", "remote sources are not available")

    def load_layout(self, value: str) -> str:
        raise LayerwrightError("unsupported", "remote sources are not available")
