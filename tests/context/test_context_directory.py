"""Directory contexts: ignore files, Dockerfiles, and links that lead out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.context.directory import open_directory, read_dockerfile, read_patterns
from builder.errors import LayerwrightError, NotFoundError
from builder.fs.tree import DirTree, walk


def test_1_7_the_dockerfiles_own_ignore_file_replaces_the_common_one(tmp_path: Path) -> None:
    for name, text in {"a": "1", "b": "2", ".dockerignore": "a\n", "x.Dockerfile.dockerignore": "b\n", "x.Dockerfile": ""}.items():
        (tmp_path / name).write_text(text)
    assert "a" not in walk(open_directory(str(tmp_path)))
    shown = walk(open_directory(str(tmp_path), dockerfile="x.Dockerfile"))
    assert "a" in shown
    assert "b" not in shown
    assert "a" not in walk(open_directory(str(tmp_path), dockerfile="other.Dockerfile"))


def test_1_7_dockerfile_and_ignore_file_may_be_excluded_and_are_still_read(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("*\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    tree = open_directory(str(tmp_path))
    assert walk(tree) == []
    assert read_dockerfile(tree) == ("Dockerfile", b"FROM scratch\n")


def test_1_7_a_missing_dockerfile_falls_back_to_lower_case(tmp_path: Path) -> None:
    tree = DirTree(tmp_path)
    with pytest.raises(NotFoundError):
        read_dockerfile(tree)
    (tmp_path / "dockerfile").write_text("x")
    assert read_dockerfile(tree) == ("dockerfile", b"x")
    with pytest.raises(NotFoundError):
        read_dockerfile(tree, "Other")


def test_5_1_dockerfile_that_is_a_link_out_of_the_context_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").symlink_to("../outside")
    with pytest.raises(NotFoundError):
        read_dockerfile(DirTree(tmp_path / "context"))


@pytest.mark.parametrize("name", [".dockerignore", "Dockerfile"])
def test_5_1_a_fifo_is_never_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(LayerwrightError, match="is a fifo"):
        read_dockerfile(open_directory(str(tmp_path)))


def test_5_1_a_huge_ignore_file_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / ".dockerignore", "wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(LayerwrightError, match="larger than"):
        open_directory(str(tmp_path))


def test_5_1_errors_show_only_the_pattern(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("first-line\n[broken\n")
    with pytest.raises(LayerwrightError) as caught:
        open_directory(str(tmp_path))
    assert "first-line" not in str(caught.value)
    assert "[broken" in str(caught.value)


@pytest.mark.parametrize(("make", "code"), [(False, "context-not-found"), (True, "context-not-a-directory")])
def test_a_context_that_is_no_directory(tmp_path: Path, make: bool, code: str) -> None:
    if make:
        (tmp_path / "x").write_text("")
    with pytest.raises(LayerwrightError) as caught:
        open_directory(str(tmp_path / "x"))
    assert caught.value.code == code


def test_no_ignore_file_means_no_patterns(tmp_path: Path) -> None:
    assert not read_patterns(DirTree(tmp_path))
    (tmp_path / ".dockerignore").mkdir()
    assert not read_patterns(DirTree(tmp_path))
