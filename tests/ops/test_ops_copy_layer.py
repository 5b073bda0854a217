"""A COPY that goes straight into its layer gives the layer that its directory would have given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from builder.errors import BuildCancelled, LayerwrightError
from builder.fs.diff import changes
from builder.fs.entries import Entry
from builder.fs.pack import pack
from builder.fs.tree import MemoryTree, StackTree
from builder.ops.copy_layer import layer_of, plain
from builder.ops.copy_plan import Plan
from tests.ops.conftest import USER_OPAQUE, Bench
from tests.ops.test_ops_copy import ROWS
from tests.privileges import needs_root_of_the_machine

# These replace something in the root below, or do nothing.
WRITTEN = {
    "file_replaces_file",
    "a_link_inside_the_destination_dir_is_replaced",
    "destination_last_link_is_followed",
    "wildcard_without_match_is_a_no_op",
}


class Both:
    """Packs each plan that it is offered, and lets it be written nevertheless."""

    def __init__(self) -> None:
        self.packed: str | None = None

    def __call__(self, plan: Plan) -> bool:
        listed = plain(plan)
        if listed is not None:
            self.packed = pack(layer_of(plan, listed, lambda: None), "none", None, lambda data: None).diff_id
        return False


def written(bench: Bench, *, link: bool = False) -> str:
    """The DiffID of what stands in the upper directory."""
    lower = StackTree([] if link else [str(bench.lower)], USER_OPAQUE)
    return pack(changes(str(bench.upper), lower, USER_OPAQUE).files(), "none", None, lambda data: None).diff_id


@pytest.mark.parametrize("row", ROWS)
def test_the_layer_is_the_same(row: str, bench: Any) -> None:
    context, lower, words, flags, _ = ROWS[row]
    bench.fill(bench.context, context)
    bench.fill(bench.lower, lower)
    both = Both()
    bench.copy(*words, **flags, take=both)
    if row in WRITTEN:
        assert both.packed is None
    else:
        assert both.packed == written(bench, link=bool(flags.get("link")))


def copied(bench: Bench, *words: str, **flags: object) -> str | None:
    both = Both()
    bench.copy(*words, **flags, take=both)  # type: ignore[arg-type]
    assert both.packed in (None, written(bench))
    return both.packed


def test_hard_links_keep_their_first_name(bench: Any) -> None:
    bench.fill(bench.context, {"s/b/one": "same", "s/c": "other"})
    os.link(bench.context / "s/b/one", bench.context / "s/b-two")
    os.link(bench.context / "s/b/one", bench.context / "s/a")
    assert copied(bench, "s", "/d") is not None


def test_names_are_sorted_as_a_walk_finds_them(bench: Any) -> None:
    bench.fill(bench.context, {"s/a/z": "1", "s/a-b/y": "2", "s/a.c": "3", "s/a b": "4", "s/\udcff": "5", "s/ä/x": "6", "s/a/": ""})
    assert copied(bench, "s", "/d") is not None


def test_large_and_sparse_files(bench: Any) -> None:
    bench.fill(bench.context, {"s/large": os.urandom(3_000_000), "s/empty": ""})
    with open(bench.context / "s/sparse", "wb") as file:
        file.truncate(5_000_000)
        file.seek(2_000_000)
        file.write(b"in the middle")
    assert copied(bench, "s", "/d") is not None


@pytest.mark.parametrize("what", ["attribute", "fifo", pytest.param("large-id", marks=needs_root_of_the_machine)])
def test_what_has_to_be_tried_out_is_written(what: str, bench: Any) -> None:
    bench.fill(bench.context, {"s/f": "1"})
    if what == "attribute":
        os.setxattr(bench.context / "s/f", "user.a", b"b")
    elif what == "fifo":
        os.mkfifo(bench.context / "s/p")
    assert copied(bench, "s", "/d", **({"chown": "70000"} if what == "large-id" else {})) is None


def test_a_directory_of_which_only_the_time_changes_is_no_change(bench: Any) -> None:
    bench.fill(bench.context, {"s/": ""})
    bench.fill(bench.lower, {"d/": ""})
    assert copied(bench, "s", "/d") is None


def test_an_archive_is_extracted_into_the_directory(bench: Any, tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(bench.context / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("inside"))
    (bench.context / "f").write_text("x")
    both = Both()
    bench.copy("a.tar", "f", "/d/", unpack=True, take=both)
    assert both.packed is None
    assert set(bench.shown()) == {"d", "d/inside", "d/f"}


def plan_of(tree: MemoryTree) -> Plan:
    from builder.ops.copy_plan import Placed

    plan = Plan(MemoryTree.of({}))
    entry = tree.lstat("f")
    assert entry is not None
    plan.put(Placed(Entry("f", "file", 0o644, size=entry.size + 1), tree, "f"))
    return plan


def test_a_source_that_changed_is_an_error() -> None:
    plan = plan_of(MemoryTree.of({"f": b"abc"}))
    with pytest.raises(LayerwrightError) as caught:
        pack(layer_of(plan, frozenset({"f"}), lambda: None), "gzip", None, lambda data: None)
    assert caught.value.code == "copy-source-changed"


def test_a_cancelled_build_stops() -> None:
    def cancelled() -> None:
        raise BuildCancelled()

    plan = plan_of(MemoryTree.of({"f": b"abc"}))
    with pytest.raises(BuildCancelled):
        list(layer_of(plan, frozenset({"f"}), cancelled))
