"""Reference 1.3, WORKDIR; threats 5.1 CVE-2026-55686."""

from __future__ import annotations

from typing import Any

import pytest

from builder.errors import LayerwrightError

PASSWD = {"etc/passwd": "app:x:1000:1001::/:/bin/sh\n", "etc/group": "web:x:33:\n"}


@pytest.mark.parametrize(
    ("path", "user", "upper"),
    [
        ("/a/b", "", {"a": "d 755 0:0", "a/b": "d 755 0:0"}),
        ("/a/b/", "", {"a": "d 755 0:0", "a/b": "d 755 0:0"}),
        ("/a/../b", "", {"b": "d 755 0:0"}),
        ("/a/b", "app", {"a": "d 755 1000:1001", "a/b": "d 755 1000:1001"}),
        ("/a", "app:web", {"a": "d 755 1000:33"}),
        ("/a", "7:8", {"a": "d 755 7:8"}),
    ],
)
def test_1_3_workdir_makes_what_is_missing(bench: Any, path: str, user: str, upper: dict[str, str]) -> None:
    bench.fill(bench.lower, PASSWD)
    assert bench.workdir(path, user).changed
    assert bench.shown() == upper


@pytest.mark.parametrize("path", ["/", "/etc", "/etc/", "/l"])
def test_1_3_workdir_that_exists_changes_nothing(bench: Any, path: str) -> None:
    bench.fill(bench.lower, {**PASSWD, "l": "-> etc"})
    assert not bench.workdir(path, "app").changed
    assert bench.shown() == {}


def test_1_3_workdir_follows_links_inside_the_root(bench: Any, tmp_path: Any) -> None:
    outside = tmp_path / "outside"
    bench.fill(bench.lower, {"abs": f"-> {outside}", "up": "-> ../../../../../../tmp/x", "dangling": "-> made/here"})
    bench.workdir("/abs/deep")
    bench.workdir("/up/y")
    bench.workdir("/dangling")
    assert not outside.exists()
    assert bench.is_directory(f"{str(outside).lstrip('/')}/deep")
    assert bench.is_directory("tmp/x/y")
    assert bench.is_directory("made/here")


def test_1_3_workdir_keeps_the_parents_it_finds(bench: Any) -> None:
    bench.fill(bench.lower, {"srv/": ("", 0o711)})
    bench.workdir("/srv/app")
    assert bench.shown() == {"srv": "d 711 0:0", "srv/app": "d 755 0:0"}


@pytest.mark.parametrize(("path", "code"), [("/f", "workdir-not-a-directory"), ("/f/below", "copy-not-a-directory")])
def test_1_3_workdir_on_a_file_is_an_error(bench: Any, path: str, code: str) -> None:
    bench.fill(bench.lower, {"f": "x"})
    with pytest.raises(LayerwrightError) as caught:
        bench.workdir(path)
    assert caught.value.code == code


def test_1_3_workdir_of_an_unknown_user_warns(bench: Any) -> None:
    assert [warning.code for warning in bench.workdir("/a", "ghost").warnings] == ["unknown-owner"]
