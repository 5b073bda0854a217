"""What is believed after the power failed: directories that were flushed, and nothing else without a blob."""

from __future__ import annotations

import os
from pathlib import Path

from builder.oci.digest import DiffID, digest_of
from builder.oci.manifest import Descriptor
from builder.oci.media import OCI_LAYER
from builder.store.durability import boot_id, dirty_bytes, distrust
from builder.store.layertable import EMPTY, LayerId, LayerRecord
from builder.store.store import Store


def add(store: Store, name: str, boot: str | None, blob: bytes | None = None, *parents: str) -> None:
    (store.root / "layers" / name).mkdir()
    now = store.now()
    blobs = (Descriptor(OCI_LAYER, store.blobs.put(blob), len(blob)),) if blob is not None else ()
    record = LayerRecord(LayerId(name), "built", DiffID(digest_of(b"d")), blobs, None, name, 5, now, now, "", "")
    store.index.layers.add(record, parents=[LayerId(parent) for parent in parents], boot=boot)


def test_the_boot_has_a_name_and_dirty_memory_a_size() -> None:
    assert boot_id() == boot_id() != ""
    dirty = dirty_bytes()
    assert dirty is not None
    assert dirty >= 0


def test_settling_marks_what_was_written(store_root: Path) -> None:
    with Store.open(store_root) as store:
        add(store, "a", store.boot)
        add(store, "b", store.boot)
        assert store.settle() == 2
        assert store.settle() == 0
        assert distrust(store.index, "another boot") == ()


def test_within_one_boot_everything_is_believed(store_root: Path) -> None:
    with Store.open(store_root) as store:
        add(store, "a", store.boot)
        assert distrust(store.index, store.boot) == ()
        assert store.index.layers.get(LayerId("a")) is not None


def test_another_boot_keeps_what_can_be_unpacked_again(store_root: Path) -> None:
    with Store.open(store_root) as store:
        add(store, "settled", None)
        add(store, "torn", "an earlier boot")
        add(store, "packed", "an earlier boot", b"blob")
        add(store, "above", None, None, "torn")
        store.index.put_record("key", b"x", LayerId("above"))
        store.index.put_record("fine", b"x", LayerId("packed"))
    with Store.open(store_root) as store:
        assert [record.id for record in store.index.layers.all()] == [EMPTY, "packed", "settled"]
        packed = store.index.layers.get(LayerId("packed"))
        assert packed is not None
        assert not packed.directory
        assert store.index.get_record("key") is None
        assert store.index.get_record("fine") == b"x"
        assert not (store_root / "layers/torn").exists()
        assert not (store_root / "layers/packed").exists()
        assert (store_root / "layers/settled").exists()


def test_closing_flushes_when_that_is_cheap(store_root: Path) -> None:
    with Store.open(store_root) as store:
        add(store, "a", store.boot)
    dirty = dirty_bytes() or 0
    with Store.open(store_root) as store:
        pending = store.index.database.rows("SELECT id FROM layers WHERE boot IS NOT NULL")
    assert pending == [] or dirty > 0
    assert os.path.isdir(store_root / "layers/a")


def test_the_clock_going_back_does_not_unprotect(store_root: Path) -> None:
    times = iter([100, 100, *[1] * 50])
    with Store.open(store_root, lambda: next(times)) as store:
        assert store.lease.started_ns <= store.now()
        digest = store.blobs.put(b"x")
        assert not store.blobs.delete_unused(digest, store.lease.started_ns - 1)
