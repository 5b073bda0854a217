"""Image references: `[host[:port]/]repository[:tag][@digest]`, with docker's defaults.

distribution/reference grammar; OCI distribution-spec "Pulling manifests" for the repository and tag rules.
"""

from __future__ import annotations

import re

import msgspec

from builder.errors import UsageError
from builder.oci.digest import Digest, parse_digest

DEFAULT_REGISTRY = "docker.io"

_HOST = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?\Z"
)
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z")
_TAG = re.compile(r"[\w][\w.-]{0,127}\Z", re.ASCII)


class Reference(msgspec.Struct, frozen=True):
    """A parsed reference; `tag` is None only where a digest was given without one."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        """The full form, registry included."""
        return f"{self.registry}/{self.repository}" + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def familiar(self) -> str:
        """The short form people write: no docker.io/library."""
        name = f"{self.registry}/{self.repository}"
        name = name.removeprefix("docker.io/library/").removeprefix("docker.io/")
        return name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        """`registry/repository`, without tag and digest."""
        return f"{self.registry}/{self.repository}"


def parse_reference(text: str) -> Reference:
    """A reference with docker's defaults (docker.io, library/, :latest); raises UsageError."""
    if re.fullmatch(r"[0-9a-f]{64}", text):
        raise _invalid(text, "it is 64 hex digits, as an image id")
    rest, at, digest_text = text.partition("@")
    digest: Digest | None = None
    if at:
        if re.fullmatch(r"sha256:[0-9a-f]{64}", digest_text) is None:
            raise _invalid(text, "its digest is not sha256: and 64 hex digits")
        digest = parse_digest(digest_text)
    tag: str | None = None
    head, colon, tail = rest.rpartition(":")
    if colon and "/" not in tail:
        rest, tag = head, tail
        if _TAG.match(tag) is None:
            raise _invalid(text, "its tag has a character that a tag may not have")
    first, slash, remainder = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        registry, repository = first, remainder
    else:
        registry, repository = DEFAULT_REGISTRY, rest
    if registry in ("index.docker.io", "registry-1.docker.io"):
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    if _HOST.match(registry) is None:
        raise _invalid(text, "its host name is not one")
    if _REPOSITORY.match(repository) is None:
        raise _invalid(text, "a repository name has only lower-case letters, digits and . _ - / between them")
    if len(repository) > 255:
        raise _invalid(text, "it is longer than 255 characters")
    return Reference(registry, repository, tag or (None if digest else "latest"), digest)


def _invalid(text: str, why: str) -> UsageError:
    shown = text if len(text) <= 300 else f"{text[:300]}..."
    return UsageError(
        "invalid-reference",
        f"{shown!r} is not an image reference: {why}",
        help="write [host[:port]/]name[:tag], as registry.example:5000/app:1",
    )
