"""Pushing: what is there is not sent, what is elsewhere is mounted, what breaks goes on."""

from __future__ import annotations

import pytest

from builder.errors import CorruptionError, LayerwrightError, NotFoundError
from builder.oci.manifest import describe
from builder.oci.media import OCI_LAYER, OCI_MANIFEST
from builder.oci.platform import Platform, parse_platform
from builder.registry.client import Registry
from builder.registry.http import Unreachable
from builder.registry.settings import Settings
from builder.registry.transfer import Control, Transfer
from builder.store.blobs import MemoryBlobs
from tests.registry.client import FAST, ref
from tests.registry.fake_registry import FakeRegistry, Fault, Sample, index_over, sample

BIG = bytes(range(256)) * 8192


def plain_sample() -> Sample:
    """An image of one layer that does not compress, so that sizes are what they look like."""
    image = sample(BIG)
    layer = describe(BIG, OCI_LAYER)
    from builder.oci.manifest import Manifest, encode

    manifest = Manifest(image.manifest.config, (layer,))
    return Sample(manifest, encode(manifest), image.config_raw, (BIG,))


def test_an_image_is_pushed_whole(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    image = sample(b"one", b"two")
    client.push(ref(fake, "app:1"), image.put(blobs))
    assert fake.manifests["app", "1"] == (OCI_MANIFEST, image.manifest_raw)
    assert all(fake.blobs[part.digest] == blobs.read(part.digest, 1 << 20) for part in (image.manifest.config, *image.manifest.layers))


def test_what_is_there_is_not_sent_again(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    image = sample(b"one")
    client.push(ref(fake, "app:1"), image.put(blobs))
    before = len(fake.seen)
    client.push(ref(fake, "app:2"), image.descriptor)
    assert [seen.method for seen in fake.seen[before:]] == ["HEAD", "PUT"]
    longer = sample(b"one", b"two")
    before = len(fake.seen)
    client.push(ref(fake, "app:3"), longer.put(blobs))
    assert len([seen for seen in fake.seen[before:] if seen.method == "PATCH"]) == 2


def test_a_layer_is_mounted_from_its_repository(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    base, image = sample(b"base"), sample(b"base", b"mine")
    fake.add_image("base", "1", base)
    told: list[Transfer] = []
    image.put(blobs)
    blobs.delete(base.manifest.layers[0].digest)
    with Registry(FAST, blobs, control=Control(told.append)) as client:
        client.push(ref(fake, "app:1"), image.descriptor, origins={base.manifest.layers[0].digest: f"{fake.host}/base"})
    assert ("app", "1") in fake.manifests
    assert [seen.path for seen in fake.requests("POST", "mount=")] == [
        f"/v2/app/blobs/uploads/?mount={base.manifest.layers[0].digest}&from=base"
    ]
    assert {transfer.digest for transfer in told if transfer.state == "mounted"} == {base.manifest.layers[0].digest}
    assert fake.requests("GET", "/blobs/sha256") == []


def test_a_layer_that_cannot_be_mounted_is_fetched_and_sent(client: Registry, blobs: MemoryBlobs) -> None:
    base, image = sample(b"base"), sample(b"base", b"mine")
    image.put(blobs)
    blobs.delete(base.manifest.layers[0].digest)
    with FakeRegistry(mount=False) as fake:
        fake.add_image("base", "1", base)
        client.push(ref(fake, "app:1"), image.descriptor, origins={base.manifest.layers[0].digest: f"{fake.host}/base"})
        assert ("app", "1") in fake.manifests
        assert len(fake.requests("DELETE")) == 1
        assert len(fake.uploads) == 3  # the one begun by the mount is gone


def test_a_layer_of_another_registry_is_fetched_from_there(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    base = sample(b"base")
    base.put(blobs)
    blobs.delete(base.manifest.layers[0].digest)
    with FakeRegistry() as other:
        other.add_image("base", "1", base)
        client.push(ref(fake, "app:1"), base.descriptor, origins={base.manifest.layers[0].digest: f"{other.host}/base"})
    assert ("app", "1") in fake.manifests
    assert fake.requests("POST", "mount=") == []


def test_an_upload_goes_on_after_a_broken_connection(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    image = plain_sample()
    image.put(blobs)
    fake.faults.append(Fault("PATCH", "", cut=600_000))
    with Registry(Settings(backoff=0.0, attempts=3, concurrency=1), blobs, sleep=lambda _: None) as one:
        one.push(ref(fake, "app:1"), image.descriptor)
    patches = fake.requests("PATCH")
    assert patches[0].size == len(BIG)
    assert patches[1].headers["content-range"] == f"600000-{len(BIG) - 1}"
    assert fake.blobs[image.manifest.layers[0].digest] == BIG


def test_a_forgotten_upload_starts_anew(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    image = plain_sample()
    image.put(blobs)
    fake.faults += [Fault("PATCH", "", cut=600_000), Fault("GET", "/uploads/", status=404)]
    client.push(ref(fake, "app:1"), image.descriptor)
    assert fake.blobs[image.manifest.layers[0].digest] == BIG
    assert len(fake.requests("POST")) == 3


def test_an_upload_that_was_garbled_starts_anew(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    image = sample(b"one")
    image.put(blobs)
    fake.faults.append(Fault("PUT", "/uploads/", status=400))
    client.push(ref(fake, "app:1"), image.descriptor)
    assert ("app", "1") in fake.manifests


def test_a_registry_that_never_takes_the_bytes_is_given_up(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    image = sample(b"one")
    image.put(blobs)
    fake.faults.append(Fault("PUT", "/uploads/", status=400, times=99))
    with pytest.raises(CorruptionError):
        client.push(ref(fake, "app:1"), image.descriptor)
    assert fake.manifests == {}


def test_a_connection_that_always_breaks_is_given_up(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    image = plain_sample()
    image.put(blobs)
    fake.faults += [Fault("PATCH", "", cut=10, times=99), Fault("GET", "/uploads/", status=404, times=99)]
    with pytest.raises(Unreachable):
        client.push(ref(fake, "app:1"), image.descriptor)
    assert fake.manifests == {}


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_a_busy_registry_is_asked_again(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs, method: str) -> None:
    image = sample(b"one")
    image.put(blobs)
    fake.faults.append(Fault(method, "", status=503))
    if method in ("POST", "PUT"):
        fake.faults[-1].path = "/manifests/" if method == "PUT" else "/uploads/"
    client.push(ref(fake, "app:1"), image.descriptor)
    assert fake.manifests["app", "1"][1] == image.manifest_raw


def test_an_index_is_pushed_children_first(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    amd, arm = sample(b"amd"), sample(b"arm", architecture="arm64")
    for image in (amd, arm):
        image.put(blobs)
    root, raw = index_over((amd, Platform("amd64", "linux")), (arm, parse_platform("linux/arm64")))
    blobs.put(raw)
    client.push(ref(fake, "app:1"), root)
    puts = [seen.path.rpartition("/")[2] for seen in fake.requests("PUT", "/manifests/")]
    assert puts == [amd.descriptor.digest, arm.descriptor.digest, "1"]
    assert fake.manifests["app", "1"][1] == raw


def test_a_push_by_digest_moves_no_tag(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    image = sample(b"one")
    client.push(ref(fake, "app:1"), image.put(blobs), by_digest=True)
    assert [name for _, name in fake.manifests] == [image.descriptor.digest]


def test_an_index_of_which_only_one_platform_was_pulled_says_so(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    amd, arm = sample(b"amd"), sample(b"arm", architecture="arm64")
    amd.put(blobs)
    root, raw = index_over((amd, Platform("amd64", "linux")), (arm, parse_platform("linux/arm64")))
    blobs.put(raw)
    with pytest.raises(NotFoundError) as caught:
        client.push(ref(fake, "app:1"), root)
    assert caught.value.code == "manifest-missing"
    assert "linux/arm64" in caught.value.message


def test_a_push_that_is_not_allowed_says_who_may_not(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    image = sample(b"one")
    fake.faults.append(Fault("POST", "", status=403, body=b'{"errors":[{"code":"DENIED","message":"read only"}]}', times=9))
    with pytest.raises(LayerwrightError) as caught:
        client.push(ref(fake, "app:1"), image.put(blobs))
    assert caught.value.code == "registry-denied"
    assert caught.value.message == f"{fake.host} does not let you push to app: read only"


def test_corrupt_bytes_of_the_store_are_not_pushed(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    image = plain_sample()
    image.put(blobs)
    blobs.place(image.manifest.layers[0].digest, b"x" * len(BIG))
    with pytest.raises(CorruptionError) as caught:
        client.push(ref(fake, "app:1"), image.descriptor)
    assert caught.value.code == "blob-corrupt"
    assert fake.manifests == {}


def test_an_empty_blob_can_be_pushed(fake: FakeRegistry, client: Registry, blobs: MemoryBlobs) -> None:
    from builder.oci.manifest import Manifest, encode

    image = sample()
    manifest = Manifest(image.manifest.config, (describe(b"", OCI_LAYER),))
    odd = Sample(manifest, encode(manifest), image.config_raw, (b"",))
    client.push(ref(fake, "app:1"), odd.put(blobs))
    assert fake.manifests["app", "1"][1] == odd.manifest_raw
