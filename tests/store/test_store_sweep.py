"""Garbage collection done, disk usage, and fsck, on a real store with layers made by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import LayerwrightError
from builder.oci.digest import DiffID, digest_of
from builder.oci.manifest import Descriptor, Manifest, describe, encode
from builder.oci.media import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from builder.store.cachemounts import CacheMounts
from builder.store.collect import Rule
from builder.store.fsck import check, check_root
from builder.store.index import StoredBuild
from builder.store.layertable import EMPTY, LayerId, LayerRecord
from builder.store.store import Store
from builder.store.sweep import collect, collect_when_due, tidy
from builder.store.usage import usage
from tests.privileges import root_only

EVERYTHING = Rule()
ITEMS = ("image", "base", "step", "merged", "blob", "cache-mount")
START = 10**18


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        self.now += 1000
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def root(store_root: Path, clock: Clock) -> Path:
    """A store with two layers, an image of the first, a cache mount, and a stray blob; closed again."""
    root_only()
    with Store.open(store_root, clock) as store:
        below = add(store, "below", b"layer one")
        add(store, "above", None, below)
        name_image(store, "named:1", b"layer one")
        with CacheMounts(store).open("apt", "shared") as mount:
            (mount.path / "file").write_bytes(b"x" * 5000)
        store.blobs.put(b"stray")
        store.index.put_record("key", b"record", LayerId("above"))
    clock.now += 10**12
    return store_root


@pytest.fixture
def store(root: Path, clock: Clock) -> Iterator[Store]:
    with Store.open(root, clock) as opened:
        yield opened


def add(store: Store, name: str, blob: bytes | None, *parents: LayerId) -> LayerId:
    layer, now = LayerId(name), store.now()
    path = store.root / "layers" / f"dir-{name}"
    path.mkdir()
    (path / "file").write_bytes(b"y" * 5000)
    blobs = (Descriptor(OCI_LAYER, store.blobs.put(blob), len(blob)),) if blob is not None else ()
    diff_id = DiffID(digest_of(blob)) if blob is not None else None
    assert store.index.layers.add(LayerRecord(layer, "built", diff_id, blobs, None, path.name, 12288, now, now, "", ""), parents=parents)
    return layer


def name_image(store: Store, reference: str, *layers: bytes) -> Descriptor:
    config = store.blobs.put(b'{"architecture":"amd64","os":"linux"}')
    manifest = Manifest(
        Descriptor(OCI_CONFIG, config, store.blobs.size(config) or 0),
        tuple(Descriptor(OCI_LAYER, digest_of(data), len(data)) for data in layers),
    )
    raw = encode(manifest)
    store.blobs.put(raw)
    descriptor = describe(raw, OCI_MANIFEST)
    store.images.set(reference, descriptor)
    return descriptor


def test_what_an_image_name_needs_stays_and_the_rest_goes(store: Store) -> None:
    before = usage(store)
    swept = collect(store, [EVERYTHING])
    assert {(item.kind, item.name) for item in swept.removals if item.size} >= {
        ("layer", "above"),
        ("directory", "below"),
        ("blob", digest_of(b"stray")),
    }
    assert sorted(os.listdir(store.root / "layers")) == []
    assert len(list(store.blobs.digests())) == 3
    assert store.blobs.has(digest_of(b"layer one"))
    record = store.index.layers.get(LayerId("below"))
    assert record is not None
    assert not record.directory
    assert store.index.layers.get(LayerId("above")) is None
    assert store.index.get_record("key") is None
    assert store.index.mounts() == []
    after = usage(store)
    assert after.reclaimable == 0
    assert sum(line.size for line in before.lines if line.kind in ITEMS) == swept.size + sum(
        line.size for line in after.lines if line.kind in ITEMS
    )


def test_without_the_name_all_goes(store: Store) -> None:
    store.images.delete("named:1")
    collect(store, [EVERYTHING])
    assert list(store.blobs.digests()) == []
    assert [record.id for record in store.index.layers.all()] == [EMPTY]


def test_a_dry_run_only_says(store: Store) -> None:
    planned = collect(store, [EVERYTHING], dry_run=True)
    assert len(os.listdir(store.root / "layers")) == 2
    assert store.blobs.has(digest_of(b"stray"))
    assert planned.size > 0


def test_what_this_process_touched_stays(store: Store) -> None:
    assert store.index.layers.touch([LayerId("above")], store.now())
    assert store.blobs.has(digest_of(b"stray"))
    with CacheMounts(store).open("apt", "shared"):
        assert collect(store, [EVERYTHING]).size == 0
    assert store.index.get_record("key") == b"record"


def test_what_another_living_process_touched_stays(root: Path, clock: Clock) -> None:
    other = Store.open(root, clock)
    other.index.layers.touch([LayerId("above")], other.now())
    clock.now += 10**13
    with Store.open(root, clock) as store:
        assert "above" not in [item.name for item in collect(store, [EVERYTHING]).removals]
        assert store.index.get_record("key") == b"record"
        other.close()
        assert "above" in [item.name for item in collect(store, [EVERYTHING]).removals]


def test_a_use_between_plan_and_removal_is_respected(store: Store, clock: Clock) -> None:
    from builder.store.collect import plan
    from builder.store.inventory import horizon, take_inventory
    from builder.store.sweep import _remove

    todo = plan(take_inventory(store).items, [EVERYTHING], now_ns=clock(), horizon_ns=horizon(store), free=0)
    store.index.layers.touch([LayerId("above"), LayerId("below")], store.now())
    store.blobs.has(digest_of(b"stray"))
    with CacheMounts(store).open("apt", "private"):
        assert [_remove(store, item) for item in todo.removals] == [False] * len(todo.removals)
    assert len(todo.removals) == 4


def test_two_layers_may_share_a_blob(store: Store, clock: Clock) -> None:
    store.images.delete("named:1")
    add(store, "twin", b"layer one")
    clock.now += 10**12
    total = usage(store)
    assert sum(line.size for line in total.lines if line.kind in ("step", "blob", "image")) == 3 * 12288 + 4 * 4096
    collect(store, [Rule(("layer",), reserved=12288 + 4096)])
    assert [record.id for record in store.index.layers.all()] == [EMPTY, "twin"]
    assert store.blobs.has(digest_of(b"layer one"))


def test_tidying_removes_what_nobody_owns(store: Store) -> None:
    (store.root / "layers/orphan/sub").mkdir(parents=True)
    (store.root / "caches/orphan.0").mkdir()
    (store.root / "locks/unpack-x").write_bytes(b"")
    (store.root / "work/00000000000000000001-dead").mkdir()
    (store.root / "work/00000000000000000001-dead.lock").write_bytes(b"")
    assert tidy(store) == 4
    assert sorted(os.listdir(store.root / "layers")) == ["dir-above", "dir-below"]
    assert sorted(name for name in os.listdir(store.root / "caches") if "orphan" in name) == []
    assert os.listdir(store.root / "locks") == []
    assert tidy(store) == 0


def test_old_history_goes(store: Store) -> None:
    for number in range(60):
        store.index.put_build(StoredBuild(f"b{number}", number, b""))
    tidy(store)
    assert len(store.index.builds(100)) == 50


def test_the_defaults_run_once_in_a_while(store: Store, clock: Clock) -> None:
    collect_when_due(store)
    (store.root / "layers/orphan").mkdir()
    collect_when_due(store)
    assert (store.root / "layers/orphan").exists()
    clock.now += 3600 * 10**9
    collect_when_due(store)
    assert not (store.root / "layers/orphan").exists()


def test_usage_adds_up(store: Store) -> None:
    found = usage(store)
    assert found.total == sum(line.size for line in found.lines) == sum(size for _, _, size in found.by_kind())
    mount = next(line for line in found.lines if line.kind == "cache-mount")
    assert mount.note == "apt"
    assert mount.size == 4096 + 8192
    assert {line.kind for line in found.lines} == {"step", "image", "blob", "cache-mount", "temporary", "index"}
    named = next(line for line in found.lines if line.name == digest_of(b"layer one"))
    assert named.kept == "an image name needs it"
    assert found.reclaimable == sum(line.size for line in found.lines if not line.kept)


def test_a_running_process_shows_in_usage(store: Store) -> None:
    store.index.layers.touch([LayerId("above")], store.now())
    assert next(line for line in usage(store).lines if line.name == "above").kept == "a running process uses it"


def test_fsck_finds_nothing_in_a_sound_store(store: Store) -> None:
    assert check(store) == []


def test_fsck_finds_wrong_bytes_and_repairs(store: Store) -> None:
    stray = digest_of(b"stray")
    Path(store.blobs.path(stray)).write_bytes(b"STRAY")
    assert [(problem.kind, problem.subject, problem.repaired) for problem in check(store)] == [("blob", stray, False)]
    assert [problem.repaired for problem in check(store, repair=True)] == [True]
    assert check(store) == []


def test_fsck_follows_a_wrong_layer_to_its_image(store: Store) -> None:
    Path(store.blobs.path(digest_of(b"layer one"))).write_bytes(b"wrong")
    problems = check(store, repair=True)
    assert [problem.kind for problem in problems] == ["blob", "layer", "image"]
    assert store.images.list() == ()
    assert store.index.layers.get(LayerId("below")) is not None
    assert check(store) == []


def test_fsck_removes_layers_that_cannot_be_had_with_what_stands_on_them(store: Store) -> None:
    os.unlink(store.blobs.path(digest_of(b"layer one")))
    os.rename(store.root / "layers/dir-below", store.root / "layers/elsewhere")
    problems = check(store)
    assert [(problem.kind, problem.subject) for problem in problems] == [
        ("layer", "below"),
        ("image", "named:1"),
        ("leftover", "elsewhere"),
    ]
    check(store, repair=True)
    assert check(store) == []
    assert store.index.get_record("key") is None
    assert os.listdir(store.root / "layers") == []


def test_fsck_of_a_missing_directory_keeps_the_blob(store: Store) -> None:
    os.rename(store.root / "layers/dir-below", store.root / "work/gone")
    assert [problem.kind for problem in check(store, repair=True)] == ["layer"]
    record = store.index.layers.get(LayerId("below"))
    assert record is not None
    assert record.blobs
    assert not record.directory


def test_fsck_of_a_missing_manifest_drops_the_name(store: Store) -> None:
    descriptor = store.images.get("named:1")
    assert descriptor is not None
    store.blobs.delete(descriptor.digest)
    assert [(problem.kind, problem.subject) for problem in check(store, repair=True)] == [("image", "named:1")]
    assert store.images.get("named:1") is None


def test_fsck_replaces_a_destroyed_index(root: Path) -> None:
    (root / "index.db").write_bytes(b"\0not a database" * 1000)
    with pytest.raises(LayerwrightError):
        Store.open(root)
    assert [problem.repaired for problem in check_root(root)] == [False]
    problems = check_root(root, repair=True)
    assert problems[0].kind == "index"
    assert all(problem.repaired for problem in problems)
    with Store.open(root) as store:
        assert check(store) == []
        assert store.blobs.has(digest_of(b"layer one"))
        assert os.listdir(root / "layers") == []
