"""A small registry on loopback, with switches for everything a real one or an attacker may do."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from builder.oci.config import ImageConfig, RootFS, encode_config
from builder.oci.digest import DiffID, Digest, digest_of
from builder.oci.manifest import Descriptor, Index, Manifest, describe, encode
from builder.oci.media import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from builder.oci.platform import Platform
from builder.store.blobs import BlobStore


@dataclass
class Seen:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    size: int = 0

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")


@dataclass
class Fault:
    """What happens to the next `times` requests of a method whose path holds `path`.

    `status` with `headers` answers so; `redirect` answers 307 to an address; `cut` sends (of an answer) or takes
    (of an upload) that many bytes, then drops the connection; `garble` flips the first byte of the answer.
    """

    method: str
    path: str
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    redirect: str | None = None
    redirect_status: int = 307
    cut: int | None = None
    garble: bool = False
    body: bytes = b""


class FakeRegistry:
    """A context manager; `host` is `127.0.0.1:PORT`."""

    def __init__(self, *, auth: str | None = None, password: str = "s3cret", ranges: bool = True, mount: bool = True) -> None:
        self.blobs: dict[str, bytes] = {}
        self.owners: dict[str, set[str]] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.auth = auth
        self.password = password
        self.ranges = ranges
        self.mount = mount
        self.deletes = False
        self.realm: str | None = None
        self.upload_location: str | None = None
        self.tokens = 0
        self.started = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> FakeRegistry:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def requests(self, method: str, part: str = "") -> list[Seen]:
        """What came in so far of a method, with `part` in its path."""
        return [seen for seen in self.seen if seen.method == method and part in seen.path]

    def add_blob(self, repository: str, data: bytes) -> Digest:
        digest = digest_of(data)
        self.blobs[digest] = data
        self.owners.setdefault(digest, set()).add(repository)
        return digest

    def add_manifest(self, repository: str, tag: str | None, media_type: str, raw: bytes) -> Descriptor:
        digest = digest_of(raw)
        for name in (tag, digest):
            if name is not None:
                self.manifests[repository, name] = (media_type, raw)
        return Descriptor(media_type, digest, len(raw))

    def add_image(self, repository: str, tag: str | None, image: Sample) -> Descriptor:
        """A whole image."""
        for data in image.parts:
            self.add_blob(repository, data)
        return self.add_manifest(repository, tag, OCI_MANIFEST, image.manifest_raw)

    def take_fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.times > 0 and fault.method == method and fault.path in path:
                    fault.times -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


@dataclass(frozen=True)
class Sample:
    """A made-up image: its manifest, config and layers as bytes."""

    manifest: Manifest
    manifest_raw: bytes
    config_raw: bytes
    layers: tuple[bytes, ...]

    @property
    def parts(self) -> tuple[bytes, ...]:
        return (self.config_raw, *self.layers)

    @property
    def descriptor(self) -> Descriptor:
        return describe(self.manifest_raw, self.manifest.media_type)

    def put(self, blobs: BlobStore) -> Descriptor:
        """All of it into a store."""
        for data in (*self.parts, self.manifest_raw):
            blobs.put(data)
        return self.descriptor


def sample(*plain: bytes, architecture: str = "amd64", os: str = "linux", variant: str = "") -> Sample:
    """An image whose layers have these bytes; they need not be tars for whoever only carries them."""
    layers = tuple(gzip.compress(data, 1, mtime=0) for data in plain)
    diff_ids = tuple(DiffID(digest_of(data)) for data in plain)
    config = encode_config(ImageConfig(architecture=architecture, os=os, variant=variant, rootfs=RootFS(diff_ids=diff_ids)))
    manifest = Manifest(describe(config, OCI_CONFIG), tuple(describe(layer, OCI_LAYER_GZIP) for layer in layers))
    return Sample(manifest, encode(manifest), config, layers)


def index_over(*images: tuple[Sample, Platform | None]) -> tuple[Descriptor, bytes]:
    """An index of images."""
    raw = encode(Index(tuple(describe(image.manifest_raw, OCI_MANIFEST, platform) for image, platform in images)))
    return describe(raw, OCI_INDEX), raw


def _handler(registry: FakeRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        fake = registry

    return Handler


class _Handler(BaseHTTPRequestHandler):
    fake: FakeRegistry
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Silent."""

    def _serve(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        self.fake.seen.append(Seen(self.command, self.path, {key.lower(): value for key, value in self.headers.items()}, size))
        fault = self.fake.take_fault(self.command, self.path)
        if fault is not None and fault.cut is not None and self.command in ("PATCH", "PUT"):
            self._cut_upload(fault.cut)
            return
        body = self.rfile.read(size)
        if fault is not None and fault.redirect is not None:
            self._answer(fault.redirect_status, {"Location": fault.redirect})
        elif fault is not None and fault.status is not None:
            self._answer(fault.status, fault.headers, fault.body)
        elif urlsplit(self.path).path == "/token":
            self._token(body)
        elif not self._authorized():
            self._challenge()
        else:
            self._route(body, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"", fault: Fault | None = None) -> None:
        if fault is not None and fault.garble and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is not None and fault.cut is not None:
            self.wfile.write(body[: fault.cut])
            self.close_connection = True
            return
        self.wfile.write(body)

    def _error(self, status: int, code: str, message: str) -> None:
        self._answer(status, {"Content-Type": "application/json"}, json.dumps({"errors": [{"code": code, "message": message}]}).encode())

    def _cut_upload(self, count: int) -> None:
        data = self.rfile.read(count)
        upload = self.path.partition("?")[0].rpartition("/")[2]
        if upload in self.fake.uploads:
            self.fake.uploads[upload] += data
        self.close_connection = True
        self.connection.close()

    def _authorized(self) -> bool:
        said = self.headers.get("Authorization", "")
        if self.fake.auth == "basic":
            return said == "Basic " + base64.b64encode(f"user:{self.fake.password}".encode()).decode()
        if self.fake.auth == "bearer":
            return said.startswith("Bearer token-")
        return True

    def _challenge(self) -> None:
        if self.fake.auth == "basic":
            header = 'Basic realm="fake"'
        else:
            realm = self.fake.realm or f"{self.fake.url}/token"
            match = re.match(r"/v2/(.+?)/(?:manifests|blobs|tags)/", self.path)
            scope = f',scope="repository:{match.group(1)}:pull"' if match else ""
            header = f'Bearer realm="{realm}",service="fake"{scope}'
        self._answer(401, {"WWW-Authenticate": header}, b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}')

    def _token(self, body: bytes) -> None:
        self.fake.tokens += 1
        if self.command == "POST":
            good = parse_qs(body.decode()).get("refresh_token") == [self.fake.password]
        else:
            said = self.headers.get("Authorization")
            good = said is None or said == "Basic " + base64.b64encode(f"user:{self.fake.password}".encode()).decode()
        if not good:
            self._error(401, "UNAUTHORIZED", "wrong password")
            return
        self._answer(
            200, {"Content-Type": "application/json"}, json.dumps({"token": f"token-{self.fake.tokens}", "expires_in": 300}).encode()
        )

    def _route(self, body: bytes, fault: Fault | None) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == "/v2/":
            self._answer(200, {}, b"{}")
        elif match := re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", url.path):
            self._manifest(match.group(1), match.group(2), body, fault)
        elif match := re.fullmatch(r"/v2/(.+)/tags/list", url.path):
            tags = [tag for repository, tag in list(self.fake.manifests) if repository == match.group(1) and not tag.startswith("sha256:")]
            self._answer(200, {}, json.dumps({"name": match.group(1), "tags": tags}).encode())
        elif match := re.fullmatch(r"/v2/(.+)/blobs/uploads/([^/]*)", url.path):
            self._upload(match.group(1), match.group(2), query, body)
        elif match := re.fullmatch(r"/v2/(.+)/blobs/([^/]+)", url.path):
            self._blob(match.group(1), match.group(2), fault)
        else:
            self._error(404, "NAME_UNKNOWN", "no such thing")

    def _manifest(self, repository: str, name: str, body: bytes, fault: Fault | None) -> None:
        if self.command == "PUT":
            media_type = self.headers.get("Content-Type", "")
            named = re.findall(r'"digest":"(sha256:[0-9a-f]{64})"', body.decode())
            stored = {
                digest for digest in named if repository in self.fake.owners.get(digest, ()) or (repository, digest) in self.fake.manifests
            }
            if set(named) - stored:
                self._error(400, "MANIFEST_BLOB_UNKNOWN", "a blob of the manifest is not here")
                return
            descriptor = self.fake.add_manifest(repository, None if name.startswith("sha256:") else name, media_type, body)
            self._answer(201, {"Docker-Content-Digest": descriptor.digest})
            return
        if self.command == "DELETE":
            if not self.fake.deletes:
                self._error(405, "UNSUPPORTED", "the operation is unsupported")
                return
            gone = self.fake.manifests.pop((repository, name), None)
            self._answer(202 if gone else 404, {})
            return
        found = self.fake.manifests.get((repository, name))
        if found is None:
            self._error(404, "MANIFEST_UNKNOWN", "manifest unknown")
            return
        media_type, raw = found
        self._answer(200, {"Content-Type": media_type, "Docker-Content-Digest": digest_of(raw)}, raw, fault)

    def _blob(self, repository: str, digest: str, fault: Fault | None) -> None:
        data = self.fake.blobs.get(digest)
        if data is None or repository not in self.fake.owners.get(digest, ()):
            self._error(404, "BLOB_UNKNOWN", "blob unknown")
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and self.fake.ranges:
            start = int(asked.group(1))
            if start >= len(data):
                self._error(416, "RANGE_INVALID", "nothing there")
                return
            self._answer(206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}, data[start:], fault)
        else:
            self._answer(200, {}, data, fault)

    def _upload(self, repository: str, name: str, query: dict[str, str], body: bytes) -> None:
        if self.command == "POST":
            source, digest = query.get("from"), query.get("mount")
            if digest and self.fake.mount and source in self.fake.owners.get(digest, ()):
                self.fake.owners[digest].add(repository)
                self._answer(201, {"Location": f"/v2/{repository}/blobs/{digest}"})
                return
            self.fake.started += 1
            name = f"upload{self.fake.started}"
            self.fake.uploads[name] = bytearray()
            base = self.fake.upload_location or ""
            self._answer(202, {"Location": f"{base}/v2/{repository}/blobs/uploads/{name}?state=1", "Range": "0-0"})
            return
        if name not in self.fake.uploads:
            self._error(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown")
            return
        data = self.fake.uploads[name]
        location = {"Location": f"/v2/{repository}/blobs/uploads/{name}?state=1", "Range": f"0-{max(0, len(data) + len(body) - 1)}"}
        if self.command == "PATCH":
            start = re.match(r"(\d+)-", self.headers.get("Content-Range", ""))
            if start and int(start.group(1)) != len(data):
                self._answer(416, location)
                return
            data += body
            self._answer(202, location)
        elif self.command == "GET":
            self._answer(204, location)
        elif self.command == "DELETE":
            del self.fake.uploads[name]
            self._answer(204, {})
        else:
            data += body
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            if digest != query.get("digest"):
                self._error(400, "DIGEST_INVALID", "the digest is another")
                return
            self.fake.add_blob(repository, bytes(data))
            self._answer(201, {"Docker-Content-Digest": digest})
