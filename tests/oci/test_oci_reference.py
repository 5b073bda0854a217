"""Image references, with docker's defaults."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import UsageError
from builder.oci.reference import Reference, parse_reference

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"),
        ("user/app", "docker.io/user/app:latest", "user/app:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("index.docker.io/library/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1"),
        ("HOST/app", "HOST/app:latest", "HOST/app:latest"),
        ("[::1]:5000/app:x", "[::1]:5000/app:x", "[::1]:5000/app:x"),
        (f"alpine@{DIGEST}", f"docker.io/library/alpine@{DIGEST}", f"alpine@{DIGEST}"),
        (f"alpine:3@{DIGEST}", f"docker.io/library/alpine:3@{DIGEST}", f"alpine:3@{DIGEST}"),
        ("a__b--c/d.e_f", "docker.io/a__b--c/d.e_f:latest", "a__b--c/d.e_f:latest"),
        ("app:" + "t" * 128, "docker.io/library/app:" + "t" * 128, "app:" + "t" * 128),
    ],
)
def test_forms(text: str, full: str, familiar: str) -> None:
    reference = parse_reference(text)
    assert str(reference) == full
    assert reference.familiar == familiar
    assert parse_reference(full) == reference


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "Alpine", "a//b", "/a", "a/", "-a", "a-", "a:", "a:b:c", "a:" + "t" * 129, "a:-x", "a@sha256:abc", "a@md5:" + "0" * 32,
        f"@{DIGEST}",
        f"a@{DIGEST}x", f"a@{DIGEST}\n", f"a@{DIGEST.upper()}", "a b", "a\n", "ho_st.io/a", "-host.io/a", "a___b", "a..b", "../a", "x/../y",
        "localhost:port/a", "x" * 300, "café", HEX, "a/b:c/d", "a:\xe9",
    ],
)  # fmt: skip
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert caught.value.code == "invalid-reference"
    assert caught.value.help


def test_parts() -> None:
    assert parse_reference(f"r.io:1/a/b:t@{DIGEST}") == Reference("r.io:1", "a/b", "t", DIGEST)  # type: ignore[arg-type]
    assert parse_reference("r.io:1/a/b").name == "r.io:1/a/b"
    assert parse_reference(f"a@{DIGEST}").tag is None


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_an_error(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    assert ".." not in reference.repository.split("/")
    assert parse_reference(str(reference)) == reference
