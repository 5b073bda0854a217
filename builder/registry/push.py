"""Puts blobs and manifests into a registry: what is there is not sent, what is elsewhere in it is mounted.

OCI distribution-spec v1.1 "Pushing blobs", "Pushing manifests". An upload is one POST, one streamed
PATCH and a PUT, as docker does it (the form every registry takes); when the PATCH breaks off, the
registry is asked how far it came and the rest is sent from there, else the upload starts anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from builder.errors import CorruptionError, LayerwrightError
from builder.oci.digest import Digest
from builder.oci.manifest import Descriptor
from builder.registry.failures import RegistryError
from builder.registry.http import Response, Unreachable
from builder.registry.mirrors import Endpoint
from builder.registry.pull import ACCEPT
from builder.registry.service import Service
from builder.registry.transfer import Control, Transfer

if TYPE_CHECKING:
    from builder.store.blobs import BlobStore, VerifiedReader

_RANGE = re.compile(r"(?:bytes=)?0-(\d+)\Z")
_RETRY = frozenset({408, 416, 429, 500, 502, 503, 504})


class Target(msgspec.Struct, frozen=True):
    """Where to push to, and how patiently."""

    service: Service
    endpoint: Endpoint
    attempts: int
    name: str
    """registry/repository, as references have it."""

    @property
    def scopes(self) -> tuple[str, ...]:
        return (f"repository:{self.endpoint.repository}:pull,push",)

    def call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Callable[[], BlobBody] | None = None,
        mount: str = "",
        retry: bool | None = None,
    ) -> Response:
        """One exchange; `mount` is a repository that must be readable too."""
        scopes = (*self.scopes, f"repository:{mount}:pull") if mount else self.scopes
        return self.service.call(method, path, scopes, repository=self.endpoint.repository, headers=headers, body=body, retry=retry)

    def failure(self, response: Response, what: str) -> RegistryError:
        return self.service.failure(response, what, self.endpoint.repository)


class BlobBody:
    """The bytes of a blob from an offset on, as a request body, read once."""

    def __init__(self, blobs: BlobStore, descriptor: Descriptor, offset: int, control: Control) -> None:
        self._blobs = blobs
        self._descriptor = descriptor
        self._offset = offset
        self._control = control
        self._reader: VerifiedReader | None = None
        self._done = offset

    def __len__(self) -> int:
        return self._descriptor.size - self._offset

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; the blob's own check runs at its end."""
        self._control.check()
        if self._reader is None:
            self._reader = self._blobs.open(self._descriptor.digest)
            _skip(self._reader, self._offset)
        data = self._reader.read(size if size > 0 else self._descriptor.size) or b""
        self._done += len(data)
        if self._done == self._descriptor.size and not self._reader.verified:
            self._reader.drain()
        self._control.watch(Transfer("push", self._descriptor.digest, self._done, self._descriptor.size))
        return data

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def has_manifest(target: Target, digest: Digest) -> bool:
    """Whether the repository has a manifest; a registry has then all that it names."""
    with target.call("HEAD", f"{target.endpoint.repository}/manifests/{digest}", headers={"Accept": ACCEPT}) as response:
        return response.status == 200


def has_blob(target: Target, descriptor: Descriptor) -> bool:
    """Whether the repository has a blob."""
    with target.call("HEAD", f"{target.endpoint.repository}/blobs/{descriptor.digest}") as response:
        if response.status in (401, 403):
            raise target.failure(response, f"push to {target.endpoint.repository}")
        return response.status == 200


def mount_blob(target: Target, descriptor: Descriptor, source: str, control: Control) -> bool:
    """Take a blob over from another repository of the registry; False when it does not do that."""
    query = f"mount={quote(descriptor.digest, safe=':')}&from={quote(source, safe='/')}"
    with target.call(
        "POST", f"{target.endpoint.repository}/blobs/uploads/?{query}", headers={"Content-Length": "0"}, mount=source
    ) as response:
        if response.status == 201:
            control.watch(Transfer("push", descriptor.digest, descriptor.size, descriptor.size, "mounted"))
            return True
        location = target.service.location(response) if response.status == 202 else ""
    if location:
        # The registry began an upload instead; it is called off, so that nothing is left there.
        target.call("DELETE", location).close()
    return False


def upload_blob(target: Target, descriptor: Descriptor, blobs: BlobStore, control: Control) -> None:
    """Send a blob; goes on after a broken connection, and starts anew when the registry forgot the upload."""
    what = f"push to {target.endpoint.repository}"
    location, offset = "", 0
    for attempt in range(1, target.attempts + 1):
        control.check()
        try:
            if not location:
                location, offset = _begin(target, what), 0
            if offset < descriptor.size or descriptor.size == 0:
                response = _patch(target, location, descriptor, blobs, offset, control)
                if response.status in _RETRY and attempt < target.attempts:
                    response.close()
                    location, offset = _resume(target, location, descriptor.size)
                    target.service.pause(attempt)
                    continue
                if response.status not in (202, 204):
                    raise target.failure(response, what)
                location, offset = target.service.location(response), descriptor.size
                response.close()
            if _finish(target, location, descriptor, what):
                control.watch(Transfer("push", descriptor.digest, descriptor.size, descriptor.size, "done"))
                return
            location, offset = "", 0
            target.service.pause(attempt)
        except Unreachable:
            if attempt == target.attempts:
                raise
            target.service.pause(attempt)
            location, offset = _resume(target, location, descriptor.size)
    raise CorruptionError(
        "blob-corrupted", f"{target.endpoint.host} did not accept {descriptor.digest} as what it is", help="tell the registry's owner"
    )


def put_manifest(target: Target, name: str, descriptor: Descriptor, raw: bytes) -> None:
    """Store a manifest under a tag or its digest."""
    path = f"{target.endpoint.repository}/manifests/{name}"
    for attempt in range(1, target.attempts + 1):
        try:
            response = target.call("PUT", path, headers={"Content-Type": descriptor.media_type}, body=raw)
        except Unreachable:
            if attempt == target.attempts:
                raise
            target.service.pause(attempt)
            continue
        if response.status not in _RETRY or attempt == target.attempts:
            break
        response.close()
        target.service.pause(attempt)
    if response.status not in (200, 201):
        raise target.failure(response, f"push {target.endpoint.repository}:{name}")
    said = response.headers.get("Docker-Content-Digest")
    response.close()
    if said is not None and said != descriptor.digest:
        raise CorruptionError(
            "blob-corrupted", f"{target.endpoint.host} stored the manifest {descriptor.digest} as {said}", help="tell the registry's owner"
        )


def delete_manifest(target: Target, name: str) -> bool:
    """Remove a tag or, by digest, a manifest; False where the registry does not do that."""
    with target.call("DELETE", f"{target.endpoint.repository}/manifests/{name}") as response:
        return response.status == 202


def _begin(target: Target, what: str) -> str:
    response = target.call("POST", f"{target.endpoint.repository}/blobs/uploads/", headers={"Content-Length": "0"}, retry=True)
    if response.status != 202 or not response.headers.get("Location"):
        raise target.failure(response, what)
    with response:
        return target.service.location(response)


def _patch(target: Target, location: str, descriptor: Descriptor, blobs: BlobStore, offset: int, control: Control) -> Response:
    headers = {"Content-Type": "application/octet-stream"}
    if offset:
        headers["Content-Range"] = f"{offset}-{descriptor.size - 1}"
    return target.call("PATCH", location, headers=headers, body=lambda: BlobBody(blobs, descriptor, offset, control))


def _resume(target: Target, location: str, size: int) -> tuple[str, int]:
    """How far an upload came: its address and offset, or ("", 0) to start anew."""
    if not location:
        return "", 0
    try:
        with target.call("GET", location) as response:
            match = _RANGE.match(response.headers.get("Range", ""))
            if response.status != 204 or match is None:
                return "", 0
            moved = target.service.location(response) if response.headers.get("Location") else location
    except LayerwrightError:
        return "", 0
    offset = int(match.group(1)[:15]) + 1
    # `0-0` is also what a registry says of an upload of nothing (distribution #2934): the first byte is sent again then.
    return ("", 0) if offset > size or offset == 1 else (moved, offset)


def _finish(target: Target, location: str, descriptor: Descriptor, what: str) -> bool:
    """Close the upload; False when the registry has other bytes than the digest's and it should start anew."""
    separator = "&" if "?" in location else "?"
    url = f"{location}{separator}digest={quote(descriptor.digest, safe=':')}"
    response = target.call("PUT", url, headers={"Content-Type": "application/octet-stream", "Content-Length": "0"})
    if response.status in (201, 202, 204):
        response.close()
        return True
    if response.status in {400, 404} | _RETRY:
        response.close()
        return False
    raise target.failure(response, what)


def _skip(reader: VerifiedReader, count: int) -> None:
    while count:
        data = reader.read(min(count, 1 << 20))
        if not data:
            return
        count -= len(data)
