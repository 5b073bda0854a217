"""A full disk: one clear error, and a store that prune can still empty. Needs root, for a small tmpfs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import LayerwrightError
from builder.snapshot.layers import EMPTY, Layers
from builder.store.cachemounts import CacheMounts
from builder.store.collect import Rule
from builder.store.store import Store
from builder.store.sweep import collect

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", path], check=False, capture_output=True).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    yield path / "store"
    subprocess.run(["umount", "-l", path], check=True)


def fill(directory: Path, leave: int = 0) -> None:
    """Writes until nothing but `leave` bytes are free."""
    with open(directory / "filler", "wb") as file:
        free = os.statvfs(directory).f_bavail * os.statvfs(directory).f_frsize
        os.posix_fallocate(file.fileno(), 0, max(free - leave, 1))


def assert_full(caught: pytest.ExceptionInfo[LayerwrightError]) -> None:
    assert caught.value.code == "disk-full"
    assert caught.value.help is not None
    assert "layerwright prune" in caught.value.help


def test_a_blob_that_does_not_fit(small: Path) -> None:
    with Store.open(small) as store:
        with pytest.raises(LayerwrightError) as caught:
            store.blobs.put(b"x" * (100 << 20))
        assert_full(caught)
        assert list(store.blobs.digests()) == []
        assert store.blobs.read(store.blobs.put(b"small"), 5) == b"small"


def test_a_layer_that_does_not_fit(small: Path) -> None:
    with Store.open(small) as store, Layers(store) as layers:
        with layers.draft(()) as draft:
            Path(draft.upper, "file").write_bytes(b"x" * (4 << 20))
            layer = draft.commit()
        with layers.draft((layer,)) as draft:
            fill(Path(draft.upper))
            with pytest.raises(LayerwrightError) as caught:
                layers.blob(layer, "none")
        assert_full(caught)
        assert layers.tree((layer,)).names("") == ("file",)
        layers.close()  # waits for what is being removed beside the build
        assert os.listdir(store.lease.directory) == ["ingest"]


def test_prune_works_on_a_disk_without_a_free_byte(small: Path) -> None:
    with Store.open(small) as store, Layers(store) as layers:
        for number in range(20):
            with layers.draft(()) as draft:
                Path(draft.upper, "file").write_bytes(os.urandom(100_000))
                layer = draft.commit()
                store.index.put_record(f"k{number}", b"x" * 3000, layer)
        with CacheMounts(store).open("apt", "shared") as mount:
            (mount.path / "file").write_bytes(b"x" * 100_000)
    with Store.open(small) as store:
        fill(small.parent)
        with pytest.raises(LayerwrightError) as caught:
            store.index.put_record("more", b"x" * (9 << 20), EMPTY)
        assert_full(caught)
        swept = collect(store, [Rule()])
        assert len([item for item in swept.removals if item.kind == "layer"]) == 20
        assert os.listdir(small / "layers") == []
        assert (small / "reserve").exists()
    with Store.open(small) as store:
        assert store.index.put_record("again", b"x", EMPTY)


def test_opening_on_a_full_disk_is_a_plain_error_or_works(small: Path) -> None:
    small.parent.mkdir(exist_ok=True)
    fill(small.parent)
    with pytest.raises(LayerwrightError) as caught:
        Store.open(small)
    assert_full(caught)
    (small.parent / "filler").unlink()
    with Store.open(small) as store:
        assert store.images.list() == ()
