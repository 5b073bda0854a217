"""A store kept within its size: caches go first, then image names, the least recently used first, never what runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.oci.digest import DiffID, digest_of
from builder.oci.manifest import Descriptor, Manifest, decode, describe, encode
from builder.oci.media import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from builder.store.inventory import take_inventory
from builder.store.layertable import LayerId, LayerRecord
from builder.store.room import Kept, Room
from builder.store.store import Store
from builder.store.usage import total_size, usage

MB = 1 << 20


class Clock:
    """A clock that moves by itself."""

    def __init__(self) -> None:
        self.now = 10**18

    def __call__(self) -> int:
        self.now += 10**9
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def cached(store: Store, name: str) -> LayerId:
    """A step's layer of 1 MiB."""
    path = store.root / "layers" / f"dir-{name}"
    path.mkdir()
    (path / "file").write_bytes(b"y" * MB)
    now = store.now()
    store.index.layers.add(LayerRecord(LayerId(name), "built", None, (), None, path.name, MB + 4096, now, now, "", ""))
    return LayerId(name)


def image(store: Store, reference: str) -> None:
    """An image of one packed layer of 1 MiB, under a name."""
    layer = (reference.encode() * MB)[:MB]
    config = b'{"architecture":"amd64","os":"linux","author":"%s"}' % reference.encode()
    described = Descriptor(OCI_LAYER, store.blobs.put(layer), MB)
    manifest = encode(Manifest(Descriptor(OCI_CONFIG, store.blobs.put(config), len(config)), (described,)))
    store.blobs.put(manifest)
    store.images.set(reference, describe(manifest, OCI_MANIFEST))
    now = store.now()
    diff_id = DiffID(digest_of(layer))
    store.index.layers.add(LayerRecord(LayerId(f"base-{reference}"), "base", diff_id, (described,), None, None, 0, now, now, "", ""))


def fill(root: Path, clock: Clock, *, layers: int, images: int) -> None:
    with Store.open(root, clock) as store:
        for number in range(layers):
            cached(store, f"layer{number}")
        for number in range(images):
            image(store, f"docker.io/library/app:{number}")


def taken(store: Store) -> int:
    return total_size(store, take_inventory(store))


def test_within_its_size_nothing_goes(store_root: Path, clock: Clock) -> None:
    fill(store_root, clock, layers=4, images=2)
    with Store.open(store_root, clock) as store:
        assert Room(store, 10 * MB).check() == Kept()
        assert len(os.listdir(store_root / "layers")) == 4


def test_caches_go_first_and_leave_a_fifth_free(store_root: Path, clock: Clock) -> None:
    fill(store_root, clock, layers=8, images=4)
    with Store.open(store_root, clock) as store:
        kept = Room(store, 10 * MB).check()
        assert kept == Kept(removed=6 * (MB + 4096))
        assert [record.id for record in store.index.layers.all() if record.directory] == ["layer6", "layer7"]
        assert 7 * MB < taken(store) <= 8 * MB
        assert len(store.images.list()) == 4


def test_then_names_the_least_recently_used_first(store_root: Path, clock: Clock) -> None:
    fill(store_root, clock, layers=2, images=9)
    with Store.open(store_root, clock) as store:
        # app:0 is the oldest, but was run since: its config was read.
        manifest = decode(store.blobs.read(store.images.list()[0].descriptor.digest, MB))
        assert isinstance(manifest, Manifest)
        store.blobs.read(manifest.config.digest, MB)
    clock.now += 10**12
    with Store.open(store_root, clock) as store:
        kept = Room(store, 8 * MB).check()
        assert kept.dropped == tuple(f"docker.io/library/app:{number}" for number in (1, 2, 3, 4))
        assert kept.excess == 0
        assert taken(store) <= 8 * MB * 9 // 10
        assert "docker.io/library/app:0" in [name.reference for name in store.images.list()]


def test_what_runs_is_never_taken_and_said(store_root: Path, clock: Clock) -> None:
    with Store.open(store_root, clock) as store:
        for number in range(4):
            cached(store, f"layer{number}")
        image(store, "docker.io/library/app:now")
        kept = Room(store, 4 * MB).check()
        assert (kept.removed, kept.dropped) == (0, ())
        assert 2 * MB < kept.excess < 3 * MB
        assert len(os.listdir(store_root / "layers")) == 4


def test_a_look_waits_until_the_disk_lost_a_part_of_the_size(store_root: Path, clock: Clock) -> None:
    fill(store_root, clock, layers=8, images=0)
    with Store.open(store_root, clock) as store:
        room = Room(store, 5 * MB)
        assert room.grown().removed > 0
        # Nothing was written since, so nothing is looked at, whatever there is to remove.
        (store_root / "layers/orphan").mkdir()
        assert room.grown() == Kept()
        assert (store_root / "layers/orphan").exists()


def test_what_others_free_hides_no_growth(tmp_path: Path, store_root: Path, clock: Clock) -> None:
    with open(tmp_path / "other", "wb") as other:
        os.posix_fallocate(other.fileno(), 0, 64 * MB)
    with Store.open(store_root, clock) as store:
        room = Room(store, 5 * MB)
        assert room.grown() == Kept()
        for number in range(6):
            cached(store, f"layer{number}")
        (tmp_path / "other").unlink()
        assert room.grown().excess > MB // 2


def test_usage_counts_what_a_listing_of_the_disk_counts(store_root: Path, clock: Clock) -> None:
    fill(store_root, clock, layers=2, images=2)
    (store_root / "builds/b1").mkdir(parents=True)
    (store_root / "builds/b1/1.log").write_bytes(b"x" * 10000)
    (store_root / "manifests").mkdir()
    (store_root / "manifests/aa").write_bytes(b"x")
    (store_root / "run").mkdir()
    (store_root / "run/state").write_bytes(b"x")
    with Store.open(store_root, clock) as store:
        found = usage(store)
        on_disk = 0
        for directory, _, files in os.walk(store_root):
            on_disk += os.lstat(directory).st_blocks * 512
            on_disk += sum(os.lstat(os.path.join(directory, name)).st_blocks * 512 for name in files)
        assert found.total == on_disk
        assert {line.kind for line in found.lines} == {"step", "image", "history", "temporary", "other", "index"}
