"""The HTTP gate: TLS, proxies, limits."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from builder.errors import LayerwrightError
from builder.registry.http import Client, Unreachable, bypasses_proxy
from builder.registry.origin import Bound, origin_of
from builder.registry.settings import Settings
from tests.registry.fake_registry import FakeRegistry, Fault


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args: object) -> None:
        """Silent."""


class Tls:
    """A TLS server on loopback with a certificate that nobody signed but itself."""

    def __init__(self, directory: Path) -> None:
        self.certificate = directory / "cert.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost",
             "-keyout", str(directory / "key.pem"), "-out", str(self.certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        self.server = HTTPServer(("127.0.0.1", 0), _Hello)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, directory / "key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.host = f"localhost:{self.server.server_address[1]}"
        self.url = f"https://{self.host}/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    server = Tls(tmp_path_factory.mktemp("tls"))
    yield server
    server.server.shutdown()
    server.server.server_close()


def fetched(client: Client, url: str, *, insecure: bool = False) -> bytes:
    with client.request("GET", url, insecure=insecure) as response:
        return response.read(100)


def test_a_certificate_that_nobody_vouches_for_is_refused(tls: Tls) -> None:
    waits: list[float] = []
    with pytest.raises(Unreachable) as caught:
        fetched(Client(Settings(), sleep=waits.append), tls.url)
    assert caught.value.code == "registry-tls"
    assert "self-signed certificate" in caught.value.message
    assert "certs.d" in (caught.value.help or "")
    assert waits == []


def test_an_insecure_registry_is_taken_as_it_is(tls: Tls) -> None:
    assert fetched(Client(Settings()), tls.url, insecure=True) == b"hello"


def test_certs_d_vouches_for_a_host_and_its_port(tls: Tls, tmp_path: Path) -> None:
    directory = tmp_path / tls.host
    directory.mkdir()
    shutil.copy(tls.certificate, directory / "ca.crt")
    assert fetched(Client(Settings(cert_dirs=(str(tmp_path),))), tls.url) == b"hello"


def test_a_bundle_can_be_named(tls: Tls) -> None:
    assert fetched(Client(Settings(ca_bundle=str(tls.certificate))), tls.url) == b"hello"


def test_a_broken_certificate_names_its_file(tls: Tls, tmp_path: Path) -> None:
    directory = tmp_path / "localhost"
    directory.mkdir()
    (directory / "ca.crt").write_text("no certificate")
    with pytest.raises(LayerwrightError) as caught:
        fetched(Client(Settings(cert_dirs=(str(tmp_path),))), tls.url)
    assert caught.value.code == "registry-tls"
    assert str(directory / "ca.crt") in caught.value.message


def test_a_name_that_is_not_the_certificates_is_refused(tls: Tls) -> None:
    with pytest.raises(Unreachable) as caught:
        fetched(Client(Settings(ca_bundle=str(tls.certificate))), tls.url.replace("localhost", "127.0.0.1"))
    assert caught.value.code == "registry-tls"


@pytest.mark.parametrize(
    ("url", "rules", "bypassed"),
    [
        ("https://registry.example/", ("registry.example",), True),
        ("https://a.registry.example/", ("registry.example",), True),
        ("https://a.registry.example/", (".registry.example",), True),
        ("https://evilregistry.example/", ("registry.example",), False),
        ("https://registry.example:5000/", ("registry.example:5000",), True),
        ("https://registry.example/", ("registry.example:5000",), False),
        ("https://10.1.2.3/", ("10.0.0.0/8",), True),
        ("https://11.1.2.3/", ("10.0.0.0/8",), False),
        ("https://anything/", ("*",), True),
        ("http://localhost/", (), True),
        ("https://registry.example/", (), False),
        ("https://registry.example/", ("",), False),
    ],
)
def test_no_proxy(url: str, rules: tuple[str, ...], bypassed: bool) -> None:
    assert bypasses_proxy(origin_of(url), rules) is bypassed


def test_a_proxy_is_used() -> None:
    with FakeRegistry() as proxy:
        proxy.faults.append(Fault("GET", "http://registry.example/v2/", status=200, body=b"by proxy"))
        client = Client(Settings(http_proxy=proxy.url))
        assert fetched(client, "http://registry.example/v2/") == b"by proxy"


def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A proxy or a netrc of the environment must come in by the settings, or not at all."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with FakeRegistry() as server:
        fetched(Client(Settings()), f"{server.url}/v2/")
        assert server.seen[0].authorization is None


def test_only_bound_credentials_are_sent() -> None:
    with FakeRegistry() as server:
        client = Client(Settings())
        client.request("GET", f"{server.url}/v2/", headers={"authorization": "Basic x", "Cookie": "a=b"}).close()
        client.request("GET", f"{server.url}/v2/", bound=Bound(origin_of(server.url), "Basic y")).close()
        assert [seen.authorization for seen in server.seen] == [None, "Basic y"]
        assert "cookie" not in server.seen[0].headers


def test_an_answer_of_a_server_is_not_unpacked() -> None:
    with FakeRegistry() as server:
        server.faults.append(Fault("GET", "", status=200, headers={"Content-Encoding": "gzip"}, body=b"\x1f\x8b not gzip"))
        assert fetched(Client(Settings()), f"{server.url}/x") == b"\x1f\x8b not gzip"
        assert server.seen[0].headers["accept-encoding"] == "identity"


def test_a_client_goes_on_after_close() -> None:
    with FakeRegistry() as server:
        client = Client(Settings())
        assert fetched(client, f"{server.url}/v2/") == b"{}"
        client.close()
        client.close()
        assert fetched(client, f"{server.url}/v2/") == b"{}"


def test_nobody_there_is_asked_twice_only() -> None:
    waits: list[float] = []
    with pytest.raises(Unreachable):
        Client(Settings(attempts=5), sleep=waits.append).request("GET", "http://127.0.0.1:9/")
    assert len(waits) == 1


def test_somebody_who_hangs_up_is_asked_as_often_as_allowed() -> None:
    waits: list[float] = []
    with FakeRegistry() as server:
        server.faults.append(Fault("PUT", "", cut=0, times=99))
        with pytest.raises(Unreachable):
            Client(Settings(attempts=4), sleep=waits.append).request("PUT", f"{server.url}/v2/", body=b"x", retry=True)
    assert len(waits) == 3
