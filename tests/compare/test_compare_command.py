"""`layerwright diff`: two images from anywhere, with its whole output and its exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from builder.oci.config import History, decode_config, encode_config
from builder.oci.digest import digest_of
from builder.oci.manifest import describe, encode
from builder.oci.media import OCI_CONFIG
from builder.oci.platform import parse_platform
from builder.oci.reference import parse_reference
from builder.store.store import Store
from tests.cli.commands import Cli
from tests.compare.layers import directory, file, gone, image, is_root, keep
from tests.registry.fake_registry import FakeRegistry, Sample, index_over, sample

pytestmark = pytest.mark.skipif(not is_root(), reason="an ordinary user enters a user namespace, which a test's own process must not")

BASE = [directory("etc"), file("etc/motd", b"hello\n"), file("etc/old", b"old"), file("bin", b"\x7fELF", 0o755)]
ONE = image(BASE)
OTHER = image(BASE, [directory("etc", mtime_ns=60 * 10**9), gone("etc/old"), file("etc/motd", b"hello!\n", 0o600), file("etc/new\x1b[31m")])


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    made = Cli(tmp_path)
    keep(made.root, "app:1", ONE)
    keep(made.root, "app:2", OTHER)
    return made


def configured(made: Sample, **fields: object) -> Sample:
    """The same layers under another config."""
    config = decode_config(made.config_raw)
    run = {name: fields.pop(name) for name in ("env", "labels", "cmd") if name in fields}
    config = msgspec.structs.replace(config, config=msgspec.structs.replace(config.config, **run), **fields)
    raw = encode_config(config)
    manifest = msgspec.structs.replace(made.manifest, config=describe(raw, OCI_CONFIG))
    return Sample(manifest, encode(manifest), raw, made.layers)


def test_the_whole_output(cli: Cli) -> None:
    added = OTHER.manifest.layers[1]
    assert cli("diff", "app:1", "app:2").whole == (
        1,
        f"--- app:1  linux/amd64  {ONE.descriptor.digest}\n"
        f"+++ app:2  linux/amd64  {OTHER.descriptor.digest}\n"
        "layers\n"
        f"  + 2  {added.digest[7:19]}  {added.size}B\n"
        "files\n"
        "  ~ /etc  mtime 1970-01-01T00:00:00Z -> 1970-01-01T00:01:00Z  (layer 1 -> 2)\n"
        "  ~ /etc/motd  content, 6 -> 7 bytes, mode 0644 -> 0600  (layer 1 -> 2)\n"
        "  + /etc/new  file 0644 0:0 1B  (layer 2)\n"
        "  - /etc/old  file 0644 0:0 3B  (layer 1)\n"
        "different: 1 in layers, 4 in files\n",
        "",
    )


def test_the_same(cli: Cli) -> None:
    done = cli("diff", "app:1", "app:1")
    assert (done.code, done.out.splitlines()[-1], done.err) == (0, "no difference", "")
    assert cli("diff", "--format", "json", "app:1", "app:1").whole == (0, "", "")


def test_times_left_out(cli: Cli) -> None:
    done = cli("diff", "--only", "files", "--ignore-time", "--format", "json", "app:1", "app:2")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [(line["change"], line["path"], line["aspects"]) for line in lines] == [
        ("changed", "etc/motd", ["content", "mode"]), ("added", "etc/new\x1b[31m", []), ("removed", "etc/old", []),
    ]  # fmt: skip
    assert lines[0]["now"] == {
        "kind": "file", "mode": "0600", "uid": 0, "gid": 0, "mtime": "1970-01-01T00:00:00Z", "layer": 2, "size": 7,
        "sha256": digest_of(b"hello!\n").removeprefix("sha256:"),
    }  # fmt: skip
    moved = image([directory("etc", mtime_ns=10**9)])
    keep(cli.root, "moved", moved)
    keep(cli.root, "there", image([directory("etc")]))
    assert cli("diff", "--ignore-time", "moved", "there").code == 0
    assert cli("diff", "moved", "there").code == 1


def test_config_and_history(cli: Cli) -> None:
    one = configured(ONE, env=("A=1", "B=2"), labels={"v": "1"}, history=(History("1970-01-01T00:00:00Z", "ADD x"),))
    two = configured(
        ONE, env=("B=3", "C=4"), cmd=("sh",), history=(History("1970-01-01T00:00:01Z", "ADD x"), History(None, "RUN y", empty_layer=True))
    )
    keep(cli.root, "one", one)
    keep(cli.root, "two", two)
    assert cli("diff", "one", "two").out.splitlines()[2:] == [
        "config",
        '  + Cmd: ["sh"]',
        "  - Env.A: 1",
        "  ~ Env.B: 2 -> 3",
        "  + Env.C: 4",
        "  - Labels.v: 1",
        "history",
        "  ~ 1  ADD x  (created)",
        "  + 2  RUN y",
        "different: 5 in config, 2 in history",
    ]
    assert cli("diff", "--only", "history", "--ignore-time", "one", "two").out.splitlines()[2:] == [
        "history", "  + 2  RUN y", "different: 1 in history",
    ]  # fmt: skip


def test_the_same_image_from_everywhere(cli: Cli, tmp_path: Path) -> None:
    """Store, registry, archives of docker and OCI, a compressed one on standard input, a layout."""
    assert cli("save", "--format", "docker", "-o", "docker.tar", "app:1").code == 0
    assert cli("save", "--format", "oci", "-o", "oci.tar", "app:1", "app:2").code == 0
    assert cli("save", "--format", "dir", "-o", "layout", "app:1").code == 0
    packed = subprocess.run(["gzip", "-c", "docker.tar"], cwd=tmp_path, capture_output=True, check=True).stdout
    with FakeRegistry() as fake:
        fake.add_image("app", "1", ONE)
        remote = f"{fake.host}/app:1"
        for other in (
            "docker.tar",
            "./oci.tar:app:1",
            "layout",
            "oci-layout://layout",
            f"docker-image://{remote}",
            remote,
            "-",
            "./layout:1",
        ):
            done = cli("diff", "app:1", other, stdin=packed)
            assert (done.code, done.err) == (0, ""), other
        assert cli("diff", remote, "oci.tar:app:2").code == 1


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
def test_what_skopeo_made_of_an_image(cli: Cli, tmp_path: Path) -> None:
    """Another tool's archive and layout: other manifests, the same files."""
    assert cli("save", "--format", "oci", "-o", "oci.tar", "app:2").code == 0
    copies = (f"docker-archive:{tmp_path}/docker.tar:app:2", f"oci:{tmp_path}/layout:2", f"oci-archive:{tmp_path}/zstd.tar:app:2")
    for copy in copies:
        made = ["skopeo", "--insecure-policy", "copy", "-q", "--dest-compress-format=zstd", f"oci-archive:{tmp_path}/oci.tar", copy]
        subprocess.run([part for part in made if "zstd" in copy or "compress" not in part], check=True, capture_output=True)
    for other in ("docker.tar", "layout", "zstd.tar"):
        assert cli("diff", "--only", "files", "--only", "config", "--only", "history", "app:2", other).code == 0, other
    packed = cli("diff", "app:2", "zstd.tar")
    assert packed.code == 1
    assert "  ~ 2  the same files packed another way: " in packed.out
    assert "files" not in packed.out.splitlines()


def test_indexes_are_compared_by_platform(cli: Cli) -> None:
    arm, other_arm = sample(b"\0" * 10240, architecture="arm64"), sample(b"\0" * 20480, architecture="arm64")
    riscv = sample(b"\0" * 10240, architecture="riscv64")
    put_index(cli, "was", (ONE, "linux/amd64"), (arm, "linux/arm64"))
    put_index(cli, "now", (ONE, "linux/amd64"), (other_arm, "linux/arm64"), (riscv, "linux/riscv64"))
    done = cli("diff", "was", "now")
    assert done.code == 1
    assert done.out.splitlines()[:2] == ["manifest", f"  + platform linux/riscv64: {riscv.descriptor.digest}"]
    assert "--- was  linux/arm64" in done.out
    assert "linux/amd64" not in done.out
    assert cli("diff", "--platform", "linux/amd64", "was", "now").code == 0
    assert cli("diff", "was", "app:1").code == 0
    assert cli("diff", "app:1", "now").code == 0
    with Store.open(cli.root) as store:
        store.blobs.delete(arm.descriptor.digest)
    assert f"  ~ platform linux/arm64: {arm.descriptor.digest} -> {other_arm.descriptor.digest}" in cli("diff", "was", "now").out


def put_index(cli: Cli, name: str, *images: tuple[Sample, str]) -> None:
    descriptor, raw = index_over(*((made, parse_platform(text)) for made, text in images))
    with Store.open(cli.root) as store:
        for made, _ in images:
            made.put(store.blobs)
        store.blobs.put(raw)
        store.images.set(str(parse_reference(name)), descriptor)


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("app:1", "ap:2"), "image-not-found", "did you mean `app:2`?"),
        (("app:1", "./nothing.tar"), "file-unreadable", "check the path"),
        (("app:1", "two.tar"), "archive-ambiguous", "it has app:1, app:2"),
        (("app:1", "two.tar:app:3"), "archive-unknown", "it has app:1, app:2"),
        (("--platform", "linux/s390x", "index", "app:1"), "no-platform", "linux/amd64"),
        (("app:1", "lies"), "layer-diff-id", ""),
        (("app:1", "cut"), "tar-corrupt", ""),
    ],
)
def test_what_cannot_be_compared(cli: Cli, args: tuple[str, ...], code: str, said: str) -> None:
    cli("save", "--format", "oci", "-o", "two.tar", "app:1", "app:2")
    put_index(cli, "index", (ONE, "linux/amd64"))
    empty = sample(b"\0" * 10240)
    manifest = msgspec.structs.replace(empty.manifest, config=describe(ONE.config_raw, OCI_CONFIG))
    keep(cli.root, "lies", Sample(manifest, encode(manifest), ONE.config_raw, empty.layers))
    keep(cli.root, "cut", sample(b"no tar" * 200))
    done = cli("diff", *args)
    assert done.code == 2
    assert done.err.startswith(f"error[{code}]: ")
    assert said in done.err


def test_a_broken_image_of_the_same_digest_is_not_read(cli: Cli) -> None:
    """What has one digest is the same, whatever it is."""
    keep(cli.root, "cut", sample(b"no tar" * 200))
    assert cli("diff", "cut", "cut").code == 0
