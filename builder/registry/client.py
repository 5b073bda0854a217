"""The registry as the rest of the builder sees it: resolve a name, fetch a blob, push an image."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.errors import CorruptionError, NotFoundError
from builder.oci.config import MAX_CONFIG
from builder.oci.digest import Digest
from builder.oci.manifest import MAX_MANIFEST, Descriptor, Index, Manifest, decode
from builder.oci.media import INDEXES, MANIFESTS
from builder.oci.platform import Platform
from builder.oci.reference import Reference, parse_reference
from builder.registry.credentials import Credential
from builder.registry.failures import RegistryError, Unauthorized
from builder.registry.http import Client
from builder.registry.mirrors import Endpoint, load_mirrors
from builder.registry.places import Places, PlacesOfToday
from builder.registry.pull import all_tags, from_any, get_blob, get_manifest
from builder.registry.push import Target, delete_manifest, has_blob, has_manifest, mount_blob, put_manifest, upload_blob
from builder.registry.resolved import MAX_NESTED, Read, Resolved, resolve_image
from builder.registry.service import Service
from builder.registry.settings import Settings
from builder.registry.transfer import Control, Transfer

if TYPE_CHECKING:
    from builder.store.blobs import BlobStore

MOST_MOUNTS = 2
"""Repositories that a push asks to take a blob over from, before it sends the bytes."""


class Registry:
    """All registries, over one blob store; thread-safe; a context manager that closes the connections.

    What it fetches goes into `blobs`, verified. `control` hears of transfers, from any thread. `places` learns where
    layers were pushed to.
    """

    def __init__(
        self,
        settings: Settings,
        blobs: BlobStore,
        *,
        control: Control | None = None,
        places: Places | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._settings = settings
        self._blobs = blobs
        self._control = control or Control()
        self._places = places or PlacesOfToday()
        self._client = Client(settings, sleep=sleep or self._control.cancel.wait)
        self._mirrors = load_mirrors(settings)
        self._lock = threading.Lock()
        self._services: dict[tuple[str, bool], Service] = {}
        self._busy: dict[Digest, threading.Lock] = {}

    @property
    def gate(self) -> Client:
        """The HTTP gate itself, for sources that are no registry (ADD of URLs)."""
        return self._client

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; idempotent."""
        self._client.close()

    def manifest(self, reference: Reference, *, direct: bool = False) -> tuple[Descriptor, bytes]:
        """What a name stands for, a manifest or an index of any kind; it is in the store afterwards. `direct`: ask no mirror."""

        def attempt(endpoint: Endpoint) -> tuple[Descriptor, bytes]:
            return get_manifest(self._service(endpoint), endpoint, reference, self._known_manifest)

        endpoints = (self._mirrors.push_endpoint(reference),) if direct else self._mirrors.pull_endpoints(reference)
        descriptor, raw = from_any(endpoints, attempt)
        decode(raw, descriptor.media_type)
        if not self._blobs.has(descriptor.digest):
            self._blobs.put(raw)
        return descriptor, raw

    def resolve(self, reference: Reference, platform: Platform) -> Resolved:
        """The image a name stands for on a platform: manifests and config only, no layers.

        A digest whose manifests are in the store is resolved without a network.
        """
        root, _ = self.manifest(reference)
        return resolve_image(reference, root, platform, self._reader(reference))

    def fetch(self, descriptor: Descriptor, origin: str) -> None:
        """Bring a blob or a manifest into the store; once, however many threads ask. `origin`: registry/repository."""
        with self._once(descriptor.digest):
            if self._blobs.has(descriptor.digest):
                return
            reference = parse_reference(f"{origin}@{descriptor.digest}")
            if descriptor.media_type in INDEXES | MANIFESTS:
                self.manifest(reference)
                return

            def attempt(endpoint: Endpoint) -> None:
                get_blob(self._service(endpoint), endpoint, descriptor, self._blobs, self._control, self._settings.attempts)

            from_any(self._mirrors.pull_endpoints(reference), attempt)

    def pull(self, reference: Reference, platform: Platform | None) -> Descriptor:
        """Fetch an image whole, for one platform or for all (None); returns the descriptor of what the name stands for."""
        root, raw = self.manifest(reference)
        document = decode(raw, root.media_type)
        if isinstance(document, Index) and platform is not None:
            document = resolve_image(reference, root, platform, self._reader(reference)).manifest
        self._fetch_all(self._parts(document, reference.name), reference.name)
        return root

    def push(
        self,
        reference: Reference,
        descriptor: Descriptor,
        *,
        origins: Mapping[Digest, str] | None = None,
        by_digest: bool = False,
        there: Collection[Digest] = (),
    ) -> None:
        """Push an image or an index, children first, under the reference's tag (`by_digest`: under none).

        `origins` says of blobs where they were pulled from (registry/repository): they are mounted from
        there within one registry, and fetched first where the store has not got them. Blobs in `there` are not
        asked for: the caller knows that the repository has them.
        """
        target = self._target(reference)
        raw = self._manifest_bytes(descriptor)
        if not has_manifest(target, descriptor.digest):
            self._push_contents(target, decode(raw, descriptor.media_type), origins or {}, there)
        name = descriptor.digest if by_digest or reference.tag is None else reference.tag
        put_manifest(target, name, descriptor, raw)

    def has(self, reference: Reference, descriptor: Descriptor) -> bool:
        """Whether the repository itself has a blob."""
        return has_blob(self._target(reference), descriptor)

    def tags(self, reference: Reference) -> tuple[str, ...]:
        """All tags of a repository, asked of no mirror; none where there is no such repository."""
        endpoint = self._mirrors.push_endpoint(reference)
        return all_tags(self._service(endpoint), endpoint)

    def untag(self, reference: Reference, digest: Digest) -> bool:
        """Remove a tag that stands for this manifest, or the manifest with it; False where the registry removes neither."""
        target = self._target(reference)
        return any(delete_manifest(target, name) for name in (reference.tag, digest) if name is not None)

    def verify_login(self, host: str, credential: Credential | None = None) -> None:
        """Ask a registry whether it accepts a login, or (None) the one that the settings hold for it."""
        endpoint = Endpoint(host, "", self._mirrors.push_endpoint(Reference(host, "x")).insecure)
        service = Service(self._client, self._settings, endpoint, credential=credential)
        try:
            response = service.call("GET", service.url(""), ())
            if response.status not in (200, 403, 404):
                raise service.failure(response, "log in")
            response.close()
        except Unauthorized:
            help = "check both; many registries want an access token in place of the password"
            raise Unauthorized("registry-unauthorized", f"{host} does not accept this user name and password", help=help) from None

    def _reader(self, reference: Reference) -> Read:
        """Reads manifests and configs, fetching what is missing."""

        def read(descriptor: Descriptor) -> bytes:
            self.fetch(descriptor, reference.name)
            return self._blobs.read(descriptor.digest, max(MAX_MANIFEST, MAX_CONFIG))

        return read

    def _parts(self, document: Manifest | Index, origin: str, depth: int = 0) -> Iterator[Descriptor]:
        """The blobs of an image, or of all images of an index; the manifests among them are fetched on the way."""
        if isinstance(document, Manifest):
            yield document.config
            yield from document.layers
            return
        if depth > MAX_NESTED:
            raise CorruptionError("manifest-nesting", "an index nests others too deeply")
        for child in document.manifests:
            self.fetch(child, origin)
            yield from self._parts(decode(self._manifest_bytes(child), child.media_type), origin, depth + 1)

    def _fetch_all(self, descriptors: Iterator[Descriptor], origin: str) -> None:
        unique = {descriptor.digest: descriptor for descriptor in descriptors}
        with self._workers() as pool:
            for done in [pool.submit(self.fetch, descriptor, origin) for descriptor in unique.values()]:
                done.result()

    def _push_contents(
        self, target: Target, document: Manifest | Index, origins: Mapping[Digest, str], there: Collection[Digest] = ()
    ) -> None:
        """Everything below a manifest or an index, then the manifests themselves, by digest."""
        if isinstance(document, Index):
            for child in document.manifests:
                if not has_manifest(target, child.digest):
                    raw = self._manifest_bytes(child)
                    self._push_contents(target, decode(raw, child.media_type), origins)
                    put_manifest(target, child.digest, child, raw)
            return
        unique = {descriptor.digest: descriptor for descriptor in (*document.layers, document.config) if descriptor.digest not in there}
        with self._workers() as pool:
            for done in [pool.submit(self._push_blob, target, d, origins.get(d.digest)) for d in unique.values()]:
                done.result()
        self._places.note([descriptor.digest for descriptor in document.layers], target.name)

    @contextmanager
    def _workers(self) -> Iterator[ThreadPoolExecutor]:
        """Threads for transfers: after an error those that wait never start, after Ctrl-C those under way end too."""
        pool = ThreadPoolExecutor(self._settings.concurrency)
        try:
            yield pool
        except BaseException as error:
            if not isinstance(error, Exception):
                self._control.cancel.set()
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()

    def _push_blob(self, target: Target, descriptor: Descriptor, origin: str | None) -> None:
        if has_blob(target, descriptor):
            self._control.watch(Transfer("push", descriptor.digest, descriptor.size, descriptor.size, "exists"))
            return
        if any(self._mounted(target, descriptor, repository) for repository in self._beside(target, descriptor.digest, origin)):
            return
        if origin is not None:
            self.fetch(descriptor, origin)
        upload_blob(target, descriptor, self._blobs, self._control)

    def _beside(self, target: Target, digest: Digest, origin: str | None) -> list[str]:
        """Other repositories of the same registry that are said to have the blob; few are asked."""
        said = ([] if origin is None else [origin]) + list(self._places.known(digest))
        sources = [self._mirrors.push_endpoint(parse_reference(place)) for place in said]
        beside = {source.repository: None for source in sources if source.host == target.endpoint.host}
        return [repository for repository in beside if repository != target.endpoint.repository][:MOST_MOUNTS]

    def _mounted(self, target: Target, descriptor: Descriptor, repository: str) -> bool:
        try:
            return mount_blob(target, descriptor, repository, self._control)
        except RegistryError:  # no right to read there: the bytes are sent instead
            return False

    def _known_manifest(self, digest: Digest) -> bytes | None:
        return self._blobs.read(digest, MAX_MANIFEST) if self._blobs.has(digest) else None

    def _manifest_bytes(self, descriptor: Descriptor) -> bytes:
        if not self._blobs.has(descriptor.digest):
            which = f" for {descriptor.platform}" if descriptor.platform is not None else ""
            raise NotFoundError(
                "manifest-missing", f"the store has not the manifest {descriptor.digest}{which}", help="pull it with --all-platforms"
            )
        return self._blobs.read(descriptor.digest, MAX_MANIFEST)

    def _target(self, reference: Reference) -> Target:
        endpoint = self._mirrors.push_endpoint(reference)
        return Target(self._service(endpoint), endpoint, self._settings.attempts, reference.name)

    def _service(self, endpoint: Endpoint) -> Service:
        key = (endpoint.host, endpoint.insecure)
        with self._lock:
            if key not in self._services:
                self._services[key] = Service(self._client, self._settings, endpoint)
            return self._services[key]

    @contextmanager
    def _once(self, digest: Digest) -> Iterator[None]:
        with self._lock:
            busy = self._busy.setdefault(digest, threading.Lock())
        with busy:
            yield
