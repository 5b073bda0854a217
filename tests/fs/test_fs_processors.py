"""The same compressed bytes on every processor: an image's digest must repeat on another machine.

isal chooses its code by what the processor can do. qemu's user mode shows it another processor; measured so,
levels 1 and 2 gave the same bytes on Nehalem (SSE4.2), Haswell (AVX2) and AVX-512, level 3 did not.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import isal
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
QEMU = shutil.which("qemu-x86_64-static")
PACKAGES = str(Path(isal.__file__).resolve().parents[1])
PROGRAM = f"""
import hashlib, sys
sys.path[:0] = [{str(REPOSITORY)!r}, {PACKAGES!r}]
from builder.fs.compress import compress
data = b"".join(hashlib.sha256(b"%d" % n).digest() + b"the quick brown fox %d " % (n % 97) * 3 for n in range(25000))
for compression, level in (("gzip", None), ("gzip", 1), ("zstd", None)):
    digest = hashlib.sha256()
    stream = compress(compression, level, digest.update)
    for start in range(0, len(data), 1 << 20):
        stream.write(data[start : start + (1 << 20)])
    stream.close()
    print(compression, level, digest.hexdigest())
"""


def _digests(*prefix: str) -> list[str]:
    command = [*prefix, os.path.realpath(sys.executable), "-c", PROGRAM]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=240).stdout.splitlines()


@pytest.mark.skipif(QEMU is None, reason="needs qemu-x86_64-static (qemu-user-static)")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="qemu runs this machine's own interpreter")
@pytest.mark.parametrize("processor", ["Nehalem", "Haswell"])
def test_compressed_bytes_do_not_depend_on_the_processor(processor: str) -> None:
    assert QEMU is not None
    here = _digests()
    assert len(here) == 3
    assert _digests(QEMU, "-cpu", processor) == here


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_compressed_bytes_do_not_depend_on_the_number_of_processors() -> None:
    one = min(os.sched_getaffinity(0))
    alone = _digests("taskset", "-c", str(one)) if shutil.which("taskset") else _digests()
    assert alone == _digests()
