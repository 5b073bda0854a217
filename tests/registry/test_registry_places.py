"""A push remembers where it put blobs, and has them taken over from there the next time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.oci.digest import digest_of
from builder.registry.client import Registry
from builder.registry.places import Places, PlacesOfToday
from builder.store.blobs import MemoryBlobs
from builder.store.index import Index
from builder.store.places import KEPT, StoredPlaces
from tests.registry.client import FAST, ref
from tests.registry.fake_registry import FakeRegistry, sample

ONE, TWO = digest_of(b"one"), digest_of(b"two")


@contextmanager
def index(path: Path) -> Iterator[Index]:
    opened = Index(path)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(params=["memory", "stored"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Places]:
    if request.param == "memory":
        yield PlacesOfToday()
        return
    with index(tmp_path / "index.db") as opened:
        yield StoredPlaces(opened)


def test_the_latest_place_comes_first(places: Places) -> None:
    assert places.known(ONE) == ()
    places.note([ONE, TWO], "host/a")
    places.note([ONE], "host/b")
    places.note([ONE], "host/b")
    assert places.known(ONE) == ("host/b", "host/a")
    places.note([ONE], "host/a")
    assert places.known(ONE) == ("host/a", "host/b")
    assert places.known(TWO) == ("host/a",)


def test_places_are_kept_with_the_store_and_are_few(tmp_path: Path) -> None:
    with index(tmp_path / "index.db") as opened:
        for number in range(KEPT + 3):
            StoredPlaces(opened).note([ONE], f"host/{number}")
    with index(tmp_path / "index.db") as opened:
        assert StoredPlaces(opened).known(ONE) == tuple(f"host/{KEPT + 2 - number}" for number in range(KEPT))
        opened.delete_remembered()
        assert StoredPlaces(opened).known(ONE) == ()


def test_a_layer_is_sent_once_to_a_registry(fake: FakeRegistry, blobs: MemoryBlobs, places: Places) -> None:
    image = sample(b"one", b"two")
    image.put(blobs)
    with Registry(FAST, blobs, places=places) as client:
        client.push(ref(fake, "app:1"), image.descriptor)
    sent = len(fake.requests("PATCH"))
    with Registry(FAST, blobs, places=places) as client:
        client.push(ref(fake, "other:1"), image.descriptor)
    assert ("other", "1") in fake.manifests
    layers = [layer.digest for layer in image.manifest.layers]
    assert {seen.path for seen in fake.requests("POST", "mount=")} == {
        f"/v2/other/blobs/uploads/?mount={digest}&from=app" for digest in layers
    }
    assert len(fake.requests("PATCH")) == sent + 1, "the config only"


def test_a_layer_that_is_gone_from_there_is_sent(blobs: MemoryBlobs, places: Places) -> None:
    image = sample(b"one")
    image.put(blobs)
    with FakeRegistry(mount=False) as fake:
        places.note([image.manifest.layers[0].digest], f"{fake.host}/gone")
        places.note([image.manifest.layers[0].digest], "elsewhere.example/app")
        with Registry(FAST, blobs, places=places) as client:
            client.push(ref(fake, "app:1"), image.descriptor)
        assert ("app", "1") in fake.manifests
        assert len(fake.requests("POST", "mount=")) == 1
        assert len(fake.requests("PATCH")) == 2
