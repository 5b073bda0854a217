"""Against a registry that is not ours (docker-registry), with clients that are not ours (skopeo)."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from builder.errors import NotFoundError
from builder.image.validate import validate, validate_layout
from builder.oci.platform import Platform, parse_platform
from builder.oci.reference import parse_reference
from builder.registry.client import Registry
from builder.registry.settings import Settings
from builder.registry.transfer import Control, Transfer
from builder.store.blobs import MemoryBlobs
from tests.peers.distribution import Registry as Server
from tests.privileges import ROOT, ROOT_OF_THE_MACHINE
from tests.registry.fake_registry import index_over, sample

AMD64 = Platform("amd64", "linux")
ARM64 = parse_platform("linux/arm64")
TAR = bytes(10240)
BIG = bytes(range(256)) * 20_000


def needs(tool: str) -> str:
    path = shutil.which(tool)
    if tool == "skopeo" and ROOT and not ROOT_OF_THE_MACHINE:
        pytest.skip("skopeo takes uid 0 for root of the machine, and wants to read its signatures")
    if path is None:
        pytest.skip(f"{tool} is not installed")
    return path


def test_an_image_comes_back_as_it_was_pushed(registry: Server) -> None:
    image = sample(TAR, BIG + bytes(512))
    blobs, others = MemoryBlobs(), MemoryBlobs()
    reference = parse_reference(f"{registry.host}/round/trip:1")
    with Registry(Settings(), blobs) as client:
        client.push(reference, image.put(blobs))
    with Registry(Settings(), others) as client:
        assert client.pull(reference, AMD64) == image.descriptor
    assert validate(others, image.descriptor) == []


def test_an_index_comes_back_whole(registry: Server) -> None:
    blobs, others = MemoryBlobs(), MemoryBlobs()
    amd, arm = sample(TAR), sample(TAR + TAR, architecture="arm64")
    for image in (amd, arm):
        image.put(blobs)
    root, raw = index_over((amd, AMD64), (arm, ARM64))
    blobs.put(raw)
    reference = parse_reference(f"{registry.host}/several:1")
    with Registry(Settings(), blobs) as client:
        client.push(reference, root)
    with Registry(Settings(), others) as client:
        assert client.pull(reference, None) == root
        assert client.resolve(reference, ARM64).config.architecture == "arm64"
    assert validate(others, root) == []


def test_a_layer_is_mounted_between_repositories(registry: Server) -> None:
    blobs = MemoryBlobs()
    base, image = sample(BIG), sample(BIG, TAR)
    told: list[Transfer] = []
    layer = base.manifest.layers[0].digest
    with Registry(Settings(), blobs, control=Control(told.append)) as client:
        client.push(parse_reference(f"{registry.host}/mount/base:1"), base.put(blobs))
        descriptor = image.put(blobs)
        blobs.delete(layer)
        client.push(parse_reference(f"{registry.host}/mount/app:1"), descriptor, origins={layer: f"{registry.host}/mount/base"})
    assert [transfer.state for transfer in told if transfer.digest == layer][-1] == "mounted"
    assert not blobs.has(layer)


def test_an_unknown_tag_suggests_the_nearest(registry: Server) -> None:
    blobs = MemoryBlobs()
    with Registry(Settings(), blobs) as client:
        client.push(parse_reference(f"{registry.host}/tagged:bookworm"), sample(TAR).put(blobs))
        with pytest.raises(NotFoundError) as caught:
            client.resolve(parse_reference(f"{registry.host}/tagged:bookwrom"), AMD64)
    assert caught.value.help == f"did you mean {registry.host}/tagged:bookworm?"


def test_skopeo_reads_what_we_push(registry: Server, tmp_path: Path) -> None:
    skopeo = needs("skopeo")
    blobs = MemoryBlobs()
    image = sample(TAR)
    with Registry(Settings(), blobs) as client:
        client.push(parse_reference(f"{registry.host}/skopeo/reads:1"), image.put(blobs))
    layout = tmp_path / "layout"
    subprocess.run(
        [skopeo, "copy", "-q", "--src-tls-verify=false", f"docker://{registry.host}/skopeo/reads:1", f"oci:{layout}:1"], check=True
    )
    assert validate_layout(layout) == []
    assert json.loads((layout / "index.json").read_text())["manifests"][0]["digest"] == image.descriptor.digest


@pytest.mark.parametrize("form", ["v2s2", "oci"])
def test_we_read_what_skopeo_pushes(registry: Server, tmp_path: Path, form: str) -> None:
    skopeo = needs("skopeo")
    blobs = MemoryBlobs()
    image = sample(TAR)
    with Registry(Settings(), blobs) as client:
        client.push(parse_reference(f"{registry.host}/skopeo/{form}:1"), image.put(blobs))
        host = f"docker://{registry.host}/skopeo/{form}"
        subprocess.run(
            [skopeo, "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", "--format", form, f"{host}:1", f"{host}:2"],
            check=True,
        )
        reference = parse_reference(f"{registry.host}/skopeo/{form}:2")
        descriptor = client.pull(reference, AMD64)
    assert ("docker" in descriptor.media_type) == (form == "v2s2")
    assert validate(blobs, descriptor) == []


def test_a_debian_base_comes_whole(debian_base: str) -> None:
    blobs = MemoryBlobs()
    with Registry(Settings(), blobs) as client:
        descriptor = client.pull(parse_reference(debian_base), None)
    assert validate(blobs, descriptor) == []
