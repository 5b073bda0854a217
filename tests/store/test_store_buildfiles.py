"""Logs and manifests go with the rows of their builds."""

from __future__ import annotations

import os
from pathlib import Path

from builder.store.buildfiles import ManifestFiles, log_path, sweep_build_files
from builder.store.index import StoredBuild
from builder.store.store import Store
from builder.store.sweep import KEPT_BUILDS_NS, tidy

DAY = 24 * 3600 * 10**9


def _log(root: Path, build: str, size: int = 10) -> Path:
    path = log_path(root, build, 1)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * size)
    return path


def test_a_log_goes_with_its_row_and_an_orphan_after_two_days(tmp_path: Path) -> None:
    kept, running, killed = _log(tmp_path, "kept"), _log(tmp_path, "running"), _log(tmp_path, "killed")
    now = running.parent.stat().st_mtime_ns + DAY
    os.utime(killed.parent, ns=(now - 3 * DAY, now - 3 * DAY))
    assert sweep_build_files(tmp_path, {"kept": now - 30 * DAY}, now) == 1
    assert [path.exists() for path in (kept, running, killed)] == [True, True, False]


def test_logs_of_too_many_bytes_go_oldest_first(tmp_path: Path) -> None:
    paths = [_log(tmp_path, name, 1 << 20) for name in ("old", "middle", "new")]
    sweep_build_files(tmp_path, {"old": 1, "middle": 2, "new": 3}, 4, limit=2 << 20)
    assert [path.exists() for path in paths] == [False, True, True]


def test_a_manifest_stays_while_a_row_may_speak_of_it(tmp_path: Path) -> None:
    manifests = ManifestFiles(tmp_path)
    manifests.put("used", b"1")
    manifests.put("unused", b"2")
    os.utime(tmp_path / "manifests/unused", ns=(5, 5))
    assert sweep_build_files(tmp_path, {"build": 10}, 20) == 1
    assert (manifests.get("used"), manifests.get("unused")) == (b"1", None)
    assert (manifests.has("used"), manifests.has("unused")) == (True, False)


def test_tidy_takes_both(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        old = store.now() - KEPT_BUILDS_NS - DAY
        for number in range(60):
            store.index.put_build(StoredBuild(f"build{number:02}", old + number, b""))
            log = _log(store.root, f"build{number:02}")
            os.utime(log.parent, ns=(old, old))
        tidy(store)
        assert sorted(path.name for path in (store.root / "builds").iterdir()) == [f"build{number:02}" for number in range(10, 60)]
