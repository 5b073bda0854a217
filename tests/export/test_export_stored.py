"""The image and registry outputs: names in the store, pushes, and layers that are still elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.errors import UsageError
from builder.export.exporter import Means
from builder.export.parse import parse_output
from builder.export.table import make_exporter
from builder.image.model import BuildResult, Image
from builder.image.validate import validate
from builder.oci.digest import chain_ids
from builder.oci.manifest import describe
from builder.oci.reference import parse_reference
from builder.registry.client import Registry
from builder.registry.settings import Settings
from builder.store.blobs import MemoryBlobs
from tests.export.results import AMD64, Bench, open_bench
from tests.registry.fake_registry import FakeRegistry, sample


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path / "store") as made:
        yield made


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


def means(bench: Bench, *names: str) -> Means:
    client = Registry(Settings(backoff=0.0), bench.store.blobs)
    return msgspec.structs.replace(bench.means, names=tuple(parse_reference(name) for name in names), registry=lambda: client, fetch=client)


def lazy(bench: Bench, fake: FakeRegistry) -> BuildResult:
    """A result whose only layer is a base's, still in the registry."""
    base = sample(bytes(10240))
    fake.add_image("base", "1", base)
    for raw in (base.config_raw, base.manifest_raw):
        bench.store.blobs.put(raw)
    from builder.oci.config import decode_config

    config = decode_config(base.config_raw)
    layer = bench.layers.add_base(
        chain_ids(config.rootfs.diff_ids)[0], config.rootfs.diff_ids[0], base.manifest.layers[0], f"{fake.host}/base"
    )
    image = Image(AMD64, base.manifest, base.manifest_raw, config, base.config_raw, (layer,))
    return BuildResult((image,), None, describe(base.manifest_raw, base.manifest.media_type))


def test_names_are_set_in_the_store(bench: Bench) -> None:
    result = bench.simple()
    said = make_exporter(parse_output("type=image"), means(bench, "app", "registry.example/app:2")).export(result)
    assert said.message == "stored app:latest, registry.example/app:2"
    assert bench.store.images.get("docker.io/library/app:latest") == result.descriptor
    assert bench.store.images.get("registry.example/app:2") == result.descriptor


def test_names_of_the_output_come_first(bench: Bench) -> None:
    said = make_exporter(parse_output("type=image,name=one"), means(bench, "two")).export(bench.simple())
    assert said.message == "stored one:latest, two:latest"


def test_what_the_store_names_it_has_whole(bench: Bench, fake: FakeRegistry) -> None:
    result = lazy(bench, fake)
    make_exporter(parse_output("type=image"), means(bench, "app")).export(result)
    assert validate(bench.store.blobs, result.descriptor) == []


@pytest.mark.parametrize("output", ["type=oci,dest={}/a.tar", "type=docker,dest={}/a.tar", "type=oci,tar=false,dest={}/layout"])
def test_an_archive_fetches_what_is_still_elsewhere(bench: Bench, fake: FakeRegistry, tmp_path: Path, output: str) -> None:
    result = lazy(bench, fake)
    make_exporter(parse_output(output.format(tmp_path)), means(bench, "app")).export(result)
    assert validate(bench.store.blobs, result.descriptor) == []


def test_a_push_mounts_what_the_registry_has(bench: Bench, fake: FakeRegistry) -> None:
    result = lazy(bench, fake)
    said = make_exporter(parse_output("type=registry,store=false"), means(bench, f"{fake.host}/app:1")).export(result)
    assert said.message == f"pushed {fake.host}/app:1"
    assert ("app", "1") in fake.manifests
    assert fake.requests("GET", "/blobs/") == []
    assert not bench.store.blobs.has(result.images[0].manifest.layers[0].digest)
    assert bench.store.images.list() == ()


def test_a_push_stores_and_pushes_every_name(bench: Bench, fake: FakeRegistry) -> None:
    result = bench.simple()
    said = make_exporter(parse_output("type=image,push=true"), means(bench, f"{fake.host}/app:1", f"{fake.host}/app:2")).export(result)
    assert said.message == f"stored {fake.host}/app:1, {fake.host}/app:2; pushed {fake.host}/app:1, {fake.host}/app:2"
    blobs = MemoryBlobs()
    with Registry(Settings(), blobs) as client:
        assert client.pull(parse_reference(f"{fake.host}/app:2"), AMD64) == result.descriptor
    assert validate(blobs, result.descriptor) == []


def test_a_push_by_digest_moves_no_tag(bench: Bench, fake: FakeRegistry) -> None:
    result = bench.simple()
    make_exporter(parse_output("type=registry,push-by-digest=true"), means(bench, f"{fake.host}/app:1")).export(result)
    assert [name for _, name in fake.manifests] == [result.descriptor.digest]


def test_a_push_without_a_name_is_refused_before_the_build(bench: Bench) -> None:
    with pytest.raises(UsageError) as caught:
        make_exporter(parse_output("type=registry"), means(bench)).check()
    assert caught.value.code == "push-without-name"


def test_a_new_image_cannot_be_named_by_a_digest(bench: Bench) -> None:
    with pytest.raises(UsageError) as caught:
        make_exporter(parse_output("type=image"), means(bench, "app@sha256:" + "a" * 64)).check()
    assert caught.value.code == "name-with-digest"


def test_cacheonly_writes_nothing(bench: Bench, tmp_path: Path) -> None:
    exporter = make_exporter(parse_output("type=cacheonly"), means(bench, "app"))
    exporter.check()
    assert exporter.export(bench.simple()).message == "kept in the cache only"
    assert bench.store.images.list() == ()
