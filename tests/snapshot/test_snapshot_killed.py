"""kill -9 at any moment leaves a store in which everything that is named is whole, and the next build goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builder.snapshot.layers import EMPTY, Layers
from builder.store.fsck import check
from builder.store.store import Store

ROUNDS = 150 if os.environ.get("LAYERWRIGHT_PROVE") else 8
WORKER = Path(__file__).with_name("killed_worker.py")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(WORKER.parents[2])}


@pytest.mark.skipif(os.geteuid() != 0, reason="overlay whiteouts need root")
def test_killing_builds_again_and_again(store_root: Path) -> None:
    dice = random.Random(7)
    layers_seen = 0
    for number in range(ROUNDS):
        running = [
            subprocess.Popen(
                [sys.executable, WORKER, store_root, f"{number * 2 + n}"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": str(WORKER.parents[2])},
            )
            for n in range(2)
        ]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        time.sleep(dice.uniform(0.0, 0.3))
        for process in running:
            process.send_signal(signal.SIGKILL)
            assert process.communicate()[1] == b""
            assert process.returncode == -signal.SIGKILL
        layers_seen += assert_sound(store_root)
    assert layers_seen > ROUNDS


def assert_sound(root: Path) -> int:
    """Opens the store as the next build would, and looks at everything in it; how many layers there were."""
    with Store.open(root) as store, Layers(store) as layers:
        assert len(os.listdir(root / "work")) == 2
        assert [problem for problem in check(store) if problem.kind != "leftover"] == []
        check(store, repair=True)
        assert check(store) == []
        for record in store.index.records():
            assert record.layer_id is not None
            (directory,) = layers.directories((record.layer_id,))
            content = store.index.get_record(record.key)
            assert {path.read_bytes() for path in Path(directory).iterdir()} == {content}
        for row in store.index.layers.all():
            if row.kind == "built" and row.id != EMPTY:
                layers.blob(row.id, "gzip")
        counts = sorted(int(name) for mount in store.index.mounts() for name in os.listdir(root / "caches" / mount.name))
        assert counts == list(range(len(counts)))
        return len(store.index.layers.all())


def test_a_directory_without_its_row_goes_with_its_dead_owner(tmp_path: Path) -> None:
    root = tmp_path / "store"
    code = (
        "import os, sys; from pathlib import Path; from builder.store.store import Store\n"
        "store = Store.open(Path(sys.argv[1]))\n"
        "with store.lease.placing('bu01'):\n"
        "    (store.root / 'layers/bu01').mkdir(); os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(root)], check=False, cwd=Path(__file__).parents[2])
    assert (root / "layers/bu01").is_dir()
    with Store.open(root):
        assert not (root / "layers/bu01").exists()
