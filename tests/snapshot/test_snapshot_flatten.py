"""Deep stacks: merged blocks show what the layers show, to us and to the kernel, and cost each file one link."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.fs.tree import StackTree
from builder.snapshot.flatten import BLOCK, OVER
from builder.snapshot.layers import LayerId, Layers
from builder.snapshot.merging import merge_directories
from builder.store.collect import Rule
from builder.store.store import Store
from builder.store.sweep import collect
from runtime.spec import Overlay
from tests.privileges import XATTR_PREFIX, needs_root
from tests.snapshot.roots import needs_overlay, run, shows

pytestmark = needs_root


@pytest.fixture
def store(store_root: Path) -> Iterator[Store]:
    with Store.open(store_root) as opened:
        yield opened


def random_layer(path: Path, dice: random.Random) -> None:
    """An overlay-format directory of a few names, which meet those of other layers often."""
    path.mkdir()
    todo = [(path, 0)]
    while todo:
        directory, depth = todo.pop()
        for name in dice.sample("abcd", dice.randint(0, 3)):
            kind = dice.choice(["file", "dir", "dir", "whiteout", "link", "opaque"])
            child = directory / name
            if kind == "whiteout":
                os.mknod(child, stat.S_IFCHR, 0)
            elif kind == "link":
                child.symlink_to("target")
            elif kind == "file" or depth > 2:
                child.write_bytes(dice.randbytes(3))
                os.chmod(child, dice.choice([0o644, 0o4755]))
            else:
                child.mkdir(dice.choice([0o755, 0o700]))
                if kind == "opaque":
                    os.setxattr(child, f"{XATTR_PREFIX}opaque", b"y")
                todo.append((child, depth + 1))


@pytest.mark.parametrize("seed", range(40))
def test_a_merged_block_shows_the_same(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    paths = [str(tmp_path / f"layer{number}") for number in range(6)]
    for path in paths:
        random_layer(Path(path), dice)
    merged = tmp_path / "merged"
    merged.mkdir()
    start, end = sorted(dice.sample(range(7), 2))
    merge_directories(paths[start:end], str(merged), StackTree(paths[end:], XATTR_PREFIX, frozen=True), f"{XATTR_PREFIX}opaque")
    whole = shows(StackTree(paths, XATTR_PREFIX, frozen=True))
    for path, seen in shows(StackTree([*paths[:start], str(merged), *paths[end:]], XATTR_PREFIX, frozen=True)).items():
        assert seen == whole.pop(path), path
    assert whole == {}


@pytest.mark.parametrize("seed", range(20))
def test_a_layer_twice_shows_what_it_shows_once(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    paths = [str(tmp_path / f"layer{number}") for number in range(4)]
    for path in paths:
        random_layer(Path(path), dice)
    stack = dice.choices(paths, k=7)
    once = shows(StackTree(list(dict.fromkeys(stack)), XATTR_PREFIX, frozen=True))
    assert shows(StackTree(stack, XATTR_PREFIX, frozen=True)) == once


@needs_overlay
def test_a_layer_may_stand_in_a_stack_twice(store: Store) -> None:
    """overlayfs refuses one directory as two lower layers; like COPY --link steps make one layer."""
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        with layers.draft(()) as draft:
            Path(draft.upper, "x").write_text("x")
            layer = draft.commit()
        with layers.draft((layer,)) as draft:
            os.mknod(f"{draft.upper}/x", stat.S_IFCHR, 0)
            without = draft.commit()
        stack = (layer, without, layer)
        with layers.draft(stack) as draft:
            run(draft.root(), "cat x > y")
            assert shows(layers.tree((*stack, draft.commit())))["y"][2] == b"x"


@needs_overlay
@pytest.mark.parametrize("seed", range(6))
def test_the_kernel_sees_the_merged_block_as_the_layers(store: Store, seed: int) -> None:
    dice = random.Random(seed)
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        stack: tuple[LayerId, ...] = ()
        while len(stack) < 6:
            with layers.draft(stack) as draft:
                random_layer(Path(draft.upper, "top"), dice)
                layer = draft.commit()
            stack = (*stack, layer)
        paths = list(layers.directories(stack))
        start, end = (0, len(paths)) if seed == 0 else (1, dice.randint(3, len(paths)))
        with store.temporary() as merged, store.temporary() as listings:
            merge_directories(paths[start:end], str(merged), StackTree(paths[end:], XATTR_PREFIX, frozen=True), f"{XATTR_PREFIX}opaque")
            for name, lowers in (("whole", paths), ("short", [*paths[:start], str(merged), *paths[end:]])):
                (listings / f"{name}-upper").mkdir()
                (listings / f"{name}-work").mkdir()
                out = listings / name
                listing = f"find . -printf '%p %y %m %l\\n' | sort > {out}; find . -type f | sort | xargs -r cat >> {out}"
                run(Overlay(tuple(lowers), f"{out}-upper", f"{out}-work"), listing)
            whole = (listings / "whole").read_bytes()
            assert whole.count(b"\n") > 2
            assert (listings / "short").read_bytes() == whole


def deepen(layers: Layers, stack: tuple[LayerId, ...], count: int) -> tuple[LayerId, ...]:
    for _ in range(count):
        number = len(stack)
        with layers.draft(stack) as draft:
            Path(draft.upper, f"file{number}").write_text(str(number))
            Path(draft.upper, "last").write_text(str(number))
            if number:
                os.mknod(f"{draft.upper}/file{number - 1}", stat.S_IFCHR, 0)
            stack = (*stack, draft.commit())
    return stack


def test_a_deep_stack_has_few_directories(store: Store) -> None:
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        stack = deepen(layers, (), OVER)
        assert len(layers.directories(stack)) == OVER
        stack = deepen(layers, stack, 1)
        assert len(layers.directories(stack)) == 1 + OVER + 1 - BLOCK
        stack = deepen(layers, stack, 2 * BLOCK)
        found = layers.directories(stack)
        assert len(found) == len(stack) // BLOCK + len(stack) % BLOCK
        assert layers.directories(stack) == found
        seen = shows(layers.tree(stack))
        assert seen.keys() == {"last", f"file{len(stack) - 1}"}
        assert seen["last"][2] == str(len(stack) - 1).encode()
    with Layers(store, xattr_prefix=XATTR_PREFIX) as again:
        assert again.directories(stack) == found


def test_a_thousand_steps_take_a_linear_time(store: Store) -> None:
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        began = time.process_time()
        stack = deepen(layers, (), 200)
        first = time.process_time() - began
        stack = deepen(layers, stack, 600)
        began = time.process_time()
        stack = deepen(layers, stack, 200)
        last = time.process_time() - began
        assert len(layers.directories(stack)) <= OVER
    assert last < 4 * first + 0.5


@needs_overlay
def test_the_kernel_mounts_a_stack_of_five_hundred(store: Store) -> None:
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        stack = deepen(layers, (), 500)
        with layers.draft(stack) as draft:
            root = draft.root()
            assert isinstance(root, Overlay)
            # mount(2) takes a page of options: relative names would do for more, the new mount API for all.
            short = tuple(os.path.relpath(path, store.root / "layers") for path in root.lowers)
            script = 'mount -t overlay overlay -o "$1" /mnt && test "$(cat /mnt/last)" = 499 && test ! -e /mnt/file498'
            options = f"lowerdir={':'.join(short)},upperdir={root.upper},workdir={root.work}"
            subprocess.run(
                ["unshare", "-m", "sh", "-euc", script, "sh", options],
                check=True,
                cwd=store.root / "layers",
            )


def test_merged_blocks_are_collected_before_their_layers(store_root: Path) -> None:
    with Store.open(store_root) as store, Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        deepen(layers, (), OVER + 5)
    with Store.open(store_root) as store:
        kinds = [record.kind for record in store.index.layers.all()]
        assert kinds.count("merged") == 1
        swept = collect(store, [Rule(("layer",), reserved=4096 * 3 * (OVER + 4))])
        assert next(item.name.split("-")[0] for item in swept.removals) in ("merged", "built")
        collect(store, [Rule()])
        assert os.listdir(store.root / "layers") == []


def test_a_merged_directory_that_is_gone_is_made_again(store: Store) -> None:
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        stack = deepen(layers, (), OVER + 5)
        found = layers.directories(stack)
    os.rename(found[-1], store.root / "work/away")
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        again = layers.directories(stack)
        assert again[-1] != found[-1]
        assert again[:-1] == found[:-1]
        assert shows(layers.tree(stack))["last"][2] == str(OVER + 4).encode()


def test_files_are_shared_not_copied(store: Store) -> None:
    with Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        stack = deepen(layers, (), OVER + 1)
        merged = layers.directories(stack)[-1]
        single = layers.directories(stack[:BLOCK])[0]
        assert os.stat(f"{merged}/last").st_ino == os.stat(f"{single}/last").st_ino
