"""Many exports to one name: whatever their order, nothing is lost."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder.cache.keys import CacheKey
from builder.cache.portable import Document, Entry, Layer
from builder.cache.publish import QUIET, RegistryCache, read_directory, write_directory
from builder.errors import LayerwrightError, NotFoundError
from builder.oci.digest import DiffID, digest_of
from builder.oci.manifest import describe
from builder.oci.media import OCI_LAYER_GZIP
from builder.oci.reference import parse_reference
from builder.registry.client import Registry
from builder.registry.settings import Settings
from builder.store.blobs import MemoryBlobs
from builder.store.layout import Layout
from tests.peers.distribution import Registry as Server
from tests.registry.fake_registry import FakeRegistry, Fault, sample

SETTINGS = Settings(attempts=3, backoff=0.01)
NOW = 1_800_000_000.0


def found(number: int, blobs: MemoryBlobs) -> Document:
    """What export `number` has: one result of its own, and one that every export has its own version of."""
    data = f"layer {number}".encode()
    blobs.put(data)
    layer = Layer.of(DiffID(digest_of(data)), describe(data, OCI_LAYER_GZIP))
    return Document(tuple(Entry(CacheKey(f"{key:064x}"), "", layer, "2026-01-01T00:00:00Z", 1, int(NOW)) for key in (number, 10**6)))


class Exporter:
    """One machine that exports, with a store and connections of its own."""

    kind = RegistryCache

    def __init__(self, host: str, number: int, clock: Callable[[], float] = lambda: NOW, own_tags: int = 64) -> None:
        self.blobs = MemoryBlobs()
        self.number = number
        self.reference = parse_reference(f"{host}/cache:main")
        self.clock = clock
        self.own_tags = own_tags

    def publish(self) -> Document:
        with Registry(SETTINGS, self.blobs) as registry:
            cache = self.kind(registry, self.blobs, self.reference, clock=self.clock, own_tags=self.own_tags)
            return cache.publish(found(self.number, self.blobs), {}).document


def held(host: str) -> set[int]:
    """The exports whose own result is in the cache."""
    reader = Exporter(host, 0)
    with Registry(SETTINGS, reader.blobs) as registry:
        document = RegistryCache(registry, reader.blobs, reader.reference).current()
    return {int(entry.key, 16) for entry in document.entries} - {10**6}


def own_tags(fake: FakeRegistry) -> list[str]:
    return [tag for _, tag in fake.manifests if ".lw-" in tag]


@pytest.fixture
def fake():  # type: ignore[no-untyped-def]
    with FakeRegistry() as registry:
        yield registry


def test_one_export_after_another(fake: FakeRegistry) -> None:
    for number in range(1, 4):
        Exporter(fake.host, number).publish()
    assert held(fake.host) == {1, 2, 3}


@pytest.mark.parametrize("round_", range(3))
def test_eight_exports_at_once_lose_nothing(fake: FakeRegistry, round_: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda number: Exporter(fake.host, number).publish(), range(1, 9)))
    assert len(done) == 8
    assert held(fake.host) == set(range(1, 9))


def test_eight_exports_at_once_to_a_real_registry(registry: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: Exporter(registry.host, number).publish(), range(1, 9)))
    assert held(registry.host) == set(range(1, 9))


def test_an_export_that_another_undid_is_put_back(fake: FakeRegistry) -> None:
    """The slow export reads the tag, waits, and overwrites what the quick one has meanwhile put there."""
    quick_done, slow_read = threading.Event(), threading.Event()

    class Slow(RegistryCache):
        def _push_main(self, merged, ours, origins):  # type: ignore[no-untyped-def]
            slow_read.set()
            assert quick_done.wait(20)
            super()._push_main(merged, ours, origins)

    slow = Exporter(fake.host, 1)
    slow.kind = Slow
    thread = threading.Thread(target=slow.publish)
    thread.start()
    assert slow_read.wait(20)
    Exporter(fake.host, 2).publish()
    assert held(fake.host) == {1, 2}  # the slow one's own tag was there already
    quick_done.set()
    thread.join(20)
    assert held(fake.host) == {1, 2}


def test_an_export_that_died_after_its_first_push_is_taken_in_by_the_next(fake: FakeRegistry) -> None:
    class Dying(RegistryCache):
        def _push_main(self, merged, ours, origins):  # type: ignore[no-untyped-def]
            raise LayerwrightError("dead", "killed")

    dying = Exporter(fake.host, 1)
    dying.kind = Dying
    with pytest.raises(LayerwrightError, match="killed"):
        dying.publish()
    Exporter(fake.host, 2).publish()
    assert held(fake.host) == {1, 2}


@pytest.mark.parametrize("deletes", [False, True])
def test_own_tags_go_after_a_while_where_the_registry_lets_them(fake: FakeRegistry, deletes: bool) -> None:
    fake.deletes = deletes
    for number in range(1, 4):
        Exporter(fake.host, number).publish()
    assert len(own_tags(fake)) == 3
    Exporter(fake.host, 4, clock=lambda: NOW + QUIET + 60).publish()
    assert len(own_tags(fake)) == (1 if deletes else 4)
    assert held(fake.host) == {1, 2, 3, 4}


def test_a_real_registry_removes_own_tags(registry: Server) -> None:
    host = registry.host
    exporter = Exporter(host, 1)
    exporter.reference = parse_reference(f"{host}/tidy:main")
    exporter.publish()
    later = Exporter(host, 2, clock=lambda: NOW + QUIET + 60)
    later.reference = exporter.reference
    later.publish()
    with Registry(SETTINGS, MemoryBlobs()) as client:
        assert len([tag for tag in client.tags(exporter.reference) if ".lw-" in tag]) == 1


def test_where_no_tag_is_ever_removed_no_more_are_made(fake: FakeRegistry) -> None:
    for number in range(1, 3):
        Exporter(fake.host, number).publish()
    for number in range(3, 6):
        Exporter(fake.host, number, clock=lambda: NOW + QUIET + 60, own_tags=2).publish()
    assert len(own_tags(fake)) == 2
    assert held(fake.host) == {1, 2, 3, 4, 5}


def test_a_registry_that_lists_no_tags_gets_none(fake: FakeRegistry) -> None:
    fake.faults.append(Fault("GET", "/tags/list", times=99, status=405))
    for number in range(1, 4):
        Exporter(fake.host, number).publish()
    assert own_tags(fake) == []
    assert held(fake.host) == {1, 2, 3}


def test_what_the_registry_lost_is_left_out(fake: FakeRegistry) -> None:
    Exporter(fake.host, 1).publish()
    fake.owners[digest_of(b"layer 1")].clear()
    Exporter(fake.host, 2).publish()
    assert held(fake.host) == {2}


def test_a_broken_cache_is_replaced(fake: FakeRegistry) -> None:
    Exporter(fake.host, 1).publish()
    for digest, data in fake.blobs.items():
        if data.startswith(b"{"):
            fake.blobs[digest] = b"x" + data[1:]
    Exporter(fake.host, 2).publish()
    assert held(fake.host) == {2}


def test_an_image_is_not_replaced(fake: FakeRegistry) -> None:
    fake.add_image("cache", "main", sample(b"layer"))
    with pytest.raises(LayerwrightError, match=r"cannot be written: .* holds no cache"):
        Exporter(fake.host, 1).publish()


# -- directories --------------------------------------------------------------------------------------------


def test_eight_exports_at_once_to_a_directory(tmp_path: Path) -> None:
    def export(number: int) -> None:
        blobs = MemoryBlobs()
        write_directory(tmp_path / "cache", "latest", found(number, blobs), blobs, int(NOW))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(export, range(1, 9)))
    document = read_directory(tmp_path / "cache", "latest")
    assert {int(entry.key, 16) for entry in document.entries} - {10**6} == set(range(1, 9))
    layout = Layout.at(tmp_path / "cache")
    assert all(layout.size(layer.descriptor.digest) == layer.size for layer in document.layers)


def test_a_directory_has_caches_by_tag(tmp_path: Path) -> None:
    for number, tag in ((1, "latest"), (2, "other")):
        blobs = MemoryBlobs()
        write_directory(tmp_path / "cache", tag, found(number, blobs), blobs, int(NOW))
    assert {int(entry.key, 16) for entry in read_directory(tmp_path / "cache", "other").entries} == {2, 10**6}


def test_a_layer_that_the_directory_lost_is_left_out(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    write_directory(tmp_path / "cache", "latest", found(1, blobs), blobs, int(NOW))
    (tmp_path / "cache/blobs/sha256" / digest_of(b"layer 1").removeprefix("sha256:")).unlink()
    others = MemoryBlobs()
    written = write_directory(tmp_path / "cache", "latest", found(2, others), others, int(NOW))
    assert {int(entry.key, 16) for entry in written.entries} == {2, 10**6}


def test_no_directory_is_no_cache(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_directory(tmp_path / "none", "latest")


def test_what_no_cache_names_any_more_is_removed_from_a_directory(tmp_path: Path) -> None:
    store = tmp_path / "cache/blobs/sha256"
    blobs = MemoryBlobs()
    write_directory(tmp_path / "cache", "latest", found(1, blobs), blobs, int(NOW))
    (young, old) = (store / ("a" * 64), store / ("b" * 64))
    for path in (young, old):
        path.write_bytes(b"left over")
    os.utime(old, (0, 0))
    others = MemoryBlobs()
    write_directory(tmp_path / "cache", "latest", found(2, others), others, int(NOW))
    assert (young.exists(), old.exists()) == (True, False)
    assert {int(entry.key, 16) for entry in read_directory(tmp_path / "cache", "latest").entries} == {1, 2, 10**6}
