"""Layers unpacked while they are downloaded."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.errors import CorruptionError, NotFoundError
from builder.fs.compress import compress
from builder.oci.digest import DiffID, Digest, chain_ids, digest_of
from builder.oci.manifest import Descriptor
from builder.oci.media import OCI_LAYER_GZIP
from builder.snapshot.layers import LayerId, Layers
from builder.store.store import Store
from tests.privileges import XATTR_PREFIX, root_only


def packed(*files: tuple[str, bytes]) -> tuple[bytes, bytes]:
    """A tar, plain and as gzip."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    squeezed = bytearray()
    stream = compress("gzip", None, squeezed.extend)
    stream.write(out.getvalue())
    stream.close()
    return out.getvalue(), bytes(squeezed)


Attempt = Callable[[Store, Digest], None]


class Line:
    """A fetcher whose transfers go as scripted, one after the other."""

    def __init__(self, store: Store, *attempts: Attempt) -> None:
        self._store = store
        self._attempts = list(attempts)

    def fetch(self, descriptor: Descriptor, origin: str) -> None:
        self._attempts.pop(0)(self._store, descriptor.digest)


def sends(*pieces: bytes, then: Callable[[Store, Digest], object] = lambda store, digest: None) -> Attempt:
    def attempt(store: Store, digest: Digest) -> None:
        with store.blobs.writer(digest) as writer:
            for piece in pieces:
                writer.write(piece)
            writer.commit(digest)
        then(store, digest)

    return attempt


@pytest.fixture
def store(store_root: Path) -> Iterator[Store]:
    root_only()
    with Store.open(store_root) as opened:
        yield opened


def unpacked(store: Store, layer: tuple[bytes, bytes], *attempts: Attempt) -> tuple[LayerId, str]:
    plain, squeezed = layer
    with Layers(store, Line(store, *attempts), xattr_prefix=XATTR_PREFIX) as layers:
        diff_id = DiffID(digest_of(plain))
        descriptor = Descriptor(OCI_LAYER_GZIP, digest_of(squeezed), len(squeezed))
        name = layers.add_base(chain_ids([diff_id])[0], diff_id, descriptor, "registry/repo")
        return name, layers.directories((name,))[0]


def test_a_layer_is_unpacked_from_what_comes_and_not_read_again(store: Store) -> None:
    layer = packed(("etc/a", b"one"))
    # The blob is gone as soon as it is stored: nobody could read it again.
    _, path = unpacked(store, layer, sends(layer[1], then=lambda store, digest: store.blobs.delete(digest)))
    assert Path(path, "etc/a").read_bytes() == b"one"


def test_files_are_there_before_the_last_byte_came(store: Store) -> None:
    layer = packed(("early", b"first"), ("late", os.urandom(3 << 20)))

    def half(store: Store, digest: Digest) -> None:
        with store.blobs.writer(digest) as writer:
            writer.write(layer[1][: 2 << 20])
            deadline = time.monotonic() + 60
            while not list(store.root.rglob("early")) and time.monotonic() < deadline:
                threading.Event().wait(0.01)
            seen.append(bool(list(store.root.rglob("early"))))
            writer.write(layer[1][2 << 20 :])
            writer.commit(digest)

    seen: list[bool] = []
    _, path = unpacked(store, layer, half)
    assert seen == [True]
    assert sorted(os.listdir(path)) == ["early", "late"]


def test_a_transfer_that_began_anew_is_unpacked_from_the_store(store: Store) -> None:
    layer = packed(("etc/a", b"one"))

    def twice(store: Store, digest: Digest) -> None:
        with store.blobs.writer(digest) as writer:
            writer.write(b"\x1f\x8bnot a layer at all")
        sends(layer[1])(store, digest)

    _, path = unpacked(store, layer, twice)
    assert Path(path, "etc/a").read_bytes() == b"one"


def test_a_transfer_s_own_error_is_what_is_told(store: Store) -> None:
    layer = packed(("etc/a", b"one"))

    def breaks(store: Store, digest: Digest) -> None:
        with store.blobs.writer(digest) as writer:
            writer.write(layer[1][:30])
            raise NotFoundError("blob-unknown", "the registry has it no more")

    with pytest.raises(NotFoundError, match="has it no more"):
        unpacked(store, layer, breaks)
    assert os.listdir(store.root / "layers") == []


def test_bytes_that_are_not_the_blob_s_are_never_given_a_name(store: Store) -> None:
    good, bad = packed(("etc/a", b"one")), packed(("etc/a", b"evil"))
    with pytest.raises(CorruptionError, match="have the digest"):
        unpacked(store, good, sends(bad[1]))
    assert os.listdir(store.root / "layers") == []
    assert not store.blobs.has(digest_of(good[1]))
