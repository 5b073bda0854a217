"""validate: each way an image can be wrong is found, and a whole one is not blamed."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import msgspec
import pytest
import zstandard

from builder.image.validate import validate
from builder.oci.config import History, ImageConfig, RootFS, encode_config
from builder.oci.digest import DiffID, Digest, digest_of
from builder.oci.manifest import Descriptor, Index, Manifest, describe, encode
from builder.oci.media import DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST
from builder.oci.platform import Platform
from builder.store.blobs import MemoryBlobs

PLAIN = bytes(10240)
PACKED = gzip.compress(PLAIN, mtime=0)
CONFIG = ImageConfig(architecture="amd64", os="linux", rootfs=RootFS(diff_ids=(DiffID(digest_of(PLAIN)),)))


def made(
    blobs: MemoryBlobs, config: ImageConfig = CONFIG, layers: tuple[Descriptor, ...] | None = None, media_type: str = OCI_MANIFEST
) -> Descriptor:
    """An image in `blobs`."""
    raw = encode_config(config)
    blobs.put(raw)
    blobs.put(PACKED)
    manifest = Manifest(describe(raw, OCI_CONFIG), (describe(PACKED, OCI_LAYER_GZIP),) if layers is None else layers, media_type=media_type)
    blobs.put(encode(manifest))
    return describe(encode(manifest), media_type)


def test_a_whole_image_is_not_blamed() -> None:
    blobs = MemoryBlobs()
    assert validate(blobs, made(blobs)) == []
    assert validate(blobs, made(blobs, ImageConfig(architecture="amd64", os="linux"), ())) == []


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PLAIN, OCI_LAYER),
        (zstandard.compress(PLAIN), OCI_LAYER_ZSTD),
        (gzip.compress(PLAIN[:512], mtime=0) + gzip.compress(PLAIN[512:], mtime=0), OCI_LAYER_GZIP),
    ],
    ids=["plain", "zstd", "two members"],
)
def test_every_compression_is_read(data: bytes, media_type: str) -> None:
    blobs = MemoryBlobs()
    blobs.put(data)
    assert validate(blobs, made(blobs, layers=(describe(data, media_type),))) == []


def changed(**fields: object) -> Callable[[MemoryBlobs], Descriptor]:
    def make(blobs: MemoryBlobs) -> Descriptor:
        return made(blobs, msgspec.structs.replace(CONFIG, **fields))

    return make


def layered(layer: Descriptor, *data: bytes) -> Callable[[MemoryBlobs], Descriptor]:
    def make(blobs: MemoryBlobs) -> Descriptor:
        for part in data:
            blobs.put(part)
        return made(blobs, layers=(layer,))

    return make


def rotten(blobs: MemoryBlobs) -> Descriptor:
    descriptor = made(blobs)
    blobs.place(digest_of(PACKED), b"x" * len(PACKED))
    return descriptor


def missized(blobs: MemoryBlobs) -> Descriptor:
    return msgspec.structs.replace(made(blobs), size=1)


def mistyped(blobs: MemoryBlobs) -> Descriptor:
    return msgspec.structs.replace(made(blobs), media_type=DOCKER_MANIFEST)


def twice(blobs: MemoryBlobs) -> Descriptor:
    child = msgspec.structs.replace(made(blobs), platform=Platform("amd64", "linux"))
    raw = encode(Index((child, child)))
    blobs.put(raw)
    return describe(raw, OCI_INDEX)


def other_platform(blobs: MemoryBlobs) -> Descriptor:
    raw = encode(Index((msgspec.structs.replace(made(blobs), platform=Platform("arm64", "linux")),)))
    blobs.put(raw)
    return describe(raw, OCI_INDEX)


def null_layers(blobs: MemoryBlobs) -> Descriptor:
    descriptor = made(blobs, ImageConfig(architecture="amd64", os="linux"), ())
    raw = blobs.read(descriptor.digest, 1 << 20).replace(b'"layers":[]', b'"layers":null')
    blobs.put(raw)
    return describe(raw, OCI_MANIFEST)


ZERO = Digest("sha256:" + "0" * 64)
FULL = tuple(History(created_by=str(number)) for number in range(2))
WRONG: list[tuple[str, Callable[[MemoryBlobs], Descriptor]]] = [
    ("unpacks to", changed(rootfs=RootFS(diff_ids=(DiffID(ZERO),)))),
    ("1 layers, the config 0 DiffIDs", changed(rootfs=RootFS())),
    ("the history tells of 2 layers", changed(history=FULL)),
    ("the config names no platform", changed(architecture="")),
    ("is missing", layered(Descriptor(OCI_LAYER_GZIP, ZERO, 5))),
    ("its descriptor says 5", layered(Descriptor(OCI_LAYER_GZIP, digest_of(PACKED), 5))),
    ("which is no layer", layered(Descriptor("text/plain", digest_of(PACKED), len(PACKED)))),
    ("is not gzip, as its media type says", layered(describe(PLAIN, OCI_LAYER_GZIP), PLAIN)),
    ("is not zstd, as its media type says", layered(describe(PACKED, OCI_LAYER_ZSTD), PACKED)),
    ("unpacks to", layered(describe(PACKED, OCI_LAYER), PACKED)),
    ("data end in the middle", layered(describe(PACKED[:-9], OCI_LAYER_GZIP), PACKED[:-9])),
    ("do not have that digest", rotten),
    ("its descriptor says 1", missized),
    ("was served as", mistyped),
    ("twice", twice),
    ("the config for linux/amd64", other_platform),
    ("has null for its layers", null_layers),
]


@pytest.mark.parametrize(("said", "make"), WRONG, ids=[f"{number}-{said}" for number, (said, _) in enumerate(WRONG)])
def test_what_is_wrong_is_found(said: str, make: Callable[[MemoryBlobs], Descriptor]) -> None:
    blobs = MemoryBlobs()
    problems = validate(blobs, make(blobs))
    assert any(said in problem for problem in problems), problems


def test_an_index_is_checked_child_by_child() -> None:
    blobs = MemoryBlobs()
    good = msgspec.structs.replace(made(blobs), platform=Platform("amd64", "linux"))
    attestation = encode(Manifest(describe(b"{}", OCI_CONFIG), (describe(b"{}", "application/vnd.in-toto+json"),)))
    blobs.put(b"{}")
    blobs.put(attestation)
    noted = msgspec.structs.replace(
        describe(attestation, OCI_MANIFEST, Platform("unknown", "unknown")),
        annotations={"vnd.docker.reference.type": "attestation-manifest"},
    )
    raw = encode(Index((good, noted)))
    blobs.put(raw)
    assert validate(blobs, describe(raw, OCI_INDEX)) == []
    blobs.delete(good.digest)
    assert validate(blobs, describe(raw, OCI_INDEX)) == [f"manifest {good.digest}: blob {good.digest} is not in the store"]


def test_an_index_within_itself_ends() -> None:
    blobs = MemoryBlobs()
    raw = encode(Index(()))
    descriptor = describe(raw, OCI_INDEX)
    blobs.put(raw)
    for _ in range(6):
        raw = encode(Index((descriptor,)))
        blobs.put(raw)
        descriptor = describe(raw, OCI_INDEX)
    assert any("nests others too deeply" in problem for problem in validate(blobs, descriptor))
