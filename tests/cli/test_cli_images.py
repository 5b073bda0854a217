"""Commands on the store's images: each with its whole output."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.image.archives import load_archive
from builder.image.validate import validate, validate_layout
from builder.oci.platform import Platform, parse_platform
from builder.oci.reference import parse_reference
from builder.store.blobs import MemoryBlobs
from builder.store.store import Store
from tests.cli.commands import Cli
from tests.privileges import needs_no_namespace
from tests.registry.fake_registry import FakeRegistry, Sample, index_over, sample

pytestmark = needs_no_namespace

TAR = bytes(10240)
IMAGE = sample(TAR, TAR + TAR)
DIGEST = IMAGE.descriptor.digest
IMAGE_ID = IMAGE.manifest.config.digest
SHORT = IMAGE_ID[7:19]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


def stored(cli: Cli, *names: str, image: Sample = IMAGE) -> None:
    """An image in the store under these names."""
    with Store.open(cli.root) as store:
        descriptor = image.put(store.blobs)
        for name in names:
            store.images.set(str(parse_reference(name)), descriptor)


def test_pull(cli: Cli, fake: FakeRegistry) -> None:
    fake.add_image("app", "1", IMAGE)
    done = cli("pull", f"{fake.host}/app:1")
    assert (done.code, done.out) == (0, f"{fake.host}/app:1: {DIGEST}\n")
    assert sorted(done.err.splitlines()) == sorted(
        f"{part.digest[:19]} pulled, {part.size}B" for part in (IMAGE.manifest.config, *IMAGE.manifest.layers)
    )
    assert cli("pull", "-q", f"{fake.host}/app:1").whole == (0, f"{DIGEST}\n", "")
    assert cli("images", "-q").out == f"{SHORT}\n"


def test_pull_of_a_tag_that_is_not_there(cli: Cli, fake: FakeRegistry) -> None:
    fake.add_image("app", "bookworm", IMAGE)
    assert cli("pull", f"{fake.host}/app:bookwrm").whole == (
        1,
        "",
        f"error[manifest-unknown]: {fake.host} has no {fake.host}/app:bookwrm\n  = help: did you mean {fake.host}/app:bookworm?\n",
    )


def test_pull_of_what_is_no_name(cli: Cli) -> None:
    done = cli("pull", "App")
    assert done.code == 2
    assert done.err.startswith("error[invalid-reference]: 'App' is not an image reference: a repository name has only lower-case letters")


def several() -> tuple[Sample, Sample, bytes]:
    amd, arm = sample(TAR), sample(TAR + TAR, architecture="arm64")
    _, raw = index_over((amd, Platform("amd64", "linux")), (arm, parse_platform("linux/arm64")))
    return amd, arm, raw


def test_platforms_of_an_index(cli: Cli, fake: FakeRegistry, tmp_path: Path) -> None:
    amd, arm, raw = several()
    for image in (amd, arm):
        fake.add_image("app", None, image)
    root = fake.add_manifest("app", "1", "application/vnd.oci.image.index.v1+json", raw)
    name = f"{fake.host}/app:1"
    assert cli("pull", "-q", "--platform", "linux/arm64", name).out == f"{root.digest}\n"
    assert cli("save", "--format", "oci", "--platform", "linux/arm64", "-o", "arm.tar", name).whole == (0, "", "")
    assert loaded(tmp_path / "arm.tar") == [arm.descriptor.digest]
    done = cli("push", name, f"{fake.host}/copy:1")
    assert done.code == 1
    assert done.err.startswith("error[manifest-missing]: the store has not the manifest")
    assert done.err.endswith("  = help: pull it with --all-platforms\n")
    assert cli("push", "-q", "--platform", "linux/arm64", name, f"{fake.host}/copy:arm").out == f"{arm.descriptor.digest}\n"
    assert cli("pull", "-q", "--all-platforms", name).code == 0
    assert cli("push", "-q", name, f"{fake.host}/copy:1").out == f"{root.digest}\n"
    assert cli("save", "--format", "oci", "-o", "all.tar", name).code == 0
    assert loaded(tmp_path / "all.tar") == [root.digest]
    assert cli("fsck").whole == (0, "the store is whole\n", "")


def loaded(path: Path) -> list[str]:
    """The digests of an archive's images, each checked bit by bit."""
    blobs = MemoryBlobs()
    with open(path, "rb") as stream:
        images = load_archive(stream, blobs)
    assert [validate(blobs, image.descriptor) for image in images] == [[] for _ in images]
    return [image.descriptor.digest for image in images]


def test_push(cli: Cli, fake: FakeRegistry) -> None:
    stored(cli, f"{fake.host}/app:1")
    done = cli("push", f"{fake.host}/app:1")
    assert (done.code, done.out) == (0, f"{fake.host}/app:1: {DIGEST}\n")
    assert all(" pushed, " in line for line in done.err.splitlines())
    assert cli("push", "-q", f"{fake.host}/app:1", f"{fake.host}/other:2").whole == (0, f"{DIGEST}\n", "")
    assert {name for name in fake.manifests if not name[1].startswith("sha256:")} == {("app", "1"), ("other", "2")}


def test_push_of_what_is_not_there(cli: Cli) -> None:
    stored(cli, "registry.example/app:1")
    assert cli("push", "registry.example/ap:1").whole == (
        1,
        "",
        "error[image-not-found]: there is no image registry.example/ap:1 in the store\n  = help: did you mean `registry.example/app:1`?\n",
    )


def test_tag_and_rm(cli: Cli) -> None:
    stored(cli, "app:1")
    assert cli("tag", "app:1", "app:2", "registry.example/app").whole == (0, "", "")
    assert cli("tag", SHORT, "by-id").whole == (0, "", "")
    assert cli("images").out == (
        "NAME                          IMAGE ID       SIZE\n"
        f"app:1                         {SHORT}   {sum(layer.size for layer in IMAGE.manifest.layers)}B\n"
        f"app:2                         {SHORT}   {sum(layer.size for layer in IMAGE.manifest.layers)}B\n"
        f"by-id:latest                  {SHORT}   {sum(layer.size for layer in IMAGE.manifest.layers)}B\n"
        f"registry.example/app:latest   {SHORT}   {sum(layer.size for layer in IMAGE.manifest.layers)}B\n"
    )
    assert cli("rm", "app:2").whole == (0, "app:2 removed\n", "")
    assert cli("rm", IMAGE_ID).whole == (
        0, f"app:1 removed\nby-id:latest removed\nregistry.example/app:latest removed; {DIGEST} has no name any more\n", "",
    )  # fmt: skip
    assert cli("rm", "app:2").whole == (
        1, "", "error[image-not-found]: there is no image app:2 in the store\n  = help: `layerwright images` lists what there is\n",
    )  # fmt: skip


def test_save_and_load(cli: Cli, tmp_path: Path) -> None:
    stored(cli, "app:1", "other:2")
    saved = cli("save", "app:1", "other:2")
    assert (saved.code, saved.err) == (0, "")
    with tarfile.open(fileobj=io.BytesIO(saved.raw)) as tar:
        names = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
    assert [entry["RepoTags"] for entry in names] == [["app:1"], ["other:2"]]
    fresh = Cli(tmp_path / "fresh")
    fresh.home.mkdir()
    (fresh.home / "a.tar").write_bytes(saved.raw)
    assert fresh("load", "-i", "a.tar").whole == (0, f"app:1, other:2: {DIGEST}\n", "")
    assert fresh("load", "-i", "a.tar", "--name", "third").whole == (0, f"third:latest: {DIGEST}\n", "")
    assert fresh("images", "-q").out == f"{SHORT}\n" * 3
    with Store.open(fresh.root) as store:
        assert validate(store.blobs, IMAGE.descriptor) == []


@pytest.mark.parametrize(("suffix", "tool"), [("gz", "gzip"), ("zst", "zstd"), ("xz", "xz")])
def test_load_of_a_compressed_archive(cli: Cli, tmp_path: Path, suffix: str, tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    stored(cli, "app:1")
    packed = subprocess.run([tool, "-c"], input=cli("save", "app:1").raw, capture_output=True, check=True).stdout
    (tmp_path / f"a.tar.{suffix}").write_bytes(packed)
    assert cli("load", "-q", "-i", f"a.tar.{suffix}").whole == (0, f"{DIGEST}\n", "")


def test_save_as_a_layout_directory(cli: Cli, tmp_path: Path) -> None:
    stored(cli, "app:1")
    assert cli("save", "--format", "dir", "-o", "layout", "app:1").whole == (0, "", "")
    assert validate_layout(tmp_path / "layout") == []
    assert cli("load", "-i", "layout").whole == (0, f"app:1: {DIGEST}\n", "")


def test_save_to_a_directory_that_is_there(cli: Cli, tmp_path: Path) -> None:
    stored(cli, "app:1")
    (tmp_path / "out").mkdir()
    assert cli("save", "-o", "out", "app:1").whole == (
        1, "", "error[output-is-directory]: the output out is a directory\n  = help: name a file in it, as dest=out/image.tar\n",
    )  # fmt: skip


def test_load_of_what_is_no_archive(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(TAR)
    assert cli("load", "-i", "a.tar").whole == (
        1,
        "",
        "error[not-an-archive]: this is no image archive: it has neither index.json nor manifest.json\n"
        "  = help: make one with `layerwright save`\n",
    )
    assert cli("load", "-i", "gone.tar").whole == (1, "", "error[file-not-found]: there is no gone.tar\n  = help: check the path\n")


def test_an_image_of_the_store_can_be_shown(cli: Cli) -> None:
    stored(cli, "app:1")
    assert json.loads(cli("inspect", "app:1").out)["id"] == IMAGE_ID
    assert cli("inspect", "--raw", "app:1").raw == IMAGE.manifest_raw
    assert cli("inspect", "--config", "app:1").raw == IMAGE.config_raw


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_output_that_is_full_is_no_bug(tmp_path: Path, unbuffered: str) -> None:
    command = [sys.executable, "-c", "from builder.cli.main import main; main()", "images", "--root", str(tmp_path / "store")]
    with open("/dev/full", "wb") as full:
        env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=env, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "error[disk-full]: no space left to write the output\n  = help: free some, or write it elsewhere\n",
    )
