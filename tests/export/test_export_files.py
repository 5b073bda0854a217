"""The local and tar outputs: the files of the result, and nothing through a link."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.errors import LayerwrightError, UsageError
from builder.export.exporter import Exported
from builder.export.local import write_files
from builder.export.parse import parse_output
from builder.export.table import make_exporter
from builder.fs.entries import Entry
from builder.fs.memorytree import MemoryTree
from builder.image.model import BuildResult
from builder.oci.platform import parse_platform
from tests.export.results import TIME, Bench, open_bench, put


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path / "store") as made:
        yield made


def export(bench: Bench, output: str, result: BuildResult, *, epoch: int | None = None) -> Exported:
    exporter = make_exporter(parse_output(output), msgspec.structs.replace(bench.means, epoch=epoch, stdout=io.BytesIO()))
    exporter.check()
    return exporter.export(result)


def listing(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_the_files_of_a_result(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = export(bench, f"type=local,dest={out}", bench.simple())
    assert said.message == f"wrote the files to {out}"
    assert listing(out) == ["bin", "bin/tool", "empty", "etc", "etc/config", "etc/config.again", "etc/link", "etc/motd", "pipe", "tmp"]
    assert (out / "etc/motd").read_bytes() == b"welcome\n"
    assert os.readlink(out / "etc/link") == "../../../etc/passwd"
    assert os.stat(out / "etc/config").st_ino == os.stat(out / "etc/config.again").st_ino
    assert stat.S_IMODE(os.stat(out / "bin/tool").st_mode) == 0o4755
    assert stat.S_IMODE(os.stat(out / "tmp").st_mode) == 0o1777
    assert stat.S_ISFIFO(os.stat(out / "pipe").st_mode)
    assert os.stat(out / "bin/tool").st_mtime_ns == os.stat(out / "tmp").st_mtime_ns == TIME


def test_what_a_later_layer_deletes_is_not_there(bench: Bench, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a whiteout needs root to be made here")
    base = bench.layer((), lambda upper: put(upper / "dir/file", b"1"))
    top = bench.layer((base,), lambda upper: os.mknod(upper / "dir", stat.S_IFCHR, 0))
    export(bench, f"type=local,dest={tmp_path}/out", bench.result(bench.image((base, top))))
    assert listing(tmp_path / "out") == []


def test_owners_become_whoever_exports(bench: Bench, tmp_path: Path) -> None:
    tree = MemoryTree([(Entry("file", "file", 0o640, 1234, 5678, TIME, 2), b"hi")])
    (tmp_path / "out").mkdir()
    write_files(tmp_path / "out", tree)
    assert os.stat(tmp_path / "out/file").st_uid == os.geteuid()
    assert stat.S_IMODE(os.stat(tmp_path / "out/file").st_mode) == 0o640


def test_what_is_there_stays_and_is_overwritten(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "out"
    put(out / "mine", b"mine")
    put(out / "etc/motd", b"old")
    put(out / "empty/file", b"in the way")
    put(out / "tmp", b"in the way")
    export(bench, f"type=local,dest={out}", bench.simple())
    assert (out / "mine").read_bytes() == b"mine"
    assert (out / "etc/motd").read_bytes() == b"welcome\n"
    assert (out / "empty").is_file()
    assert (out / "tmp").is_dir()


def test_mode_delete_removes_the_rest(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "out"
    put(out / "mine", b"mine")
    put(out / "etc/deep/er/file", b"old")
    export(bench, f"type=local,dest={out},mode=delete", bench.simple())
    assert not (out / "mine").exists()
    assert not (out / "etc/deep").exists()
    assert (out / "etc/motd").exists()


@pytest.mark.parametrize("where", ["etc", "bin", "etc/motd", "empty"])
def test_no_link_in_the_destination_is_followed(bench: Bench, tmp_path: Path, where: str) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    put(outside / "motd", b"canary")
    put(outside / "tool", b"canary")
    (out / where).parent.mkdir(parents=True, exist_ok=True)
    (out / where).symlink_to(outside / "motd" if where in ("etc/motd", "empty") else outside)
    export(bench, f"type=local,dest={out}", bench.simple())
    assert not (out / where).is_symlink()
    assert listing(outside) == ["motd", "tool"]
    assert (outside / "motd").read_bytes() == (outside / "tool").read_bytes() == b"canary"


def test_a_destination_that_is_itself_a_link_is_the_users_choice(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    export(bench, f"type=local,dest={tmp_path}/out", bench.simple())
    assert (tmp_path / "real/etc/motd").exists()


def test_a_directory_that_may_not_be_written_to_is_filled(bench: Bench, tmp_path: Path) -> None:
    entries = [(Entry("locked", "dir", 0o500, mtime_ns=TIME), b""), (Entry("locked/file", "file", 0o400, mtime_ns=TIME, size=1), b"1")]
    (tmp_path / "out").mkdir()
    write_files(tmp_path / "out", MemoryTree(entries))
    assert (tmp_path / "out/locked/file").read_bytes() == b"1"
    assert stat.S_IMODE(os.stat(tmp_path / "out/locked").st_mode) == 0o500
    assert os.stat(tmp_path / "out/locked").st_mtime_ns == TIME


@pytest.mark.parametrize("name", [b"new\nline", b"\xff\xfe", b"-rf", b"\x1b[31m", "ünï".encode()])
def test_names_are_bytes(tmp_path: Path, name: bytes) -> None:
    path = name.decode("utf-8", "surrogateescape")
    (tmp_path / "out").mkdir()
    write_files(tmp_path / "out", MemoryTree([(Entry(path, "file", 0o644, size=1), b"1")]))
    assert os.listdir(os.fsencode(tmp_path / "out")) == [name]


def test_a_destination_that_is_a_file_is_refused_before_the_build(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(LayerwrightError) as caught:
        export(bench, f"type=local,dest={tmp_path}/out", bench.simple())
    assert caught.value.code == "output-not-directory"


def test_a_tar_has_the_files_in_order_with_owners_and_times(bench: Bench, tmp_path: Path) -> None:
    export(bench, f"type=tar,dest={tmp_path}/a.tar", bench.simple())
    with tarfile.open(tmp_path / "a.tar") as tar:
        members = {member.name: member for member in tar.getmembers()}
        config = tar.extractfile("etc/config")
        assert config is not None
        assert config.read() == b"x" * 5000
    assert list(members) == ["bin", "bin/tool", "empty", "etc", "etc/config", "etc/config.again", "etc/link", "etc/motd", "pipe", "tmp"]
    assert members["etc/config.again"].islnk()
    assert members["etc/config.again"].linkname == "etc/config"
    assert members["etc/link"].linkname == "../../../etc/passwd"
    assert members["bin/tool"].mode == 0o4755
    assert members["bin/tool"].mtime == TIME // 10**9


def test_an_epoch_is_the_time_of_every_file(bench: Bench, tmp_path: Path) -> None:
    result = bench.simple()
    export(bench, f"type=tar,dest={tmp_path}/a.tar", result, epoch=1)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert {member.mtime for member in tar.getmembers()} == {1}
    export(bench, f"type=local,dest={tmp_path}/out,source-date-epoch=2", result, epoch=1)
    assert {path.lstat().st_mtime for path in (tmp_path / "out").rglob("*")} == {2.0}


def test_platforms_go_into_directories_of_their_own(bench: Bench, tmp_path: Path) -> None:
    layers = [bench.layer((), lambda upper, text=text: put(upper / "file", text)) for text in (b"amd", b"arm")]
    result = bench.result(bench.image((layers[0],)), bench.image((layers[1],), parse_platform("linux/arm/v7")))
    export(bench, f"type=local,dest={tmp_path}/out", result)
    assert (tmp_path / "out/linux_amd64/file").read_bytes() == b"amd"
    assert (tmp_path / "out/linux_arm_v7/file").read_bytes() == b"arm"
    export(bench, f"type=tar,dest={tmp_path}/a.tar", result)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == ["linux_amd64", "linux_amd64/file", "linux_arm_v7", "linux_arm_v7/file"]
    with pytest.raises(UsageError) as caught:
        export(bench, f"type=local,dest={tmp_path}/flat,platform-split=false", result)
    assert caught.value.code == "platform-split"


def test_one_platform_can_be_asked_for_a_directory_too(bench: Bench, tmp_path: Path) -> None:
    export(bench, f"type=local,dest={tmp_path}/out,platform-split=true", bench.simple())
    assert (tmp_path / "out/linux_amd64/etc/motd").exists()
