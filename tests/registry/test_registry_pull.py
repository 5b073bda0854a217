"""Pulling: names to manifests, blobs resumed, retried and checked."""

from __future__ import annotations

import signal
import threading

import pytest

from builder.errors import BuildCancelled, CorruptionError, LayerwrightError, NotFoundError
from builder.oci.digest import digest_of
from builder.oci.manifest import Descriptor, Index, Manifest, describe, encode
from builder.oci.media import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from builder.oci.platform import Platform, parse_platform
from builder.oci.reference import parse_reference
from builder.registry.client import Registry
from builder.registry.http import Unreachable
from builder.registry.transfer import Control, Transfer
from builder.store.blobs import MemoryBlobs
from tests.registry.client import FAST, ref
from tests.registry.fake_registry import FakeRegistry, Fault, index_over, sample

AMD64 = Platform("amd64", "linux")
BIG = bytes(range(256)) * 4096


def test_an_image_is_resolved_without_its_layers(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    image = sample(b"one", b"two")
    fake.add_image("app", "1", image)
    found = client.resolve(ref(fake, "app:1"), AMD64)
    assert (found.manifest_raw, found.config_raw) == (image.manifest_raw, image.config_raw)
    assert found.root == found.descriptor == image.descriptor
    assert not any(blobs.has(layer.digest) for layer in image.manifest.layers)
    assert found.origin == f"{fake.host}/app"


def test_a_tag_that_did_not_move_costs_one_head(fake: FakeRegistry, client: Registry) -> None:
    fake.add_image("app", "1", sample(b"one"))
    client.resolve(ref(fake, "app:1"), AMD64)
    before = len(fake.seen)
    client.resolve(ref(fake, "app:1"), AMD64)
    assert [(seen.method, seen.path) for seen in fake.seen[before:]] == [("HEAD", "/v2/app/manifests/1")]


def test_a_digest_that_is_in_the_store_needs_no_network(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    descriptor = sample(b"one").put(blobs)
    found = client.resolve(parse_reference(f"registry.invalid/app@{descriptor.digest}"), AMD64)
    assert found.descriptor.digest == descriptor.digest
    assert fake.seen == []


def test_the_platform_is_chosen_from_an_index(fake: FakeRegistry, client: Registry) -> None:
    amd, arm = sample(b"amd"), sample(b"arm", architecture="arm64")
    for image in (amd, arm):
        fake.add_image("app", None, image)
    root, raw = index_over((arm, parse_platform("linux/arm64/v8")), (amd, AMD64))
    fake.add_manifest("app", "1", OCI_INDEX, raw)
    found = client.resolve(ref(fake, "app:1"), AMD64)
    assert found.descriptor.digest == amd.descriptor.digest
    assert found.root.digest == root.digest
    assert found.index_raw == raw
    assert client.resolve(ref(fake, "app:1"), parse_platform("linux/arm64")).config.architecture == "arm64"


@pytest.mark.parametrize(
    ("wanted", "offered", "chosen"),
    [
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], 1),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], 1),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2"], 1),
        ("linux/amd64", ["linux/amd64/v2", "linux/amd64"], 1),
    ],
)
def test_the_best_variant_that_runs_is_chosen(fake: FakeRegistry, client: Registry, wanted: str, offered: list[str], chosen: int) -> None:
    platforms = [parse_platform(text) for text in offered]
    images = [
        sample(text.encode(), architecture=platform.architecture, variant=platform.variant)
        for text, platform in zip(offered, platforms, strict=True)
    ]
    for image in images:
        fake.add_image("app", None, image)
    _, raw = index_over(*zip(images, platforms, strict=True))
    fake.add_manifest("app", "1", OCI_INDEX, raw)
    assert client.resolve(ref(fake, "app:1"), parse_platform(wanted)).descriptor.digest == images[chosen].descriptor.digest


def test_a_platform_that_is_not_there_lists_those_that_are(fake: FakeRegistry, client: Registry) -> None:
    arm = sample(b"arm", architecture="arm64")
    fake.add_image("app", None, arm)
    attestation = describe(b"{}", OCI_MANIFEST, Platform("unknown", "unknown"))
    raw = encode(Index((describe(arm.manifest_raw, OCI_MANIFEST, parse_platform("linux/arm64")), attestation)))
    fake.add_manifest("app", "1", OCI_INDEX, raw)
    with pytest.raises(NotFoundError) as caught:
        client.resolve(ref(fake, "app:1"), AMD64)
    assert (caught.value.code, caught.value.help) == ("no-platform", "it has linux/arm64")


def test_an_index_without_platforms_is_told_by_its_configs(fake: FakeRegistry, client: Registry) -> None:
    amd, arm = sample(b"amd"), sample(b"arm", architecture="arm64")
    for image in (amd, arm):
        fake.add_image("app", None, image)
    _, raw = index_over((arm, None), (amd, None))
    fake.add_manifest("app", "1", OCI_INDEX, raw)
    assert client.resolve(ref(fake, "app:1"), AMD64).descriptor.digest == amd.descriptor.digest


def test_an_unknown_tag_suggests_the_nearest(fake: FakeRegistry, client: Registry) -> None:
    fake.add_image("app", "1.21-slim", sample(b"one"))
    with pytest.raises(NotFoundError) as caught:
        client.resolve(ref(fake, "app:1.21-slin"), AMD64)
    assert caught.value.code == "manifest-unknown"
    assert caught.value.help == f"did you mean {fake.host}/app:1.21-slim?"


def test_a_blob_goes_on_after_a_broken_connection(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    digest = fake.add_blob("app", BIG)
    fake.faults.append(Fault("GET", "/blobs/", cut=300_000))
    client.fetch(Descriptor("application/octet-stream", digest, len(BIG)), f"{fake.host}/app")
    assert blobs.read(digest, len(BIG)) == BIG
    first, second = fake.requests("GET", "/blobs/")
    assert "range" not in first.headers
    assert second.headers["range"].startswith("bytes=")
    assert second.headers["range"] != "bytes=0-"


def test_a_registry_without_range_sends_the_beginning_again(client: Registry, blobs: MemoryBlobs) -> None:
    with FakeRegistry(ranges=False) as fake:
        digest = fake.add_blob("app", BIG)
        fake.faults.append(Fault("GET", "/blobs/", cut=300_000))
        client.fetch(Descriptor("application/octet-stream", digest, len(BIG)), f"{fake.host}/app")
    assert blobs.read(digest, len(BIG)) == BIG


def test_a_connection_that_always_breaks_is_given_up(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    digest = fake.add_blob("app", BIG)
    fake.faults.append(Fault("GET", "/blobs/", cut=0, times=99))
    with pytest.raises(Unreachable):
        client.fetch(Descriptor("application/octet-stream", digest, len(BIG)), f"{fake.host}/app")
    assert not blobs.has(digest)


def test_wrong_bytes_are_fetched_once_more(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    digest = fake.add_blob("app", BIG)
    fake.faults.append(Fault("GET", "/blobs/", garble=True))
    client.fetch(Descriptor("application/octet-stream", digest, len(BIG)), f"{fake.host}/app")
    assert blobs.read(digest, len(BIG)) == BIG


@pytest.mark.parametrize("size", [len(BIG), len(BIG) - 1, len(BIG) + 1], ids=["digest", "longer", "shorter"])
def test_wrong_bytes_are_refused(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs, size: int) -> None:
    digest = fake.add_blob("app", BIG)
    if size == len(BIG):
        fake.faults.append(Fault("GET", "/blobs/", garble=True, times=2))
    with pytest.raises(CorruptionError) as caught:
        client.fetch(Descriptor("application/octet-stream", digest, size), f"{fake.host}/app")
    assert caught.value.code == "blob-corrupted"
    assert list(blobs.digests()) == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_registry_is_asked_again(fake: FakeRegistry, client: Registry, status: int) -> None:
    fake.add_image("app", "1", sample(b"one"))
    fake.faults.append(Fault("HEAD", "/manifests/", status=status, headers={"Retry-After": "1"}))
    assert client.resolve(ref(fake, "app:1"), AMD64).config.os == "linux"
    assert len(fake.requests("HEAD")) == 2


def test_the_wait_a_registry_asks_for_is_kept(fake: FakeRegistry, blobs: MemoryBlobs) -> None:
    waits: list[float] = []
    fake.add_image("app", "1", sample(b"one"))
    fake.faults += [
        Fault("HEAD", "/manifests/", status=429, headers={"Retry-After": "7"}),
        Fault("HEAD", "", status=503, headers={"Retry-After": "99999"}),
    ]
    with Registry(FAST, blobs, sleep=waits.append) as client:
        client.resolve(ref(fake, "app:1"), AMD64)
    assert waits == [7.0, 60.0]


def test_rate_limits_are_named(fake: FakeRegistry, client: Registry) -> None:
    fake.add_image("app", "1", sample(b"one"))
    fake.faults += [Fault("HEAD", "", status=429, times=9), Fault("GET", "/manifests/", status=429, times=9)]
    with pytest.raises(LayerwrightError) as caught:
        client.resolve(ref(fake, "app:1"), AMD64)
    assert caught.value.code == "registry-rate-limited"
    assert "layerwright login" in (caught.value.help or "")


def test_threads_that_want_one_blob_fetch_it_once(fake: FakeRegistry, client: Registry) -> None:
    digest = fake.add_blob("app", BIG)
    wanted = Descriptor("application/octet-stream", digest, len(BIG))
    threads = [threading.Thread(target=client.fetch, args=(wanted, f"{fake.host}/app")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fake.requests("GET", "/blobs/")) == 1


def test_a_pull_fetches_everything_for_one_platform(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    amd, arm = sample(b"amd"), sample(b"arm", architecture="arm64")
    for image in (amd, arm):
        fake.add_image("app", None, image)
    root, raw = index_over((arm, parse_platform("linux/arm64")), (amd, AMD64))
    fake.add_manifest("app", "1", OCI_INDEX, raw)
    assert client.pull(ref(fake, "app:1"), AMD64) == root
    assert all(blobs.has(part.digest) for part in (amd.manifest.config, *amd.manifest.layers))
    assert not any(blobs.has(part.digest) for part in arm.manifest.layers)
    client.pull(ref(fake, "app:1"), None)
    assert all(blobs.has(part.digest) for part in arm.manifest.layers)


def test_progress_is_told_and_a_pull_can_be_called_off(fake: FakeRegistry, blobs: MemoryBlobs) -> None:
    digest = fake.add_blob("app", BIG)
    wanted = Descriptor("application/octet-stream", digest, len(BIG))
    told: list[Transfer] = []
    with Registry(FAST, blobs, control=Control(told.append)) as client:
        client.fetch(wanted, f"{fake.host}/app")
    assert told[-1] == Transfer("pull", digest, len(BIG), len(BIG), "done")
    blobs.delete(digest)
    cancel = threading.Event()
    cancel.set()
    with Registry(FAST, blobs, control=Control(cancel=cancel)) as client, pytest.raises(BuildCancelled):
        client.fetch(wanted, f"{fake.host}/app")
    assert not blobs.has(digest)


def test_an_interrupt_ends_the_transfers_of_other_threads(fake: FakeRegistry, blobs: MemoryBlobs) -> None:
    image = sample(*(bytes([number]) * 1000 for number in range(20)))
    fake.add_image("app", "1", image)
    interrupted = threading.Event()

    def watch(_: Transfer) -> None:
        if not interrupted.is_set():
            interrupted.set()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        control.cancel.wait(60)

    control = Control(watch)
    with Registry(FAST, blobs, control=control) as client, pytest.raises(KeyboardInterrupt):
        client.pull(ref(fake, "app:1"), AMD64)
    assert control.cancel.is_set()
    assert not all(blobs.has(part.digest) for part in image.manifest.layers)


def test_docker_media_types_are_taken(fake: FakeRegistry, client: Registry) -> None:
    image = sample(b"one")
    raw = encode(Manifest(image.manifest.config, image.manifest.layers, media_type=DOCKER_MANIFEST))
    for part in image.parts:
        fake.add_blob("app", part)
    fake.add_manifest("app", "1", DOCKER_MANIFEST, raw)
    assert client.resolve(ref(fake, "app:1"), AMD64).manifest.media_type == DOCKER_MANIFEST


def test_an_artifact_is_not_taken_for_an_image(fake: FakeRegistry, client: Registry) -> None:
    config = fake.add_blob("chart", b"{}")
    raw = encode(Manifest(Descriptor("application/vnd.cncf.helm.config.v1+json", config, 2), ()))
    fake.add_manifest("chart", "1", OCI_MANIFEST, raw)
    with pytest.raises(LayerwrightError) as caught:
        client.resolve(ref(fake, "chart:1"), AMD64)
    assert caught.value.code == "not-an-image"
    assert client.manifest(ref(fake, "chart:1"))[1] == raw


def test_nobody_there_is_one_sentence(client: Registry) -> None:
    with pytest.raises(Unreachable) as caught:
        client.resolve(parse_reference("127.0.0.1:9/app:1"), AMD64)
    assert caught.value.code == "registry-unreachable"
    assert caught.value.message == "http://127.0.0.1:9 cannot be reached: Connection refused"


def test_schema_one_is_refused(fake: FakeRegistry, client: Registry) -> None:
    fake.add_manifest("old", "1", "application/vnd.docker.distribution.manifest.v1+prettyjws", b'{"schemaVersion":1,"fsLayers":[]}')
    with pytest.raises(CorruptionError) as caught:
        client.resolve(ref(fake, "old:1"), AMD64)
    assert caught.value.code == "manifest-schema"


def test_a_manifest_that_is_not_its_digest_is_refused(fake: FakeRegistry, client: Registry) -> None:
    image = sample(b"one")
    fake.add_image("app", "1", image)
    fake.faults.append(Fault("GET", "/manifests/", garble=True))
    with pytest.raises(CorruptionError) as caught:
        client.resolve(ref(fake, "app:1"), AMD64)
    assert caught.value.code == "blob-corrupted"
    assert digest_of(image.manifest_raw) in caught.value.message
