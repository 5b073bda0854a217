"""Logins: where they are found, how they are kept, and how a registry is answered."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from builder.errors import LayerwrightError, UsageError
from builder.oci.platform import Platform
from builder.oci.reference import parse_reference
from builder.registry.client import Registry
from builder.registry.credentials import Credential, lookup
from builder.registry.failures import Unauthorized
from builder.registry.login import erase_login, store_login
from builder.registry.settings import Settings
from builder.registry.tokens import Challenge, parse_challenges
from builder.store.blobs import MemoryBlobs
from tests.registry.fake_registry import FakeRegistry, sample

AMD64 = Platform("amd64", "linux")


def encoded(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


def settings_with(tmp_path: Path, config: object | None = None, *auth_files: object) -> Settings:
    """Settings over a docker config and auth.json files of these contents, and a helper path of our own."""
    helpers = tmp_path / "bin"
    helpers.mkdir(exist_ok=True)
    docker = tmp_path / "docker" / "config.json"
    if config is not None:
        docker.parent.mkdir(exist_ok=True)
        docker.write_text(json.dumps(config))
    paths = []
    for number, content in enumerate(auth_files):
        paths.append(str(tmp_path / f"auth{number}.json"))
        Path(paths[-1]).write_text(json.dumps(content))
    env = (("PATH", "/usr/bin:/bin"), ("HELPER_LOG", str(tmp_path / "helper.log")))
    return Settings(
        docker_config=str(docker), auth_files=tuple(paths), helper_path=str(helpers), helper_env=env, backoff=0.0, read_timeout=5
    )


def helper(tmp_path: Path, name: str, script: str) -> None:
    """A credential helper; what it is asked is appended to helper.log."""
    path = tmp_path / "bin" / f"docker-credential-{name}"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\ninput=$(cat)\necho "$1 $input" >> "$HELPER_LOG"\n{script}\n')
    path.chmod(0o755)


def asked(tmp_path: Path) -> list[str]:
    return (tmp_path / "helper.log").read_text().splitlines()


@pytest.mark.parametrize(
    ("key", "registry", "found"),
    [
        ("registry.example", "registry.example", True),
        ("https://registry.example/v2/", "registry.example", True),
        ("http://registry.example", "registry.example", True),
        ("registry.example:5000", "registry.example:5000", True),
        ("registry.example", "registry.example:5000", False),
        ("https://index.docker.io/v1/", "docker.io", True),
        ("docker.io", "docker.io", True),
        ("registry-1.docker.io", "docker.io", True),
        ("sub.registry.example", "registry.example", False),
    ],
)
def test_keys_of_auths(tmp_path: Path, key: str, registry: str, found: bool) -> None:
    settings = settings_with(tmp_path, {"auths": {key: {"auth": encoded("user", "pa:ss")}}})
    assert lookup(settings, registry).credential == (Credential("user", "pa:ss") if found else None)


def test_the_order_of_the_files(tmp_path: Path) -> None:
    files = [{"auths": {"r.example": {"auth": encoded(name, "x")}}} for name in ("docker", "first", "second")]
    assert lookup(settings_with(tmp_path, *files), "r.example").credential == Credential("docker", "x")
    assert lookup(settings_with(tmp_path, {}, *files[1:]), "r.example").credential == Credential("first", "x")
    assert lookup(settings_with(tmp_path, {}, {}, files[2]), "r.example").credential == Credential("second", "x")


def test_the_longest_repository_counts(tmp_path: Path) -> None:
    auths = {key: {"auth": encoded(key.replace("/", "-"), "x")} for key in ("r.example", "r.example/team", "r.example/team/app")}
    settings = settings_with(tmp_path, None, {"auths": auths})
    found = {name: lookup(settings, "r.example", name).credential for name in ("team/app", "team/app2", "team", "teams/app", "")}
    assert [credential.username if credential else None for credential in found.values()] == [
        "r.example-team-app", "r.example-team", "r.example-team", "r.example", "r.example",
    ]  # fmt: skip


def test_a_helper_for_the_host_comes_before_the_store(tmp_path: Path) -> None:
    helper(tmp_path, "one", 'echo \'{"ServerURL":"x","Username":"user","Secret":"one"}\'')
    helper(tmp_path, "store", 'echo \'{"ServerURL":"x","Username":"<token>","Secret":"refresh"}\'')
    settings = settings_with(tmp_path, {"credHelpers": {"r.example": "one"}, "credsStore": "store", "auths": {}})
    assert lookup(settings, "r.example").credential == Credential("user", "one")
    assert lookup(settings, "docker.io").credential == Credential(identity_token="refresh")
    assert asked(tmp_path) == ["get r.example", "get https://index.docker.io/v1/"]


def test_a_helper_that_knows_nothing_leads_to_the_next_file(tmp_path: Path) -> None:
    helper(tmp_path, "store", "echo credentials not found in native keychain; exit 1")
    settings = settings_with(tmp_path, {"credsStore": "store"}, {"auths": {"r.example": {"auth": encoded("user", "x")}}})
    assert lookup(settings, "r.example").credential == Credential("user", "x")
    assert lookup(settings, "r.example").notes == ()


@pytest.mark.parametrize(
    ("name", "said"), [("gone", "docker-credential-gone is not installed"), ("../../bin/sh", "is not the name of a credential helper")]
)
def test_a_helper_that_is_missing_does_not_stop_a_public_pull(tmp_path: Path, name: str, said: str) -> None:
    settings = settings_with(tmp_path, {"credsStore": name})
    with FakeRegistry() as fake:
        fake.add_image("app", "1", sample(b"one"))
        with Registry(settings, MemoryBlobs()) as client:
            assert client.resolve(parse_reference(f"{fake.host}/app:1"), AMD64).config.os == "linux"
    with FakeRegistry(auth="bearer") as fake:
        fake.auth = "basic"
        with Registry(settings, MemoryBlobs()) as client, pytest.raises(Unauthorized) as caught:
            client.resolve(parse_reference(f"{fake.host}/app:1"), AMD64)
    assert any(said in note for note in caught.value.notes)


def test_a_broken_file_is_an_error_that_quotes_nothing(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, {})
    Path(str(settings.docker_config)).write_text('{"auths": {"r": {"auth": "c2VjcmV0" ')
    with pytest.raises(LayerwrightError) as caught:
        lookup(settings, "r.example")
    assert caught.value.code == "auth-file"
    assert "c2Vjc" not in caught.value.message


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_a_registry_that_wants_a_login_gets_it(tmp_path: Path, kind: str) -> None:
    with FakeRegistry(auth=kind) as fake:
        image = sample(b"one")
        fake.add_image("app", "1", image)
        settings = settings_with(tmp_path, {"auths": {fake.host: {"auth": encoded("user", "s3cret")}}})
        blobs = MemoryBlobs()
        with Registry(settings, blobs) as client:
            client.pull(parse_reference(f"{fake.host}/app:1"), AMD64)
            client.push(parse_reference(f"{fake.host}/other:1"), image.descriptor)
        assert fake.manifests["other", "1"][1] == image.manifest_raw
        assert fake.tokens == (2 if kind == "bearer" else 0)


def test_public_images_need_a_token_but_no_login(tmp_path: Path) -> None:
    with FakeRegistry(auth="bearer") as fake:
        fake.add_image("app", "1", sample(b"one"))
        with Registry(settings_with(tmp_path), MemoryBlobs()) as client:
            client.pull(parse_reference(f"{fake.host}/app:1"), AMD64)
        assert fake.requests("GET", "/token")[0].path == "/token?service=fake&scope=repository%3Aapp%3Apull"


def test_an_identity_token_is_a_refresh_token(tmp_path: Path) -> None:
    with FakeRegistry(auth="bearer") as fake:
        fake.add_image("app", "1", sample(b"one"))
        settings = settings_with(tmp_path, {"auths": {fake.host: {"identitytoken": "s3cret"}}})
        with Registry(settings, MemoryBlobs()) as client:
            client.pull(parse_reference(f"{fake.host}/app:1"), AMD64)
        assert len(fake.requests("POST", "/token")) == 1


def test_a_token_that_ran_out_is_fetched_again(tmp_path: Path) -> None:
    with FakeRegistry(auth="bearer") as fake:
        fake.add_image("app", "1", sample(b"one"))
        with Registry(settings_with(tmp_path), MemoryBlobs()) as client:
            client.resolve(parse_reference(f"{fake.host}/app:1"), AMD64)
            fake.auth = "basic"
            fake.add_image("app", "2", sample(b"two"))
            with pytest.raises(Unauthorized):
                client.resolve(parse_reference(f"{fake.host}/app:2"), AMD64)
            fake.auth = "bearer"
            client.resolve(parse_reference(f"{fake.host}/app:2"), AMD64)
        assert fake.tokens == 1


@pytest.mark.parametrize(
    ("kind", "password", "code"),
    [("basic", None, "wants a login"), ("basic", "wrong", "does not accept your login"), ("bearer", "wrong", "does not accept your login")],
)
def test_without_the_right_login_the_error_says_how_to_get_in(tmp_path: Path, kind: str, password: str | None, code: str) -> None:
    with FakeRegistry(auth=kind) as fake:
        auths = {} if password is None else {fake.host: {"auth": encoded("user", password)}}
        with Registry(settings_with(tmp_path, {"auths": auths}), MemoryBlobs()) as client, pytest.raises(Unauthorized) as caught:
            client.resolve(parse_reference(f"{fake.host}/app:1"), AMD64)
        assert caught.value.code == "registry-unauthorized"
        assert code in caught.value.message
        assert f"`layerwright login {fake.host}`" in (caught.value.help or "")


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_a_login_is_checked(tmp_path: Path, kind: str) -> None:
    with FakeRegistry(auth=kind) as fake:
        good = settings_with(tmp_path, {"auths": {fake.host: {"auth": encoded("user", "s3cret")}}})
        with Registry(good, MemoryBlobs()) as client:
            client.verify_login(fake.host)
        bad = settings_with(tmp_path, {"auths": {fake.host: {"auth": encoded("user", "wrong")}}})
        with Registry(bad, MemoryBlobs()) as client, pytest.raises(Unauthorized):
            client.verify_login(fake.host)


def test_a_login_is_kept_and_forgotten(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, {"auths": {"other.example": {"auth": "eDp5"}}, "HttpHeaders": {"X": "1"}})
    path = Path(str(settings.docker_config))
    assert store_login(settings, "docker.io", Credential("user", "s3cret")) == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {
        "auths": {"other.example": {"auth": "eDp5"}, "https://index.docker.io/v1/": {"auth": encoded("user", "s3cret")}},
        "HttpHeaders": {"X": "1"},
    }
    assert lookup(settings, "docker.io").credential == Credential("user", "s3cret")
    assert erase_login(settings, "docker.io") is True
    assert erase_login(settings, "docker.io") is False
    assert list(json.loads(path.read_text())["auths"]) == ["other.example"]


def test_a_first_login_makes_the_file(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    store_login(settings, "r.example", Credential("user", "x"))
    path = Path(str(settings.docker_config))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert lookup(settings, "r.example").credential == Credential("user", "x")


def test_a_linked_config_stays_a_link(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, {})
    path = Path(str(settings.docker_config))
    path.rename(tmp_path / "real.json")
    path.symlink_to(tmp_path / "real.json")
    store_login(settings, "r.example", Credential("user", "x"))
    assert path.is_symlink()
    assert "r.example" in json.loads((tmp_path / "real.json").read_text())["auths"]


def test_a_credential_store_gets_the_login(tmp_path: Path) -> None:
    helper(tmp_path, "store", "")
    settings = settings_with(tmp_path, {"credsStore": "store"})
    assert store_login(settings, "r.example", Credential("user", "s3cret")) == "docker-credential-store"
    assert erase_login(settings, "r.example") is True
    assert asked(tmp_path) == ['store {"ServerURL":"r.example","Username":"user","Secret":"s3cret"}', "erase r.example"]
    assert json.loads(Path(str(settings.docker_config)).read_text()) == {"credsStore": "store"}


def test_without_a_home_there_is_no_place_for_logins() -> None:
    with pytest.raises(UsageError) as caught:
        store_login(Settings(), "r.example", Credential("user", "x"))
    assert caught.value.code == "no-docker-config"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_config_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir(mode=0o500)
    with pytest.raises(LayerwrightError) as caught:
        store_login(settings_with(tmp_path), "r.example", Credential("user", "x"))
    assert caught.value.code == "auth-file"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="x"', [Challenge("basic", "x")]),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:a:pull,push"',
            [Challenge("bearer", "https://a/t", "s", "repository:a:pull,push")],
        ),
        ('Basic realm="b", Bearer realm="https://a/t"', [Challenge("basic", "b"), Challenge("bearer", "https://a/t")]),
        ('bearer realm = "https://a/t" , service=s', [Challenge("bearer", "https://a/t", "s")]),
        ('Negotiate, Basic realm="q\\"uote"', [Challenge("negotiate"), Challenge("basic", 'q"uote')]),
        ("", []),
        ("=,=,=", []),
    ],
)
def test_challenges(header: str, expected: list[Challenge]) -> None:
    assert list(parse_challenges(header)) == expected
