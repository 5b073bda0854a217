"""The attacks on registries and credentials that others fell for; each test is named after its advisory."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from builder.errors import CorruptionError, LayerwrightError
from builder.oci.digest import DiffID, digest_of
from builder.oci.manifest import Descriptor, Manifest, describe, encode
from builder.oci.media import DOCKER_LIST, OCI_INDEX, OCI_MANIFEST
from builder.oci.platform import Platform
from builder.oci.reference import parse_reference
from builder.registry.client import Registry
from builder.registry.credentials import lookup
from builder.registry.http import Client
from builder.registry.origin import Bound, Origin, authorization_for, check_redirect, origin_of, realm_allowed, realm_trusted, redact
from builder.registry.settings import Settings
from builder.store.blobs import MemoryBlobs
from tests.registry.fake_registry import FakeRegistry, Fault, sample

AMD64 = Platform("amd64", "linux")


def logged_in(tmp_path: Path, *hosts: str, password: str = "s3cret") -> Settings:
    """Settings whose docker config has a login for each host."""
    auth = base64.b64encode(f"user:{password}".encode()).decode()
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": {host: {"auth": auth} for host in hosts}}))
    return Settings(docker_config=str(path), backoff=0.0, attempts=2, read_timeout=5)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_GHSA_vh4v_redirects_lose_the_credential(tmp_path: Path, status: int) -> None:
    """Also CVE-2018-18074, CVE-2023-32681, CVE-2023-43804, CVE-2024-37891, CVE-2025-50181."""
    with FakeRegistry(auth="basic") as registry, FakeRegistry() as other:
        image = sample(b"one")
        registry.add_image("app", "1", image)
        other.add_image("app", "1", image)
        layer = image.manifest.layers[0]
        registry.faults.append(
            Fault("GET", "/blobs/sha256:" + layer.digest[7:], redirect=f"{other.url}/v2/app/blobs/{layer.digest}", redirect_status=status)
        )
        with Registry(logged_in(tmp_path, registry.host, other.host), MemoryBlobs()) as client:
            client.resolve(parse_reference(f"{registry.host}/app:1"), AMD64)
            client.fetch(layer, f"{registry.host}/app")
        assert [seen.authorization for seen in registry.requests("GET", "/blobs/")][-1] is not None
        assert [seen.authorization for seen in other.seen] == [None]
        assert "cookie" not in other.seen[0].headers


def test_GHSA_vh4v_an_upload_location_elsewhere_gets_no_credential(tmp_path: Path) -> None:
    with FakeRegistry(auth="basic") as registry, FakeRegistry() as other:
        blobs = MemoryBlobs()
        image = sample(b"one")
        descriptor = image.put(blobs)
        registry.upload_location = other.url
        with Registry(logged_in(tmp_path, registry.host, other.host), blobs) as client, pytest.raises(LayerwrightError):
            client.push(parse_reference(f"{registry.host}/app:1"), descriptor)
        assert other.seen
        assert all(seen.authorization is None for seen in other.seen)


def test_cookies_are_neither_kept_nor_sent(tmp_path: Path) -> None:
    with FakeRegistry() as registry:
        registry.add_image("app", "1", sample(b"one"))
        registry.faults.append(Fault("HEAD", "", status=503, headers={"Set-Cookie": "session=abc; Path=/"}))
        with Registry(Settings(backoff=0.0), MemoryBlobs()) as client:
            client.resolve(parse_reference(f"{registry.host}/app:1"), AMD64)
        assert len(registry.seen) > 2
        assert all("cookie" not in seen.headers for seen in registry.seen)


def test_GHSA_9m43_a_realm_elsewhere_gets_no_password(tmp_path: Path) -> None:
    """Also go-containerregistry#2193 and #2440."""
    with FakeRegistry(auth="bearer") as registry:
        registry.realm = "https://evil.example/token"
        registry.add_image("app", "1", sample(b"one"))
        with Registry(logged_in(tmp_path, registry.host), MemoryBlobs()) as client, pytest.raises(LayerwrightError) as caught:
            client.resolve(parse_reference(f"{registry.host}/app:1"), AMD64)
    assert caught.value.code == "token-realm"
    assert "evil.example" in caught.value.message


def test_GHSA_9m43_a_redirect_of_the_realm_gets_no_password(tmp_path: Path) -> None:
    with FakeRegistry(auth="bearer") as registry, FakeRegistry() as evil:
        registry.add_image("app", "1", sample(b"one"))
        registry.faults.append(Fault("GET", "/token", redirect=f"{evil.url}/token"))
        with Registry(logged_in(tmp_path, registry.host), MemoryBlobs()) as client:
            client.resolve(parse_reference(f"{registry.host}/app:1"), AMD64)
        assert [seen.authorization for seen in evil.seen] == [None]


REALMS = [
    ("https://registry.example", "https://registry.example/token", True, True),
    ("https://registry.example", "https://registry.example:8443/token", True, True),
    ("https://registry-1.docker.io", "https://auth.docker.io/token", True, True),
    ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", True, True),
    ("https://rg.fr-par.scw.cloud", "https://api.scaleway.com/x", True, True),
    ("https://registry.example", "http://registry.example/token", False, False),
    ("https://registry.example", "https://registry.example.evil.com/token", False, True),
    ("https://registry.example", "https://evilregistry.example/token", False, True),
    ("https://a.co.uk", "https://b.co.uk/token", False, True),
    ("https://mine.azurecr.io", "https://yours.azurecr.io/token", False, True),
    ("https://1.eu.amazonaws.com", "https://2.eu.amazonaws.com/token", False, True),
    ("https://10.0.0.1", "https://11.0.0.1/token", False, True),
    ("https://registry.example", "https://127.0.0.1/token", False, False),
    ("https://registry.example", "https://169.254.169.254/token", False, False),
    ("https://registry.example", "https://localhost/token", False, False),
    ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", True, True),
    ("http://127.0.0.1:5000", "http://evil.example/token", False, False),
    ("http://lan.example:5000", "http://lan.example:5000/token", True, True),
    ("http://lan.example:5000", "http://lan.example:5001/token", False, False),
]


@pytest.mark.parametrize(("registry", "realm", "trusted", "asked"), REALMS)
def test_GHSA_9m43_which_realm_sees_a_password(registry: str, realm: str, trusted: bool, asked: bool) -> None:
    assert realm_trusted(origin_of(registry), origin_of(realm)) is trusted
    assert realm_allowed(origin_of(registry), origin_of(realm)) is asked


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://registry.example/v2/", True),
        ("https://registry.example:443/v2/", True),
        ("https://REGISTRY.example/v2/", True),
        ("https://registry.example:8443/v2/", False),
        ("http://registry.example/v2/", False),
        ("http://registry.example:443/v2/", False),
        ("https://registry.example.evil.com/v2/", False),
        ("https://evil.com/registry.example", False),
    ],
)
def test_credentials_are_bound_to_scheme_host_and_port(url: str, sent: bool) -> None:
    bound = Bound(Origin("https", "registry.example", 443), "Basic x")
    assert (authorization_for(url, bound) is not None) is sent


@pytest.mark.parametrize(
    "url", ["ftp://a/", "file:///etc/passwd", "https://", "https://u:p@a/", "https://a\\@b/", "https://a b/", "https://a:x/"]
)
def test_addresses_that_could_be_read_two_ways_are_refused(url: str) -> None:
    with pytest.raises(LayerwrightError) as caught:
        origin_of(url)
    assert caught.value.code == "invalid-url"
    assert ":p@" not in caught.value.message


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("https://registry.example/a", "http://registry.example/a"),
        ("https://registry.example/a", "https://127.0.0.1/a"),
        ("https://registry.example/a", "https://169.254.169.254/latest"),
        ("https://registry.example/a", "https://[::ffff:127.0.0.1]/a"),
        ("http://registry.example/a", "http://localhost/a"),
    ],
)
def test_redirects_into_this_machine_or_out_of_TLS_are_refused(source: str, target: str) -> None:
    with pytest.raises(LayerwrightError) as caught:
        check_redirect(source, target)
    assert caught.value.code == "unsafe-redirect"


def test_a_redirect_to_another_kind_of_address_is_refused() -> None:
    with FakeRegistry() as registry:
        registry.faults.append(Fault("GET", "/x", redirect="file:///etc/passwd"))
        with pytest.raises(LayerwrightError) as caught:
            Client(Settings()).request("GET", f"{registry.url}/x")
    assert caught.value.code == "invalid-url"


def test_redirects_in_a_circle_end() -> None:
    with FakeRegistry() as registry:
        registry.faults.append(Fault("GET", "/x", redirect="/x", times=99))
        with pytest.raises(LayerwrightError) as caught:
            Client(Settings()).request("GET", f"{registry.url}/x")
    assert caught.value.code == "too-many-redirects"


@pytest.mark.parametrize("host", ["mine.azurecr.io.evil.com", "evilmine.azurecr.io", "azurecr.io", "mine.azurecr.io:8443"])
def test_O1004_a_host_matches_whole_or_not_at_all(tmp_path: Path, host: str) -> None:
    settings = logged_in(tmp_path, "mine.azurecr.io")
    assert lookup(settings, host).credential is None
    assert lookup(settings, "mine.azurecr.io").credential is not None


def test_CVE_2021_41092_a_login_for_one_registry_never_goes_to_docker_io(tmp_path: Path) -> None:
    settings = logged_in(tmp_path, "registry.example", "https://registry.other/v1/")
    assert lookup(settings, "docker.io").credential is None
    assert lookup(settings, "registry.other").credential is not None
    hub = logged_in(tmp_path, "https://index.docker.io/v1/")
    assert lookup(hub, "docker.io").credential is not None
    assert lookup(hub, "registry.example").credential is None


def test_CVE_2020_15157_foreign_layer_addresses_are_never_fetched() -> None:
    with FakeRegistry() as registry, FakeRegistry() as other:
        digest = other.add_blob("app", b"foreign")
        url = f"{other.url}/v2/app/blobs/{digest}"
        foreign = Descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", digest, 7, urls=(url,))
        with Registry(Settings(), MemoryBlobs()) as client, pytest.raises(LayerwrightError) as caught:
            client.fetch(foreign, f"{registry.host}/app")
        assert other.seen == []
    assert caught.value.code == "blob-unknown"
    assert "foreign" in (caught.value.help or "")


@pytest.mark.parametrize(
    "digest", ["sha256:../../../etc/passwd", "sha256:" + "a" * 63, "sha256:" + "A" * 64, "md5:" + "a" * 32, "sha256:" + "a" * 64 + "\n", ""]
)
def test_CVE_2024_3727_a_digest_never_becomes_a_path_or_an_address(digest: str) -> None:
    image = sample(b"one")
    raw = image.manifest_raw.replace(image.manifest.layers[0].digest.encode(), json.dumps(digest)[1:-1].encode())
    with FakeRegistry() as registry:
        registry.add_manifest("app", "1", OCI_MANIFEST, raw)
        with Registry(Settings(), MemoryBlobs()) as client, pytest.raises(CorruptionError) as caught:
            client.resolve(parse_reference(f"{registry.host}/app:1"), AMD64)
        assert registry.requests("GET", "/blobs/") == []
    assert caught.value.code == "invalid-digest"


def test_CVE_2024_3727_negative_sizes_are_refused() -> None:
    image = sample(b"one")
    raw = image.manifest_raw.replace(b'"size":' + str(len(image.layers[0])).encode(), b'"size":-1')
    assert raw != image.manifest_raw
    with FakeRegistry() as registry:
        registry.add_manifest("app", "1", OCI_MANIFEST, raw)
        with Registry(Settings(), MemoryBlobs()) as client, pytest.raises(CorruptionError):
            client.resolve(parse_reference(f"{registry.host}/app:1"), AMD64)


def test_CVE_2024_3727_the_digest_a_registry_names_is_checked() -> None:
    with FakeRegistry() as registry:
        registry.add_image("app", "1", sample(b"one"))
        registry.faults.append(Fault("HEAD", "", status=200, headers={"Docker-Content-Digest": "sha256:../../x"}))
        with Registry(Settings(), MemoryBlobs()) as client, pytest.raises(CorruptionError):
            client.resolve(parse_reference(f"{registry.host}/app:1"), AMD64)
        assert not any(".." in seen.path for seen in registry.seen)


def confused() -> bytes:
    """A document that can be read as an image and as an index."""
    image = sample(b"one")
    body = json.loads(image.manifest_raw)
    body["manifests"] = [{"mediaType": OCI_MANIFEST, "digest": digest_of(b"evil"), "size": 4}]
    return json.dumps(body).encode()


@pytest.mark.parametrize("served", [OCI_MANIFEST, OCI_INDEX, "application/json"])
def test_CVE_2021_41190_a_document_of_two_kinds_is_refused(served: str) -> None:
    with FakeRegistry() as registry:
        registry.add_manifest("app", "1", served, confused())
        with Registry(Settings(), MemoryBlobs()) as client, pytest.raises(CorruptionError) as caught:
            client.resolve(parse_reference(f"{registry.host}/app:1"), AMD64)
    assert caught.value.code == "manifest-confusion"


def test_CVE_2021_41190_the_header_must_agree_with_the_document() -> None:
    with FakeRegistry() as registry:
        registry.add_manifest("app", "1", DOCKER_LIST, sample(b"one").manifest_raw)
        with Registry(Settings(), MemoryBlobs()) as client, pytest.raises(CorruptionError) as caught:
            client.resolve(parse_reference(f"{registry.host}/app:1"), AMD64)
    assert caught.value.code == "manifest-confusion"


def test_a_manifest_without_end_is_cut_off() -> None:
    with FakeRegistry() as registry:
        registry.add_manifest("app", "1", OCI_MANIFEST, b" " * (5 << 20))
        with Registry(Settings(), MemoryBlobs()) as client, pytest.raises(LayerwrightError) as caught:
            client.resolve(parse_reference(f"{registry.host}/app:1"), AMD64)
    assert caught.value.code == "response-too-large"


def test_a_config_that_says_it_is_huge_is_not_fetched() -> None:
    image = sample(b"one")
    config = Descriptor(image.manifest.config.media_type, image.manifest.config.digest, 1 << 40)
    raw = encode(Manifest(config, image.manifest.layers))
    with FakeRegistry() as registry:
        registry.add_manifest("app", "1", OCI_MANIFEST, raw)
        with Registry(Settings(), MemoryBlobs()) as client, pytest.raises(CorruptionError) as caught:
            client.resolve(parse_reference(f"{registry.host}/app:1"), AMD64)
    assert caught.value.code == "config-too-large"


def test_layers_and_diff_ids_must_be_as_many() -> None:
    image = sample(b"one")
    raw = encode(Manifest(image.manifest.config, (*image.manifest.layers, image.manifest.layers[0])))
    with FakeRegistry() as registry:
        registry.add_image("app", None, image)
        registry.add_manifest("app", "1", OCI_MANIFEST, raw)
        with Registry(Settings(), MemoryBlobs()) as client, pytest.raises(CorruptionError) as caught:
            client.resolve(parse_reference(f"{registry.host}/app:1"), AMD64)
    assert caught.value.code == "layers-mismatch"


def test_words_of_a_registry_cannot_write_on_the_terminal() -> None:
    with FakeRegistry() as registry:
        body = json.dumps({"errors": [{"code": "DENIED", "message": "no\x1b]0;owned\x07\nerror[fake]: hi"}]}).encode()
        registry.faults += [Fault("HEAD", "", status=403, times=9), Fault("GET", "/manifests/", status=403, body=body, times=9)]
        with Registry(Settings(), MemoryBlobs()) as client, pytest.raises(LayerwrightError) as caught:
            client.resolve(parse_reference(f"{registry.host}/app:1"), AMD64)
    assert caught.value.message.isprintable()


def test_secrets_of_addresses_are_redacted() -> None:
    assert redact("https://user:pass@host/path?X-Amz-Signature=abc") == "https://host/path"


def test_a_password_is_never_in_a_repr(tmp_path: Path) -> None:
    found = lookup(logged_in(tmp_path, "registry.example"), "registry.example")
    assert found.credential is not None
    assert "s3cret" not in repr(found)
    assert found.credential.basic not in repr(Bound(Origin("https", "a", 443), found.credential.basic))


def test_a_diff_id_is_a_digest_too() -> None:
    image = sample(b"one")
    config = image.config_raw.replace(DiffID(digest_of(b"one")).encode(), b"sha256:../x")
    manifest = Manifest(describe(config, image.manifest.config.media_type), image.manifest.layers)
    with FakeRegistry() as registry:
        registry.add_blob("app", config)
        registry.add_manifest("app", "1", OCI_MANIFEST, encode(manifest))
        with Registry(Settings(), MemoryBlobs()) as client, pytest.raises(CorruptionError) as caught:
            client.resolve(parse_reference(f"{registry.host}/app:1"), AMD64)
    assert caught.value.code == "invalid-digest"
