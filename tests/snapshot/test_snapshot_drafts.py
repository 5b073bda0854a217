"""Drafts and what they become: one suite for overlay mode and copy mode, whose layers must be the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import LayerwrightError, NotFoundError
from builder.fs.scan import layer_entries
from builder.fs.tree import StackTree
from builder.oci.digest import EMPTY_LAYER
from builder.snapshot.layers import EMPTY, LayerId, Layers
from builder.store.layertable import LayerRecord
from builder.store.store import Store
from runtime.spec import Directory, Overlay
from tests.privileges import ROOT_OF_THE_MACHINE, XATTR_PREFIX, needs_root
from tests.snapshot.roots import change, names, needs_overlay, run, shows

pytestmark = needs_root

BASE = """
mkdir -p etc usr/bin var/lib/apt home/user; echo root:x > etc/passwd; echo hello > usr/bin/tool; chmod 4755 usr/bin/tool
ln usr/bin/tool usr/bin/other; ln -s ../usr/bin/tool etc/link; echo a > var/lib/apt/a; echo b > var/lib/apt/b; mkfifo var/pipe
chown -R 1000:1000 home/user; chmod 1777 var; touch -d '2001-01-01 00:00:00' etc/passwd usr/bin/tool
"""
if ROOT_OF_THE_MACHINE:
    BASE += "mknod var/null c 1 3\n"

STEPS = {
    "a new file": "echo new > etc/new",
    "a deeper file": "mkdir -p opt/a/b; echo x > opt/a/b/c",
    "a changed file": "echo more >> etc/passwd",
    "same size and time": "printf 'ROOT:x\\n' > etc/passwd; touch -d '2001-01-01 00:00:00' etc/passwd",
    "a removed file": "rm etc/passwd",
    "a removed tree": "rm -r var/lib",
    "removed and made again": "rm -r var/lib/apt; mkdir var/lib/apt; echo c > var/lib/apt/c",
    "chmod": "chmod 600 etc/passwd",
    "chown": "chown 5:6 etc/passwd",
    "a directory's mode": "chmod 700 home/user",
    "file to directory": "rm etc/passwd; mkdir etc/passwd; echo x > etc/passwd/x",
    "directory to file": "rm -r var/lib/apt; echo x > var/lib/apt",
    "file to link": "rm etc/passwd; ln -s nowhere etc/passwd",
    "a link's target": "ln -sf other etc/link",
    "a rename": "mv etc/passwd etc/renamed",
    "a renamed tree": "mv var/lib/apt var/moved",
    "a hard link to a lower file": "ln etc/passwd etc/second",
    "new hard links": "echo x > a; ln a b; ln a c",
    "special files": f"mkfifo pipe; {'mknod zero c 1 5;' if ROOT_OF_THE_MACHINE else ''} rm var/pipe",
    "attributes": "setfattr -n user.note -v hello etc/passwd",
    "strange names": "touch 'a b' \"$(printf 'new\\nline')\" \"$(printf '\\377')\"",
    "a large hole": "truncate -s 10M sparse; printf x | dd of=sparse bs=1 seek=5000000 conv=notrunc status=none",
    "touched and untouched": "touch -d '2020-01-01' etc/passwd; touch -d '2001-01-01' etc/passwd",
}


@pytest.fixture
def store(store_root: Path) -> Iterator[Store]:
    with Store.open(store_root) as opened:
        yield opened


@pytest.fixture(params=[pytest.param("overlay", marks=needs_overlay), "copy"])
def layers(request: pytest.FixtureRequest, store: Store) -> Iterator[Layers]:
    with Layers(store, overlay=request.param == "overlay", xattr_prefix=XATTR_PREFIX) as opened:
        yield opened


def make(layers: Layers, stack: tuple[LayerId, ...], script: str) -> LayerId:
    with layers.draft(stack) as draft:
        change(draft, script)
        return draft.commit("a note")


@pytest.mark.parametrize("script", STEPS.values(), ids=STEPS.keys())
def test_the_layer_shows_what_the_step_saw(layers: Layers, script: str) -> None:
    base = make(layers, (), BASE)
    with layers.draft((base,)) as draft:
        change(draft, script)
        root = draft.root()
        seen = shows(draft.tree) if isinstance(root, Overlay) else shows(StackTree((root.path,)))
        layer = draft.commit()
    after = shows(layers.tree((base, layer)))
    assert after.keys() == seen.keys()
    for path, (entry, xattrs, content, first) in seen.items():
        if entry.kind == "dir":
            assert (after[path][0].mode, after[path][0].uid, after[path][0].gid) == (entry.mode, entry.uid, entry.gid)
        else:
            assert after[path] == (entry, xattrs, content, first), path


@needs_overlay
@pytest.mark.parametrize("script", STEPS.values(), ids=STEPS.keys())
def test_both_modes_make_the_same_layer(tmp_path: Path, script: str) -> None:
    found = []
    for mode in (True, False):
        with Store.open(tmp_path / f"store-{mode}") as store, Layers(store, overlay=mode, xattr_prefix=XATTR_PREFIX) as layers:
            base = make(layers, (), BASE)
            layer = make(layers, (base,), f"{script}\nfind . -newermt 2005-01-01 -exec touch -h -d 2005-01-01 {{}} +")
            with store.temporary() as temporary:
                os.mkdir(temporary / "t")
            found.append([entry for entry, _ in layer_entries(layers.directories((layer,))[0])] if layer != EMPTY else [])
    assert found[0] == found[1]


@pytest.mark.parametrize("script", STEPS.values(), ids=STEPS.keys())
def test_a_layer_equals_its_tar(layers: Layers, store: Store, script: str) -> None:
    base = make(layers, (), BASE)
    layer = make(layers, (base,), script)
    blob = layers.blob(layer, "gzip")
    if layer == EMPTY:
        assert layers.record(layer).diff_id == EMPTY_LAYER
        return
    before = [entry for entry, _ in layer_entries(layers.directories((layer,))[0])]
    record = layers.record(layer)
    seen = shows(layers.tree((base, layer)))
    collected(store, record)
    with Layers(store, xattr_prefix=XATTR_PREFIX) as again:
        assert [entry for entry, _ in layer_entries(again.directories((base, layer))[0])] == [whole_seconds(entry) for entry in before]
        assert {path: (e.kind, e.mode, e.uid, e.gid, x, c, f) for path, (e, x, c, f) in shows(again.tree((base, layer))).items()} == {
            path: (e.kind, e.mode, e.uid, e.gid, x, c, f) for path, (e, x, c, f) in seen.items()
        }
        store.blobs.delete(blob.digest)
        assert again.blob(layer, "gzip") == blob
        assert again.record(layer).diff_id == record.diff_id
        assert store.blobs.has(blob.digest)


def whole_seconds(entry: object) -> object:
    import msgspec

    from builder.fs.entries import Entry

    assert isinstance(entry, Entry)
    return msgspec.structs.replace(entry, mtime_ns=entry.mtime_ns // 10**9 * 10**9)


def collected(store: Store, record: LayerRecord) -> None:
    """What garbage collection does to a layer whose blob an image name needs."""
    from builder.store.sweep import remove_directory

    assert record.dir is not None
    assert store.index.layers.drop_directory(record.id, record.used_ns)
    remove_directory(store, record.dir)


def test_a_step_that_changes_nothing_is_the_empty_layer(layers: Layers) -> None:
    base = make(layers, (), BASE)
    with layers.draft((base,)) as draft:
        change(draft, "echo x > etc/x; rm etc/x; cat etc/passwd > /dev/null")
        assert draft.commit() == EMPTY
        assert not draft.changed
    assert layers.directories((base, EMPTY)) == layers.directories((base,))
    assert layers.directories((EMPTY,)) == ()
    assert names(layers.tree((EMPTY,))) == set()
    assert layers.blob(EMPTY, "gzip").digest == layers.blob(EMPTY, "gzip").digest
    assert layers.record(EMPTY).diff_id == EMPTY_LAYER
    assert layers.hold((EMPTY,))


def test_a_draft_that_is_left_leaves_nothing(layers: Layers, store: Store) -> None:
    base = make(layers, (), BASE)
    before = sorted(os.listdir(store.root / "layers"))
    with layers.draft((base,)) as draft:
        change(draft, "echo x > etc/x")
    assert sorted(os.listdir(store.root / "layers")) == before
    layers.close()  # a thread removes them
    assert [name for name in os.listdir(store.lease.directory) if name.startswith("draft")] == []
    assert "etc/x" not in names(layers.tree((base,)))


def test_scratch_roots_forget(layers: Layers) -> None:
    base = make(layers, (), BASE)
    with layers.scratch_root((base,)) as root:
        run(root, "rm -r etc; echo x > y")
    assert "etc/passwd" in names(layers.tree((base,)))
    with layers.scratch_root((base,)) as root:
        run(root, "test -e etc/passwd && test ! -e y")


def test_read_only_roots_show_the_stack(layers: Layers) -> None:
    base = make(layers, (), BASE)
    above = make(layers, (base,), "echo new > etc/new; rm var/pipe")
    with layers.mount_root((base, above)) as root, layers.mount_root((base, above)) as other:
        for each in (root, other):
            assert isinstance(each, Overlay) or each.read_only
            run(each, "test -e etc/new && test ! -e var/pipe && test -e usr/bin/tool")


def test_the_root_keeps_its_metadata_through_the_stack(layers: Layers) -> None:
    base = make(layers, (), "chmod 711 .; chown 3:4 .; mkdir a")
    above = make(layers, (base,), "echo x > a/b; chmod 700 .")
    root = layers.tree((base, above)).lstat("")
    assert root is not None
    assert (root.mode, root.uid, root.gid) == (0o755, 0, 0) or (root.mode, root.uid, root.gid) == (0o711, 3, 4)


def test_steps_follow_each_other(layers: Layers) -> None:
    stack: tuple[LayerId, ...] = (make(layers, (), BASE),)
    for number in range(5):
        stack = (*stack, make(layers, stack, f"echo {number} > etc/count; mkdir d{number}; rmdir d{number - 1} 2>/dev/null || true"))
    seen = shows(layers.tree(stack))
    assert seen["etc/count"][2] == b"4\n"
    assert [path for path in seen if path.startswith("d")] == ["d4"]


def test_two_drafts_on_one_stack(layers: Layers) -> None:
    base = make(layers, (), BASE)
    with layers.draft((base,)) as one, layers.draft((base,)) as two:
        change(one, "echo 1 > one")
        change(two, "echo 2 > two")
        first, second = one.commit(), two.commit()
    assert "one" in names(layers.tree((base, first)))
    assert "one" not in names(layers.tree((base, second)))
    assert {"one", "two"} <= names(layers.tree((base, first, second)))


def test_the_record_tells_what_the_layer_is(layers: Layers, store: Store) -> None:
    layer = make(layers, (), "echo x > y")
    record = layers.record(layer)
    assert (record.kind, record.note, record.directory, record.diff_id, record.blobs) == ("built", "a note", True, None, ())
    assert record.size == 8192
    with pytest.raises(NotFoundError) as caught:
        layers.record(LayerId("nothing"))
    assert caught.value.code == "layer-missing"
    assert not layers.hold((layer, LayerId("nothing")))
    with pytest.raises(NotFoundError):
        layers.directories((layer, LayerId("nothing")))


def test_a_layer_stands_on_as_few_others_as_needed(layers: Layers, store: Store) -> None:
    base, link = make(layers, (), BASE), make(layers, (), "echo x > linked")
    first = make(layers, (base, link), "echo 1 > first")
    second = make(layers, (base, link, first), "echo 2 > second")
    with Layers(store, xattr_prefix=XATTR_PREFIX) as again:
        third = make(again, (base, link, first, second), "echo 3 > third") if isinstance(layers.draft(()).root(), Overlay) else None
    parents = store.index.layers.parents()
    assert parents[first] == tuple(sorted((base, link)))
    assert parents[second] == (first,)
    if third is not None:
        assert parents[third] == (second,)


def test_a_store_of_another_mode_is_refused(store: Store) -> None:
    with Layers(store, xattr_prefix="trusted.overlay."):
        pass
    with pytest.raises(LayerwrightError) as caught:
        Layers(store, xattr_prefix="user.overlay.")
    assert caught.value.code == "store-mode"


def test_committing_is_quick(store: Store) -> None:
    import time

    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        base = make(layers, (), "mkdir -p a/b; echo x > a/b/c")
        best = 1.0
        for number in range(10):
            with layers.draft((base,)) as draft:
                os.mkdir(f"{draft.upper}/new")
                Path(draft.upper, "new/file").write_text(str(number))
                began = time.process_time()
                draft.commit()
                best = min(best, time.process_time() - began)
    assert best < 0.002


def test_copy_mode_keeps_its_copy_for_the_next_step(store: Store) -> None:
    with Layers(store, overlay=False, xattr_prefix=XATTR_PREFIX) as layers:
        base = make(layers, (), BASE)
        with layers.draft((base,)) as draft:
            root = draft.root()
            assert isinstance(root, Directory)
            inode = os.stat(f"{root.path}/etc/link", follow_symlinks=False).st_ino
            run(root, "echo x > etc/passwd; ln etc/passwd etc/second")
            layer = draft.commit()
        with layers.draft((base, layer)) as draft:
            root = draft.root()
            assert isinstance(root, Directory)
            assert os.stat(f"{root.path}/etc/link", follow_symlinks=False).st_ino == inode
            run(root, "echo again > etc/second")
            last = draft.commit()
        assert shows(layers.tree((base, layer)))["etc/passwd"][2] == b"x\n"
        seen = shows(layers.tree((base, layer, last)))
        assert seen["etc/passwd"][2] == seen["etc/second"][2] == b"again\n"
        assert seen["etc/passwd"][3] == seen["etc/second"][3]
