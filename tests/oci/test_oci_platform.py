"""Platforms: names, normal form, matching."""

from __future__ import annotations

import pytest

from builder.errors import UsageError
from builder.oci.platform import Platform, host_platform, matches, normalize, parse_platform


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("linux/amd64", "linux/amd64"), ("linux/x86_64", "linux/amd64"), ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"), ("linux/aarch64", "linux/arm64"), ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"), ("linux/arm", "linux/arm/v7"), ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"), ("linux/arm/6", "linux/arm/v6"), ("Linux/AMD64", "linux/amd64"),
        ("macos/arm64", "darwin/arm64"), ("arm64", "linux/arm64"), ("s390x", "linux/s390x"), ("linux/i386", "linux/386"),
        (" linux/amd64 ", "linux/amd64"),
    ],
)  # fmt: skip
def test_parsing(text: str, wanted: str) -> None:
    assert str(parse_platform(text)) == wanted


def test_the_host() -> None:
    assert parse_platform("local") == host_platform()
    assert parse_platform("linux") == host_platform()
    assert normalize(host_platform()) == host_platform()


@pytest.mark.parametrize("text", ["", "/", "linux/", "/amd64", "linux//amd64", "a/b/c/d", "linux/am d64", "linux/amd64\n/x", "linux/$x"])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_platform(text)
    assert caught.value.code == "invalid-platform"


@pytest.mark.parametrize(
    ("wanted", "offered", "result"),
    [
        ("linux/amd64", "linux/amd64", True), ("linux/amd64", "linux/x86_64/v1", True), ("linux/amd64/v2", "linux/amd64", True),
        ("linux/amd64", "linux/amd64/v3", False), ("linux/arm64", "linux/arm64/v8", True), ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/arm", "linux/arm/v7", True), ("linux/amd64", "windows/amd64", False), ("linux/arm64", "linux/amd64", False),
    ],
)  # fmt: skip
def test_matching(wanted: str, offered: str, result: bool) -> None:
    assert matches(parse_platform(wanted), parse_platform(offered)) is result


def test_fields_that_are_not_compared() -> None:
    assert matches(Platform("amd64", "linux"), Platform("amd64", "linux", os_version="5", os_features=("x",)))
