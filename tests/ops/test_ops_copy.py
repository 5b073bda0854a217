"""Reference 1.5, row by row: where things go and what they become."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from builder.context.directory import open_directory
from builder.errors import LayerwrightError, NotFoundError
from builder.fs.entries import Entry
from builder.fs.tree import MemoryTree
from builder.ops.destination import Times
from tests.privileges import needs_root_of_the_machine

NOW = 1_700_000_000_000_000_000
OLD = 1_500_000_000_000_000_000

Case = tuple[dict[str, object], dict[str, object], tuple[str, ...], dict[str, object], dict[str, str]]

PASSWD = {"etc/passwd": "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/:/bin/sh\n", "etc/group": "root:x:0:\nweb:x:33:\n"}

ROWS: dict[str, Case] = {
    # row: (context, lower, words, flags, upper)
    "destination_is_a_file": ({"f": "x"}, {}, ("f", "/d/g"), {}, {"d": "d 755 0:0", "d/g": "f 644 0:0 x"}),
    "trailing_slash_is_a_directory": ({"f": "x"}, {}, ("f", "/d/"), {}, {"d": "d 755 0:0", "d/f": "f 644 0:0 x"}),
    "file_into_existing_directory": ({"f": "x"}, {"d/": ("", 0o700)}, ("f", "/d"), {}, {"d": "d 700 0:0", "d/f": "f 644 0:0 x"}),
    "file_to_the_root": ({"f": "x"}, {}, ("f", "/"), {}, {"f": "f 644 0:0 x"}),
    "file_replaces_file": ({"f": "x"}, {"d/g": "old"}, ("f", "/d/g"), {}, {"d": "d 755 0:0", "d/g": "f 644 0:0 x"}),
    "dir_source_copies_contents": ({"s/a": "1", "s/t/b": "2"}, {}, ("s", "/d"), {},
        {"d": "d 755 0:0", "d/a": "f 644 0:0 1", "d/t": "d 755 0:0", "d/t/b": "f 644 0:0 2"}),
    "dir_source_to_the_root": ({"s/a": "1"}, {}, ("s", "/"), {}, {"a": "f 644 0:0 1"}),
    "context_root": ({"a": "1"}, {}, (".", "/app/"), {}, {"app": "d 755 0:0", "app/a": "f 644 0:0 1"}),
    "several_sources_without_slash_overwrite": ({"a": "1", "b": "2"}, {}, ("a", "b", "/f"), {}, {"f": "f 644 0:0 2"}),
    "several_sources_into_a_directory": ({"a": "1", "s/b": "2"}, {}, ("a", "s", "/d/"), {},
        {"d": "d 755 0:0", "d/a": "f 644 0:0 1", "d/b": "f 644 0:0 2"}),
    "wildcards_match_whole_paths": ({"a/x.c": "1", "b/y.c": "2", "a/z.h": "3", "w.c": "4"}, {}, ("*/*.c", "/d/"), {},
        {"d": "d 755 0:0", "d/x.c": "f 644 0:0 1", "d/y.c": "f 644 0:0 2"}),
    "wildcard_matched_dirs_by_content": ({"s1/a": "1", "s2/b": "2"}, {}, ("s*", "/d/"), {},
        {"d": "d 755 0:0", "d/a": "f 644 0:0 1", "d/b": "f 644 0:0 2"}),
    "wildcard_without_match_is_a_no_op": ({"a": "1"}, {}, ("*.x", "/d/"), {}, {}),
    "wildcard_question_and_class": ({"a1": "1", "a2": "2", "b1": "3"}, {}, ("[^b]?", "/d/"), {},
        {"d": "d 755 0:0", "d/a1": "f 644 0:0 1", "d/a2": "f 644 0:0 2"}),
    "escaped_wildcard_is_literal": ({"a[0]": "1", "a0": "2"}, {}, ("a[[]0]", "/d/"), {}, {"d": "d 755 0:0", "d/a[0]": "f 644 0:0 1"}),
    "backslash_escapes": ({"a*": "1", "ab": "2"}, {}, (r"a\*", "/d/"), {}, {"d": "d 755 0:0", "d/a*": "f 644 0:0 1"}),
    "sources_are_cleaned_inside_the_root": ({"a": "1", "s/b": "2"}, {}, ("../a", "/s/../s/b", "/d/"), {},
        {"d": "d 755 0:0", "d/a": "f 644 0:0 1", "d/b": "f 644 0:0 2"}),
    "source_that_is_a_link_is_followed": ({"t": "1", "l": "-> t"}, {}, ("l", "/d/"), {}, {"d": "d 755 0:0", "d/l": "f 644 0:0 1"}),
    "source_through_a_link_is_followed": ({"s/a": "1", "l": "-> s"}, {}, ("l/a", "/d/"), {}, {"d": "d 755 0:0", "d/a": "f 644 0:0 1"}),
    "source_link_to_a_dir_gives_contents": ({"s/a": "1", "l": "-> s"}, {}, ("l", "/d"), {}, {"d": "d 755 0:0", "d/a": "f 644 0:0 1"}),
    "absolute_source_links_stay_in_the_root": ({"t": "1", "l": "-> /t"}, {}, ("l", "/f"), {}, {"f": "f 644 0:0 1"}),
    "links_in_a_dir_are_kept": ({"s/l": "-> ../../etc/passwd"}, {}, ("s", "/d"), {},
        {"d": "d 755 0:0", "d/l": "l 0:0 -> ../../etc/passwd"}),
    "destination_links_are_followed": ({"f": "x"}, {"real/": "", "l": "-> real"}, ("f", "/l/g"), {},
        {"real": "d 755 0:0", "real/g": "f 644 0:0 x"}),
    "destination_last_link_is_followed": ({"f": "x"}, {"real": "old", "l": "-> /real"}, ("f", "/l"), {}, {"real": "f 644 0:0 x"}),
    "destination_dangling_link_is_made": ({"f": "x"}, {"l": "-> /new/dir"}, ("f", "/l/"), {},
        {"new": "d 755 0:0", "new/dir": "d 755 0:0", "new/dir/f": "f 644 0:0 x"}),
    "a_link_inside_the_destination_dir_is_replaced": ({"f": "x"}, {"d/f": "-> ../other", "other": "o"}, ("f", "/d/"), {},
        {"d": "d 755 0:0", "d/f": "f 644 0:0 x"}),
    "link_does_not_follow_the_destination": ({"f": "x"}, {"real/": "", "l": "-> real"}, ("f", "/l/g"), {"link": True},
        {"l": "d 755 0:0", "l/g": "f 644 0:0 x"}),
    "link_replaces_lower_content": ({"s/a": "1"}, {"d": "a file"}, ("s", "/d"), {"link": True}, {"d": "d 755 0:0", "d/a": "f 644 0:0 1"}),
    "chown_numeric_alone_is_the_group_too": ({"f": "x"}, {}, ("f", "/d/g"), {"chown": "5"}, {"d": "d 755 5:5", "d/g": "f 644 5:5 x"}),
    "chown_pair": ({"f": "x"}, {}, ("f", "/g"), {"chown": "5:6"}, {"g": "f 644 5:6 x"}),
    "chown_name_from_the_destination": ({"f": "x"}, PASSWD, ("f", "/g"), {"chown": "app"}, {"g": "f 644 1000:1001 x"}),
    "chown_name_and_group": ({"f": "x"}, PASSWD, ("f", "/g"), {"chown": "app:web"}, {"g": "f 644 1000:33 x"}),
    "chown_every_item_and_created_parent": ({"s/t/a": "1", "s/l": "-> x"}, {"e/": ""}, ("s", "/e/n/m"), {"chown": "5"},
        {"e": "d 755 0:0", "e/n": "d 755 5:5", "e/n/m": "d 755 5:5", "e/n/m/l": "l 5:5 -> x", "e/n/m/t": "d 755 5:5",
        "e/n/m/t/a": "f 644 5:5 1"}),
    "chown_with_link_by_name": ({"f": "x"}, PASSWD, ("f", "/g"), {"chown": "app", "link": True}, {"g": "f 644 1000:1001 x"}),
    "chmod_octal": ({"s/a": ("1", 0o4755), "s/t/": ""}, {}, ("s", "/d"), {"chmod": "640"},
        {"d": "d 640 0:0", "d/a": "f 640 0:0 1", "d/t": "d 640 0:0"}),
    "chmod_leaves_created_parents_0755": ({"f": "x"}, {}, ("f", "/a/b/"), {"chmod": "600"},
        {"a": "d 755 0:0", "a/b": "d 755 0:0", "a/b/f": "f 600 0:0 x"}),
    "chmod_symbolic": ({"s/a": ("1", 0o600), "s/b": ("2", 0o700), "s/t/": ("", 0o700)}, {}, ("s", "/d"), {"chmod": "u=rwX,go=rX"},
        {"d": "d 755 0:0", "d/a": "f 644 0:0 1", "d/b": "f 755 0:0 2", "d/t": "d 755 0:0"}),
    "chmod_leaves_links": ({"s/l": "-> x"}, {}, ("s", "/d/"), {"chmod": "600"}, {"d": "d 600 0:0", "d/l": "l 0:0 -> x"}),
    "special_bits_are_preserved": ({"s/a": ("1", 0o6755), "s/t/": ("", 0o1777)}, {}, ("s", "/d"), {},
        {"d": "d 755 0:0", "d/a": "f 6755 0:0 1", "d/t": "d 1777 0:0"}),
    "new_destination_dir_has_not_the_source_mode": ({"s/": ("", 0o700), "s/a": "1"}, {}, ("s", "/d"), {},
        {"d": "d 755 0:0", "d/a": "f 644 0:0 1"}),
    "existing_destination_dir_keeps_its_mode": ({"s/": ("", 0o700), "s/a": "1"}, {"d/": ("", 0o711)}, ("s", "/d"), {},
        {"d": "d 711 0:0", "d/a": "f 644 0:0 1"}),
    "nested_existing_dirs_take_the_source_metadata": ({"s/t/": ("", 0o700), "s/t/a": "1"}, {"d/t/": ("", 0o755), "d/t/b": "2"}, ("s", "/d"),
        {"chown": "7"}, {"d": "d 755 0:0", "d/t": "d 700 7:7", "d/t/a": "f 644 7:7 1"}),
    "exclude_is_relative_to_the_source": ({"s/a.txt": "1", "s/b.md": "2", "s/t/c.txt": "3"}, {}, ("s", "/d"), {"excludes": ("*.txt",)},
        {"d": "d 755 0:0", "d/b.md": "f 644 0:0 2", "d/t": "d 755 0:0", "d/t/c.txt": "f 644 0:0 3"}),
    "exclude_everything_leaves_the_directory": ({"s/a": "1"}, {}, ("s", "/d"), {"excludes": ("*",)}, {"d": "d 755 0:0"}),
    "exclude_with_negation": ({"s/t/a": "1", "s/t/b": "2"}, {}, ("s", "/d"), {"excludes": ("t", "!t/a")},
        {"d": "d 755 0:0", "d/t": "d 755 0:0", "d/t/a": "f 644 0:0 1"}),
    "exclude_does_not_touch_a_source_itself": ({"a.txt": "1"}, {}, ("*.txt", "/d/"), {"excludes": ("*.txt",)},
        {"d": "d 755 0:0", "d/a.txt": "f 644 0:0 1"}),
    "parents_keeps_the_path": ({"x/": ("", 0o700), "x/y/f": "1"}, {}, ("x/y/f", "/d/"), {"parents": True},
        {"d": "d 755 0:0", "d/x": "d 700 0:0", "d/x/y": "d 755 0:0", "d/x/y/f": "f 644 0:0 1"}),
    "parents_of_a_directory": ({"x/y/f": "1", "x/z": "2"}, {}, ("./x/y", "/d/"), {"parents": True},
        {"d": "d 755 0:0", "d/x": "d 755 0:0", "d/x/y": "d 755 0:0", "d/x/y/f": "f 644 0:0 1"}),
    "parents_pivot": ({"x/y/z/f": "1"}, {}, ("x/./y/z", "/d/"), {"parents": True},
        {"d": "d 755 0:0", "d/y": "d 755 0:0", "d/y/z": "d 755 0:0", "d/y/z/f": "f 644 0:0 1"}),
    "parents_first_of_two_pivots": ({"x/y/f": "1"}, {}, ("x/./y/./f", "/d/"), {"parents": True},
        {"d": "d 755 0:0", "d/y": "d 755 0:0", "d/y/f": "f 644 0:0 1"}),
    "parents_wildcard_before_and_after_the_pivot": ({"x1/c/d/e": "1", "x2/c/e": "2", "x2/c/o": "3"},
        {}, ("x*/./c/**/e", "/d/"), {"parents": True},
        {"d": "d 755 0:0", "d/c": "d 755 0:0", "d/c/d": "d 755 0:0", "d/c/d/e": "f 644 0:0 1", "d/c/e": "f 644 0:0 2"}),
    "parents_double_star": ({"a/b/x.go": "1", "a/c/y.md": "2", "z.go": "3"}, {}, ("**/*.go", "/d/"), {"parents": True},
        {"d": "d 755 0:0", "d/a": "d 755 0:0", "d/a/b": "d 755 0:0", "d/a/b/x.go": "f 644 0:0 1", "d/z.go": "f 644 0:0 3"}),
    "parents_of_two_sources": ({"x/a": "1", "y/a": "2"}, {}, ("./x/a", "./y/a", "/d/"), {"parents": True},
        {"d": "d 755 0:0", "d/x": "d 755 0:0", "d/x/a": "f 644 0:0 1", "d/y": "d 755 0:0", "d/y/a": "f 644 0:0 2"}),
    "parents_with_exclude": ({"a/x.go": "1", "a/x_test.go": "2"}, {}, ("a/*.go", "/d/"), {"parents": True, "excludes": ("**/*_test.go",)},
        {"d": "d 755 0:0", "d/a": "d 755 0:0", "d/a/x.go": "f 644 0:0 1"}),
    "heredoc_is_a_file": ({}, {}, ("/d/f",), {"inline": (("EOF", b"text\n"),)}, {"d": "d 755 0:0", "d/f": "f 644 0:0 text\n"}),
    "heredoc_into_a_directory_has_its_delimiter": ({}, {"d/": ""}, ("/d",), {"inline": (("EOF", b"t"),)},
        {"d": "d 755 0:0", "d/EOF": "f 644 0:0 t"}),
    "heredocs_mixed_with_files": ({"f": "x"}, {}, ("f", "/d/"), {"inline": (("A", b"1"), ("B", b"2")), "chown": "3", "chmod": "700"},
        {"d": "d 755 3:3", "d/A": "f 700 3:3 1", "d/B": "f 700 3:3 2", "d/f": "f 700 3:3 x"}),
    "dockerignore_applies": ({"a": "1", "b": "2", ".dockerignore": "b\n.dockerignore\n"}, {}, (".", "/d/"), {},
        {"d": "d 755 0:0", "d/a": "f 644 0:0 1"}),
    "empty_directory_is_copied": ({"s/e/": ""}, {}, ("s", "/d/"), {}, {"d": "d 755 0:0", "d/e": "d 755 0:0"}),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_1_5(row: str, bench: Any) -> None:
    context, lower, words, flags, upper = ROWS[row]
    bench.fill(bench.context, context)
    bench.fill(bench.lower, lower)
    bench.copy(*words, **flags)
    assert bench.shown() == upper


ERRORS: dict[str, tuple[dict[str, object], dict[str, object], tuple[str, ...], dict[str, object], str]] = {
    "missing_source": ({}, {}, ("a", "/d/"), {}, '"/a": not found'),
    "missing_source_below": ({"s/": ""}, {}, ("s/a/b", "/d/"), {}, '"/s/a/b": not found'),
    "dangling_link": ({"l": "-> nowhere"}, {}, ("l", "/d/"), {}, '"/l": not found'),
    "file_onto_directory": ({"s/a": "1"}, {"d/a/": ""}, ("s", "/d"), {}, "cannot replace to directory /d/a with file"),
    "directory_onto_file": ({"s/a": "1"}, {"d": "file"}, ("s", "/d"), {}, "cannot copy to non-directory: /d is a file"),
    "nested_directory_onto_file": ({"s/t/a": "1"}, {"d/t": "f"}, ("s", "/d"), {}, "cannot copy to non-directory: /d/t is a file"),
    "nested_directory_onto_link": (
        {"s/t/a": "1"},
        {"d/t": "-> /", "d/x": ""},
        ("s", "/d"),
        {},
        "cannot copy to non-directory: /d/t is a symlink",
    ),
    "parent_is_a_file": ({"a": "1"}, {"d": "file"}, ("a", "/d/e/f"), {}, "/d is not a directory"),
    "slash_after_a_file": ({"a": "1"}, {"d": "file"}, ("a", "/d/"), {}, "/d is not a directory"),
    "parents_missing": ({"x/": ""}, {}, ("x/y", "/d/"), {"parents": True}, '"/x/y": not found'),
    "parents_do_not_pass_links": ({"x/y": "1", "l": "-> x"}, {}, ("l/y", "/d/"), {"parents": True}, "symbolic link"),
    "link_loop": ({"l": "-> l"}, {}, ("l", "/d/"), {}, "symbolic links"),
    "chmod_out_of_range": ({"a": "1"}, {}, ("a", "/d"), {"chmod": "10000"}, "not a file mode"),
}


@pytest.mark.parametrize("row", ERRORS)
def test_1_5_error(row: str, bench: Any) -> None:
    context, lower, words, flags, message = ERRORS[row]
    bench.fill(bench.context, context)
    bench.fill(bench.lower, lower)
    with pytest.raises(LayerwrightError) as caught:
        bench.copy(*words, **flags)
    assert message in caught.value.message


def test_1_5_missing_source_suggests_the_nearest_name(bench: Any) -> None:
    bench.fill(bench.context, {"source/main.py": "1"})
    with pytest.raises(NotFoundError) as caught:
        bench.copy("source/mian.py", "/d/")
    assert (caught.value.code, caught.value.help) == ("copy-source-missing", 'did you mean "source/main.py"?')
    with pytest.raises(NotFoundError) as caught:
        bench.copy("soruce/main.py", "/d/")
    assert caught.value.help == 'did you mean "source/main.py"?'


def test_1_5_missing_source_tells_of_dockerignore(bench: Any) -> None:
    bench.fill(bench.context, {"dist/app": "1", ".dockerignore": "dist\n"})
    with pytest.raises(NotFoundError) as caught:
        bench.copy("dist/app", "/d/")
    assert '.dockerignore excludes "dist/app"' in (caught.value.help or "")


def test_1_5_wildcard_without_match_warns(bench: Any) -> None:
    applied = bench.copy("*.x", "/d/")
    assert [warning.code for warning in applied.warnings] == ["copy-no-match"]
    assert not applied.changed


def test_1_5_the_root_of_a_stage_has_no_mtime_to_copy(bench: Any) -> None:
    """No layer lists it, whereas a context's root is a directory like others."""
    bench.fill(bench.context, {"a": "1"})
    bench.copy("/", "/of-a-stage", tree=open_directory(str(bench.context)))
    bench.copy(".", "/of-a-context")
    assert (bench.mtime("of-a-stage"), bench.mtime("of-a-context")) == (NOW, OLD)


def test_1_5_unknown_owner_is_root_with_a_warning(bench: Any) -> None:
    bench.fill(bench.context, {"a": "1"})
    applied = bench.copy("a", "/d", chown="ghost")
    assert [warning.code for warning in applied.warnings] == ["unknown-owner"]
    assert bench.shown() == {"d": "f 644 0:0 1"}


def test_1_5_exclude_of_a_source_itself_warns(bench: Any) -> None:
    bench.fill(bench.context, {"a.txt": "1"})
    assert [warning.code for warning in bench.copy("*.txt", "/d/", excludes=("*.txt",)).warnings] == ["copy-exclude-of-source"]


def test_1_5_stages_keep_their_owners(bench: Any) -> None:
    stage = MemoryTree(
        [(Entry("s", "dir", 0o755, 9, 9), None), (Entry("s/a", "file", 0o640, 7, 8), b"1"), (Entry("s/t", "dir", 0o750, 5, 6), None)]
    )
    bench.copy("s", "/d", tree=stage)
    assert bench.shown() == {"d": "d 755 0:0", "d/a": "f 640 7:8 1", "d/t": "d 750 5:6"}


def test_1_5_mtime_is_copied_in_ns(bench: Any) -> None:
    bench.fill(bench.context, {"s/a": "1", "s/t/b": "2", "s/l": "-> x"})
    for name in ("s/a", "s/t", "s/l"):
        os.utime(bench.context / name, ns=(OLD + 7, OLD + 7), follow_symlinks=False)
    bench.copy("s", "/n/d")
    assert [bench.mtime(path) for path in ("n/d/a", "n/d/t", "n/d/l")] == [OLD + 7] * 3
    assert bench.mtime("n/d/t/b") == OLD


def test_1_5_created_parents_have_the_clock_and_the_top_has_the_source_mtime(bench: Any) -> None:
    bench.fill(bench.context, {"s/a": "1", "f": "2"})
    bench.fill(bench.lower, {"e/x": "0"})
    bench.copy("s", "/n/d")
    bench.copy("s", "/e")
    bench.copy("f", "/m/f")
    assert bench.mtime("n") == NOW
    assert bench.mtime("n/d") == OLD
    assert bench.mtime("e") == OLD
    assert bench.mtime("m") == NOW
    assert bench.mtime("m/f") == OLD


def test_1_5_a_directory_that_gets_an_entry_is_touched_and_its_parents_are_not(bench: Any) -> None:
    bench.fill(bench.context, {"f": "1"})
    bench.fill(bench.lower, {"usr/": ("", 0o751), "usr/bin/": ("", 0o711)})
    os.chown(bench.lower / "usr/bin", 3, 4)
    os.setxattr(bench.lower / "usr/bin", "user.kept", b"v")
    bench.copy("f", "/usr/bin/")
    assert bench.shown() == {"usr": "d 751 0:0", "usr/bin": "d 711 3:4", "usr/bin/f": "f 644 0:0 1"}
    assert (bench.mtime("usr"), bench.mtime("usr/bin")) == (OLD, NOW)
    assert os.getxattr(bench.upper / "usr/bin", "user.kept") == b"v"


def test_1_5_heredoc_has_the_clock(bench: Any) -> None:
    bench.copy("/d/f", inline=(("EOF", b"1"),))
    assert bench.mtime("d/f") == NOW


def test_1_8_source_date_epoch_is_the_time_of_all_that_is_written(bench: Any) -> None:
    bench.fill(bench.context, {"s/a": "1"})
    bench.times = Times(NOW, epoch_ns=1_000_000_000)
    bench.copy("s", "/n/d", inline=())
    bench.copy("/n/h", inline=(("EOF", b"1"),))
    assert {bench.mtime(path) for path in ("n", "n/d", "n/d/a", "n/h")} == {1_000_000_000}


def test_1_5_hard_links_within_one_copy_are_kept(bench: Any) -> None:
    bench.fill(bench.context, {"s/a": "1"})
    os.link(bench.context / "s/a", bench.context / "s/b")
    os.link(bench.context / "s/a", bench.context / "outside")
    bench.copy("s", "/d/")
    bench.copy("outside", "/e/")
    assert (bench.upper / "d/a").stat().st_ino == (bench.upper / "d/b").stat().st_ino
    assert (bench.upper / "d/a").stat().st_nlink == 2
    assert (bench.upper / "e/outside").stat().st_nlink == 1


def test_1_5_a_link_whose_first_name_is_overwritten_keeps_its_bytes(bench: Any) -> None:
    bench.fill(bench.context, {"s/a": "linked", "t/a": "other"})
    os.link(bench.context / "s/a", bench.context / "s/b")
    bench.copy("s", "t", "/d/")
    assert bench.shown() == {"d": "d 755 0:0", "d/a": "f 644 0:0 other", "d/b": "f 644 0:0 linked"}


@needs_root_of_the_machine
def test_1_5_fifos_and_devices_are_copied_and_sockets_told(bench: Any) -> None:
    bench.fill(bench.context, {"s/": ""})
    os.mkfifo(bench.context / "s/fifo", 0o640)
    os.mknod(bench.context / "s/null", 0o020666, os.makedev(1, 3))
    here = socket.socket(socket.AF_UNIX)
    here.bind(os.path.relpath(bench.context / "s/sock"))
    here.close()
    applied = bench.copy("s", "/d/")
    assert [warning.code for warning in applied.warnings] == ["copy-socket"]
    assert sorted(bench.shown()) == ["d", "d/fifo", "d/null"]
    assert (bench.upper / "d/null").stat().st_rdev == os.makedev(1, 3)
    assert (bench.upper / "d/fifo").is_fifo()
    assert bench.shown()["d/fifo"] == "f 640 0:0"
    bench.copy("s/sock", "/made/for/it/")
    assert bench.shown()["made/for/it"] == "d 755 0:0"


def test_1_5_a_device_that_means_a_deletion_is_left_out(bench: Any) -> None:
    bench.fill(bench.context, {"s/a": "1"})
    os.mknod(bench.context / "s/zero", 0o020600, os.makedev(0, 0))
    assert [warning.code for warning in bench.copy("s", "/d/").warnings] == ["copy-device"]
    assert sorted(bench.shown()) == ["d", "d/a"]


def test_1_5_user_xattrs_are_kept(bench: Any) -> None:
    bench.fill(bench.context, {"s/a": "1", "s/t/": ""})
    os.setxattr(bench.context / "s/a", "user.note", b"1")
    os.setxattr(bench.context / "s/t", "user.note", b"2")
    bench.copy("s", "/d/", chown="5", chmod="750")
    assert [os.getxattr(bench.upper / path, "user.note") for path in ("d/a", "d/t")] == [b"1", b"2"]


def test_1_5_file_capabilities_survive_chown(bench: Any) -> None:
    bench.fill(bench.context, {"a": "1"})
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    try:
        os.setxattr(bench.context / "a", "security.capability", capability)
    except OSError as error:
        pytest.skip(f"file capabilities cannot be set here: {error}")
    bench.copy("a", "/d", chown="5", chmod="4755")
    assert os.getxattr(bench.upper / "d", "security.capability") == capability
    assert bench.shown() == {"d": "f 4755 5:5 1"}


def test_1_5_large_and_sparse_files(bench: Any) -> None:
    body = os.urandom(3 << 20)
    bench.fill(bench.context, {"big": body, "empty": b"", "edge": body[: 128 << 10], "over": body[: (128 << 10) + 1]})
    with open(bench.context / "sparse", "wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"middle")
    bench.copy(".", "/d/")
    for name in ("big", "empty", "edge", "over", "sparse"):
        assert (bench.upper / "d" / name).read_bytes() == (bench.context / name).read_bytes()
    assert (bench.upper / "d/sparse").stat().st_blocks * 512 < 8 << 20


def test_1_5_names_of_any_bytes(bench: Any) -> None:
    raw = os.fsencode(bench.context) + b"/s"
    os.mkdir(raw)
    for name in (b"\xff\xfe", "ä".encode(), b"new\nline", b"-x", b" "):
        with open(raw + b"/" + name, "wb") as file:
            file.write(b"1")
    bench.copy("s", "/d/")
    assert sorted(os.listdir(os.fsencode(bench.upper) + b"/d")) == sorted(os.listdir(raw))


def test_1_5_a_second_source_sees_what_the_first_left(bench: Any) -> None:
    bench.fill(bench.context, {"one/x": "-> y", "two/x/a": "1"})
    with pytest.raises(LayerwrightError, match="cannot copy to non-directory: /d/x is a symlink"):
        bench.copy("one", "two", "/d/")


def test_1_5_deep_trees(bench: Any) -> None:
    deep = "/".join(["d"] * 300)
    bench.fill(bench.context, {f"s/{deep}/f": "1"})
    bench.copy("s", "/out")
    assert (bench.upper / "out" / deep / "f").read_text() == "1"


@pytest.mark.parametrize("link", ["/etc/hostname", "../../../../../../etc/hostname"])
def test_5_1_a_link_out_of_the_context_stays_in_it(bench: Any, link: str) -> None:
    bench.fill(bench.context, {"l": f"-> {link}"})
    with pytest.raises(NotFoundError, match='"/l": not found'):
        bench.copy("l", "/d/")
    bench.fill(bench.context, {"etc/hostname": "inside"})
    bench.copy("l", "/d/")
    assert bench.shown()["d/l"] == "f 644 0:0 inside"


def test_5_1_a_link_in_the_destination_stays_in_the_root(bench: Any, tmp_path: Any) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    bench.fill(bench.context, {"f": "x"})
    bench.fill(bench.lower, {"abs": f"-> {outside}", "up": "-> ../../../../../../../../tmp"})
    bench.copy("f", "/abs/")
    bench.copy("f", "/up/")
    assert list(outside.iterdir()) == []
    assert (bench.upper / str(outside).lstrip("/") / "f").read_text() == "x"
    assert (bench.upper / "tmp/f").read_text() == "x"


def test_5_1_dockerignore_that_is_a_link_reads_nothing_outside(bench: Any, tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a\n[broken-secret\n")
    bench.fill(bench.context, {"a": "1", ".dockerignore": f"-> {secret}"})
    bench.copy("a", "/d/")
    assert bench.shown()["d/a"] == "f 644 0:0 1"


def test_a_source_that_changes_while_it_is_copied_is_an_error(bench: Any) -> None:
    class Growing(MemoryTree):
        def lstat(self, path: str) -> Entry | None:
            entry = super().lstat(path)
            return Entry(path, "file", 0o644, size=1) if path == "a" else entry

    with pytest.raises(LayerwrightError, match="changed while it was copied"):
        bench.copy("a", "/d/", tree=Growing.of({"a": b"longer"}))


def test_a_cancelled_build_stops_the_copy(bench: Any) -> None:
    from builder.context.directory import open_directory
    from builder.errors import BuildCancelled
    from builder.graph.operations import CopyAction, CopyFrom
    from builder.ops.copy import apply_copy

    def cancelled() -> None:
        raise BuildCancelled

    bench.fill(bench.context, {"a": "1"})
    with pytest.raises(BuildCancelled):
        apply_copy(
            CopyAction((CopyFrom(0, ("a",)),), "/d"),
            [open_directory(str(bench.context))],
            bench.destination(),
            bench.times,
            check=cancelled,
        )
