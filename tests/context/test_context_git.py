"""Git contexts and ADD git: reference 1.6; threats 5.1 and 5.3. Repositories are local, over file://, git:// and dumb http."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builder.context.git import GitCheckouts, checked, parse_bare
from builder.context.git_command import Git, GitFailed, GitSettings, harmless
from builder.context.source import Fetched
from builder.errors import BuildCancelled, CorruptionError, LayerwrightError, NotFoundError
from builder.fs.tree import DirTree, walk
from builder.graph.operations import GitSource

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

PATH = os.environ.get("PATH", os.defpath)
LOCAL = GitSettings(search_path=PATH, local=True)
ENVIRONMENT = {
    "PATH": PATH, "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000",
}  # fmt: skip


def git(directory: Path, *words: str) -> str:
    command = ["git", "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main", *words]
    return subprocess.run(command, cwd=directory, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout.strip()


def commit(repository: Path, files: dict[str, str], message: str = "m") -> str:
    for name, text in files.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)
            path.chmod(0o775 if text.startswith("#!") else 0o664)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", message)
    return git(repository, "rev-parse", "HEAD")


class Repository:
    """A repository with a branch, tags, a submodule, a subdirectory and links."""

    def __init__(self, base: Path) -> None:
        self.path = base / "repo"
        self.module = base / "module"
        for path in (self.path, self.module):
            path.mkdir()
            git(path, "init", "-q")
        commit(self.module, {"inner": "module"})
        self.first = commit(self.path, {"a": "1", "run": "#!/bin/sh\n", "sub/f": "2", "l": "-> a", "out": "-> /etc", "up": "-> ../../.."})
        git(self.path, "tag", "-m", "annotated", "v1")
        git(self.path, "tag", "light")
        git(self.path, "branch", "other")
        git(self.path, "submodule", "--quiet", "add", "../module", "vendor/mod")
        self.head = commit(self.path, {"a": "second"})
        git(self.path, "tag", "both")
        git(self.path, "branch", "both", self.first)
        self.url = f"file://{self.path}"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("git"))


@pytest.fixture
def checkouts() -> GitCheckouts:
    return GitCheckouts(LOCAL, lambda _: None)


def scratch(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.mkdir()
    return path


def fetched(checkouts: GitCheckouts, source: GitSource, tmp_path: Path) -> Fetched:
    wanted = checkouts.commit(source, scratch(tmp_path, "pin"))
    return checkouts.fetch(source, wanted, scratch(tmp_path, "fetch"))


def content(tree: Any, path: str) -> bytes:
    with open(tree.open(path), "rb") as file:
        return file.read()


@pytest.mark.parametrize(
    ("ref", "which"),
    [
        (None, "head"),
        ("main", "head"),
        ("refs/heads/main", "head"),
        ("heads/main", "head"),
        ("other", "first"),
        ("v1", "first"),
        ("refs/tags/v1", "first"),
        ("tags/v1", "first"),
        ("light", "first"),
        ("both", "first"),
        ("refs/tags/both", "head"),
    ],
)
def test_1_6_refs(repository: Repository, checkouts: GitCheckouts, tmp_path: Path, ref: str | None, which: str) -> None:
    assert checkouts.commit(GitSource(repository.url, ref), scratch(tmp_path, "s")) == getattr(repository, which)


def test_1_6_a_whole_commit_asks_nobody(checkouts: GitCheckouts, tmp_path: Path) -> None:
    assert checkouts.commit(GitSource("https://nowhere.invalid/x.git", "a" * 40), tmp_path) == "a" * 40


@pytest.mark.parametrize("ref", ["gone", "refs/heads/v1", "mai"])
def test_1_6_a_ref_that_is_not_there(repository: Repository, checkouts: GitCheckouts, tmp_path: Path, ref: str) -> None:
    with pytest.raises(NotFoundError, match="has no branch or tag"):
        checkouts.commit(GitSource(repository.url, ref), tmp_path)


def test_1_6_checksum(repository: Repository, checkouts: GitCheckouts, tmp_path: Path) -> None:
    for number, checksum in enumerate((repository.head, repository.head[:7])):
        assert checkouts.commit(GitSource(repository.url, "main", checksum=checksum), scratch(tmp_path, f"a{number}")) == repository.head
    assert checkouts.commit(GitSource(repository.url, checksum=repository.first), scratch(tmp_path, "b")) == repository.first
    assert checkouts.commit(GitSource(repository.url, checksum=repository.head[:9]), scratch(tmp_path, "c")) == repository.head
    with pytest.raises(CorruptionError, match="digest mismatch"):
        checkouts.commit(GitSource(repository.url, "other", checksum=repository.head), scratch(tmp_path, "d"))


def test_1_6_the_checkout(repository: Repository, checkouts: GitCheckouts, tmp_path: Path) -> None:
    tree = fetched(checkouts, GitSource(repository.url), tmp_path).tree
    assert walk(tree) == [
        ".gitmodules", "a", "l", "out", "run", "sub", "sub/f", "up", "vendor", "vendor/mod", "vendor/mod/inner",
    ]  # fmt: skip
    modes = {path: entry.mode for path in ("a", "run", "sub") if (entry := tree.lstat(path)) is not None}
    assert modes == {"a": 0o644, "run": 0o755, "sub": 0o755}
    assert content(tree, "a") == b"second"


def test_1_6_an_older_commit(repository: Repository, checkouts: GitCheckouts, tmp_path: Path) -> None:
    tree = fetched(checkouts, GitSource(repository.url, repository.first), tmp_path).tree
    assert content(tree, "a") == b"1"
    assert "vendor" not in walk(tree)


def test_1_6_submodules_can_be_left_out(repository: Repository, checkouts: GitCheckouts, tmp_path: Path) -> None:
    tree = fetched(checkouts, GitSource(repository.url, submodules=False), tmp_path).tree
    assert tree.names("vendor/mod") == ()


def test_1_6_keep_git_dir(repository: Repository, checkouts: GitCheckouts, tmp_path: Path) -> None:
    tree = fetched(checkouts, GitSource(repository.url, keep_git_dir=True), tmp_path).tree
    assert {"HEAD", "config", "objects"} <= set(tree.names(".git"))
    assert isinstance(tree, DirTree)
    assert git(Path(tree.path), "-c", "safe.directory=*", "rev-parse", "HEAD") == repository.head


def test_1_6_subdir(repository: Repository, checkouts: GitCheckouts, tmp_path: Path) -> None:
    assert walk(fetched(checkouts, GitSource(repository.url, subdir="sub"), tmp_path).tree) == ["f"]


@pytest.mark.parametrize("subdir", ["out", "up", "../..", "l", "missing", "a"])
def test_5_1_subdir_stays_in_the_checkout(repository: Repository, checkouts: GitCheckouts, tmp_path: Path, subdir: str) -> None:
    """CVE-2026-33748."""
    source = GitSource(repository.url, subdir=subdir, submodules=False)
    if subdir not in ("up", "../.."):
        with pytest.raises(NotFoundError) as caught:
            fetched(checkouts, source, tmp_path)
        assert caught.value.code == "git-subdir-not-found"
        return
    shown = walk(fetched(checkouts, source, tmp_path).tree)
    assert "a" in shown
    assert "passwd" not in shown


def test_1_6_mtime_of_the_commit(repository: Repository, checkouts: GitCheckouts, tmp_path: Path) -> None:
    tree = fetched(checkouts, GitSource(repository.url, mtime_commit=True), tmp_path).tree
    times = {entry.mtime_ns for path in walk(tree) if (entry := tree.lstat(path)) is not None}
    assert times == {1_700_000_000_000_000_000}


def test_1_15_the_pin_is_the_commit_and_what_is_kept(repository: Repository, checkouts: GitCheckouts, tmp_path: Path) -> None:
    def pin(number: int, **changes: Any) -> str:
        return checkouts.pin(msgspec.structs.replace(GitSource(repository.url), **changes), scratch(tmp_path, str(number)))

    base = pin(0)
    assert pin(1, ref="main") == base
    others = [pin(2, ref="other"), pin(3, subdir="sub"), pin(4, keep_git_dir=True), pin(5, submodules=False), pin(6, mtime_commit=True)]
    assert len({base, *others}) == 6


def test_1_6_git_protocol(repository: Repository, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", "--export-all", f"--base-path={repository.path.parent}"]
    daemon = subprocess.Popen(
        ["git", *words], env=ENVIRONMENT | {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        checkouts = GitCheckouts(GitSettings(search_path=PATH), lambda _: None)
        tree = fetched(checkouts, GitSource(f"git://127.0.0.1:{port}/repo", "other"), tmp_path).tree
        assert content(tree, "a") == b"1"
    finally:
        daemon.terminate()
        daemon.wait()


class DumbHttp:
    """A repository as plain files over http, which wants a password."""

    def __init__(self, directory: Path) -> None:
        owner = self
        self.seen: list[str | None] = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.seen.append(self.headers.get("Authorization"))
                super().do_GET()

            def log_message(self, *args: object) -> None:
                """Silent."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(directory)))
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def dumb(repository: Repository, tmp_path: Path) -> Iterator[DumbHttp]:
    served = scratch(tmp_path, "served")
    git(served, "clone", "-q", "--bare", repository.url, "repo.git")
    git(served / "repo.git", "update-server-info")
    made = DumbHttp(served)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_1_6_dumb_http_falls_back_to_the_whole_repository(dumb: DumbHttp, repository: Repository, tmp_path: Path) -> None:
    checkouts = GitCheckouts(GitSettings(search_path=PATH), lambda _: None)
    source = GitSource(f"http://{dumb.host}/repo.git", "v1", submodules=False)
    assert content(fetched(checkouts, source, tmp_path).tree, "a") == b"1"
    with pytest.raises(NotFoundError, match="has no commit"):
        checkouts.fetch(source, "f" * 40, scratch(tmp_path, "none"))


@pytest.mark.parametrize(
    ("secrets", "userinfo", "header"),
    [
        ({"GIT_AUTH_TOKEN": b"t0k"}, "", "Basic eC1hY2Nlc3MtdG9rZW46dDBr"),
        ({"GIT_AUTH_TOKEN.127.0.0.1": b"t0k", "GIT_AUTH_TOKEN": b"other"}, "", "Basic eC1hY2Nlc3MtdG9rZW46dDBr"),
        ({"GIT_AUTH_HEADER": b"Custom x\n"}, "", "Custom x"),
        ({}, "user:p%40ss@", "Basic dXNlcjpwQHNz"),
        ({"GIT_AUTH_TOKEN.elsewhere": b"t0k"}, "", None),
    ],
)
def test_1_6_git_auth(dumb: DumbHttp, tmp_path: Path, secrets: dict[str, bytes], userinfo: str, header: str | None) -> None:
    checkouts = GitCheckouts(GitSettings(search_path=PATH), secrets.get)
    checkouts.commit(GitSource(f"http://{userinfo}{dumb.host}/repo.git", "main"), tmp_path)
    assert set(dumb.seen) == {header}


def test_5_3_passwords_show_nowhere(tmp_path: Path) -> None:
    """CVE-2023-26054."""
    checkouts = GitCheckouts(GitSettings(search_path=PATH), lambda _: None)
    with pytest.raises(LayerwrightError) as caught:
        checkouts.commit(GitSource("http://user:hunter2@127.0.0.1:1/x.git", "main"), tmp_path)
    assert "hunter2" not in str(caught.value) + str(caught.value.notes) + str(caught.value.help)
    assert harmless("fatal: https://u:hunter2@h/x \x1b[31mred\x07") == "fatal: https://h/x [31mred"


HOSTILE_REMOTES = [
    "-oProxyCommand=touch x", "--upload-pack=touch x", "ext::sh -c touch% x", "file:///etc", "/etc", "./x", "ssh://-oProxyCommand=x/y",
    "fd::17", "git@-oProxyCommand=x:y", "https://h/x.git\n--upload-pack=y", "http://h /x", "user@host:-x", "ftp://h/x.git", "javascript:x",
]  # fmt: skip


@pytest.mark.parametrize("remote", HOSTILE_REMOTES)
def test_5_3_hostile_remotes_never_reach_git(remote: str) -> None:
    with pytest.raises(LayerwrightError) as caught:
        checked(GitSource(remote))
    assert caught.value.code == "bad-git-url"


@pytest.mark.parametrize(
    "ref", ["--upload-pack=touch x", "-x", "a..b", "a b", "a\nb", "a:b", "a^{}", "@{-1}", "x@{1}", "a~1", "x.lock", "", "a/"]
)
def test_5_3_hostile_refs_never_reach_git(ref: str) -> None:
    """CVE-2019-13139."""
    with pytest.raises(LayerwrightError) as caught:
        checked(GitSource("https://h/x.git", ref))
    assert caught.value.code == "bad-git-ref"


@pytest.mark.parametrize("remote", ["https://h/x.git", "http://u:p@h:8080/x.git", "git://h/x", "ssh://git@h:22/x", "git@h:o/r.git"])
def test_1_6_remotes_that_are_fine(remote: str) -> None:
    checked(GitSource(remote, "feature/x+1"))
    assert parse_bare(remote) == remote
    assert parse_bare("github.com/o/r") == "https://github.com/o/r"


def test_5_3_local_submodules_are_refused(repository: Repository, dumb: DumbHttp, tmp_path: Path) -> None:
    """CVE-2022-39253: a submodule must not name a directory of this machine."""
    evil = scratch(tmp_path, "evil")
    git(evil, "init", "-q")
    git(evil, "submodule", "--quiet", "add", str(repository.module), "m")
    commit(evil, {"a": "1"})
    served = tmp_path / "served"
    git(served, "clone", "-q", "--bare", str(evil), "evil.git")
    git(served / "evil.git", "update-server-info")
    checkouts = GitCheckouts(GitSettings(search_path=PATH), lambda _: None)
    with pytest.raises(GitFailed, match="submodule"):
        fetched(checkouts, GitSource(f"http://{dumb.host}/evil.git"), tmp_path)


def test_5_3_nothing_of_a_repository_or_a_user_runs(repository: Repository, tmp_path: Path) -> None:
    """CVE-2018-11235, CVE-2024-32002: hooks, filters, helpers and the user's own configuration."""
    canary = tmp_path / "canary"
    home = scratch(tmp_path, "home")
    (home / ".gitconfig").write_text(
        f'[core]\n\thooksPath = {home}\n\tfsmonitor = "touch {canary}"\n[filter "x"]\n\tsmudge = touch {canary}\n'
    )
    for name in ("post-checkout", "post-merge", "reference-transaction"):
        (home / name).write_text(f"#!/bin/sh\ntouch {canary}\n")
        (home / name).chmod(0o755)
    evil = scratch(tmp_path, "evil")
    git(evil, "init", "-q")
    commit(evil, {".gitattributes": "* filter=x\n", "a": "1"})
    checkouts = GitCheckouts(LOCAL, lambda _: None)
    tree = fetched(checkouts, GitSource(f"file://{evil}", keep_git_dir=True), tmp_path).tree
    assert content(tree, "a") == b"1"
    assert "hooks" not in tree.names(".git")
    assert not canary.exists()


def test_git_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(LayerwrightError) as caught:
        GitCheckouts(GitSettings(search_path=str(tmp_path)), lambda _: None).commit(GitSource("https://h/x.git"), tmp_path)
    assert caught.value.code == "git-missing"


def _cancelled() -> None:
    raise BuildCancelled


def test_a_cancelled_build_ends_git(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        source = GitSource(f"git://127.0.0.1:{silent.getsockname()[1]}/x")
        with pytest.raises(BuildCancelled):
            GitCheckouts(GitSettings(search_path=PATH), lambda _: None, _cancelled).commit(source, tmp_path)


def test_git_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        source = GitSource(f"git://127.0.0.1:{silent.getsockname()[1]}/x")
        with pytest.raises(GitFailed, match="longer than 0 s"):
            GitCheckouts(GitSettings(search_path=PATH, timeout=0.3), lambda _: None).commit(source, tmp_path)


def test_secrets_are_not_in_arguments(repository: Repository, tmp_path: Path) -> None:
    """`ps` shows arguments to everybody."""
    wrapper = scratch(tmp_path, "bin") / "git"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\nexec {shutil.which("git")} "$@"\n')
    wrapper.chmod(0o755)
    settings = GitSettings(search_path=f"{wrapper.parent}:{PATH}")
    with pytest.raises(GitFailed):
        GitCheckouts(settings, {"GIT_AUTH_TOKEN": b"hunter2"}.get).commit(GitSource("http://u:hunter3@127.0.0.1:1/x.git"), tmp_path)
    arguments = (tmp_path / "arguments").read_text()
    assert "ls-remote" in arguments
    assert "hunter" not in arguments
    assert Git(settings, tmp_path, {}, lambda: None)
