"""Gets manifests and blobs from a registry into the store: mirrors in turn, resumed, retried, digest-checked.

A layer's `urls` are never fetched (CVE-2020-15157): a foreign layer comes from the registry or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin

import msgspec

from builder.errors import CorruptionError, LayerwrightError, NotFoundError
from builder.oci.digest import Digest, digest_of, parse_digest
from builder.oci.manifest import MAX_MANIFEST, Descriptor
from builder.oci.media import DOCKER_LIST, DOCKER_MANIFEST, INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST
from builder.oci.reference import Reference
from builder.registry.failures import RegistryError
from builder.registry.http import Response, Unreachable
from builder.registry.mirrors import Endpoint
from builder.registry.origin import origin_of
from builder.registry.service import Service
from builder.registry.transfer import Control, Transfer
from grammar.diagnostics import suggest

if TYPE_CHECKING:
    from builder.store.blobs import BlobStore, BlobWriter

ACCEPT = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST))
MAX_TAGS = 1 << 20
MAX_TAG_PAGES = 50

T = TypeVar("T")


class _Tags(msgspec.Struct):
    tags: tuple[str, ...] | None = None


def pull_scopes(repository: str) -> tuple[str, ...]:
    """The token scopes for reading a repository."""
    return (f"repository:{repository}:pull",)


def from_any(endpoints: Iterable[Endpoint], attempt: Callable[[Endpoint], T]) -> T:
    """The first endpoint that gives it; when none does, the error of the last, which is the registry itself."""
    last: LayerwrightError | None = None
    mirrors: list[str] = []
    for endpoint in endpoints:
        try:
            return attempt(endpoint)
        except (RegistryError, Unreachable, CorruptionError, NotFoundError) as error:
            last = error
            if endpoint.mirror:
                mirrors.append(f"mirror {endpoint.host}: {error.message}")
    if last is None:
        raise AssertionError("there is always an endpoint")
    last.notes = (*last.notes, *mirrors)
    raise last


def get_manifest(
    service: Service, endpoint: Endpoint, reference: Reference, known: Callable[[Digest], bytes | None]
) -> tuple[Descriptor, bytes]:
    """The manifest or index that a reference names, with its descriptor.

    A tag is asked for with HEAD first: registries limit GETs, and what the store has (`known`) need not
    be sent again. The bytes are checked against the digest asked for, and the one the registry names.
    """
    want = reference.digest
    said_type: str | None = None
    if want is None:
        want, said_type = _head(service, endpoint, reference)
    if want is not None:
        raw = known(want)
        if raw is not None:
            return _described(raw, said_type, want, reference), raw
    path = f"{endpoint.repository}/manifests/{want or reference.tag}"
    response = service.call("GET", path, pull_scopes(endpoint.repository), repository=endpoint.repository, headers={"Accept": ACCEPT})
    if response.status != 200:
        raise _no_manifest(service, endpoint, reference, service.failure(response, f"pull {reference.familiar}", endpoint.repository))
    with response:
        raw = response.read(MAX_MANIFEST)
        said = response.headers.get("Docker-Content-Digest")
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
    if want is None and said is not None:
        want = parse_digest(said)
    return _described(raw, content_type, want, reference), raw


def _head(service: Service, endpoint: Endpoint, reference: Reference) -> tuple[Digest | None, str | None]:
    path = f"{endpoint.repository}/manifests/{reference.tag}"
    with service.call(
        "HEAD", path, pull_scopes(endpoint.repository), repository=endpoint.repository, headers={"Accept": ACCEPT}
    ) as response:
        said = response.headers.get("Docker-Content-Digest")
        if response.status != 200 or said is None or not said.startswith("sha256:"):
            return None, None
        return parse_digest(said), response.headers.get("Content-Type", "").partition(";")[0].strip()


def _described(raw: bytes, said_type: str | None, want: Digest | None, reference: Reference) -> Descriptor:
    digest = digest_of(raw)
    if want is not None and digest != want:
        raise CorruptionError(
            "blob-corrupted", f"the manifest of {reference.familiar} is {digest}, not {want}", help="tell the registry's owner"
        )
    media_type = said_type if said_type in INDEXES | MANIFESTS else _inner_type(raw)
    return Descriptor(media_type, digest, len(raw))


class _Typed(msgspec.Struct, rename="camel"):
    media_type: str = ""
    manifests: tuple[msgspec.Raw, ...] | None = None


def _inner_type(raw: bytes) -> str:
    """What the document says itself (the field may be left out of an OCI one)."""
    try:
        typed = msgspec.json.decode(raw, type=_Typed)
    except (msgspec.DecodeError, RecursionError):
        return OCI_MANIFEST
    return typed.media_type or (OCI_INDEX if typed.manifests is not None else OCI_MANIFEST)


def _no_manifest(service: Service, endpoint: Endpoint, reference: Reference, error: RegistryError) -> LayerwrightError:
    """A 404 with the nearest tag that there is."""
    if error.status != 404:
        return error
    tags = () if reference.tag is None else list_tags(service, endpoint)
    near = suggest(reference.tag, sorted(tags)) if reference.tag is not None and tags else None
    if near is not None:
        help = f"did you mean {reference.name.removeprefix('docker.io/library/')}:{near}?"
    elif tags:
        help = f"it has {len(tags)} tags, as {', '.join(sorted(tags)[:5])}"
    else:
        help = "check the name and the tag"
    return NotFoundError("manifest-unknown", f"{endpoint.host} has no {reference.familiar}", help=help, notes=error.notes)


def list_tags(service: Service, endpoint: Endpoint) -> tuple[str, ...]:
    """The first tags of a repository; empty when the registry does not tell."""
    try:
        with service.call(
            "GET", f"{endpoint.repository}/tags/list?n=1000", pull_scopes(endpoint.repository), repository=endpoint.repository, retry=False
        ) as response:
            if response.status != 200:
                return ()
            return msgspec.json.decode(response.read(MAX_TAGS), type=_Tags).tags or ()
    except (LayerwrightError, msgspec.DecodeError, RecursionError):
        return ()


def all_tags(service: Service, endpoint: Endpoint) -> tuple[str, ...]:
    """Every tag of a repository, page by page (distribution-spec "Listing Tags"); raises where it cannot be told."""
    what = f"list the tags of {endpoint.repository}"
    path, found = f"{endpoint.repository}/tags/list?n=1000", list[str]()
    for _ in range(MAX_TAG_PAGES):
        with service.call("GET", path, pull_scopes(endpoint.repository), repository=endpoint.repository) as response:
            if response.status == 404:
                return ()
            if response.status != 200:
                raise service.failure(response, what, endpoint.repository)
            try:
                found += msgspec.json.decode(response.read(MAX_TAGS), type=_Tags).tags or ()
            except (msgspec.DecodeError, RecursionError):
                raise CorruptionError("tags-invalid", f"{endpoint.host} gave no list of tags for {endpoint.repository}") from None
            following = re.match(r'<([^>]+)>\s*;\s*rel="?next"?', response.headers.get("Link", ""))
            following_url = urljoin(response.url, following.group(1)) if following is not None else ""
            if not following_url or origin_of(following_url) != origin_of(response.url):
                break
            path = following_url
    return tuple(found)


def get_blob(service: Service, endpoint: Endpoint, descriptor: Descriptor, blobs: BlobStore, control: Control, attempts: int) -> None:
    """Fetch one blob into the store; a transfer that breaks off goes on where it stopped (RFC 9110 Range).

    Bytes that are not the digest's are fetched once more from the start, then refused.
    """
    for last in (False, True):
        with blobs.writer(descriptor.digest) as writer:
            if _download(service, endpoint, descriptor, writer.write, control, attempts) and _committed(writer, descriptor):
                control.watch(Transfer("pull", descriptor.digest, descriptor.size, descriptor.size, "done"))
                return
        if last:
            raise CorruptionError(
                "blob-corrupted",
                f"{endpoint.host} sent bytes for {descriptor.digest} of {endpoint.repository} that are not it",
                help="tell the registry's owner",
            )


def _committed(writer: BlobWriter, descriptor: Descriptor) -> bool:
    """Into the store, if it is the blob: the writer has hashed it on the way."""
    try:
        writer.commit(descriptor.digest)
    except CorruptionError:
        return False
    return True


class _Partial:
    """A blob being fetched: what came so far, in order, whatever the number of connections it took."""

    def __init__(self, descriptor: Descriptor, write: Callable[[bytes], object], control: Control) -> None:
        self._descriptor = descriptor
        self._write = write
        self._control = control
        self.done = 0

    def take(self, response: Response) -> bool:
        """Read a 200 or 206 to its end; False when it cannot belong to the blob."""
        skip = 0
        if response.status == 200:
            skip = self.done  # no Range there: what we have comes again
        elif not _resumes_at(response.headers.get("Content-Range", ""), self.done):
            return False
        for chunk in response.chunks():
            self._control.check()
            new = chunk[skip:]
            skip = max(0, skip - len(chunk))
            self.done += len(new)
            if self.done > self._descriptor.size:
                return False
            self._write(new)
            self._control.watch(Transfer("pull", self._descriptor.digest, self.done, self._descriptor.size))
        return True


def _download(
    service: Service, endpoint: Endpoint, descriptor: Descriptor, write: Callable[[bytes], object], control: Control, attempts: int
) -> bool:
    """Stream as many bytes as the blob has through `write`; False when what came cannot be it."""
    partial = _Partial(descriptor, write, control)
    path = f"{endpoint.repository}/blobs/{descriptor.digest}"
    stalls = 0
    while stalls < attempts:
        control.check()
        start = partial.done
        headers = {"Range": f"bytes={start}-"} if start else {}
        try:
            response = service.call("GET", path, pull_scopes(endpoint.repository), repository=endpoint.repository, headers=headers)
            if response.status == 416:
                response.close()
                return False
            if response.status not in (200, 206):
                error = service.failure(response, f"pull from {endpoint.repository}", endpoint.repository)
                raise _no_blob(endpoint, descriptor, error)
            with response:
                if not partial.take(response):
                    return False
        except Unreachable:
            if stalls + 1 >= attempts:
                raise
        if partial.done >= descriptor.size:
            return True
        stalls = 0 if partial.done > start else stalls + 1
        service.pause(stalls + 1)
    return False


def _resumes_at(content_range: str, start: int) -> bool:
    unit, _, rest = content_range.partition(" ")
    return unit.lower() == "bytes" and rest.partition("-")[0].strip() == str(start)


def _no_blob(endpoint: Endpoint, descriptor: Descriptor, error: RegistryError) -> LayerwrightError:
    if error.status != 404:
        return error
    help = "check that the image is whole there"
    if descriptor.urls:
        help = "it is a foreign layer, and the addresses it names are not fetched; use an image without such layers"
    return NotFoundError("blob-unknown", f"{endpoint.host} has no {descriptor.digest} in {endpoint.repository}", help=help)
