"""Times the file work of a layer on this machine: scan, tar, pack, read, unpack, diff of 30,000 small files.

    python bench/micro_fs.py [DIRECTORY]

Each line is the best of three runs: wall seconds, then the processor seconds of all threads.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from builder.fs.diff import changes
from builder.fs.pack import pack
from builder.fs.scan import layer_entries
from builder.fs.tarread import read_tar
from builder.fs.tree import EmptyTree, StackTree
from builder.fs.unpack import unpack

FILES = 30_000


def make_files(root: Path) -> None:
    """Text of 50 to 6,000 bytes in 300 directories, in part hard to compress."""
    for number in range(FILES):
        path = root / f"d{number % 10}" / f"s{number % 300}"
        path.mkdir(parents=True, exist_ok=True)
        (path / f"file-{number}.txt").write_bytes(os.urandom(40) + b"some line of text\n" * (number * 7919 % 330))


def timed(name: str, work: Callable[[], object]) -> None:
    """The best of three."""
    best = []
    for _ in range(3):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        best.append((time.perf_counter() - wall, time.process_time() - processor))
    print(f"{name:32} {min(best)[0]:8.3f} {min(cpu for _, cpu in best):8.3f}")


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as scratch:
        root, out = Path(scratch, "tree"), Path(scratch, "out")
        make_files(root)
        archive = io.BytesIO()
        pack(layer_entries(str(root)), "none", None, archive.write)

        def unpacked() -> None:
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            archive.seek(0)
            unpack(archive, str(out), EmptyTree())

        def read() -> None:
            archive.seek(0)
            for _, body in read_tar(archive):
                body.read()

        print(f"{FILES} files, {len(archive.getbuffer()) / 1e6:.0f} MB of tar{'':12}wall      cpu")
        timed("walk and read metadata", lambda: [None for _ in layer_entries(str(root))])
        for compression in ("none", "gzip", "zstd"):
            timed(f"pack, {compression}", lambda kind=compression: pack(layer_entries(str(root)), kind, None, lambda data: None))  # type: ignore[misc]
        timed("read the tar", read)
        timed("unpack (with removal before)", unpacked)
        timed("diff against nothing", lambda: changes(str(root), EmptyTree()))
        timed("diff against itself", lambda: changes(str(root), StackTree([str(root)], frozen=True)))


if __name__ == "__main__":
    main()
