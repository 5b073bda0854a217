"""Reference 1.5, 1.6 and 1.7: what COPY and ADD write, built for real; a test a row. builder.ops has the finer ones."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.language.workplace import Workplace


def archive(*members: tuple[str, str], owner: int = 0, mtime: int = 1_500_000_000) -> bytes:
    """A plain tar of small files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, text in members:
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.gid, info.mtime, info.mode = len(text), owner, owner, mtime, 0o640
            made.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def test_destination_path(place: Workplace) -> None:
    made = place.build("FROM base\nWORKDIR /w\nCOPY a /abs/b\nCOPY a rel\nCOPY a .\nCOPY a d/\nCOPY a ../up", {"a": "x"})
    assert {"abs/b", "w/rel", "w/a", "w/d/a", "up"} <= made.tree.keys()


def test_destination_with_a_slash_is_a_directory_and_a_file_goes_inside_an_existing_one(place: Workplace) -> None:
    made = place.build("FROM base\nCOPY a /d/\nCOPY a /etc\nCOPY a /f", {"a": "x"})
    assert {"d/a", "etc/a", "f"} <= made.tree.keys()


def test_directory_source_gives_its_contents(place: Workplace) -> None:
    made = place.build("FROM base\nCOPY d /x\nCOPY d/ /y/", {"d/a": "", "d/e/f": ""})
    assert {"x/a", "x/e/f", "y/a", "y/e/f"} <= made.tree.keys()
    assert "x/d" not in made.tree


def test_several_sources_without_a_slash_overwrite_and_warn(place: Workplace) -> None:
    made = place.build("FROM base\nCOPY a b /x", {"a": "first", "b": "second"})
    assert made.text("x") == "second"
    assert made.warnings


def test_missing_source(place: Workplace) -> None:
    error = place.fails("FROM base\nCOPY nothing /x")
    assert error.code == "copy-source-missing"
    assert error.span is not None
    made = place.build("FROM base\nCOPY *.nothing /x")
    assert "x" not in made.tree
    assert len(made.document["rootfs"]["diff_ids"]) == 2


def test_wildcards(place: Workplace) -> None:
    made = place.build("FROM base\nCOPY *.t? [a-b]/f /x/", {"1.t1": "", "2.t2": "", "3.txt": "", "a/f": "", "c/f": "", "d.t1/g": ""})
    assert sorted(path for path in made.tree if path.startswith("x/")) == ["x/1.t1", "x/2.t2", "x/f", "x/g"]


def test_sources_stay_inside_the_context(place: Workplace) -> None:
    made = place.build("FROM base\nCOPY ../../a /1\nCOPY /a /2\nCOPY d/../a /3", {"a": "x", "d/b": ""})
    assert made.text("1") == made.text("2") == made.text("3") == "x"


def test_symlinks_of_the_source_path_are_followed_and_those_inside_are_kept(place: Workplace) -> None:
    made = place.build(
        "FROM base\nCOPY l /1\nCOPY ld/f /2\nCOPY d /3", {"a": "x", "l -> a": "", "d/f": "y", "ld -> d": "", "d/in -> f": ""}
    )
    assert (made.text("1"), made.text("2")) == ("x", "y")
    assert made.tree["3/in"].link == "f"


def test_symlinks_of_the_destination_are_followed_inside_the_root(place: Workplace) -> None:
    made = place.build("FROM data\nCOPY a /srv/escape/a\nCOPY a /srv/current/b", {"a": "x"})
    assert {"srv/real/a", "srv/real/b"} <= made.tree.keys()
    assert made.tree["srv/escape"].kind == "symlink"


def test_file_types(place: Workplace) -> None:
    place.write({"d/a": "x"})
    os.link(place.context / "d/a", place.context / "d/b")
    os.mkfifo(place.context / "d/p")
    os.chmod(place.context / "d/a", 0o4755)
    made = place.build("FROM base\nCOPY d /d")
    assert made.tree["d/a"] is made.tree["d/b"]
    assert made.tree["d/p"].kind == "fifo"
    assert made.tree["d/a"].mode == 0o4755


def test_xattrs_of_users_are_kept(place: Workplace) -> None:
    place.write({"a": "x"})
    try:
        os.setxattr(place.context / "a", "user.note", b"kept")
    except OSError as error:
        pytest.skip(f"no user xattrs here: {error}")
    assert place.build("FROM base\nCOPY a /a").tree["a"].xattrs == {"user.note": "kept"}


def test_owners_of_context_files_are_zeroed_and_those_of_stages_kept(place: Workplace) -> None:
    place.write({"a": "x"})
    os.chown(place.context / "a", 1000, 1000)
    made = place.build("FROM base\nCOPY a /a\nCOPY --from=data /data/owned /b\nCOPY --from=data /data/dir /c")
    assert made.brief("a") == "file 644 0:0"
    assert made.brief("b") == "file 640 1000:2000"
    assert made.brief("c") == "dir 755 0:0"
    assert made.brief("c/a") == "file 600 1000:1000"


def test_chown_by_number_by_name_and_of_parents(place: Workplace) -> None:
    made = place.build("FROM base\nCOPY --chown=5 a /1\nCOPY --chown=app:extra a /p/2\nCOPY --chown=app a /3", {"a": ""})
    assert made.brief("1") == "file 644 5:5"
    assert made.brief("p") == "dir 755 1000:2000"
    assert made.brief("3") == "file 644 1000:1000"


def test_chown_by_a_name_that_is_unknown_is_root_with_a_warning(place: Workplace) -> None:
    made = place.build("FROM base\nCOPY --chown=nosuch:nogrp a /1", {"a": ""})
    assert made.brief("1") == "file 644 0:0"
    assert made.warnings


def test_chown_with_link_resolves_names_in_the_target(place: Workplace) -> None:
    assert place.build("FROM base\nCOPY --link --chown=app:extra a /1", {"a": ""}).brief("1") == "file 644 1000:2000"


def test_chmod_octal_and_symbolic(place: Workplace) -> None:
    made = place.build(
        "FROM base\nCOPY --chmod=4711 d /1\nCOPY --chmod=u=rwX,go=rX d /2\nCOPY --chmod=600 d/f /p/q/f", {"d/f": "", "d/e/g": ""}
    )
    assert (made.brief("1/f"), made.brief("1/e")) == ("file 4711 0:0", "dir 4711 0:0")
    assert (made.brief("2/f"), made.brief("2/e")) == ("file 644 0:0", "dir 755 0:0")
    assert made.brief("p/q") == "dir 755 0:0", "parents are 0755 whatever --chmod says"
    assert place.fails("FROM base\nCOPY --chmod=99 d /x").code
    assert place.fails("FROM base\nCOPY --chmod=17777 d /x").code


def test_mtime_is_the_sources_in_whole_seconds(place: Workplace) -> None:
    place.write({"d/a": "x"})
    os.utime(place.context / "d/a", ns=(0, 1_234_567_890_987_654_321))
    os.utime(place.context / "d", ns=(0, 1_111_111_111_000_000_000))
    made = place.build("FROM base\nCOPY d /srv2\nCOPY d /etc")
    assert made.tree["srv2/a"].mtime == 1_234_567_890
    assert made.tree["etc"].mtime == 1_111_111_111, "an existing directory gets the source's time"


def test_type_conflicts(place: Workplace) -> None:
    place.write({"file/srv": "", "dir/data/plain/f": "", "link/srv/current": ""})
    assert place.fails("FROM data\nCOPY file /").code == "copy-file-onto-directory"
    assert place.fails("FROM data\nCOPY dir/data /data").code == "copy-directory-onto-file"
    made = place.build("FROM data\nCOPY --link dir /\nCOPY link /")
    assert made.tree["data/plain"].kind == "dir", "with --link what is below is replaced"
    assert made.tree["srv/current"].kind == "file"


def test_exclude(place: Workplace) -> None:
    made = place.build("FROM base\nCOPY --exclude=*.md --exclude=sub d /x", {"d/a.md": "", "d/b": "", "d/sub/c": "", "d/e/f.md": ""})
    assert sorted(path for path in made.tree if path.startswith("x/")) == ["x/b", "x/e", "x/e/f.md"]


def test_parents_and_their_pivot(place: Workplace) -> None:
    made = place.build(
        "FROM base\nCOPY --parents a/b/f /x/\nCOPY --parents a/./b/f /y/\nCOPY --parents **/*.t /z/", {"a/b/f": "", "q/r/s.t": ""}
    )
    assert {"x/a/b/f", "y/b/f", "z/q/r/s.t"} <= made.tree.keys()


def test_link_layer_does_not_depend_on_what_is_below(place: Workplace) -> None:
    one = place.build("FROM base\nCOPY --link a /linked/a", {"a": "x"}, build_args={"SOURCE_DATE_EPOCH": "1"}, epoch=1)
    two = place.build("FROM data\nRUN echo changed > /c\nCOPY --link a /linked/a", build_args={"SOURCE_DATE_EPOCH": "1"}, epoch=1)
    assert one.document["rootfs"]["diff_ids"][-1] == two.document["rootfs"]["diff_ids"][-1]
    assert two.outcome.cached >= 1


def test_heredocs_of_copy(place: Workplace) -> None:
    made = place.build(
        "FROM base\nENV X=value\nCOPY <<EOF /1\n$X \"${X}\" '$X' \\$X\nEOF\nCOPY <<'EOF' /2\n$X\nEOF\n"
        "COPY <<one <<two a /3/\n1\none\n2\ntwo\n",
        {"a": "file"},
    )
    assert made.text("1") == "value \"value\" 'value' $X\n"
    assert (made.text("2"), made.text("3/one"), made.text("3/two"), made.text("3/a")) == ("$X\n", "1\n", "2\n", "file")
    assert made.brief("1") == "file 644 0:0"


def test_sources_elsewhere_are_for_add_only(place: Workplace) -> None:
    assert place.fails("FROM base\nCOPY http://x.test/a /a").code == "copy-url"
    assert place.fails("FROM base\nCOPY https://x.test/a.git /a").code == "copy-git"


@pytest.mark.parametrize("compression", ["", "gzip", "bzip2", "xz", "zstd"])
def test_add_extracts_archives_by_content(place: Workplace, compression: str) -> None:
    data = archive(("d/f", "text"), owner=7)
    if compression:
        data = subprocess.run([compression, "-c"], input=data, capture_output=True, check=True).stdout
    made = place.build("FROM base\nADD some.name /x", {"some.name": data})
    assert made.text("x/d/f") == "text"
    assert made.brief("x/d/f") == "file 640 7:7"
    assert made.tree["x/d/f"].mtime == 1_500_000_000
    assert made.brief("x/d") == "dir 755 0:0"


def test_add_leaves_alone_what_is_no_archive(place: Workplace) -> None:
    made = place.build(
        "FROM base\nADD a.tar b.zip /x/\nADD --unpack=false t /y/", {"a.tar": "text", "b.zip": b"PK\x03\x04", "t": archive(("f", "x"))}
    )
    assert {"x/a.tar", "x/b.zip", "y/t"} <= made.tree.keys()


def test_add_chown_applies_to_members_and_not_to_implied_parents(place: Workplace) -> None:
    made = place.build("FROM base\nADD --chown=5:6 t /x/", {"t": archive(("d/f", "x"), owner=9)})
    assert (made.brief("x/d/f"), made.brief("x/d")) == ("file 640 5:6", "dir 755 0:0")


def test_checksum_is_for_sources_elsewhere(place: Workplace) -> None:
    assert place.fails(f"FROM base\nADD --checksum=sha256:{'0' * 64} a /x", {"a": ""}).code == "bad-checksum"


def test_dockerignore_last_match_wins_and_a_negation_reaches_below(place: Workplace) -> None:
    ignore = "# comment\n*\n!keep\n!d/wanted\n  d/wanted/not  \n/keep/tmp\n**/*.log\n"
    files = {
        "a": "",
        "keep/x": "",
        "keep/tmp": "",
        "keep/y.log": "",
        "d/wanted/f": "",
        "d/wanted/not": "",
        "d/other": "",
        ".dockerignore": ignore,
    }
    made = place.build("FROM base\nCOPY . /x", files)
    assert sorted(path for path in made.tree if path.startswith("x/")) == ["x/d", "x/d/wanted", "x/d/wanted/f", "x/keep", "x/keep/x"]


def test_dockerignore_of_the_dockerfile_replaces_the_other(place: Workplace) -> None:
    place.write({"a": "", "b": "", ".dockerignore": "a\n", "My.Dockerfile.dockerignore": "b\n", "My.Dockerfile": "FROM base\nCOPY a /x/"})
    made = place.build("FROM nosuch", dockerfile=str(place.context / "My.Dockerfile"))
    assert "x/a" in made.tree


def test_dockerignore_may_exclude_itself_and_the_dockerfile(place: Workplace) -> None:
    made = place.build("FROM base\nCOPY . /x", {"a": "", ".dockerignore": "Dockerfile\n.dockerignore\n"})
    assert sorted(path for path in made.tree if path.startswith("x/")) == ["x/a"]


def test_dockerignore_that_is_wrong_has_a_reason(place: Workplace) -> None:
    assert place.fails("FROM base\nCOPY . /x", {"a": "", ".dockerignore": "a\n!\n"}).message


def test_each_named_context_reads_its_own_ignore_file(place: Workplace) -> None:
    other = place.directory / "other"
    other.mkdir()
    for name, text in {"a": "", "b": "", ".dockerignore": "a\n.dockerignore\n"}.items():
        (other / name).write_text(text)
    made = place.build("FROM base\nCOPY --from=other / /x", {".dockerignore": "*\n"}, contexts={"other": str(other)})
    assert sorted(path for path in made.tree if path.startswith("x/")) == ["x/b"]


def test_named_context_as_a_base(place: Workplace, tmp_path: Path, busybox_root: Path) -> None:
    made = place.build("FROM box\nRUN echo ran > /ran", contexts={"box": str(busybox_root)})
    assert made.text("ran") == "ran\n"
    assert made.document["config"]["Env"] == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
