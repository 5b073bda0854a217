"""Reference 1.6 "git forms", "git fragment", "git query": what a URL asks for, and what is refused."""

from __future__ import annotations

import pytest

from builder.errors import LayerwrightError
from builder.graph.giturl import is_git_url, parse_git_url, without_passwords
from builder.graph.operations import GitSource

BASE = "https://h/o/r.git"


def parse(text: str) -> GitSource:
    return parse_git_url(text, lambda message: LayerwrightError("bad-git-url", message))


@pytest.mark.parametrize(
    ("text", "is_git"),
    [
        ("git://h/p", True),
        ("ssh://git@h/p", True),
        ("git@h:o/r", True),
        ("git@h:o/r.git#main", True),
        ("https://h/o/r.git", True),
        ("http://h/o/r.git?ref=x", True),
        ("https://h/o/r.git#v1:sub", True),
        ("https://h/o/r", False),
        ("https://h/r.git.tgz", False),
        ("https://h/x?y=.git", False),
        ("github.com/o/r", False),
        ("./git@h:o/r", False),
        ("../r.git", False),
        ("file:///r.git", False),
        ("r.git", False),
    ],
)
def test_1_6_git_forms(text: str, is_git: bool) -> None:
    assert is_git_url(text) is is_git


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (BASE, GitSource(BASE)),
        (f"{BASE}#main", GitSource(BASE, "main")),
        (f"{BASE}#main:a/b", GitSource(BASE, "main", "a/b")),
        (f"{BASE}#:a", GitSource(BASE, None, "a")),
        ("git@h:o/r#x", GitSource("git@h:o/r", "x")),
        (f"{BASE}?ref=main", GitSource(BASE, "main")),
        (f"{BASE}?tag=v1", GitSource(BASE, "refs/tags/v1")),
        (f"{BASE}?tag=refs/tags/v1", GitSource(BASE, "refs/tags/v1")),
        (f"{BASE}?branch=b", GitSource(BASE, "refs/heads/b")),
        (f"{BASE}?subdir=a/b&ref=x", GitSource(BASE, "x", "a/b")),
        (f"{BASE}?subdir=a#x", GitSource(BASE, "x", "a")),
        (f"{BASE}?ref=x#x", GitSource(BASE, "x")),
        (f"{BASE}?checksum=0123456789", GitSource(BASE, checksum="0123456789")),
        (f"{BASE}?commit=0123456789&ref=x", GitSource(BASE, "x", checksum="0123456789")),
        (f"{BASE}?keep-git-dir&submodules=false", GitSource(BASE, keep_git_dir=True, submodules=False)),
        (f"{BASE}?keep-git-dir=0&submodules", GitSource(BASE)),
        (f"{BASE}?mtime=commit", GitSource(BASE, mtime_commit=True)),
        (f"{BASE}?mtime=checkout", GitSource(BASE)),
    ],
)
def test_1_6_git_fragment_and_query(text: str, source: GitSource) -> None:
    assert parse(text) == source


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{BASE}?x=1", "no option 'x'"),
        (f"{BASE}?ref=a&ref=b", "given twice"),
        (f"{BASE}?ref=", "has no value"),
        (f"{BASE}?tag=a&branch=b", "branch or a tag"),
        (f"{BASE}?tag=a#b", "two refs"),
        (f"{BASE}?ref=a#b", "two refs"),
        (f"{BASE}?subdir=a#x:b", "two subdirs"),
        (f"{BASE}?submodules=maybe", "true or false"),
        (f"{BASE}?mtime=now", "checkout or commit"),
        (f"{BASE}#--upload-pack=x", "not a git ref"),
        (f"{BASE}#a..b", "not a git ref"),
        (f"{BASE}?checksum=xyz", "not a git commit"),
    ],
)
def test_1_6_git_urls_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(LayerwrightError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ADD https://user:hunter2@h/r.git /x", "ADD https://h/r.git /x"),
        ("https://t0ken@h/r.git#main", "https://h/r.git#main"),
        ("ssh://git:hunter2@h/r", "ssh://git@h/r"),
        ("ssh://git@h/r", "ssh://git@h/r"),
        ("git@h:o/r", "git@h:o/r"),
        ("https://h/a@b", "https://h/a@b"),
    ],
)
def test_5_3_passwords_are_shown_to_nobody(text: str, shown: str) -> None:
    """CVE-2023-26054."""
    assert without_passwords(text) == shown
