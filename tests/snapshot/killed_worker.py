"""A process that works on a store until it is killed: commits, packs, records, prunes, cache mounts. Run by test_snapshot_killed."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from builder.snapshot.layers import LayerId, Layers
from builder.store.cachemounts import CacheMounts
from builder.store.collect import Rule
from builder.store.store import Store
from builder.store.sweep import collect


def main(root: Path, seed: int) -> None:
    dice = random.Random(seed)
    with Store.open(root) as store, Layers(store) as layers:
        print("ready", flush=True)
        stack: tuple[LayerId, ...] = ()
        while True:
            content = dice.randbytes(20_000)
            with layers.draft(stack) as draft:
                for name in ("one", "two", "three"):
                    Path(draft.upper, name).write_bytes(content)
                layer = draft.commit()
            store.index.put_record(f"{seed}-{len(stack)}", content, layer)
            layers.pack_in_background(layer, "gzip")
            if dice.random() < 0.3:
                layers.blob(layer, "gzip")
            with CacheMounts(store).open("counter", "locked") as mount:
                number = len(os.listdir(mount.path))
                (mount.path / str(number)).write_bytes(b"")
            if dice.random() < 0.1:
                collect(store, [Rule(max_used=2_000_000)])
            stack = (*stack, layer) if len(stack) < 70 else ()


main(Path(sys.argv[1]), int(sys.argv[2]))
