"""Base layers: lazy, fetched and unpacked once by however many ask, verified, and fetched again when spoilt."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import CorruptionError, NotFoundError
from builder.fs.compress import compress
from builder.oci.digest import ChainID, DiffID, chain_ids, digest_of
from builder.oci.manifest import Descriptor
from builder.oci.media import OCI_LAYER_GZIP, OCI_LAYER_ZSTD
from builder.snapshot.layers import LayerId, Layers
from builder.store.blobs import BlobStore, MemoryBlobs
from builder.store.store import Store
from tests.privileges import XATTR_PREFIX
from tests.snapshot.roots import names, shows

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners in layers need root")

Member = tuple[str, bytes | None]


def tar(*members: tuple[str, object]) -> bytes:
    """A tar: name -> bytes (a file), None (a directory), or a str (a hard link's target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mtime, info.mode = 1_000_000_000, 0o755
            if content is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.LNKTYPE, content
                archive.addfile(info)
            else:
                assert isinstance(content, bytes)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def gzip(data: bytes) -> bytes:
    out = bytearray()
    stream = compress("gzip", None, out.extend)
    stream.write(data)
    stream.close()
    return bytes(out)


class Shelf:
    """A fetcher that serves blobs from memory, slowly if asked to, and counts."""

    def __init__(self, blobs: BlobStore, delay: float = 0.0) -> None:
        self.held = MemoryBlobs()
        self.fetched: list[str] = []
        self._blobs = blobs
        self._delay = delay

    def fetch(self, descriptor: Descriptor, origin: str) -> None:
        self.fetched.append(descriptor.digest)
        time.sleep(self._delay)
        with self.held.open(descriptor.digest) as reader, self._blobs.writer() as writer:
            writer.write(reader.readall())
            writer.commit(descriptor.digest)


@pytest.fixture
def store(store_root: Path) -> Iterator[Store]:
    with Store.open(store_root) as opened:
        yield opened


@pytest.fixture
def shelf(store: Store) -> Shelf:
    return Shelf(store.blobs)


@pytest.fixture
def layers(store: Store, shelf: Shelf) -> Iterator[Layers]:
    with Layers(store, shelf, xattr_prefix=XATTR_PREFIX) as opened:
        yield opened


def put(layers: Layers, shelf: Shelf, *tars: bytes, origin: str | None = "registry/repo") -> tuple[LayerId, ...]:
    diff_ids = [DiffID(digest_of(data)) for data in tars]
    found = []
    for data, diff_id, chain_id in zip(tars, diff_ids, chain_ids(diff_ids), strict=True):
        packed = gzip(data)
        descriptor = Descriptor(OCI_LAYER_GZIP, shelf.held.put(packed), len(packed))
        found.append(layers.add_base(chain_id, diff_id, descriptor, origin))
    return tuple(found)


ONE = tar(("./", None), ("etc/", None), ("etc/a", b"one"), ("etc/b", b"lower"), ("usr/", None))
TWO = tar(("etc/.wh.a", b""), ("etc/c", b"two"))
THREE = tar(("usr/linked", "etc/b"), ("usr/new", b"three"))


def test_nothing_is_fetched_before_it_is_needed(layers: Layers, shelf: Shelf) -> None:
    ids = put(layers, shelf, ONE, TWO)
    assert ids == put(layers, shelf, ONE, TWO)
    assert ids[0] == "base-" + hashlib.sha256(ONE).hexdigest()
    descriptor = layers.blob(ids[1], "gzip")
    assert descriptor.digest == digest_of(gzip(TWO))
    assert layers.blob(ids[1], "zstd") == descriptor
    assert layers.record(ids[1]).diff_id == digest_of(TWO)
    assert shelf.fetched == []
    assert names(layers.tree(ids)) == {"etc", "etc/b", "etc/c", "usr"}
    assert sorted(shelf.fetched) == sorted(digest_of(gzip(data)) for data in (ONE, TWO))


def test_layers_that_need_those_below_wait_for_them(layers: Layers, shelf: Shelf) -> None:
    ids = put(layers, shelf, ONE, TWO, THREE)
    seen = shows(layers.tree(ids))
    assert seen["usr/linked"][2] == b"lower"
    assert seen["usr/linked"][3] == seen["etc/b"][3]
    assert layers.directories(ids) == layers.directories(ids)


def test_a_layer_without_a_root_entry_takes_the_root_from_below(layers: Layers, shelf: Shelf) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("./")
        info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, 0o711, 7, 8
        archive.addfile(info)
    root = layers.tree(put(layers, shelf, out.getvalue(), TWO, tar(("usr/new", b"x")))).lstat("")
    assert root is not None
    assert (root.mode, root.uid, root.gid) == (0o711, 7, 8)


def test_threads_that_ask_at_once_fetch_once(store: Store) -> None:
    shelf = Shelf(store.blobs, 0.05)
    with Layers(store, shelf, xattr_prefix=XATTR_PREFIX) as layers:
        ids = put(layers, shelf, ONE, TWO, THREE)
        found: list[tuple[str, ...]] = []
        threads = [threading.Thread(target=lambda: found.append(layers.directories(ids))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert len(shelf.fetched) == 3


def test_processes_that_ask_at_once_unpack_once(store: Store, layers: Layers, shelf: Shelf) -> None:
    ids = put(layers, shelf, ONE, TWO, THREE)
    for data in (ONE, TWO, THREE):
        store.blobs.put(gzip(data))
    code = (
        "import sys; from pathlib import Path; from builder.store.store import Store; from builder.snapshot.layers import Layers\n"
        f"with Store.open(Path({str(store.root)!r})) as store, Layers(store, xattr_prefix={XATTR_PREFIX!r}) as layers:\n"
        f"  print(layers.directories({ids!r}))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(3)]
    printed = {process.communicate()[0] for process in running}
    assert len(printed) == 1
    assert printed == {f"{layers.directories(ids)}\n".encode()}
    assert len(os.listdir(store.root / "layers")) == 3


def test_a_blob_that_is_not_its_image_s_layer_is_refused(store: Store, layers: Layers, shelf: Shelf) -> None:
    packed = gzip(ONE)
    descriptor = Descriptor(OCI_LAYER_GZIP, shelf.held.put(packed), len(packed))
    lie = DiffID(digest_of(b"something else"))
    layer = layers.add_base(ChainID(lie), lie, descriptor, "registry/repo")
    with pytest.raises(CorruptionError) as caught:
        layers.directories((layer,))
    assert caught.value.code == "layer-diff-id"
    assert os.listdir(store.root / "layers") == []
    assert not layers.record(layer).directory


def test_a_spoilt_blob_is_fetched_again(store: Store, layers: Layers, shelf: Shelf) -> None:
    (layer,) = put(layers, shelf, ONE)
    packed = gzip(ONE)
    store.blobs.put(packed)
    Path(store.blobs.path(digest_of(packed))).write_bytes(packed[:-9] + b"\0" * 9)
    assert "etc/a" in names(layers.tree((layer,)))
    assert shelf.fetched == [digest_of(packed)]


def test_a_spoilt_blob_without_an_origin_is_an_error(store: Store, layers: Layers, shelf: Shelf) -> None:
    (layer,) = put(layers, shelf, ONE, origin=None)
    packed = gzip(ONE)
    with pytest.raises(NotFoundError):
        layers.directories((layer,))
    store.blobs.put(packed)
    Path(store.blobs.path(digest_of(packed))).write_bytes(b"\x1f\x8b" + bytes(20))
    with pytest.raises(CorruptionError):
        layers.directories((layer,))
    assert os.listdir(store.root / "layers") == []


def test_another_compression_is_made_from_the_blob(store: Store, layers: Layers, shelf: Shelf) -> None:
    (layer,) = put(layers, shelf, ONE)
    before = layers.blob(layer, "gzip")
    forced = layers.blob(layer, "zstd", force=True)
    assert forced.media_type == OCI_LAYER_ZSTD
    assert forced.digest != before.digest
    assert layers.blob(layer, "zstd") == forced == layers.blob(layer, "zstd", force=True)
    assert layers.blob(layer, "gzip") == before
    assert store.blobs.has(forced.digest)
    assert layers.record(layer).directory is False


def test_packing_in_the_background_and_joining(store: Store) -> None:
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        made = []
        for number in range(6):
            with layers.draft(()) as draft:
                Path(draft.upper, "file").write_bytes(bytes([number]) * 100_000)
                made.append(draft.commit())
            layers.pack_in_background(made[-1], "gzip")
            layers.pack_in_background(made[-1], "gzip")
        found: list[Descriptor] = []
        threads = [threading.Thread(target=lambda layer=layer: found.append(layers.blob(layer, "gzip"))) for layer in made * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 12
        assert len({descriptor.digest for descriptor in found}) == 6
        assert all(store.blobs.has(descriptor.digest) for descriptor in found)
        assert all(layers.record(layer).diff_id is not None for layer in made)


def test_a_failure_in_the_background_is_told_by_blob(store: Store) -> None:
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        with layers.draft(()) as draft:
            Path(draft.upper, "file").write_bytes(b"x")
            layer = draft.commit()
        blob = layers.blob(layer, "gzip")
        store.blobs.delete(blob.digest)
        Path(layers.directories((layer,))[0], "file").write_bytes(b"tampered")
        layers.pack_in_background(layer, "gzip")
        with pytest.raises(CorruptionError) as caught:
            layers.blob(layer, "gzip")
        assert caught.value.code == "layer-diff-id"


def test_the_same_files_pack_to_the_same_blob(store: Store) -> None:
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        made = []
        for _ in range(2):
            with layers.draft(()) as draft:
                path = Path(draft.upper, "file")
                path.write_bytes(b"x" * 300_000)
                os.utime(path, ns=(10**18, 10**18))
                made.append(draft.commit())
        assert made[0] != made[1]
        assert layers.blob(made[0], "zstd") == layers.blob(made[1], "zstd")


def test_clamped_times(store: Store) -> None:
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        with layers.draft(()) as draft:
            for name, seconds in (("old", 500), ("new", 5_000_000)):
                path = Path(draft.upper, name)
                path.write_bytes(b"x")
                os.utime(path, (seconds, seconds))
            layer = draft.commit("a note")
        clamped = layers.clamped(layer, (), 1000, "gzip", None)
        assert clamped == layers.clamped(layer, (), 1000, "gzip", None)
        assert clamped != layers.clamped(layer, (), 2000, "gzip", None)
        seen = shows(layers.tree((clamped,)))
        assert (seen["old"][0].mtime_ns, seen["new"][0].mtime_ns) == (500 * 10**9, 1000 * 10**9)
        assert layers.blob(clamped, "gzip").digest != layers.blob(layer, "gzip").digest


def test_a_built_layer_that_is_gone_is_forgotten_for_the_next_build(store: Store) -> None:
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        with layers.draft(()) as draft:
            Path(draft.upper, "file").write_bytes(b"x")
            layer = draft.commit()
    assert store.index.put_record("key", b"x", layer)
    (directory,) = (store.root / "layers").iterdir()
    os.rename(directory, store.root / "work/away")
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        assert layers.hold((layer,))
        with pytest.raises(NotFoundError) as caught:
            layers.directories((layer,))
        assert caught.value.code == "layer-missing"
    assert store.index.get_record("key") is None


def test_tampered_directories_are_found_and_made_again(store: Store) -> None:
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        stack: tuple[LayerId, ...] = ()
        for name in ("one", "two"):
            with layers.draft(stack) as draft:
                Path(draft.upper, name).write_bytes(b"right")
                stack = (*stack, draft.commit())
            layers.blob(stack[-1], "gzip")
        assert layers.verify() == ()
        Path(layers.directories(stack)[0], "two").write_bytes(b"wrong")
        assert layers.verify() == (stack[1],)
        assert layers.verify(repair=True) == (stack[1],)
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        assert layers.verify() == ()
        assert shows(layers.tree(stack))["two"][2] == b"right"
