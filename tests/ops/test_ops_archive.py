"""Reference 1.6, local archives; threats 5.1 and 5.2, hostile ones."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from builder.errors import LayerwrightError
from tests.privileges import needs_root_of_the_machine

NOW = 1_700_000_000_000_000_000
OLD = 1_500_000_000


def tar(*members: tuple[str, dict[str, Any]], format: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive; a member is (name, fields of TarInfo), `data` its contents."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, fields in members:
            info = tarfile.TarInfo(name)
            info.mtime = OLD
            data = fields.get("data", b"")
            for key, value in fields.items():
                if key != "data":
                    setattr(info, key, value)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def file(data: bytes = b"x", **fields: Any) -> dict[str, Any]:
    return {"data": data, "mode": 0o644, **fields}


def folder(**fields: Any) -> dict[str, Any]:
    return {"type": tarfile.DIRTYPE, "mode": 0o755, **fields}


def link(target: str, **fields: Any) -> dict[str, Any]:
    return {"type": tarfile.SYMTYPE, "linkname": target, **fields}


def hard(target: str, **fields: Any) -> dict[str, Any]:
    return {"type": tarfile.LNKTYPE, "linkname": target, "mode": 0o644, **fields}


PLAIN = tar(("a/b", file(b"hi", mode=0o4750, uid=7, gid=8)), ("t", folder(mode=0o1777, uid=1, gid=2)), ("l", link("a/b", uid=3, gid=4)))

FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}


@pytest.mark.parametrize("name", FORMATS)
def test_1_6_five_formats_are_extracted_by_content(bench: Any, name: str) -> None:
    bench.fill(bench.context, {"data.bin": FORMATS[name](PLAIN)})
    bench.copy("data.bin", "/out", unpack=True)
    assert bench.shown() == {
        "out": "d 755 0:0",
        "out/a": "d 755 0:0",
        "out/a/b": "f 4750 7:8 hi",
        "out/l": "l 3:4 -> a/b",
        "out/t": "d 1777 1:2",
    }
    assert bench.mtime("out/a/b") == bench.mtime("out/t") == OLD * 10**9
    assert bench.mtime("out/a") == NOW


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", "x")
    return out.getvalue()


NOT_ARCHIVES = {
    "zip": _zip(),
    "text.tar.gz": b"not one",
    "empty.tar": b"",
    "zeros.tar": bytes(10240),
    "compressed_text.gz": gzip.compress(b"text" * 1000),
    "cut.tar": PLAIN[:300],
    "wrong_sum.tar": b"b" + PLAIN[1:],
    "broken.gz": gzip.compress(PLAIN)[:20],
    "broken.zst": b"\x28\xb5\x2f\xfd" + b"\xff" * 40,
}


@pytest.mark.parametrize("name", NOT_ARCHIVES)
def test_1_6_what_is_no_archive_is_copied(bench: Any, name: str) -> None:
    bench.fill(bench.context, {name: NOT_ARCHIVES[name]})
    bench.copy(name, "/out/", unpack=True)
    assert (bench.upper / "out" / name).read_bytes() == NOT_ARCHIVES[name]


def test_1_6_without_unpack_an_archive_is_a_file(bench: Any) -> None:
    bench.fill(bench.context, {"a.tar": PLAIN})
    bench.copy("a.tar", "/out/")
    assert sorted(bench.shown()) == ["out", "out/a.tar"]


def test_1_6_only_sources_themselves_are_extracted(bench: Any) -> None:
    bench.fill(bench.context, {"s/a.tar": PLAIN})
    bench.copy("s", "/out/", unpack=True)
    assert sorted(bench.shown()) == ["out", "out/a.tar"]


def test_1_6_wildcards_and_links_to_archives_are_extracted(bench: Any) -> None:
    bench.fill(bench.context, {"x1.tar": tar(("a", file())), "x2.tar": tar(("b", file())), "note": "n", "l": "-> x1.tar"})
    bench.copy("x*.tar", "note", "/out/", unpack=True)
    assert sorted(bench.shown()) == ["out", "out/a", "out/b", "out/note"]
    bench.copy("l", "/again", unpack=True)
    assert "again/a" in bench.shown()


def test_1_6_chown_applies_to_members_and_not_to_implied_parents(bench: Any) -> None:
    bench.fill(bench.context, {"a.tar": PLAIN})
    bench.copy("a.tar", "/out", unpack=True, chown="5", chmod="700")
    assert bench.shown() == {
        "out": "d 755 5:5",
        "out/a": "d 755 0:0",
        "out/a/b": "f 4750 5:5 hi",
        "out/l": "l 5:5 -> a/b",
        "out/t": "d 1777 5:5",
    }


def test_1_6_implied_parents_below_a_setgid_directory_are_setgid(bench: Any) -> None:
    bench.fill(bench.context, {"a.tar": tar(("q/r/f", file()), ("d", folder(mode=0o755)), ("s", folder(mode=0o2755)), ("s/t/f", file()))})
    bench.fill(bench.lower, {"g/": ("", 0o2775)})
    bench.copy("a.tar", "/g", unpack=True)
    shown = {path: line for path, line in bench.shown().items() if line.startswith("d ")}
    assert shown == {
        "g": "d 2775 0:0", "g/q": "d 2755 0:0", "g/q/r": "d 2755 0:0", "g/d": "d 755 0:0", "g/s": "d 2755 0:0", "g/s/t": "d 2755 0:0",
    }  # fmt: skip


def test_1_6_the_root_member_changes_nothing(bench: Any) -> None:
    bench.fill(bench.context, {"a.tar": tar(("./", folder(mode=0o700, uid=9)), ("./f", file()))})
    bench.fill(bench.lower, {"out/": ("", 0o711)})
    bench.copy("a.tar", "/out", unpack=True)
    assert bench.shown() == {"out": "d 711 0:0", "out/f": "f 644 0:0 x"}


def test_1_6_members_replace_and_directories_merge(bench: Any) -> None:
    members = (("d", folder(mode=0o700)), ("d/new", file()), ("f", file(b"new")), ("was_dir", file(b"now a file")), ("was_file", folder()))
    bench.fill(bench.context, {"a.tar": tar(*members)})
    bench.fill(bench.lower, {"d/old": "1", "f": "2", "was_dir/x": "3", "was_file": "4"})
    bench.copy("a.tar", "/", unpack=True)
    assert bench.shown(bench.root) == {
        "d": "d 700 0:0",
        "d/new": "f 644 0:0 x",
        "d/old": "f 644 0:0 1",
        "f": "f 644 0:0 new",
        "was_dir": "f 644 0:0 now a file",
        "was_file": "d 755 0:0",
    }


def test_1_6_a_directory_that_comes_back_hides_what_was_below(bench: Any) -> None:
    members = (("d", file(b"a file for a while")), ("d", folder()), ("d/new", file()))
    bench.fill(bench.context, {"a.tar": tar(*members)})
    bench.fill(bench.lower, {"d/old": "1"})
    bench.copy("a.tar", "/", unpack=True)
    assert bench.shown(bench.root) == {"d": "d 755 0:0", "d/new": "f 644 0:0 x"}


def test_1_6_a_directory_over_a_link_replaces_it_with_a_warning(bench: Any) -> None:
    bench.fill(bench.context, {"a.tar": tar(("lib", folder(mode=0o755)), ("lib/x", file()))})
    bench.fill(bench.lower, {"usr/lib/": "", "lib": "-> usr/lib"})
    outcome = bench.copy("a.tar", "/", unpack=True)
    assert bench.shown() == {"lib": "d 755 0:0", "lib/x": "f 644 0:0 x"}
    assert [warning.code for warning in outcome.warnings] == ["archive-replaces-link"]


def test_1_6_implied_parents_follow_links_to_what_is_there(bench: Any) -> None:
    bench.fill(bench.context, {"a.tar": tar(("lib/new/x", file()))})
    bench.fill(bench.lower, {"usr/lib/": "", "lib": "-> /usr/lib"})
    bench.copy("a.tar", "/", unpack=True)
    assert bench.shown() == {"usr": "d 755 0:0", "usr/lib": "d 755 0:0", "usr/lib/new": "d 755 0:0", "usr/lib/new/x": "f 644 0:0 x"}


def test_1_6_a_file_over_a_link_replaces_it(bench: Any) -> None:
    bench.fill(bench.context, {"a.tar": tar(("l", file(b"new")))})
    bench.fill(bench.lower, {"l": "-> t", "t": "old"})
    bench.copy("a.tar", "/", unpack=True)
    assert bench.shown() == {"l": "f 644 0:0 new"}


def test_1_6_whiteout_like_names_are_plain_files(bench: Any) -> None:
    bench.fill(bench.context, {"a.tar": tar((".wh.gone", file()), ("d/.wh..wh..opq", file()))})
    bench.fill(bench.lower, {"gone": "1", "d/old": "2"})
    bench.copy("a.tar", "/", unpack=True)
    assert {".wh.gone", "gone", "d/.wh..wh..opq", "d/old"} <= set(bench.shown(bench.root))


def test_1_6_the_same_name_twice_is_the_later_one(bench: Any) -> None:
    bench.fill(
        bench.context,
        {"a.tar": tar(("f", file(b"1")), ("f", link("x")), ("f", file(b"3")), ("d", folder()), ("d/x", file()), ("d", link("y")))},
    )
    bench.copy("a.tar", "/", unpack=True)
    assert bench.shown() == {"f": "f 644 0:0 3", "d": "l 0:0 -> y"}


def test_1_6_hard_links(bench: Any) -> None:
    bench.fill(bench.context, {"a.tar": tar(("f", file(b"1")), ("d/g", hard("f")), ("low", hard("./there"))), "n": ""})
    bench.fill(bench.lower, {"there": ("below", 0o600)})
    bench.copy("a.tar", "/", unpack=True)
    assert (bench.upper / "f").stat().st_ino == (bench.upper / "d/g").stat().st_ino
    assert (bench.upper / "low").stat().st_ino == (bench.upper / "there").stat().st_ino
    assert bench.shown()["there"] == "f 644 0:0 below"


@needs_root_of_the_machine
def test_1_6_devices_fifos_and_xattrs(bench: Any) -> None:
    members = (
        ("null", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3, "mode": 0o666}),
        ("pipe", {"type": tarfile.FIFOTYPE, "mode": 0o600}),
        ("zero", {"type": tarfile.CHRTYPE, "devmajor": 0, "devminor": 0}),
        ("f", file(pax_headers={"SCHILY.xattr.user.note": "v"})),
    )
    bench.fill(bench.context, {"a.tar": tar(*members)})
    applied = bench.copy("a.tar", "/", unpack=True)
    assert [warning.code for warning in applied.warnings] == ["archive-device"]
    assert bench.shown() == {"f": "f 644 0:0 x", "null": "c 666 0:0", "pipe": "f 600 0:0"}
    assert os.getxattr(bench.upper / "f", "user.note") == b"v"


def test_1_6_epoch_leaves_members_alone(bench: Any) -> None:
    from builder.ops.destination import Times

    bench.times = Times(NOW, epoch_ns=5 * 10**9)
    bench.fill(bench.context, {"a.tar": tar(("d/f", file()))})
    bench.copy("a.tar", "/out/", unpack=True)
    assert (bench.mtime("out/d/f"), bench.mtime("out/d"), bench.mtime("out")) == (OLD * 10**9, 5 * 10**9, 5 * 10**9)


def test_1_6_times_before_1970_and_far_ahead(bench: Any) -> None:
    bench.fill(bench.context, {"a.tar": tar(("past", file(mtime=-5)), ("far", file(mtime=2**40)))})
    bench.copy("a.tar", "/", unpack=True)
    assert bench.mtime("past") == 0


HOSTILE = {
    "dotdot": (("../../escape", file()),),
    "absolute": (("/abs/file", file()),),
    "link_then_write": (("l", link("/OUTSIDE")), ("l/file", file())),
    "relative_link_then_write": (("l", link("../../../../../../../../OUTSIDE")), ("l/file", file())),
    "chain": (("a", link("b")), ("b", link("/OUTSIDE")), ("a/file", file())),
    "hard_link_through_a_link": (("l", link("/OUTSIDE")), ("h", hard("l/canary"))),
    "dir_replaced_by_link": (("d", folder()), ("d/x", file()), ("d", link("/OUTSIDE")), ("d/canary", file(b"evil"))),
    "chmod_through_a_link": (("l", link("/OUTSIDE/canary")), ("l", hard("l"))),
    "hard_link_to_a_link": (("l", link("/OUTSIDE/canary")), ("h", hard("l", mode=0o777)), ("h", file(b"evil"))),
    "directory_over_a_link": (("l", link("/OUTSIDE")), ("l", folder(mode=0o777)), ("l/canary", file(b"evil"))),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("destination", ["/", "/sub/dir"])
def test_5_2_hostile_archives_stay_inside(bench: Any, tmp_path: Any, name: str, destination: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "canary").write_text("alive")
    (outside / "canary").chmod(0o600)
    members = tuple(
        (path, {key: value.replace("/OUTSIDE", str(outside)) if key == "linkname" else value for key, value in fields.items()})
        for path, fields in HOSTILE[name]
    )
    bench.fill(bench.context, {"a.tar": tar(*members)})
    refused = "archive"
    try:
        bench.copy("a.tar", destination, unpack=True)
    except LayerwrightError as error:
        refused = error.code
    assert refused.startswith(("archive", "tar", "symlink"))
    assert os.listdir(outside) == ["canary"]
    assert ((outside / "canary").read_text(), (outside / "canary").stat().st_mode & 0o777, outside.stat().st_mode & 0o777) == (
        "alive",
        0o600,
        0o700,
    )
    assert {path.name for path in tmp_path.iterdir()} == {"context", "lower", "upper", "outside"}


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ((("f", file()), ("f/x", file())), "archive-not-a-directory"),
        ((("h", hard("missing")),), "archive-bad-link"),
        ((("d", folder()), ("h", hard("d"))), "archive-bad-link"),
        ((("l", link("l")), ("l/x", file())), "symlink-loop"),
        ((("l", link("nowhere")), ("l/x", file())), "archive-not-a-directory"),
        ((("m", link("l")), ("l", link("/nowhere")), ("m/d/x", file())), "archive-not-a-directory"),
        ((("h", file()), ("h", hard("h"))), "archive-bad-link"),
    ],
)
def test_1_6_broken_members_are_errors(bench: Any, members: Any, code: str) -> None:
    bench.fill(bench.context, {"a.tar": tar(*members)})
    with pytest.raises(LayerwrightError) as caught:
        bench.copy("a.tar", "/", unpack=True)
    assert caught.value.code == code


def test_1_6_an_archive_that_breaks_off_is_an_error(bench: Any) -> None:
    bench.fill(bench.context, {"a.tgz": gzip.compress(tar(("a", file(os.urandom(400_000)))))[:200_000]})
    with pytest.raises(LayerwrightError) as caught:
        bench.copy("a.tgz", "/", unpack=True)
    assert caught.value.code in ("archive-truncated", "tar-truncated")


def test_1_6_many_members_take_linear_time(bench: Any) -> None:
    members = [(f"d{i % 50}/f{i}", file(b"1")) for i in range(4000)]
    bench.fill(bench.context, {"a.tar": tar(*members)})
    bench.copy("a.tar", "/out", unpack=True)
    assert len(os.listdir(bench.upper / "out/d7")) == 80
