"""OCI layouts: found by name, refused when broken, and never a way out of their directory."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import msgspec
import pytest

from builder.errors import CorruptionError, LayerwrightError, NotFoundError
from builder.image.archives import load_layout
from builder.image.validate import validate, validate_layout
from builder.oci.digest import digest_of
from builder.oci.manifest import Descriptor
from builder.oci.platform import Platform
from builder.store.blobs import MemoryBlobs
from builder.store.layout import IMAGE_NAME, REF_NAME, Layout, read_blob, write_layout
from tests.registry.fake_registry import Sample, index_over, sample

TAR = bytes(10240)


def entry(image: Sample, **annotations: str) -> Descriptor:
    return msgspec.structs.replace(image.descriptor, annotations=annotations)


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """A layout with two images, `one` and registry.example/app:2."""
    blobs = MemoryBlobs()
    first, second = sample(TAR), sample(TAR + TAR)
    first.put(blobs)
    second.put(blobs)
    path = tmp_path / "layout"
    write_layout(path, (entry(first, **{REF_NAME: "one"}), entry(second, **{REF_NAME: "2", IMAGE_NAME: "registry.example/app:2"})), blobs)
    return path


@pytest.mark.parametrize(
    ("name", "layer"), [("one", TAR), ("2", TAR + TAR), ("registry.example/app:2", TAR + TAR), (sample(TAR).descriptor.digest, TAR)]
)
def test_images_are_found_by_name_and_digest(layout: Path, name: str, layer: bytes) -> None:
    assert Layout.at(layout).find(name).digest == sample(layer).descriptor.digest


def test_an_image_inside_an_index_is_found_by_its_digest(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    image = sample(TAR)
    image.put(blobs)
    root, raw = index_over((image, Platform("amd64", "linux")))
    blobs.put(raw)
    write_layout(tmp_path / "layout", (root,), blobs)
    opened = Layout.at(tmp_path / "layout")
    assert opened.find(image.descriptor.digest).digest == image.descriptor.digest
    assert opened.find(None).digest == root.digest


def test_names_that_are_not_there(layout: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        Layout.at(layout).find("ones")
    assert (caught.value.message, caught.value.help) == (f"{layout} has no image 'ones'", "did you mean one?")
    with pytest.raises(NotFoundError) as caught:
        Layout.at(layout).find(None)
    assert (caught.value.message, caught.value.help) == (f"{layout} holds 2 images", "it has 2, one, registry.example/app:2")


def test_a_written_layout_is_whole_and_readable_by_all(layout: Path) -> None:
    assert validate_layout(layout) == []
    assert {os.stat(path).st_mode & 0o777 for path in (layout / "blobs/sha256").iterdir()} == {0o644}
    assert json.loads((layout / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}


def test_two_writers_lose_no_entry(tmp_path: Path) -> None:
    images = [sample(TAR, bytes([number]) * 512) for number in range(8)]

    def write(image: Sample, name: str) -> None:
        blobs = MemoryBlobs()
        image.put(blobs)
        write_layout(tmp_path / "layout", (entry(image, **{REF_NAME: name}),), blobs)

    threads = [threading.Thread(target=write, args=(image, f"n{number}")) for number, image in enumerate(images)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened = Layout.at(tmp_path / "layout")
    assert sorted(descriptor.annotations[REF_NAME] for descriptor in opened.index.manifests) == [f"n{number}" for number in range(8)]
    assert validate_layout(tmp_path / "layout") == []


def test_a_half_written_blob_is_written_again(layout: Path) -> None:
    blobs = MemoryBlobs()
    image = sample(TAR)
    image.put(blobs)
    path = layout / "blobs/sha256" / image.manifest.layers[0].digest[7:]
    path.write_bytes(b"torn")
    write_layout(layout, (entry(image, **{REF_NAME: "one"}),), blobs)
    assert validate_layout(layout) == []


def test_corrupt_blobs_are_not_written(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    image = sample(TAR)
    image.put(blobs)
    layer = image.manifest.layers[0]
    blobs.place(layer.digest, b"x" * layer.size)
    with pytest.raises(CorruptionError):
        write_layout(tmp_path / "layout", (image.descriptor,), blobs)
    assert not (tmp_path / "layout/index.json").exists()
    assert not (tmp_path / "layout/blobs/sha256" / layer.digest[7:]).exists()


@pytest.mark.parametrize(
    ("file", "content", "code"),
    [
        ("oci-layout", '{"imageLayoutVersion":"2.0.0"}', "layout-version"),
        ("oci-layout", "not json", "layout-version"),
        ("index.json", "not json", "manifest-invalid"),
        ("index.json", sample(TAR).manifest_raw.decode(), "layout-index"),
        ("index.json", '{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"sha256:../x","size":1}]}', "invalid-digest"),
        ("index.json", " " * (5 << 20), "file-too-large"),
    ],
)
def test_a_broken_layout_is_refused(layout: Path, file: str, content: str, code: str) -> None:
    (layout / file).write_text(content)
    with pytest.raises(LayerwrightError) as caught:
        Layout.at(layout)
    assert caught.value.code == code


def test_what_is_no_layout_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        Layout.at(tmp_path)
    assert caught.value.code == "no-layout"


@pytest.mark.parametrize("name", ["oci-layout", "index.json", "blob"])
@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["symlink", "fifo"])
def test_links_and_pipes_in_a_layout_are_not_read(layout: Path, tmp_path: Path, name: str, kind: str) -> None:
    """A layout from elsewhere may hold a link to a file of the host, or a pipe that never ends (CVE-2022-4122, CVE-2024-9676)."""
    digest = digest_of(b"canary")
    target = layout / "blobs/sha256" / digest[7:] if name == "blob" else layout / name
    target.unlink(missing_ok=True)
    if kind == "symlink":
        (tmp_path / "canary").write_bytes(b"canary")
        target.symlink_to(tmp_path / "canary")
    else:
        os.mkfifo(target)

    def read() -> bytes:
        return read_blob(Layout.at(layout), digest, 100)

    with pytest.raises(LayerwrightError) as caught:
        read()
    assert "canary" not in caught.value.message.replace(str(tmp_path), "")


def test_a_layout_is_loaded_whole(layout: Path) -> None:
    blobs = MemoryBlobs()
    loaded = load_layout(Layout.at(layout), blobs)
    assert [[str(name) for name in image.names] for image in loaded] == [[], ["registry.example/app:2"]]
    assert [validate(blobs, image.descriptor) for image in loaded] == [[], []]
