"""The oci and docker outputs: whole, atomic, the same bytes for the same image, and read by others."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.errors import CorruptionError, LayerwrightError, UsageError
from builder.export.exporter import Exporter
from builder.export.parse import parse_output
from builder.export.table import make_exporter
from builder.image.archives import load_archive
from builder.image.validate import validate, validate_layout
from builder.oci.digest import digest_of
from builder.oci.platform import parse_platform
from builder.oci.reference import parse_reference
from builder.store.blobs import MemoryBlobs
from builder.store.layout import Layout
from tests.export.results import AMD64, Bench, open_bench, put

NAMES = (parse_reference("registry.example/team/app:1"), parse_reference("app"))
CREATED = "2024-01-01T00:00:00Z"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path / "store") as made:
        yield made


def exporter(bench: Bench, output: str, stdout: io.BytesIO | None = None) -> Exporter:
    means = msgspec.structs.replace(bench.means, names=NAMES, created=CREATED, stdout=stdout)
    made = make_exporter(parse_output(output), means)
    made.check()
    return made


def names(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_an_archive_is_the_same_whenever_it_is_written(bench: Bench, tmp_path: Path, kind: str) -> None:
    result = bench.simple()
    stream = io.BytesIO()
    exporter(bench, f"type={kind},dest={tmp_path}/a.tar").export(result)
    exporter(bench, f"type={kind},dest=-", stream).export(result)
    assert (tmp_path / "a.tar").read_bytes() == stream.getvalue()
    with tarfile.open(tmp_path / "a.tar") as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(member.mtime, member.uid, member.uname) for member in members} == {(0, 0, "")}
    assert sorted(os.listdir(tmp_path)) == ["a.tar", "store"]


def test_an_oci_archive_has_its_names_and_its_date(bench: Bench, tmp_path: Path) -> None:
    result = bench.simple()
    said = exporter(bench, f"type=oci,dest={tmp_path}/a.tar").export(result)
    assert said.message == f"wrote {tmp_path}/a.tar"
    with tarfile.open(tmp_path / "a.tar") as tar:
        tar.extractall(tmp_path / "layout")
    assert validate_layout(tmp_path / "layout") == []
    index = json.loads((tmp_path / "layout/index.json").read_text())
    name, ref, created = "io.containerd.image.name", "org.opencontainers.image.ref.name", "org.opencontainers.image.created"
    assert [entry["annotations"] for entry in index["manifests"]] == [
        {name: "registry.example/team/app:1", created: CREATED, ref: "1"},
        {name: "docker.io/library/app:latest", created: CREATED, ref: "latest"},
    ]
    assert {entry["digest"] for entry in index["manifests"]} == {result.descriptor.digest}


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_what_is_written_can_be_loaded(bench: Bench, tmp_path: Path, kind: str) -> None:
    result = bench.simple()
    exporter(bench, f"type={kind},dest={tmp_path}/a.tar").export(result)
    blobs = MemoryBlobs()
    with open(tmp_path / "a.tar", "rb") as stream:
        (loaded,) = load_archive(stream, blobs)
    assert loaded.names == NAMES
    assert loaded.descriptor.digest == result.descriptor.digest
    assert validate(blobs, loaded.descriptor) == []


def test_a_layout_directory_keeps_what_it_has(bench: Bench, tmp_path: Path) -> None:
    first, second = bench.simple(), bench.result(bench.image((bench.layer((), lambda upper: put(upper / "other", b"1")),)))
    layout = tmp_path / "layout"
    other = msgspec.structs.replace(bench.means, names=(parse_reference("other:2"),))
    exporter(bench, f"type=oci,tar=false,dest={layout}").export(first)
    make_exporter(parse_output(f"type=oci,tar=false,dest={layout}"), other).export(second)
    assert validate_layout(layout) == []
    opened = Layout.at(layout)
    assert [opened.find(name).digest for name in ("1", "docker.io/library/app:latest", "2")] == [
        first.descriptor.digest, first.descriptor.digest, second.descriptor.digest,
    ]  # fmt: skip
    make_exporter(parse_output(f"type=oci,tar=false,dest={layout}"), other).export(first)
    assert Layout.at(layout).find("2").digest == first.descriptor.digest
    assert len(Layout.at(layout).index.manifests) == 3


def test_a_nameless_layout_is_called_latest(bench: Bench, tmp_path: Path) -> None:
    result = bench.simple()
    make_exporter(parse_output(f"type=oci,tar=false,dest={tmp_path}/layout"), bench.means).export(result)
    assert Layout.at(tmp_path / "layout").find("latest").digest == result.descriptor.digest


def test_several_platforms_go_into_one_oci_archive_but_no_docker_one(bench: Bench, tmp_path: Path) -> None:
    layer = bench.layer((), lambda upper: put(upper / "file", b"1"))
    result = bench.result(bench.image((layer,)), bench.image((layer,), parse_platform("linux/arm64")))
    exporter(bench, f"type=oci,dest={tmp_path}/a.tar").export(result)
    blobs = MemoryBlobs()
    with open(tmp_path / "a.tar", "rb") as stream:
        (loaded,) = load_archive(stream, blobs)
    assert validate(blobs, loaded.descriptor) == []
    with pytest.raises(UsageError) as caught:
        exporter(bench, f"type=docker,dest={tmp_path}/b.tar").export(result)
    assert caught.value.code == "docker-one-platform"
    assert not (tmp_path / "b.tar").exists()


def test_docker_finds_its_own_files(bench: Bench, tmp_path: Path) -> None:
    result = bench.simple()
    exporter(bench, f"type=docker,dest={tmp_path}/a.tar").export(result)
    (image,) = result.images
    with tarfile.open(tmp_path / "a.tar") as tar:
        files = {name: tar.extractfile(name) for name in ("manifest.json", "repositories")}
        (saved,) = json.loads(files["manifest.json"].read())  # type: ignore[union-attr]
        repositories = json.loads(files["repositories"].read())  # type: ignore[union-attr]
        assert {saved["Config"], *saved["Layers"]} < set(tar.getnames())
    assert saved["RepoTags"] == ["registry.example/team/app:1", "app:latest"]
    assert saved["Layers"] == [f"blobs/sha256/{layer.digest[7:]}" for layer in image.manifest.layers]
    assert set(repositories) == {"registry.example/team/app", "app"}


@pytest.mark.parametrize("kind", ["oci", "docker", "tar"])
def test_a_destination_that_is_a_directory_says_what_to_write(bench: Bench, tmp_path: Path, kind: str) -> None:
    with pytest.raises(LayerwrightError) as caught:
        exporter(bench, f"type={kind},dest={tmp_path}")
    assert (caught.value.message, caught.value.help) == (
        f"the output {tmp_path} is a directory",
        f"name a file in it, as dest={tmp_path}/image.tar",
    )


def test_a_destination_without_its_directory_says_so(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(LayerwrightError) as caught:
        exporter(bench, f"type=oci,dest={tmp_path}/a/b.tar")
    assert caught.value.help == f"make it: mkdir -p {tmp_path}/a"


def test_an_archive_is_not_written_to_a_terminal(bench: Bench) -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    with pytest.raises(UsageError) as caught:
        exporter(bench, "type=oci,dest=-", Terminal())
    assert caught.value.code == "output-is-terminal"


def test_a_failed_export_leaves_the_old_file(bench: Bench, tmp_path: Path) -> None:
    result = bench.simple()
    (tmp_path / "a.tar").write_bytes(b"old")
    layer = bench.store.blobs.path(result.images[0].manifest.layers[0].digest)
    with open(layer, "r+b") as file:
        file.write(b"rotten")
    with pytest.raises(CorruptionError):
        exporter(bench, f"type=oci,dest={tmp_path}/a.tar").export(result)
    assert (tmp_path / "a.tar").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["a.tar", "store"]


def test_a_link_as_destination_is_written_through(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "real.tar").write_bytes(b"old")
    (tmp_path / "a.tar").symlink_to("real.tar")
    exporter(bench, f"type=oci,dest={tmp_path}/a.tar").export(bench.simple())
    assert (tmp_path / "a.tar").is_symlink()
    assert "oci-layout" in names(tmp_path / "real.tar")


def test_an_image_without_layers_can_be_saved(bench: Bench, tmp_path: Path) -> None:
    result = bench.result(bench.image(()))
    exporter(bench, f"type=docker,dest={tmp_path}/a.tar").export(result)
    blobs = MemoryBlobs()
    with open(tmp_path / "a.tar", "rb") as stream:
        (loaded,) = load_archive(stream, blobs)
    assert validate(blobs, loaded.descriptor) == []


@pytest.mark.parametrize(("output", "transport"), [("oci", "oci-archive"), ("docker", "docker-archive")])
def test_skopeo_reads_it(bench: Bench, tmp_path: Path, output: str, transport: str) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    result = bench.simple()
    means = msgspec.structs.replace(bench.means, names=NAMES[:1])
    make_exporter(parse_output(f"type={output},dest={tmp_path}/a.tar"), means).export(result)
    said = subprocess.run(
        ["skopeo", "inspect", "--raw", "--config", f"{transport}:{tmp_path}/a.tar"], check=True, capture_output=True
    ).stdout
    assert digest_of(said) == result.images[0].manifest.config.digest


def test_umoci_unpacks_it(bench: Bench, tmp_path: Path) -> None:
    if shutil.which("umoci") is None or os.geteuid() != 0:
        pytest.skip("umoci is not installed, or no root")
    exporter(bench, f"type=oci,tar=false,dest={tmp_path}/layout").export(bench.simple())
    subprocess.run(["umoci", "unpack", "--image", f"{tmp_path}/layout:1", str(tmp_path / "bundle")], check=True, capture_output=True)
    root = tmp_path / "bundle/rootfs"
    assert (root / "etc/motd").read_bytes() == b"welcome\n"
    assert os.stat(root / "etc/config").st_ino == os.stat(root / "etc/config.again").st_ino
    assert os.stat(root / "bin/tool").st_mode & 0o7777 == 0o4755


def test_docker_loads_it(bench: Bench, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    dockerd = request.getfixturevalue("dockerd")
    means = msgspec.structs.replace(bench.means, names=(parse_reference("lw-export-test:1"),), engine=f"unix://{dockerd.socket}")
    result = bench.simple()
    make_exporter(parse_output(f"type=docker,dest={tmp_path}/a.tar"), means).export(result)
    assert b"Loaded image: lw-export-test:1" in dockerd.docker("load", "-i", f"{tmp_path}/a.tar").stdout
    dockerd.docker("rmi", "lw-export-test:1")
    said = make_exporter(parse_output("type=docker"), means).export(result)
    assert said.message == "loaded lw-export-test:1 into the docker engine"
    (inspected,) = json.loads(dockerd.docker("image", "inspect", "lw-export-test:1").stdout)
    assert inspected["RootFS"]["Layers"] == list(result.images[0].config.rootfs.diff_ids)
    assert AMD64.architecture == inspected["Architecture"]


def test_no_engine_is_one_sentence(bench: Bench, tmp_path: Path) -> None:
    means = msgspec.structs.replace(bench.means, engine=f"unix://{tmp_path}/no.sock")
    with pytest.raises(LayerwrightError) as caught:
        make_exporter(parse_output("type=docker"), means).export(bench.simple())
    assert caught.value.message == f"the docker engine at unix://{tmp_path}/no.sock cannot be used: No such file or directory"
