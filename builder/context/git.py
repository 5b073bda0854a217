"""Git repositories: ADD of one, and contexts that are one (reference 1.6 "git …", threats 5.1 and 5.3).

The pin is the commit that a ref stands for, asked of the remote; the files are that commit's, fetched alone
where the server allows it. What is left out of a checkout: .git, unless it is to be kept. A subdirectory is
resolved inside the checkout (CVE-2026-33748). Parsing of URLs is builder.graph.giturl's; what it gives is
checked again here, where it meets a program.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from builder.context.git_command import Git, GitFailed, GitSettings
from builder.context.source import Fetched, SecretLookup, pin_of
from builder.errors import CorruptionError, LayerwrightError, NotFoundError
from builder.fs.resolve import resolve
from builder.fs.tree import DirTree
from builder.graph.operations import GitSource

_URL = re.compile(r"(?:https?|git|ssh)://[^\s/?#\\-][^\s?#\\]*\Z", re.IGNORECASE)
_SCP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^\s\\-][^\s\\]*\Z")
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+@-]*\Z")
_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_SUM = re.compile(r"[0-9a-f]{7,64}\Z")


class GitCheckouts:
    """Pins and fetches; `check` is called while git runs, and raises when the build was cancelled."""

    def __init__(self, settings: GitSettings, secrets: SecretLookup, check: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._secrets = secrets
        self._check = check

    def pin(self, source: GitSource, scratch: Path) -> str:
        """See `git_pin`, of the commit that the ref stands for now."""
        return git_pin(source, self.commit(source, scratch))

    def commit(self, source: GitSource, scratch: Path) -> str:
        """The commit that the ref stands for now; `scratch` is an empty directory of the caller's."""
        checked(source, local=self._settings.local)
        wanted = source.ref or (source.checksum if source.checksum and _COMMIT.match(source.checksum) else None)
        if wanted is not None and _COMMIT.match(wanted):
            commit = wanted
        else:
            remote, git = self._git(source, scratch)
            listing = git.run(f"git ls-remote of {_shown(source)}", "ls-remote", "--", remote, *_patterns(wanted), directory=scratch)
            commit = _choose(source, wanted, listing)
        if source.checksum is not None and not commit.startswith(source.checksum):
            raise CorruptionError(
                "digest-mismatch",
                f"digest mismatch: {wanted or 'HEAD'} of {_shown(source)} is {commit}, and the checksum says {source.checksum}",
                help="the ref has moved, or is not the one that was meant",
            )
        return commit

    def fetch(self, source: GitSource, commit: str, directory: Path) -> Fetched:
        """The files of `commit` in `directory`, an empty one of the caller's."""
        checked(source, local=self._settings.local)
        home, work = directory / "home", directory / "work"
        for path in (home, work):
            path.mkdir(mode=0o755)
        remote, git = self._git(source, home)
        repository = work / ".git" if source.keep_git_dir else directory / "repository"
        shown = _shown(source)
        git.run(f"git init for {shown}", "init", "--quiet", directory=work, git_dir=repository)
        git.run(f"git remote of {shown}", "remote", "add", "--", "origin", remote, directory=work, git_dir=repository)
        self._fetch_commit(git, source, commit, work, repository)
        git.run(f"checkout of {shown}", "checkout", "--quiet", "--force", "--detach", commit, "--", directory=work, git_dir=repository)
        if source.submodules and (work / ".gitmodules").is_file() and not (work / ".gitmodules").is_symlink():
            self._submodules(git, shown, work, repository)
        if not source.keep_git_dir:
            _drop_git_files(work)
        if source.mtime_commit:
            seconds = git.run(f"git log of {shown}", "log", "-1", "--format=%ct", commit, "--", directory=work, git_dir=repository)
            _set_times(work, int(seconds.strip()) * 1_000_000_000)
        if not source.keep_git_dir:
            shutil.rmtree(repository)
        return Fetched(DirTree(_subdirectory(source, work)), git_pin(source, commit))

    def committed(self, source: GitSource, commit: str, directory: Path) -> int:
        """When a commit was made, in seconds since 1970; `directory` is an empty one of the caller's."""
        home, work = directory / "home", directory / "work"
        for path in (home, work):
            path.mkdir(mode=0o755)
        remote, git = self._git(source, home)
        repository, shown = directory / "repository", _shown(source)
        git.run(f"git init for {shown}", "init", "--quiet", directory=work, git_dir=repository)
        git.run(f"git remote of {shown}", "remote", "add", "--", "origin", remote, directory=work, git_dir=repository)
        self._fetch_commit(git, source, commit, work, repository)
        seconds = git.run(f"git log of {shown}", "log", "-1", "--format=%ct", commit, "--", directory=work, git_dir=repository)
        shutil.rmtree(directory)
        return int(seconds.strip())

    def _fetch_commit(self, git: Git, source: GitSource, commit: str, work: Path, repository: Path) -> None:
        """The commit alone; else, from a server that gives no single commits (dumb http, old ones), all branches and tags."""
        what = f"git fetch of {_shown(source)}"
        alone = ("fetch", "--quiet", "--no-tags", "--depth=1", "origin", commit)
        whole = ("fetch", "--quiet", "--tags", "--force", "origin", "+refs/heads/*:refs/remotes/origin/*")
        try:
            git.run(what, *alone, directory=work, git_dir=repository)
        except GitFailed:
            git.run(what, *whole, directory=work, git_dir=repository)
            try:
                git.run(what, "cat-file", "-e", f"{commit}^{{commit}}", directory=work, git_dir=repository)
            except GitFailed:
                raise NotFoundError(
                    "git-commit-not-found", f"{_shown(source)} has no commit {commit}", help="it may be on no branch any more"
                ) from None

    def _submodules(self, git: Git, shown: str, work: Path, repository: Path) -> None:
        what = f"git submodule update of {shown}"
        update = ("submodule", "--quiet", "update", "--init", "--recursive")
        try:
            git.run(what, *update, "--depth=1", directory=work, git_dir=repository)
        except GitFailed:
            git.run(what, *update, "--force", directory=work, git_dir=repository)

    def _git(self, source: GitSource, home: Path) -> tuple[str, Git]:
        """The remote as git is given it, a password taken out, and git with its credential."""
        remote, header = _without_password(source.remote)
        config: dict[str, str] = {}
        if remote.lower().startswith(("http://", "https://")):
            parts = urlsplit(remote)
            header = self._secret(parts.hostname or "") or header
            if header is not None:
                config[f"http.{parts.scheme}://{parts.netloc}/.extraHeader"] = f"Authorization: {header}"
        return remote, Git(self._settings, home, config, self._check)

    def _secret(self, host: str) -> str | None:
        """GIT_AUTH_HEADER and GIT_AUTH_TOKEN, the host's own first."""
        for suffix in (f".{host}", ""):
            header = self._secrets(f"GIT_AUTH_HEADER{suffix}")
            if header is not None:
                return _one_line(header)
            token = self._secrets(f"GIT_AUTH_TOKEN{suffix}")
            if token is not None:
                return _basic("x-access-token", _one_line(token))
        return None


def checked(source: GitSource, *, local: bool = False) -> None:
    """Refuses what could be an option, a command or another transport (CVE-2019-13139, CVE-2017-1000117)."""
    plain = local and source.remote.startswith(("file:///", "/"))
    if not plain and not _URL.match(source.remote) and not _SCP.match(source.remote):
        raise LayerwrightError("bad-git-url", f"{_shown(source)!r} is not an address that repositories are fetched from")
    ref = source.ref
    if ref is not None and (_REF.match(ref) is None or ".." in ref or "@{" in ref or ref.endswith((".lock", "/", "."))):
        raise LayerwrightError("bad-git-ref", f"{ref[:200]!r} is not a git ref", help="name a branch, a tag or a commit")
    if source.checksum is not None and _SUM.match(source.checksum) is None:
        raise LayerwrightError("bad-checksum", f"{source.checksum[:80]!r} is not a commit", help="give at least 7 hex digits of one")


def git_pin(source: GitSource, commit: str) -> str:
    """What fixes the files: the commit, the subdirectory, and what of the repository is kept."""
    return pin_of("git-1", commit, source.subdir or "", source.keep_git_dir, source.submodules, source.mtime_commit, _kept_remote(source))


def _kept_remote(source: GitSource) -> str:
    """A kept .git names its remote; otherwise where a commit came from does not matter."""
    return _without_password(source.remote)[0] if source.keep_git_dir else ""


def _patterns(ref: str | None) -> tuple[str, ...]:
    if ref is None:
        return ("HEAD",)
    short = ref.removeprefix("refs/")
    return (f"refs/{short}", f"refs/{short}^{{}}", f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/tags/{ref}^{{}}")


def _choose(source: GitSource, ref: str | None, listing: str) -> str:
    """As `git checkout` would: a full ref, then a branch, then a tag, which stands for what it points at."""
    found: dict[str, str] = {}
    for line in listing.splitlines():
        commit, _, name = line.partition("\t")
        if _COMMIT.match(commit):
            found[name] = commit
    for name in _patterns(ref):
        if name.endswith("^{}"):
            continue
        if name in found:
            return found.get(f"{name}^{{}}", found[name])
    wanted = f"no branch or tag {ref!r}" if ref else "no default branch"
    raise NotFoundError("git-ref-not-found", f"{_shown(source)} has {wanted}", help="name a branch, a tag, or a whole commit of 40 digits")


def _subdirectory(source: GitSource, work: Path) -> str:
    if not source.subdir:
        return str(work)
    tree = DirTree(work)
    inside = resolve(tree, source.subdir)
    entry = tree.lstat(inside)
    if entry is None or entry.kind != "dir":
        raise NotFoundError(
            "git-subdir-not-found", f"{_shown(source)} has no directory {source.subdir!r}", help="check what follows the colon"
        )
    return os.path.join(work, inside) if inside else str(work)


def _drop_git_files(work: Path) -> None:
    """The `.git` files by which submodules find their repositories."""
    for directory, names, files in os.walk(work):
        if ".git" in files:
            os.unlink(os.path.join(directory, ".git"))
        names[:] = [name for name in names if name != ".git"]


def _set_times(work: Path, mtime_ns: int) -> None:
    for directory, names, files in os.walk(work, topdown=False):
        for name in (*files, *names):
            os.utime(os.path.join(directory, name), ns=(mtime_ns, mtime_ns), follow_symlinks=False)
    os.utime(work, ns=(mtime_ns, mtime_ns))


def _without_password(remote: str) -> tuple[str, str | None]:
    """An http address without its user and password, and the header they make (CVE-2023-26054: they show nowhere)."""
    if not remote.lower().startswith(("http://", "https://")):
        return remote, None
    parts = urlsplit(remote)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return remote, None
    name, _, password = user.partition(":")
    return parts._replace(netloc=host).geturl(), _basic(unquote(name), unquote(password))


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode("utf-8", "surrogateescape")).decode()


def _one_line(secret: bytes) -> str:
    text = secret.decode("utf-8", "surrogateescape").strip()
    if any(ch < " " for ch in text):
        raise LayerwrightError("bad-secret", "a secret for git has a line break in it", help="write the token alone")
    return text


def _shown(source: GitSource) -> str:
    return _without_password(source.remote)[0][:300]


def parse_bare(text: str) -> str:
    """`github.com/owner/repository` as a context stands for its https address; anything else stays."""
    return f"https://{text}" if text.startswith("github.com/") else text
