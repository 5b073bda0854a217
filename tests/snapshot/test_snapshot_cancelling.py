"""A cancelled build does not wait for the layers it was making: one file may be larger than anybody's patience."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest

from builder.errors import BuildCancelled
from builder.fs.entries import Entry
from builder.snapshot.layers import LayerId, Layers
from builder.store.store import Store
from tests.privileges import XATTR_PREFIX, needs_root

pytestmark = [needs_root, pytest.mark.timeout(120)]

HUGE = 1 << 40
"""To pack a hole of this size takes a quarter of an hour and more."""


@pytest.fixture
def store(store_root: Path) -> Iterator[Store]:
    with Store.open(store_root) as opened:
        yield opened


def layer(layers: Layers, size: int) -> LayerId:
    with layers.draft(()) as draft:
        with open(f"{draft.upper}/file", "wb") as file:
            file.truncate(size)
        return draft.commit()


def test_packing_in_the_background_ends(store: Store) -> None:
    cancel = threading.Event()
    with Layers(store, xattr_prefix=XATTR_PREFIX, cancel=cancel) as layers:
        made = layer(layers, HUGE)
        layers.pack_in_background(made, "gzip")
        cancel.set()
        with pytest.raises(BuildCancelled):
            layers.blob(made, "gzip")
    assert layers.record(made).blobs == ()
    assert not list(store.blobs.digests())


def test_a_build_that_begins_once_more_packs_what_was_cancelled(store: Store) -> None:
    """As after LayerLost: the event is cleared, and the step whose packing it ended is cached."""
    cancel = threading.Event()
    with Layers(store, xattr_prefix=XATTR_PREFIX, cancel=cancel) as layers:
        made = layer(layers, 5)
        cancel.set()
        layers.pack_in_background(made, "gzip")
        wait(layers._packer._started.values())
        cancel.clear()
        assert store.blobs.has(layers.blob(made, "gzip").digest)


def test_a_file_on_its_way_into_a_layer_is_left(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "huge"
    with open(source, "wb") as file:
        file.truncate(HUGE)
    cancel = threading.Event()

    def opened() -> int:
        cancel.set()
        return os.open(source, os.O_RDONLY)

    with Layers(store, xattr_prefix=XATTR_PREFIX, cancel=cancel) as layers, pytest.raises(BuildCancelled):
        layers.add_packed((), [(Entry("huge", "file", 0o644, size=HUGE), opened)], "gzip", None, "COPY huge /")
    assert not list(store.blobs.digests())


def test_unpacking_ends_and_can_be_done_again(store: Store) -> None:
    cancel = threading.Event()
    with Layers(store, xattr_prefix=XATTR_PREFIX, cancel=cancel) as layers:
        packed = layers.add_packed((), [(Entry("file", "file", 0o644), None)], "gzip", None, "COPY file /")
        cancel.set()
        with pytest.raises(BuildCancelled):
            layers.directories((packed,))
        cancel.clear()
        assert os.listdir(layers.directories((packed,))[0]) == ["file"]


@pytest.mark.parametrize("lock", ["pack", "unpack"])
def test_another_process_at_the_same_layer_is_not_waited_for(store: Store, lock: str) -> None:
    cancel = threading.Event()
    with Layers(store, xattr_prefix=XATTR_PREFIX, cancel=cancel) as layers:
        packed = layers.add_packed((), [(Entry("file", "file", 0o644), None)], "gzip", None, "COPY file /")
        with store.lock(f"{lock}-{packed}"):
            threading.Timer(0.1, cancel.set).start()
            with pytest.raises(BuildCancelled):
                layers.directories((packed,)) if lock == "unpack" else layers.blob(packed, "zstd", force=True)
