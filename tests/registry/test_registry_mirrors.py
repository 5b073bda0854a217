"""registries.conf: which table is chosen, where it leads, and what it forbids."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import LayerwrightError
from builder.oci.platform import Platform
from builder.oci.reference import parse_reference
from builder.registry.client import Registry
from builder.registry.mirrors import Mirrors, load_mirrors
from builder.registry.settings import Settings
from builder.store.blobs import MemoryBlobs
from tests.registry.fake_registry import FakeRegistry, sample

DIGEST = "sha256:" + "a" * 64
CONF = """
unqualified-search-registries = ["docker.io"]

[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "mirror.example/hub"
[[registry.mirror]]
location = "plain.example:5000"
insecure = true

[[registry]]
prefix = "docker.io/team"
location = "team.example/images"

[[registry]]
prefix = "*.internal.example"
insecure = true

[[registry]]
prefix = "*.moved.example"
location = "new.example"

[[registry]]
prefix = "bad.example/secret"
location = "bad.example/secret"
blocked = true

[[registry]]
location = "pinned.example"
mirror-by-digest-only = true
[[registry.mirror]]
location = "digests.example"

[[registry]]
location = "split.example"
[[registry.mirror]]
location = "tags.example"
pull-from-mirror = "tag-only"
[[registry.mirror]]
location = "digests.example"
pull-from-mirror = "digest-only"
"""


@pytest.fixture
def mirrors(tmp_path: Path) -> Mirrors:
    (tmp_path / "registries.conf").write_text(CONF)
    return load_mirrors(Settings(registries_conf=str(tmp_path / "registries.conf"), insecure=("cli.example:5000",)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alpine", ["mirror.example/hub/library/alpine", "plain.example:5000/library/alpine!", "docker.io/library/alpine"]),
        ("docker.io/team/app", ["team.example/images/app"]),
        ("docker.io/teams/app", ["mirror.example/hub/teams/app", "plain.example:5000/teams/app!", "docker.io/teams/app"]),
        ("a.internal.example/app", ["a.internal.example/app!"]),
        ("a.b.internal.example:5000/app", ["a.b.internal.example:5000/app!"]),
        ("internal.example/app", ["internal.example/app"]),
        ("evilinternal.example/app", ["evilinternal.example/app"]),
        ("a.moved.example/app", ["new.example/app"]),
        ("bad.example/secrets", ["bad.example/secrets"]),
        ("pinned.example/app:1", ["pinned.example/app"]),
        (f"pinned.example/app@{DIGEST}", ["digests.example/app", "pinned.example/app"]),
        ("split.example/app:1", ["tags.example/app", "split.example/app"]),
        (f"split.example/app@{DIGEST}", ["digests.example/app", "split.example/app"]),
        ("cli.example:5000/app", ["cli.example:5000/app!"]),
        ("other.example/app", ["other.example/app"]),
        ("localhost:5000/app", ["localhost:5000/app!"]),
        ("127.0.0.1/app", ["127.0.0.1/app!"]),
        ("127.0.0.1.example/app", ["127.0.0.1.example/app"]),
    ],
)
def test_where_a_pull_looks(mirrors: Mirrors, name: str, expected: list[str]) -> None:
    found = mirrors.pull_endpoints(parse_reference(name))
    assert [f"{end.host}/{end.repository}{'!' if end.insecure else ''}" for end in found] == expected


@pytest.mark.parametrize("name", ["bad.example/secret:1", "bad.example/secret/inner"])
def test_a_blocked_registry_is_not_asked(mirrors: Mirrors, name: str) -> None:
    with pytest.raises(LayerwrightError) as caught:
        mirrors.pull_endpoints(parse_reference(name))
    assert caught.value.code == "registry-blocked"
    with pytest.raises(LayerwrightError):
        mirrors.push_endpoint(parse_reference(name))


def test_a_push_goes_past_the_mirrors(mirrors: Mirrors) -> None:
    assert mirrors.push_endpoint(parse_reference("alpine")).host == "docker.io"
    assert mirrors.push_endpoint(parse_reference("docker.io/team/app")).repository == "images/app"


def test_drop_ins_replace_tables_of_the_same_prefix(tmp_path: Path) -> None:
    (tmp_path / "registries.conf").write_text('[[registry]]\nlocation = "a.example"\nblocked = true\n')
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "10.conf").write_text('[[registry]]\nprefix = "a.example"\nlocation = "b.example"\n')
    (tmp_path / "conf.d" / "20.conf").write_text('[[registry]]\nprefix = "a.example"\nlocation = "c.example"\n')
    (tmp_path / "conf.d" / "30.txt").write_text("not read")
    mirrors = load_mirrors(Settings(registries_conf=str(tmp_path / "registries.conf"), registries_conf_dirs=(str(tmp_path / "conf.d"),)))
    assert mirrors.push_endpoint(parse_reference("a.example/app")).host == "c.example"


@pytest.mark.parametrize("text", ["[[registry]\n", "[[registry]]\nlocation = 5\n", "[[registry]]\ninsecure = true\n"])
def test_a_broken_file_names_itself(tmp_path: Path, text: str) -> None:
    path = tmp_path / "registries.conf"
    path.write_text(text)
    with pytest.raises(LayerwrightError) as caught:
        load_mirrors(Settings(registries_conf=str(path)))
    assert caught.value.code == "registries-conf"
    assert str(path) in caught.value.message


def test_a_mirror_that_fails_leads_to_the_next(tmp_path: Path) -> None:
    image = sample(b"one")
    with FakeRegistry() as good, FakeRegistry() as empty:
        good.add_image("hub/library/app", "1", image)
        (tmp_path / "registries.conf").write_text(
            f'[[registry]]\nlocation = "docker.io"\n'
            f'[[registry.mirror]]\nlocation = "127.0.0.1:9"\n'
            f'[[registry.mirror]]\nlocation = "{empty.host}"\n'
            f'[[registry.mirror]]\nlocation = "{good.host}/hub"\n'
        )
        blobs = MemoryBlobs()
        with Registry(Settings(registries_conf=str(tmp_path / "registries.conf"), attempts=1), blobs) as client:
            client.pull(parse_reference("app:1"), Platform("amd64", "linux"))
        assert blobs.has(image.manifest.layers[0].digest)
        assert empty.seen


def test_when_all_fail_the_mirrors_are_in_the_notes(tmp_path: Path) -> None:
    (tmp_path / "registries.conf").write_text('[[registry]]\nlocation = "127.0.0.1:9"\n[[registry.mirror]]\nlocation = "127.0.0.1:10"\n')
    with (
        Registry(Settings(registries_conf=str(tmp_path / "registries.conf"), attempts=1), MemoryBlobs()) as client,
        pytest.raises(LayerwrightError) as caught,
    ):
        client.resolve(parse_reference("127.0.0.1:9/app:1"), Platform("amd64", "linux"))
    assert caught.value.message == "http://127.0.0.1:9 cannot be reached: Connection refused"
    assert caught.value.notes == ("mirror 127.0.0.1:10: http://127.0.0.1:10 cannot be reached: Connection refused",)
