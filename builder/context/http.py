"""Files from http(s) URLs: ADD URL, and contexts that are one (reference 1.6 "http(s) URL", threats 5.3 "ADD URL").

A file's bytes are kept as a blob, and what the server said of them (ETag, Last-Modified) in the index, so that
an unchanged file costs one conditional request, and one whose --checksum is known none at all. Nothing is
decompressed or unpacked. A checksum is compared before anybody sees the bytes.

Kept in the index under `http/<sha256 of the URL>`: a msgpack'ed `Known`. Writers may race; each leaves a whole row.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urldefrag

import msgspec

from builder.context.source import Fetched, SecretLookup, pin_of
from builder.errors import CorruptionError, LayerwrightError, NotFoundError
from builder.fs.tree import DirTree
from builder.graph.operations import HttpSource
from builder.oci.digest import Digest
from builder.registry.origin import Bound, Origin, origin_of, redact
from builder.store.blobs import BlobStore

if TYPE_CHECKING:
    from builder.registry.http import Response

MAX_FILE = 64 << 30
"""Bytes of one file; a server that never ends must not fill the disk."""

FILE_MODE = 0o600
UNDATED_NS = 0
"""The mtime of a file that comes without Last-Modified: dockerd 20.10 gives it too [measured], and it makes the layer repeat."""


class Gate(Protocol):
    """The one way out: builder.registry.http.Client. Follows redirects, tries again, drops credentials on the way."""

    def request(self, method: str, url: str, *, headers: dict[str, str], bound: Bound | None) -> Response:
        """One exchange; raises LayerwrightError when no answer comes."""


class Rows(Protocol):
    """Small values by name; builder.store.index.Index is one."""

    def get_setting(self, key: str) -> bytes | None:
        """The value; None when absent."""

    def put_setting(self, key: str, value: bytes) -> None:
        """Stores or replaces, atomically."""


class Known(msgspec.Struct, frozen=True):
    """What a URL gave last; `sums` are further digests of the same bytes that a --checksum asked for."""

    digest: Digest
    size: int
    mtime_ns: int
    etag: str = ""
    last_modified: str = ""
    sums: tuple[str, ...] = ()


class HttpFiles:
    """Fetches and remembers; thread-safe as far as its parts are."""

    def __init__(self, gate: Callable[[], Gate], blobs: BlobStore, rows: Rows, secrets: SecretLookup) -> None:
        self._gate = gate
        self._blobs = blobs
        self._rows = rows
        self._secrets = secrets

    def pin(self, source: HttpSource) -> str:
        """See `http_pin`, of the file as it is now."""
        return http_pin(source, self.known(source))

    def fetch(self, source: HttpSource, directory: Path, known: Known | None = None) -> Fetched:
        """The file in `directory`, an empty one of the caller's: mode 0600, its mtime the server's.

        `known` is what `known` gave before, so that the server is asked once.
        """
        known = known or self.known(source)
        path = directory / source.filename
        with self._blobs.open(known.digest) as reader, open(path, "xb") as file:
            while data := reader.read(1 << 20):
                file.write(data)
            os.fchmod(file.fileno(), FILE_MODE)
        os.utime(path, ns=(known.mtime_ns, known.mtime_ns))
        return Fetched(DirTree(directory), http_pin(source, known))

    def read(self, url: str, limit: int) -> bytes:
        """A small file's bytes (a Dockerfile by URL)."""
        known = self.known(HttpSource(url, "file"))
        if known.size > limit:
            raise LayerwrightError("http-too-large", f"{redact(url)} is larger than {limit} bytes")
        return self._blobs.read(known.digest, limit)

    def known(self, source: HttpSource) -> Known:
        """The file as it is now, its bytes among the blobs."""
        url = urldefrag(source.url).url
        key = "http/" + hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()
        known = self._remembered(key)
        if known is not None and source.checksum is not None and source.checksum in (known.digest, *known.sums):
            return known
        found = self._request(url, known, source.checksum)
        if found != known:
            self._rows.put_setting(key, msgspec.msgpack.encode(found))
        return found

    def _remembered(self, key: str) -> Known | None:
        row = self._rows.get_setting(key)
        if row is None:
            return None
        try:
            known = msgspec.msgpack.decode(row, type=Known)
        except msgspec.DecodeError:
            return None  # written by another version
        return known if self._blobs.has(known.digest) else None

    def _request(self, url: str, known: Known | None, checksum: str | None) -> Known:
        _refuse_link_local(url)
        headers: dict[str, str] = {}
        if known is not None and not checksum:
            if known.etag:
                headers["If-None-Match"] = known.etag
            elif known.last_modified:
                headers["If-Modified-Since"] = known.last_modified
        with self._gate().request("GET", url, headers=headers, bound=_credential(url, self._secrets)) as response:
            if response.status == 304 and known is not None and headers:
                return known
            _check_status(url, response.status)
            return self._download(url, response, checksum)

    def _download(self, url: str, response: Response, checksum: str | None) -> Known:
        algorithm = checksum.partition(":")[0] if checksum else "sha256"
        state = hashlib.new(algorithm)
        with self._blobs.writer() as writer:
            size = 0
            for chunk in response.chunks():
                size += len(chunk)
                if size > MAX_FILE:
                    raise LayerwrightError("http-too-large", f"{redact(url)} is larger than {MAX_FILE >> 30} GiB")
                state.update(chunk)
                writer.write(chunk)
            _check_length(url, response.headers.get("Content-Length"), size)
            found = f"{algorithm}:{state.hexdigest()}"
            if checksum is not None and found != checksum:
                raise CorruptionError(
                    "digest-mismatch",
                    f"digest mismatch: {redact(url)} is {found}, and --checksum says {checksum}",
                    help="the file has changed, or is not the one that was meant; do not use it unless you know why",
                )
            digest, _ = writer.commit()
        modified = response.headers.get("Last-Modified", "")
        sums = (found,) if algorithm != "sha256" else ()
        return Known(digest, size, _modified_ns(modified) or UNDATED_NS, response.headers.get("ETag", ""), modified, sums)


def http_pin(source: HttpSource, known: Known) -> str:
    """What fixes a file: its bytes, its name, and Last-Modified where the server tells it."""
    return pin_of("http-1", known.digest, source.filename, FILE_MODE, _modified_ns(known.last_modified))


def _credential(url: str, secrets: SecretLookup) -> Bound | None:
    """The secrets HTTP_AUTH_HEADER_<host> and HTTP_AUTH_TOKEN_<host>, bound to the URL's origin."""
    origin = origin_of(url)
    for host in (f"{origin.host}:{origin.port}", origin.host):
        header = secrets(f"HTTP_AUTH_HEADER_{host}")
        if header is not None:
            return Bound(origin, _text(header))
        token = secrets(f"HTTP_AUTH_TOKEN_{host}")
        if token is not None:
            return Bound(origin, "Bearer " + _text(token))
    return None


def _text(secret: bytes) -> str:
    text = secret.decode("latin-1").strip()
    if any(ch < " " or ch == "\x7f" for ch in text):
        raise LayerwrightError(
            "bad-secret", "a secret for HTTP authorization has a line break in it", help="write the header's value alone"
        )
    return text


def _check_status(url: str, status: int) -> None:
    if status == 200:
        return
    if status in (404, 410):
        raise NotFoundError("http-not-found", f"{redact(url)} is not there (status {status})", help="check the address")
    if status in (401, 403):
        host = origin_of(url).host
        help = f"give a token with --secret id=HTTP_AUTH_TOKEN_{host},env=NAME"
        raise LayerwrightError("http-denied", f"{redact(url)} may not be read (status {status})", help=help)
    raise LayerwrightError("http-failed", f"{redact(url)} cannot be fetched: status {status}", help="try again, or check the address")


def _check_length(url: str, header: str | None, size: int) -> None:
    """A body that ends early looks whole to whoever only reads it."""
    if header is not None and header.isascii() and header.isdigit() and int(header) != size:
        raise CorruptionError("http-truncated", f"{redact(url)} broke off after {size} of {header[:20]} bytes", help="try again")


def _refuse_link_local(url: str) -> None:
    """The link's own addresses are where clouds hand out credentials; no build's files live there."""
    origin: Origin = origin_of(url)
    try:
        address = ip_address(origin.host.partition("%")[0])
    except ValueError:
        return
    mapped = getattr(address, "ipv4_mapped", None)
    if (mapped or address).is_link_local:
        raise LayerwrightError("http-link-local", f"{redact(url)} is an address of the local link, which is not read from")


def _modified_ns(header: str) -> int | None:
    if not header:
        return None
    try:
        return max(0, int(parsedate_to_datetime(header).timestamp())) * 1_000_000_000
    except (TypeError, ValueError, OverflowError):
        return None
