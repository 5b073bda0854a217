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

_SCP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:(?!//)[^\s]+\Z")
_HTTP_GIT = re.compile(r"https?://[^\s?#]+\.git(?:[?#].*)?\Z", re.IGNORECASE | re.DOTALL)
_NATIVE = re.compile(r"(?:git|ssh)://[^\s/?#]", re.IGNORECASE)
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+@-]*\Z")
_COMMIT = re.compile(r"[0-9a-f]{7,64}\Z")
_KEYS = ("ref", "tag", "branch", "subdir", "checksum", "commit", "keep-git-dir", "submodules", "mtime", "fetch-by-commit")

Error = Callable[[str], LayerwrightError]


def is_git_url(text: str) -> bool:
    """Whether ADD or the command line takes this for a repository."""
    return bool(_NATIVE.match(text) or _HTTP_GIT.match(text) or _SCP.match(text))


def parse_git_url(text: str, error: Error) -> GitSource:
    """The repository, ref and subdirectory that a URL names; hostile names are refused (CVE-2019-13139)."""
    remote, query, fragment = _split(text)
    options = _options(query, error)
    if fragment and query:
        raise error("a git URL has its ref in a fragment or in a query, not in both")
    ref, _, subdir = fragment.partition(":")
    chosen = [options[key] for key in ("ref", "tag", "branch") if key in options]
    if len(chosen) > 1:
        raise error("a git URL names one of ref, tag and branch")
    if "tag" in options:
        ref = f"refs/tags/{options['tag']}"
    elif "branch" in options:
        ref = f"refs/heads/{options['branch']}"
    elif "ref" in options:
        ref = options["ref"]
    checksum = options.get("checksum") or options.get("commit")
    if ref and (_REF.match(ref) is None or ".." in ref or ref.endswith(".lock")):
        raise error(f"{ref!r} is not a git ref")
    if checksum is not None and _COMMIT.match(checksum) is None:
        raise error(f"{checksum!r} is not a git commit")
    if remote.startswith("-"):
        raise error("a git URL cannot begin with a dash")
    return GitSource(
        remote=remote,
        ref=ref or None,
        subdir=(options.get("subdir") or subdir).strip("/") or None,
        checksum=checksum,
        keep_git_dir=_boolean(options, "keep-git-dir", False, error),
        submodules=_boolean(options, "submodules", True, error),
        mtime_commit=options.get("mtime") == "commit",
    )


def _split(text: str) -> tuple[str, str, str]:
    """Remote, query and fragment; an scp-like remote has no query."""
    if _SCP.match(text):
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
    if value.lower() in ("", "1", "true"):
        return True
    if value.lower() in ("0", "false"):
        return False
    raise error(f"{key}= of a git URL is true or false")
