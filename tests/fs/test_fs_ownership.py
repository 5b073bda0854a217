"""Users and groups out of an image's own files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.errors import LayerwrightError, NotFoundError
from builder.fs.entries import Entry
from builder.fs.limits import DEFAULT
from builder.fs.ownership import Identity, Ownership, lookup_chown, lookup_user
from builder.fs.tree import DirTree, EmptyTree, MemoryTree, Tree

PASSWD = b"""\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin

# a comment
app:x:1000:1001:App,,,:/home/app:/bin/bash
app:x:7:7::/second:
nohome:x:1002:1002:
bad:x:abc:5::/bad:
huge:x:4294967296:5::/huge:
+::::::
1234:x:55:55::/digits:
  spaced:x:56:56::/spaced:/bin/sh
"""
GROUP = b"""\
root:x:0:
adm:x:4:daemon,app
app:x:1001:
docker:x:999:app,nobody
twice:x:4:app
bad:x:x:app
nohome:x:1002
"""


@pytest.fixture
def tree() -> Tree:
    return MemoryTree.of({"etc/passwd": PASSWD, "etc/group": GROUP})


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("", Identity(0, 0, (), "/root")),
        ("root", Identity(0, 0, (), "/root")),
        ("0", Identity(0, 0, (), "/root")),
        ("app", Identity(1000, 1001, (4, 999), "/home/app")),
        ("1000", Identity(1000, 1001, (4, 999), "/home/app")),
        ("app:", Identity(1000, 1001, (4, 999), "/home/app")),
        ("app:adm", Identity(1000, 4, (), "/home/app")),
        ("app:1001", Identity(1000, 1001, (), "/home/app")),
        ("1000:999", Identity(1000, 999, (), "/home/app")),
        ("4242", Identity(4242, 0, (), "/")),
        ("4242:4343", Identity(4242, 4343, (), "/")),
        ("4242:docker", Identity(4242, 999, (), "/")),
        (":docker", Identity(0, 999, (), "/root")),
        ("daemon", Identity(1, 1, (4,), "/usr/sbin")),
        ("nohome", Identity(1002, 1002, (), "")),
        ("1234", Identity(1234, 0, (), "/")),
        ("spaced", Identity(56, 56, (), "/spaced")),
        ("2147483647", Identity(2147483647, 0, (), "/")),
        ("007", Identity(7, 7, (4, 999), "/second")),
    ],
)
def test_users(tree: Tree, spec: str, wanted: Identity) -> None:
    assert lookup_user(tree, spec) == wanted


def test_home_is_that_of_the_first_account_of_the_uid() -> None:
    """runc knows the uid only; what it finds it takes as it is."""
    tree = MemoryTree.of({"etc/passwd": b"app:x:1000:1000::/home:\nsame:x:1000:5::/same:\nrelative:x:6:6::rel:\n"})
    assert [lookup_user(tree, spec).home for spec in ("app", "same", "1000", "relative", "7")] == ["/home", "/home", "/home", "rel", "/"]


def test_root_that_is_not_named_has_no_supplementary_groups() -> None:
    """BuildKit looks an empty USER up nowhere; `root` and `0` are members of what /etc/group says."""
    tree = MemoryTree.of({"etc/passwd": PASSWD, "etc/group": b"wheel:x:10:root,app\ndisk:x:6:root\n"})
    assert [lookup_user(tree, spec).groups for spec in ("", "root", "0", "0:0")] == [(), (10, 6), (10, 6), ()]


@pytest.mark.parametrize(
    ("spec", "code"), [("nobody", "unknown-user"), ("bad", "unknown-user"), ("huge", "unknown-user"), ("App", "unknown-user")]
)
def test_unknown_users(tree: Tree, spec: str, code: str) -> None:
    with pytest.raises(NotFoundError, match=f"no user '{spec}'") as caught:
        lookup_user(tree, spec)
    assert caught.value.code == code
    assert caught.value.help


def test_unknown_groups(tree: Tree) -> None:
    with pytest.raises(NotFoundError, match="no group 'nothing'") as caught:
        lookup_user(tree, "app:nothing")
    assert caught.value.code == "unknown-group"


@pytest.mark.parametrize("number", ["4294967295", "4294967296", "2147483648", "-1", "-0x1", "9" * 5000, "+2147483648"])
def test_numbers_out_of_range_never_wrap(tree: Tree, number: str) -> None:
    """CVE-2024-40635, CVE-2026-46680."""
    for spec in (number, f"app:{number}"):
        with pytest.raises(LayerwrightError):
            lookup_user(tree, spec)
    assert lookup_chown(tree, number) == Ownership(0, 0, (number,))
    assert lookup_chown(tree, f"5:{number}") == Ownership(5, 0 if number == "-1" else 5, (number,))


def test_numbers_need_no_files() -> None:
    assert lookup_user(EmptyTree(), "5:6") == Identity(5, 6, (), "/")
    assert lookup_user(EmptyTree(), "") == Identity(0, 0, (), "/")
    with pytest.raises(NotFoundError):
        lookup_user(EmptyTree(), "root")


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("5", Ownership(5, 5)),
        ("5:6", Ownership(5, 6)),
        ("app", Ownership(1000, 1001)),
        ("app:adm", Ownership(1000, 4)),
        ("app:7", Ownership(1000, 7)),
        ("7:adm", Ownership(7, 4)),
        (":adm", Ownership(0, 4)),
        ("nobody", Ownership(0, 0, ("nobody",))),
        ("nobody:adm", Ownership(0, 4, ("nobody",))),
        ("app:nothing", Ownership(1000, 1001, ("nothing",))),
        ("no:thing", Ownership(0, 0, ("no", "thing"))),
        ("app:", Ownership(1000, 0)),
        ("5:", Ownership(5, 0)),
        ("root:root", Ownership(0, 0)),
    ],
)
def test_owners_of_copies(tree: Tree, spec: str, wanted: Ownership) -> None:
    assert lookup_chown(tree, spec) == wanted


def test_owners_where_there_are_no_files() -> None:
    assert lookup_chown(EmptyTree(), "app:app") == Ownership(0, 0, ("app", "app"))
    assert lookup_chown(EmptyTree(), "1:2") == Ownership(1, 2)


def test_links_are_followed_inside_the_tree() -> None:
    link = Entry("etc/passwd", "symlink", link="/../../usr/lib/passwd")
    tree = MemoryTree([(link, None), (Entry("usr/lib/passwd", "file"), PASSWD)])
    assert lookup_user(tree, "app").uid == 1000


def test_what_is_no_regular_file_is_never_read(tmp_path: Path) -> None:
    """CVE-2024-9676: a link to a FIFO, a device or a host file."""
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc/passwd")
    with pytest.raises(NotFoundError):
        lookup_user(DirTree(tmp_path), "root")
    os.unlink(tmp_path / "etc/passwd")
    os.symlink("/etc/passwd/../../../../../../etc/passwd", tmp_path / "etc/passwd")
    with pytest.raises(LayerwrightError):
        lookup_user(DirTree(tmp_path), "root")
    os.unlink(tmp_path / "etc/passwd")
    (tmp_path / "etc/passwd").mkdir()
    assert lookup_user(DirTree(tmp_path), "5") == Identity(5, 0)


def test_a_huge_file_is_not_read_whole() -> None:
    """CVE-2026-47262."""
    tree = MemoryTree.of({"etc/passwd": b"x" * (DEFAULT.accounts + 1)})
    with pytest.raises(LayerwrightError, match="larger than") as caught:
        lookup_user(tree, "app")
    assert caught.value.code == "accounts-too-large"


def test_names_that_are_not_utf_8() -> None:
    tree = MemoryTree.of({"etc/passwd": b"caf\xe9:x:5:6::/h:\n"})
    assert lookup_user(tree, "caf\udce9").uid == 5
