"""The C library is told to keep freed memory, where it can be."""

from __future__ import annotations

import platform

import pytest

from builder.fs.allocator import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_glibc_takes_the_settings() -> None:
    assert keep_freed_memory()
    assert keep_freed_memory()
    assert len(bytearray(1 << 25)) == 1 << 25
