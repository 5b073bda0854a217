"""Archives of docker, podman and others: read whole, refused when they lie."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from builder.errors import CorruptionError, LayerwrightError
from builder.image.archives import load_archive
from builder.image.validate import validate
from builder.oci.digest import digest_of
from builder.oci.platform import Platform, parse_platform
from builder.store.blobs import MemoryBlobs
from tests.registry.fake_registry import index_over, sample

TAR = bytes(10240)
LAYER = "0" * 64


def archive(*members: tuple[str, bytes | str]) -> io.BytesIO:
    """A tar: bytes become files, text becomes symlinks."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    out.seek(0)
    return out


def saved(image: object, layers: list[str], tags: list[str] | None) -> bytes:
    return json.dumps([{"Config": "config.json", "RepoTags": tags, "Layers": layers}]).encode()


def config(*plain: bytes) -> bytes:
    return sample(*plain).config_raw


def test_an_archive_of_an_old_docker() -> None:
    """docker before 25: a directory for each layer, with a link where two are the same."""
    blobs = MemoryBlobs()
    stream = archive(
        (f"{LAYER}/VERSION", b"1.0"),
        (f"{LAYER}/json", b"{}"),
        (f"{LAYER}/layer.tar", TAR),
        ("1111/layer.tar", f"../{LAYER}/layer.tar"),
        ("config.json", config(TAR, TAR)),
        ("manifest.json", saved(None, [f"{LAYER}/layer.tar", "1111/layer.tar"], ["app:1", "registry.example/app:2"])),
        ("repositories", b"{}"),
    )
    (loaded,) = load_archive(stream, blobs)
    assert [name.familiar for name in loaded.names] == ["app:1", "registry.example/app:2"]
    assert validate(blobs, loaded.descriptor) == []
    assert blobs.size(digest_of(b"1.0")) is None


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: data], ids=["gzip", "plain"])
def test_layers_may_be_compressed(pack: object) -> None:
    """bazel and kaniko write layers as .tar.gz into a docker archive."""
    blobs = MemoryBlobs()
    layer = pack(TAR)  # type: ignore[operator]
    stream = archive(("l.tar", layer), ("config.json", config(TAR)), ("manifest.json", saved(None, ["l.tar"], None)))
    (loaded,) = load_archive(stream, blobs)
    assert loaded.names == ()
    assert validate(blobs, loaded.descriptor) == []


def test_the_whole_archive_may_be_compressed() -> None:
    blobs = MemoryBlobs()
    stream = archive(("l.tar", TAR), ("config.json", config(TAR)), ("manifest.json", saved(None, ["l.tar"], ["app"])))
    (loaded,) = load_archive(io.BytesIO(gzip.compress(stream.getvalue())), blobs)
    assert validate(blobs, loaded.descriptor) == []


def oci(*extra: tuple[str, bytes | str], drop: str = "") -> io.BytesIO:
    """An OCI archive of an index over two platforms, without the blob `drop`."""
    amd, arm = sample(TAR), sample(TAR + TAR, architecture="arm64")
    root, raw = index_over((amd, Platform("amd64", "linux")), (arm, parse_platform("linux/arm64")))
    parts = (raw, amd.manifest_raw, *amd.parts, arm.manifest_raw, *arm.parts)
    files = [(f"blobs/sha256/{digest_of(part)[7:]}", part) for part in parts if digest_of(part) != drop]
    annotations = {"io.containerd.image.name": "registry.example/app:1", "org.opencontainers.image.ref.name": "1"}
    index = {
        "schemaVersion": 2,
        "manifests": [{"mediaType": root.media_type, "digest": root.digest, "size": root.size, "annotations": annotations}],
    }
    return archive(("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), *files, ("index.json", json.dumps(index).encode()), *extra)


def test_an_oci_archive() -> None:
    blobs = MemoryBlobs()
    (loaded,) = load_archive(oci(), blobs)
    assert [name.familiar for name in loaded.names] == ["registry.example/app:1"]
    assert loaded.descriptor.annotations == {}
    assert validate(blobs, loaded.descriptor) == []


def test_platforms_that_were_not_saved_are_no_fault() -> None:
    blobs = MemoryBlobs()
    (loaded,) = load_archive(oci(drop=sample(TAR + TAR, architecture="arm64").descriptor.digest), blobs)
    assert blobs.has(loaded.descriptor.digest)


@pytest.mark.parametrize("drop", [sample(TAR).manifest.layers[0].digest, sample(TAR).manifest.config.digest])
def test_a_part_that_is_missing_is(drop: str) -> None:
    with pytest.raises(CorruptionError) as caught:
        load_archive(oci(drop=drop), MemoryBlobs())
    assert caught.value.code == "archive-incomplete"
    assert drop in caught.value.message


def test_a_blob_that_is_not_its_name_is_refused() -> None:
    blobs = MemoryBlobs()
    with pytest.raises(CorruptionError) as caught:
        load_archive(oci((f"blobs/sha256/{digest_of(b'right')[7:]}", b"wrong")), blobs)
    assert caught.value.code == "blob-digest"
    assert not blobs.has(digest_of(b"right"))


@pytest.mark.parametrize("name", ["blobs/sha256/x", "blobs/sha256/" + "A" * 64, "blobs/sha256/sub/" + "a" * 64])
def test_CVE_2024_3727_names_of_blobs_are_digests(name: str) -> None:
    with pytest.raises(CorruptionError) as caught:
        load_archive(oci((name, b"evil")), MemoryBlobs())
    assert caught.value.code == "invalid-digest"


LIES = [
    ("a layer is missing", [("config.json", config(TAR)), ("manifest.json", saved(None, ["l.tar"], None))], "archive-incomplete"),
    (
        "a link in a circle",
        [("l.tar", "l.tar"), ("config.json", config(TAR)), ("manifest.json", saved(None, ["l.tar"], None))],
        "archive-incomplete",
    ),
    (
        "a link out of it",
        [("l.tar", "../../etc/passwd"), ("config.json", config(TAR)), ("manifest.json", saved(None, ["l.tar"], None))],
        "archive-incomplete",
    ),
    (
        "another layer",
        [("l.tar", b"other"), ("config.json", config(TAR)), ("manifest.json", saved(None, ["l.tar"], None))],
        "blob-corrupted",
    ),
    ("fewer layers", [("config.json", config(TAR)), ("manifest.json", saved(None, [], None))], "layers-mismatch"),
    ("no config", [("manifest.json", saved(None, [], None))], "archive-incomplete"),
    ("a broken table", [("manifest.json", b"{")], "archive-table"),
    ("a huge table", [("manifest.json", b" " * (17 << 20))], "archive-table"),
    ("a broken config", [("config.json", b"[]"), ("manifest.json", saved(None, [], None))], "config-invalid"),
    ("nothing", [], "not-an-archive"),
    ("an old table only", [("repositories", b"{}")], "archive-too-old"),
]


@pytest.mark.parametrize(("members", "code"), [(members, code) for _, members, code in LIES], ids=[name for name, _, _ in LIES])
def test_an_archive_that_lies_is_refused(members: list[tuple[str, bytes | str]], code: str) -> None:
    with pytest.raises(LayerwrightError) as caught:
        load_archive(archive(*members), MemoryBlobs())
    assert caught.value.code == code


@pytest.mark.parametrize("data", [b"", b"no archive at all", bytes(512), b"\x1f\x8b\x08 broken"])
def test_what_is_no_tar_is_one_sentence(data: bytes) -> None:
    with pytest.raises(LayerwrightError):
        load_archive(io.BytesIO(data), MemoryBlobs())


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_what_skopeo_writes_is_read(tmp_path: Path, form: str) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    from builder.store.layout import write_layout

    blobs, others = MemoryBlobs(), MemoryBlobs()
    write_layout(tmp_path / "layout", (sample(TAR).put(blobs),), blobs)
    target = f"{form}:{tmp_path}/a.tar:app:1"
    subprocess.run(["skopeo", "copy", "-q", f"oci:{tmp_path}/layout", target], check=True, capture_output=True)
    with open(tmp_path / "a.tar", "rb") as stream:
        (loaded,) = load_archive(stream, others)
    assert [name.familiar for name in loaded.names] == ["app:1"]
    assert validate(others, loaded.descriptor) == []
