"""registries.conf v2: where a repository is really looked for, in which order, and how far it is trusted.

containers-registries.conf(5): one `[[registry]]` table is chosen, the one with the longest matching
`prefix`; its mirrors come before its `location`. Short names are not searched: they are docker.io's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from builder.errors import LayerwrightError
from builder.oci.reference import Reference
from builder.registry.origin import is_loopback
from builder.registry.settings import Settings

MAX_FILE = 4 << 20

PullFrom = Literal["all", "digest-only", "tag-only", ""]


class Mirror(msgspec.Struct, frozen=True):
    """A copy of a registry that pulls try first."""

    location: str
    insecure: bool = False
    pull_from_mirror: PullFrom = msgspec.field(default="", name="pull-from-mirror")


class RegistryTable(msgspec.Struct, frozen=True):
    """One `[[registry]]` table."""

    prefix: str = ""
    location: str = ""
    insecure: bool = False
    blocked: bool = False
    mirror: tuple[Mirror, ...] = ()
    mirror_by_digest_only: bool = msgspec.field(default=False, name="mirror-by-digest-only")


class _File(msgspec.Struct):
    registry: tuple[RegistryTable, ...] = ()


class Endpoint(msgspec.Struct, frozen=True):
    """A place that may hold the repository: `host` with its port, and the repository's name there."""

    host: str
    repository: str
    insecure: bool = False
    mirror: bool = False


class Mirrors(msgspec.Struct, frozen=True):
    """The tables in force, by prefix."""

    tables: tuple[tuple[str, RegistryTable], ...] = ()
    insecure: frozenset[str] = frozenset()

    def pull_endpoints(self, reference: Reference) -> tuple[Endpoint, ...]:
        """Where to look for it, best first; raises for a blocked registry."""
        prefix, table = self._table(reference.name)
        if table is None or prefix is None:
            return (self._endpoint(reference.name, False, False),)
        self._refuse_blocked(table, prefix, reference)
        by_digest = reference.digest is not None
        found = [
            self._endpoint(_moved(reference.name, prefix, mirror.location), mirror.insecure, True)
            for mirror in table.mirror
            if _serves(mirror, table, by_digest)
        ]
        return (*found, self._endpoint(_moved(reference.name, prefix, table.location), table.insecure, False))

    def push_endpoint(self, reference: Reference) -> Endpoint:
        """Where it is pushed: never to a mirror."""
        prefix, table = self._table(reference.name)
        if table is None or prefix is None:
            return self._endpoint(reference.name, False, False)
        self._refuse_blocked(table, prefix, reference)
        return self._endpoint(_moved(reference.name, prefix, table.location), table.insecure, False)

    def _table(self, name: str) -> tuple[str | None, RegistryTable | None]:
        best: tuple[int, str | None, RegistryTable | None] = (0, None, None)
        for prefix, table in self.tables:
            length = _match(name, prefix)
            if length > best[0]:
                best = (length, prefix, table)
        return best[1], best[2]

    def _endpoint(self, name: str, insecure: bool, mirror: bool) -> Endpoint:
        host, _, repository = name.partition("/")
        bare = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
        trusted = insecure or host in self.insecure or is_loopback(bare.strip("[]"))
        return Endpoint(host, repository, trusted, mirror)

    def _refuse_blocked(self, table: RegistryTable, prefix: str, reference: Reference) -> None:
        if table.blocked:
            raise LayerwrightError(
                "registry-blocked", f"{reference} is blocked by registries.conf (prefix {prefix})", help="use another registry"
            )


def load_mirrors(settings: Settings) -> Mirrors:
    """The tables of registries.conf and its drop-ins; a later file replaces a table of the same prefix."""
    files = [Path(settings.registries_conf)] if settings.registries_conf else []
    for directory in settings.registries_conf_dirs:
        files += sorted(Path(directory).glob("*.conf"))
    tables: dict[str, RegistryTable] = {}
    for path in files:
        for table in _read(path):
            prefix = table.prefix or table.location
            if not prefix:
                raise LayerwrightError("registries-conf", f"{path} has a [[registry]] without prefix and location")
            if not table.prefix.startswith("*.") and not table.location:
                table = msgspec.structs.replace(table, location=prefix)
            tables[prefix] = table
    return Mirrors(tuple(sorted(tables.items())), frozenset(settings.insecure))


def _read(path: Path) -> tuple[RegistryTable, ...]:
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise LayerwrightError("registries-conf", f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > MAX_FILE:
        raise LayerwrightError("registries-conf", f"{path} is larger than {MAX_FILE} bytes")
    try:
        return msgspec.toml.decode(raw, type=_File).registry
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LayerwrightError("registries-conf", f"{path} is not a registries.conf of version 2: {error}") from None


def _match(name: str, prefix: str) -> int:
    """How many characters of `host/repository` a prefix covers; 0: it does not match."""
    if prefix.startswith("*."):
        host_part, _, path = prefix.partition("/")
        host = name.partition("/")[0]
        bare = host.rpartition(":")[0] if ":" in host and ":" not in host_part else host
        if not bare.endswith(host_part[1:]) or len(bare) <= len(host_part) - 1:
            return 0
        if not path:
            return len(host)
        prefix = f"{host}/{path}"
    if name == prefix or (name.startswith(prefix) and name[len(prefix)] in "/:@"):
        return len(prefix)
    return 0


def _moved(name: str, prefix: str, location: str) -> str:
    """The name with the part that the prefix covers replaced by the location (empty: left alone)."""
    return name if not location else location + name[_match(name, prefix) :]


def _serves(mirror: Mirror, table: RegistryTable, by_digest: bool) -> bool:
    wanted: PullFrom = "digest-only" if table.mirror_by_digest_only else mirror.pull_from_mirror
    return wanted in ("", "all") or (wanted == "digest-only") == by_digest
