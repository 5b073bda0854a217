"""Damaged layers, compared: only typed errors, and what is taken is ordered and whole."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

from builder.compare.files import compare_files
from builder.compare.listing import list_layer
from builder.compare.stack import merged
from builder.errors import LayerwrightError
from builder.fs.limits import Limits
from tests.compare.layers import directory, file, gone, hard, opaque, tar
from tests.fuzz.mutation import Mutator

CORPUS = Path(__file__).resolve().parents[2] / "testdata/fuzz/layer"
LIMITS = Limits(entries=200, plain=1 << 18, file=1 << 17, header=1 << 14, segments=64, path=512, depth=32)
INPUTS = 30_000 if os.environ.get("LAYERWRIGHT_PROVE") else 400


def test_damaged_layers_are_refused_or_compared(tmp_path: Path) -> None:
    seeds = [path.read_bytes() for path in sorted(CORPUS.iterdir())]
    seeds.append(tar(directory("a"), file("a/b"), hard("a/c", "a/b"), hard("d", "a/c"), gone("x"), opaque("a")))
    mutator = Mutator(random.Random("compare 1"), seeds)
    below = list_layer(io.BytesIO(tar(directory("a"), file("a/b", b"below"), file("x"))), tmp_path / "below", lambda: ())
    found = {"taken": 0, "refused": 0}
    for number in range(INPUTS):
        data = seeds[number] if number < len(seeds) else mutator.next()
        try:
            layer = list_layer(io.BytesIO(data), tmp_path / "layer", lambda: (node for node, _ in merged([below])), LIMITS, piece=3)
        except LayerwrightError:
            found["refused"] += 1
            continue
        found["taken"] += 1
        keys = [node.key for node, _ in merged([below, layer])]
        assert keys == sorted(set(keys))
        assert list(compare_files(merged([below, layer]), merged([below, layer]))) == []
    assert found["refused"] > INPUTS // 20
    assert found["taken"] > INPUTS // 20
