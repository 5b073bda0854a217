"""--chmod, against chmod(1) where that exists."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.errors import UsageError
from builder.fs.modes import parse_chmod


@pytest.mark.parametrize(
    ("spec", "mode", "is_dir", "wanted"),
    [
        ("644", 0o4755, False, 0o644), ("0755", 0, True, 0o755), ("7777", 0, False, 0o7777), ("04755", 0, False, 0o4755),
        ("0", 0o777, False, 0), ("u=rwX,go=rX", 0o700, False, 0o755), ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o600, True, 0o755), ("+x", 0o644, False, 0o755), ("a+x", 0o644, False, 0o755), ("-w", 0o666, False, 0o444),
        ("=", 0o777, False, 0), ("a=r", 0o777, False, 0o444), ("u+s", 0o755, False, 0o4755), ("g+s", 0o755, False, 0o2755),
        ("+s", 0o755, False, 0o6755), ("+t", 0o755, True, 0o1755), ("o+t", 0o755, True, 0o755), ("o+s", 0o755, False, 0o755),
        ("u-s", 0o6755, False, 0o2755), ("g=u", 0o700, False, 0o770), ("go=u", 0o740, False, 0o777), ("o=g-w", 0o660, False, 0o664),
        ("u+r-w+x", 0o200, False, 0o500), ("ug+rw,o-rwx", 0o007, False, 0o660), ("u=rwx,g=rx,o=", 0, False, 0o750),
        ("a-x,a+X", 0o755, False, 0o755), ("u=", 0o4755, False, 0o055), ("g=", 0o2755, False, 0o705), ("a=rx", 0o1777, True, 0o1555),
    ],
)  # fmt: skip
def test_modes(spec: str, mode: int, is_dir: bool, wanted: int) -> None:
    assert parse_chmod(spec)(mode, is_dir) == wanted


@pytest.mark.parametrize(
    "spec",
    ["", "8", "77777", "10000", "rwx", "u", "u+", "u+q", "u=rwx,", ",u+x", "u =x", "x+u", "u+rg", "0x1ff", "755 ", "-1", "+", "u+x,8"],
)
def test_what_is_no_mode(spec: str) -> None:
    if spec in ("u+", "+"):
        assert parse_chmod(spec)(0o755, False) == 0o755
        return
    with pytest.raises(UsageError) as caught:
        parse_chmod(spec)
    assert caught.value.code == "invalid-chmod"


who = st.text("ugoa", max_size=2)
perms = st.one_of(st.text("rwx", min_size=1, max_size=3), st.sampled_from("ugo"))
clauses = st.tuples(who, st.sampled_from("+-="), perms).map("".join)


@given(st.lists(clauses, min_size=1, max_size=3).map(",".join), st.integers(0, 0o777))
@settings(max_examples=60, deadline=None)
def test_chmod_of_coreutils_says_the_same(tmp_path_factory: pytest.TempPathFactory, spec: str, mode: int) -> None:
    path: Path = tmp_path_factory.mktemp("chmod") / "f"
    path.touch()
    path.chmod(mode)
    old = os.umask(0)
    try:
        subprocess.run(["chmod", "--", spec, path], check=True)
    finally:
        os.umask(old)
    assert parse_chmod(spec)(mode, False) == path.stat().st_mode & 0o7777
