"""Small finished builds to export: a store, its layers, and images made of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.export.exporter import Means
from builder.image.model import BuildResult, Image
from builder.oci.config import ImageConfig, RootFS, RunConfig, encode_config
from builder.oci.digest import DiffID
from builder.oci.manifest import Index, Manifest, describe, encode
from builder.oci.media import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Compression
from builder.oci.platform import Platform
from builder.snapshot.layers import LayerId, Layers
from builder.snapshot.unpacking import NoFetcher
from builder.store.store import Store
from tests.privileges import XATTR_PREFIX, root_only

AMD64 = Platform("amd64", "linux")
TIME = 1_700_000_000 * 10**9


class Bench:
    """A store with its layers, and what makes images on it."""

    def __init__(self, store: Store, layers: Layers) -> None:
        self.store = store
        self.layers = layers
        self.means = Means(store.blobs, layers, NoFetcher(), store.images)

    def layer(self, below: tuple[LayerId, ...], change: Callable[[Path], object]) -> LayerId:
        """A layer of what `change` does to the upper directory of a draft."""
        with self.layers.draft(below) as draft:
            change(Path(draft.upper))
            return draft.commit()

    def image(self, layers: tuple[LayerId, ...], platform: Platform = AMD64, compression: Compression = "gzip") -> Image:
        """An image of these layers, its documents in the store."""
        descriptors = tuple(self.layers.blob(layer, compression) for layer in layers)
        diff_ids = tuple(DiffID(str(self.layers.record(layer).diff_id)) for layer in layers)
        config = ImageConfig(
            architecture=platform.architecture, os=platform.os, config=RunConfig(cmd=("/bin/true",)), rootfs=RootFS(diff_ids=diff_ids)
        )
        config_raw = encode_config(config)
        manifest = Manifest(describe(config_raw, OCI_CONFIG), descriptors)
        manifest_raw = encode(manifest)
        for raw in (config_raw, manifest_raw):
            self.store.blobs.put(raw)
        return Image(platform, manifest, manifest_raw, config, config_raw, layers)

    def result(self, *images: Image) -> BuildResult:
        """One image, or an index over several."""
        if len(images) == 1:
            return BuildResult(images, None, describe(images[0].manifest_raw, OCI_MANIFEST))
        raw = encode(Index(tuple(image.descriptor for image in images)))
        self.store.blobs.put(raw)
        return BuildResult(images, raw, describe(raw, OCI_INDEX))

    def simple(self) -> BuildResult:
        """Two layers: files of several kinds, then one changed and one added."""
        base = self.layer((), fill)
        top = self.layer((base,), lambda upper: put(upper / "etc/motd", b"welcome\n"))
        return self.result(self.image((base, top)))


@contextmanager
def open_bench(root: Path) -> Iterator[Bench]:
    root_only()
    with Store.open(root) as store, Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        yield Bench(store, layers)


def put(path: Path, data: bytes, mode: int = 0o644) -> None:
    """A file with a known mode and time; its directories are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    os.utime(path, ns=(TIME, TIME))


def fill(upper: Path) -> None:
    put(upper / "bin/tool", b"#!/bin/sh\n", 0o4755)
    put(upper / "etc/config", b"x" * 5000)
    os.link(upper / "etc/config", upper / "etc/config.again")
    (upper / "etc/link").symlink_to("../../../etc/passwd")
    put(upper / "empty", b"")
    os.mkfifo(upper / "pipe")
    (upper / "tmp").mkdir()
    (upper / "tmp").chmod(0o1777)
    for path in ("tmp", "pipe", "etc", "bin"):
        os.utime(upper / path, ns=(TIME, TIME))
    os.utime(upper / "etc/link", ns=(TIME, TIME), follow_symlinks=False)
