"""The index: records, the stat cache, history, names; versions, damage, and several processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import CorruptionError, LayerwrightError
from builder.oci.digest import DiffID, digest_of
from builder.oci.manifest import Descriptor
from builder.store.database import Database
from builder.store.index import FileDigest, Index, StoredBuild
from builder.store.layertable import EMPTY, LayerId, LayerRecord, stack_digest
from builder.store.schema import VERSION
from builder.store.store import Store


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    opened = Index(tmp_path / "index.db", lambda: 1000)
    yield opened
    opened.close()


def add(index: Index, name: str, *parents: str, used_ns: int = 0) -> LayerId:
    layer = LayerId(name)
    record = LayerRecord(layer, "built", None, (), None, f"d-{name}", 10, used_ns, used_ns, "note", "")
    assert index.layers.add(record, parents=[LayerId(parent) for parent in parents])
    return layer


def test_records(index: Index) -> None:
    assert index.get_record("k") is None
    assert index.put_record("k", b"one")
    assert index.put_record("k", b"two", EMPTY)
    assert index.get_record("k") == b"two"
    index.delete_record("k")
    assert index.get_record("k") is None


def test_a_record_goes_with_its_layer(index: Index) -> None:
    layer = add(index, "a", used_ns=5)
    assert index.put_record("k", b"x", layer)
    assert not index.layers.delete_unused(layer, 4)
    assert index.get_record("k") == b"x"
    assert index.layers.delete_unused(layer, 5)
    assert index.get_record("k") is None


def test_a_record_for_a_layer_that_is_gone_is_not_kept(index: Index) -> None:
    assert not index.put_record("k", b"x", LayerId("gone"))
    assert index.get_record("k") is None


def test_a_layer_is_not_deleted_under_another(index: Index) -> None:
    below = add(index, "below")
    above = add(index, "above", "below")
    assert not index.layers.delete_unused(below, 99)
    assert index.layers.delete_unused(above, 99)
    assert index.layers.delete_unused(below, 99)


def test_a_broken_layer_takes_along_what_stands_on_it(index: Index) -> None:
    previous = add(index, "l0")
    for number in range(1, 1500):
        previous = add(index, f"l{number}", previous)
    add(index, "other")
    gone = index.layers.delete_with_descendants(LayerId("l1"))
    assert len(gone) == 1499
    assert [record.id for record in index.layers.all()] == [EMPTY, "l0", "other"]


def test_the_empty_layer_is_always_there(index: Index) -> None:
    record = index.layers.get(EMPTY)
    assert record is not None
    assert record.diff_id is not None
    assert not index.layers.delete_unused(EMPTY, 1 << 60)
    assert index.layers.delete_with_descendants(EMPTY) == ()
    assert index.layers.get(EMPTY) == record


def test_layers_come_back_as_they_were(index: Index) -> None:
    blob = Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", digest_of(b"x"), 1, annotations={"a": "b"})
    record = LayerRecord(LayerId("x"), "base", DiffID("sha256:" + "0" * 64), (blob,), "host/repo", None, 0, 1, 2, "n", "s")
    assert index.layers.add(record)
    assert not index.layers.add(record)
    assert index.layers.get(record.id) == record
    assert record in index.layers.all()
    assert not record.directory
    assert index.layers.by_diff_id(DiffID("sha256:" + "0" * 64)) == (record.id,)


def test_touching_tells_whether_all_are_there(index: Index) -> None:
    layer = add(index, "a", used_ns=5)
    assert index.layers.touch([layer], 9)
    assert index.layers.touch([layer], 7)
    found = index.layers.get(layer)
    assert found is not None
    assert found.used_ns == 9
    assert not index.layers.touch([layer, LayerId("gone")], 11)


def test_stack_digests_are_framed() -> None:
    assert stack_digest([LayerId("ab"), LayerId("c")]) != stack_digest([LayerId("a"), LayerId("bc")])


def test_the_stat_cache_holds_any_64_bit_number(index: Index) -> None:
    rows = [FileDigest(2**64 - 1, 2**63 + n, n, -5, 2**62, f"digest {n}") for n in range(1000)]
    index.put_file_digests(rows)
    found = index.get_file_digests([(row.device, row.inode) for row in rows] + [(0, 0)])
    assert found == {(row.device, row.inode): row for row in rows}
    changed = FileDigest(2**64 - 1, 2**63, 9, 9, 9, "new")
    index.put_file_digests([changed])
    assert index.get_file_digests([(2**64 - 1, 2**63)]) == {(2**64 - 1, 2**63): changed}
    assert index.delete_file_digests(1001) == 1000


def test_history_keeps_the_newest_and_the_recent(index: Index) -> None:
    for number in range(10):
        index.put_build(StoredBuild(f"b{number}", number, b"data"))
    assert [build.id for build in index.builds(3)] == ["b9", "b8", "b7"]
    assert index.get_build("b4") == StoredBuild("b4", 4, b"data")
    assert index.delete_builds(keep=2, before_ns=5) == 5
    assert [build.id for build in index.builds()] == ["b9", "b8", "b7", "b6", "b5"]
    assert index.delete_build("b5")
    assert not index.delete_build("b5")


def test_settings(index: Index) -> None:
    assert index.get_setting("s") is None
    assert index.settle_setting("s", b"first") == b"first"
    assert index.settle_setting("s", b"second") == b"first"
    index.put_setting("s", b"third")
    assert index.get_setting("s") == b"third"


def test_image_names(store_root: Path) -> None:
    descriptor = Descriptor("application/vnd.oci.image.manifest.v1+json", digest_of(b"m"), 1)
    with Store.open(store_root, lambda: 42) as store:
        assert store.images.get("a:1") is None
        store.images.set("b:1", descriptor)
        store.images.set("a:1", descriptor)
        assert store.images.get("a:1") == descriptor
        assert [(name.reference, name.updated_ns) for name in store.images.list()] == [("a:1", 42), ("b:1", 42)]
        assert store.images.delete("a:1")
        assert not store.images.delete("a:1")
    with Store.open(store_root) as store:
        assert [name.reference for name in store.images.list()] == ["b:1"]


def test_a_transaction_is_all_or_nothing(index: Index) -> None:
    def fail() -> None:
        with index.database.transaction():
            index.put_setting("a", b"1")
            with index.database.transaction():
                index.put_setting("b", b"2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert index.get_setting("a") is None
    assert index.get_setting("b") is None


def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    database = Database(path)
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    before = path.read_bytes()
    with pytest.raises(LayerwrightError) as caught:
        Index(path)
    assert caught.value.code == "store-newer"
    assert path.read_bytes() == before


def test_a_damaged_index_is_told(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    path.write_bytes(b"this is no database at all" * 200)
    with pytest.raises(CorruptionError) as caught:
        Index(path)
    assert caught.value.code == "index-corrupt"
    assert caught.value.help is not None
    assert "fsck" in caught.value.help


def test_threads_share_one_index(index: Index) -> None:
    def work(number: int) -> None:
        for step in range(50):
            assert index.put_record(f"{number}-{step}", b"x" * step)
            assert index.get_record(f"{number}-{step}") == b"x" * step

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(index.records()) == 200


def test_processes_open_and_write_one_new_store_at_once(store_root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from builder.store.store import Store\n"
        f"with Store.open(Path({str(store_root)!r})) as store:\n"
        "    for n in range(100): assert store.index.put_record(f'{sys.argv[1]}-{n}', b'x', 'empty')\n"
        "    store.blobs.put(b'same')"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(n)], stderr=subprocess.PIPE) for n in range(3)]
    for process in running:
        assert process.communicate()[1] == b""
        assert process.returncode == 0
    with Store.open(store_root) as store:
        assert len(store.index.records()) == 300
        assert len(list(store.blobs.digests())) == 1


def test_uses_of_records_are_written_at_the_latest_when_closing(tmp_path: Path) -> None:
    now = [10]
    index = Index(tmp_path / "index.db", lambda: now[0])
    index.put_record("k", b"x")
    now[0] = 20
    assert index.get_record("k") == b"x"
    index.close()
    reopened = Index(tmp_path / "index.db")
    assert [record.used_ns for record in reopened.records()] == [20]
    reopened.close()


def test_opening_loads_sqlite_and_nothing_before() -> None:
    code = "import sys, builder.store.store, builder.snapshot; assert 'sqlite3' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_opening_again_and_twenty_lookups_are_quick(store_root: Path) -> None:
    import time

    with Store.open(store_root) as store:
        for number in range(20):
            store.index.put_record(f"k{number}", b"x" * 200, EMPTY)
    best = 1.0
    for _ in range(5):
        began = time.process_time()
        with Store.open(store_root) as store:
            assert all(store.index.get_record(f"k{number}") for number in range(20))
            best = min(best, time.process_time() - began)
    assert best < 0.01


def test_a_root_that_cannot_be_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LayerwrightError) as caught:
        Store.open(tmp_path / "file")
    assert caught.value.code == "store-denied"
