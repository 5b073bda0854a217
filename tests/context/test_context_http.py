"""ADD URL: reference 1.6 and threats 5.3, with a server on loopback and the real HTTP gate."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from builder.context.http import HttpFiles
from builder.errors import LayerwrightError
from builder.graph.operations import HttpSource
from builder.registry.http import Client
from builder.registry.settings import Settings
from builder.store.blobs import MemoryBlobs

MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT"


class Server:
    """Answers from `answer(handler)`; remembers (path, headers) of each request."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.body = b"hello"
        self.headers: dict[str, str] = {"ETag": '"1"', "Last-Modified": MODIFIED}
        self.status = 200
        self.location: str | None = None
        self.cut = False
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.answer(self)

            def log_message(self, *args: object) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.seen.append((handler.path, {key.lower(): value for key, value in handler.headers.items()}))
        if self.location is not None and handler.path != "/moved":
            handler.send_response(302)
            handler.send_header("Location", self.location)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        fresh = self.headers.get("ETag") and handler.headers.get("If-None-Match") == self.headers["ETag"]
        unmodified = "Last-Modified" in self.headers and handler.headers.get("If-Modified-Since") == self.headers["Last-Modified"]
        status = 304 if self.status == 200 and (fresh or unmodified) else self.status
        body = b"" if status == 304 else self.body
        handler.send_response(status)
        for key, value in self.headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(body) + (10 if self.cut else 0)))
        handler.end_headers()
        handler.wfile.write(body)
        if self.cut:
            handler.close_connection = True

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Rows:
    """Settings in a dict."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def get_setting(self, key: str) -> bytes | None:
        return self.values.get(key)

    def put_setting(self, key: str, value: bytes) -> None:
        self.values[key] = value


class Shop:
    """HttpFiles with all it needs."""

    def __init__(self, secrets: dict[str, bytes]) -> None:
        self.secrets = secrets
        self.client = Client(Settings(attempts=1), sleep=lambda _: None)
        self.blobs = MemoryBlobs()
        self.rows = Rows()
        self.files = HttpFiles(lambda: self.client, self.blobs, self.rows, self.secrets.get)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop({})
    yield made
    made.client.close()


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def test_1_6_a_file_of_mode_0600_with_the_servers_mtime(server: Server, shop: Shop, tmp_path: Path) -> None:
    fetched = shop.files.fetch(HttpSource(server.url + "/x/f", "f"), tmp_path)
    entry = fetched.tree.lstat("f")
    assert entry is not None
    assert (entry.mode, entry.mtime_ns, entry.size) == (0o600, 1_700_000_000_000_000_000, 5)
    assert (tmp_path / "f").read_bytes() == b"hello"
    assert fetched.pin == shop.files.pin(HttpSource(server.url + "/x/f", "f"))


def test_1_6_without_last_modified_the_mtime_is_zero_and_the_pin_has_none(server: Server, shop: Shop, tmp_path: Path) -> None:
    server.headers = {}
    source = HttpSource(server.url + "/f", "f")
    fetched = shop.files.fetch(source, tmp_path)
    entry = fetched.tree.lstat("f")
    assert entry is not None
    assert entry.mtime_ns == 0
    shop.rows.values.clear()
    assert shop.files.pin(source) == fetched.pin


def test_1_6_an_unchanged_file_is_not_sent_again(server: Server, shop: Shop) -> None:
    source = HttpSource(server.url + "/f", "f")
    first = shop.files.pin(source)
    assert shop.files.pin(source) == first
    assert server.seen[1][1]["if-none-match"] == '"1"'
    server.headers = {"Last-Modified": MODIFIED}
    shop.rows.values.clear()
    shop.files.pin(source)
    assert shop.files.pin(source) == first
    assert server.seen[3][1]["if-modified-since"] == MODIFIED


def test_1_6_a_changed_file_is_another_pin(server: Server, shop: Shop) -> None:
    source = HttpSource(server.url + "/f", "f")
    first = shop.files.pin(source)
    server.body, server.headers = b"other", {"ETag": '"2"', "Last-Modified": MODIFIED}
    assert shop.files.pin(source) != first


@pytest.mark.parametrize(("name", "same"), [("f", True), ("g", False)])
def test_1_15_the_pin_has_the_name_and_not_the_address(server: Server, shop: Shop, name: str, same: bool) -> None:
    pins = shop.files.pin(HttpSource(server.url + "/a/f", "f")), shop.files.pin(HttpSource(server.url + "/b/f", name))
    assert (pins[0] == pins[1]) is same


def test_1_15_last_modified_is_in_the_pin(server: Server, shop: Shop) -> None:
    source = HttpSource(server.url + "/f", "f")
    first = shop.files.pin(source)
    server.headers = {"ETag": '"2"', "Last-Modified": "Tue, 14 Nov 2023 22:13:21 GMT"}
    assert shop.files.pin(source) != first


def test_1_6_lost_bytes_are_fetched_again(server: Server, shop: Shop) -> None:
    source = HttpSource(server.url + "/f", "f")
    shop.files.pin(source)
    for digest in list(shop.blobs.digests()):
        shop.blobs.delete(digest)
    assert shop.blobs.read(shop.files.known(source).digest, 10) == b"hello"


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_1_6_checksum_right_asks_once_and_wrong_gives_no_bytes(server: Server, shop: Shop, algorithm: str) -> None:
    right = f"{algorithm}:{hashlib.new(algorithm, b'hello').hexdigest()}"
    source = HttpSource(server.url + "/f", "f", right)
    assert shop.files.pin(source) == shop.files.pin(source)
    assert len(server.seen) == 1
    blobs = list(shop.blobs.digests())
    server.body = b"evil!"
    with pytest.raises(LayerwrightError, match="digest mismatch"):
        shop.files.pin(HttpSource(server.url + "/f", "f", right[:-4] + "0000"))
    assert list(shop.blobs.digests()) == blobs


def test_5_3_compressed_bodies_are_kept_as_they_are(server: Server, shop: Shop) -> None:
    import gzip

    server.body = gzip.compress(b"x" * 100_000)
    server.headers = {"Content-Encoding": "gzip"}
    known = shop.files.known(HttpSource(server.url + "/f.tgz", "f.tgz"))
    assert shop.blobs.read(known.digest, 1 << 20) == server.body
    assert server.seen[0][1]["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("file:///etc/passwd", "invalid-url"),
        ("ftp://127.0.0.1/x", "invalid-url"),
        ("http://user:pass@127.0.0.1/x", "invalid-url"),
        ("http://169.254.169.254/latest/meta-data", "http-link-local"),
        ("http://[fe80::1]/x", "http-link-local"),
        ("http://[::ffff:169.254.169.254]/x", "http-link-local"),
    ],
)
def test_5_3_only_http_and_never_the_local_link(shop: Shop, url: str, code: str) -> None:
    with pytest.raises(LayerwrightError) as caught:
        shop.files.pin(HttpSource(url, "f"))
    assert caught.value.code == code
    assert "pass" not in caught.value.message.replace("passwd", "")


@pytest.mark.parametrize(
    ("status", "code"), [(404, "http-not-found"), (401, "http-denied"), (403, "http-denied"), (418, "http-failed"), (304, "http-failed")]
)
def test_1_6_a_refusal_is_one_sentence(server: Server, shop: Shop, status: int, code: str) -> None:
    server.status = status
    with pytest.raises(LayerwrightError) as caught:
        shop.files.pin(HttpSource(server.url + "/f?token=secret", "f"))
    assert caught.value.code == code
    assert "secret" not in caught.value.message


def test_1_6_a_body_that_breaks_off_is_no_file(server: Server, shop: Shop) -> None:
    server.cut = True
    with pytest.raises(LayerwrightError):
        shop.files.pin(HttpSource(server.url + "/f", "f"))
    assert list(shop.blobs.digests()) == []


@pytest.mark.parametrize(
    ("secrets", "header"),
    [
        ({"HTTP_AUTH_TOKEN_127.0.0.1": b"t0k\n"}, "Bearer t0k"),
        ({"HTTP_AUTH_HEADER_127.0.0.1": b"Custom x"}, "Custom x"),
        ({"HTTP_AUTH_TOKEN_other": b"t"}, None),
    ],
)
def test_1_6_http_auth_is_for_its_host(server: Server, secrets: dict[str, bytes], header: str | None) -> None:
    shop = Shop(secrets)
    shop.files.pin(HttpSource(server.url + "/f", "f"))
    assert server.seen[0][1].get("authorization") == header
    shop.client.close()


@pytest.mark.parametrize("secret", [b"a\nb: c", b"a\r\nX: y"])
def test_5_3_a_secret_cannot_add_headers(server: Server, secret: bytes) -> None:
    shop = Shop({"HTTP_AUTH_TOKEN_127.0.0.1": secret})
    with pytest.raises(LayerwrightError, match="line break"):
        shop.files.pin(HttpSource(server.url + "/f", "f"))
    assert server.seen == []


def test_5_3_auth_does_not_follow_to_another_port(server: Server) -> None:
    other = Server()
    shop = Shop({"HTTP_AUTH_TOKEN_127.0.0.1": b"t0k"})
    server.location = other.url + "/moved"
    shop.files.pin(HttpSource(server.url + "/f", "f"))
    assert server.seen[0][1]["authorization"] == "Bearer t0k"
    assert "authorization" not in other.seen[0][1]
    other.close()
    shop.client.close()


def test_1_9_a_dockerfile_by_url_is_capped(server: Server, shop: Shop) -> None:
    assert shop.files.read(server.url + "/Dockerfile", 5) == b"hello"
    with pytest.raises(LayerwrightError, match="larger than 4"):
        shop.files.read(server.url + "/Dockerfile", 4)


def test_the_index_and_the_blobs_of_a_store_will_do(server: Server, tmp_path: Path) -> None:
    from builder.store.store import Store

    client = Client(Settings(attempts=1))
    make: Callable[[], Client] = lambda: client  # noqa: E731
    for _ in range(2):
        with Store.open(tmp_path / "store") as store:
            files = HttpFiles(make, store.blobs, store.index, lambda _: None)
            assert files.read(server.url + "/f", 10) == b"hello"
    assert server.seen[1][1]["if-none-match"] == '"1"'
    client.close()
