"""Git URLs as Dockerfiles and the command line write them (reference 1.6 "git forms", "git fragment", "git query").

git://host/path   ssh://host/path   user@host:path   http(s)://host/path.git
… #ref[:subdir]   or   … ?ref=, tag=, branch=, subdir=, checksum=, commit=, keep-git-dir=, submodules=, mtime=
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from builder.errors import LayerwrightError
from builder.graph.operations import GitSource

_SCP = r"[A-Za-z0-9][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:(?!//)[^\s]+\Z"
_HTTP_GIT = r"(?is)https?://[^\s?#]+\.git(?:[?#].*)?\Z"
_NATIVE = r"(?i)(?:git|ssh)://[^\s/?#]"
_REF = r"[A-Za-z0-9_][A-Za-z0-9_./+@-]*\Z"
_COMMIT = r"[0-9a-f]{7,64}\Z"
_KEYS = ("ref", "tag", "branch", "subdir", "checksum", "commit", "keep-git-dir", "submodules", "mtime", "fetch-by-commit")

_HTTP_USER = r"(?i)(https?://)[^/@\s]+@"
_PASSWORD = r"(?i)((?:ssh|git)://[^/@\s:]+):[^/@\s]*@"

Error = Callable[[str], LayerwrightError]


def without_passwords(text: str) -> str:
    """A text for people, without the users and passwords of addresses in it (CVE-2023-26054)."""
    return re.sub(_PASSWORD, r"\1@", re.sub(_HTTP_USER, r"\1", text))


def is_git_url(text: str) -> bool:
    """Whether ADD or the command line takes this for a repository."""
    return ":" in text and bool(re.match(_NATIVE, text) or re.match(_HTTP_GIT, text) or re.match(_SCP, text))


def parse_git_url(text: str, error: Error) -> GitSource:
    """The repository, ref and subdirectory that a URL names; hostile names are refused (CVE-2019-13139)."""
    remote, query, fragment = _split(text)
    options = _options(query, error)
    ref, _, subdir = fragment.partition(":")
    ref = _one(error, "ref", ref, options.get("ref", ""))
    if "tag" in options and "branch" in options:
        raise error("a git URL names a branch or a tag, not both")
    for key, prefix in (("tag", "refs/tags/"), ("branch", "refs/heads/")):
        if key in options:
            ref = _one(error, "ref", ref, prefix + options[key].removeprefix(prefix))
    subdir = _one(error, "subdir", subdir, options.get("subdir", ""))
    checksum = options.get("checksum") or options.get("commit")
    if ref and (re.match(_REF, ref) is None or ".." in ref or ref.endswith(".lock")):
        raise error(f"{ref!r} is not a git ref")
    if checksum is not None and re.match(_COMMIT, checksum) is None:
        raise error(f"{checksum!r} is not a git commit")
    if remote.startswith("-"):
        raise error("a git URL cannot begin with a dash")
    return GitSource(
        remote=remote,
        ref=ref or None,
        subdir=subdir.strip("/") or None,
        checksum=checksum,
        keep_git_dir=_boolean(options, "keep-git-dir", False, error),
        submodules=_boolean(options, "submodules", True, error),
        mtime_commit=options.get("mtime") == "commit",
    )


def _one(error: Error, what: str, first: str, second: str) -> str:
    """One of two places that name the same; both only when they agree."""
    if first and second and first != second:
        raise error(f"a git URL has two {what}s, {first!r} and {second!r}")
    return first or second


def _split(text: str) -> tuple[str, str, str]:
    """Remote, query and fragment; an scp-like remote has no query."""
    if re.match(_SCP, text):
        remote, _, fragment = text.partition("#")
        return remote, "", fragment
    parts = urlsplit(text)
    return urlunsplit((parts.scheme.lower(), parts.netloc, parts.path, "", "")), parts.query, parts.fragment


def _options(query: str, error: Error) -> dict[str, str]:
    options: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _KEYS:
            raise error(f"a git URL has no option {key!r}; it has {', '.join(_KEYS)}")
        if key in options:
            raise error(f"the option {key!r} of a git URL is given twice")
        if not value and key not in ("keep-git-dir", "submodules", "fetch-by-commit"):
            raise error(f"the option {key!r} of a git URL has no value")
        options[key] = value
    if options.get("mtime", "checkout") not in ("checkout", "commit"):
        raise error("mtime= of a git URL is checkout or commit")
    return options


def _boolean(options: dict[str, str], key: str, default: bool, error: Error) -> bool:
    value = options.get(key)
    if value is None:
        return default
    if value in ("", "1", "t", "T", "true", "TRUE", "True"):  # Go's strconv.ParseBool
        return True
    if value in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise error(f"{key}= of a git URL is true or false")
