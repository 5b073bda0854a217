"""The engine's remote sources, with a store and a loopback server: asked once, kept, archives or Dockerfiles."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.engine.remote import Remote
from builder.engine.workshop import Workshop, WorkshopSettings
from builder.errors import BuildCancelled, LayerwrightError, UsageError
from builder.fs.tree import walk
from builder.graph.operations import GitSource, HttpSource
from builder.ops.secrets import NoSecrets
from builder.registry.settings import Settings
from tests.privileges import XATTR_PREFIX


class Files:
    """A directory over http; counts requests."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.paths: list[str] = []
        owner = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.paths.append(self.path)
                super().do_GET()

            def log_message(self, *args: object) -> None:
                """Silent."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(directory)))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    (tmp_path / "served").mkdir()
    made = Files(tmp_path / "served")
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    if os.geteuid() != 0:
        pytest.skip("a store of the system's needs root")
    registries = Settings(attempts=1, helper_path=os.environ.get("PATH", os.defpath))
    with Workshop(WorkshopSettings(tmp_path / "store", registries, xattr_prefix=XATTR_PREFIX)) as made:
        yield made


def archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        for name in ("Dockerfile", "s/a"):
            made.addfile(tarfile.TarInfo(name))
    return out.getvalue()


def test_a_url_is_asked_for_once_a_build(shop: Workshop, files: Files) -> None:
    (files.directory / "f").write_text("1")
    remote = Remote(shop, NoSecrets())
    source = HttpSource(files.url + "/f", "f")
    pin = remote.pin(source)
    fetched = remote.fetch(source)
    assert (fetched.pin, walk(fetched.tree)) == (pin, ["f"])
    assert remote.fetch(source) is fetched
    assert files.paths == ["/f"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_repository_is_pinned_without_being_fetched(shop: Workshop, files: Files) -> None:
    repository = files.directory / "r.git"
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    work = files.directory.parent / "work"
    for words in (
        ["init", "-q", str(work)],
        ["-C", str(work), "commit", "-q", "--allow-empty", "-m", "m"],
        ["clone", "-q", "--bare", str(work), str(repository)],
    ):
        subprocess.run(["git", *identity, *words], check=True, capture_output=True)
    subprocess.run(["git", "update-server-info"], cwd=repository, check=True)
    remote = Remote(shop, NoSecrets(), keep_git_dir=True)
    source = GitSource(files.url + "/r.git")
    pin = remote.pin(source)
    assert not [path for path in files.paths if "/objects/" in path and "info" not in path]
    assert remote.fetch(source).pin == pin
    assert ".git" in remote.git_context(f"{files.url}/r.git#main").names("")


def test_a_url_context_is_an_archive_or_a_dockerfile(shop: Workshop, files: Files) -> None:
    (files.directory / "c.tgz").write_bytes(archive())
    (files.directory / "D").write_text("FROM scratch\n")
    remote = Remote(shop, NoSecrets())
    with contextlib.ExitStack() as stack:
        tree = remote.http_context(files.url + "/c.tgz", stack, 1 << 20)
        assert not isinstance(tree, bytes)
        assert walk(tree) == ["Dockerfile", "s", "s/a"]
        assert remote.http_context(files.url + "/D", stack, 1 << 20) == b"FROM scratch\n"
    assert remote.http_bytes(files.url + "/D", 100) == b"FROM scratch\n"


def test_what_was_unpacked_is_gone_with_the_build(shop: Workshop) -> None:
    with contextlib.ExitStack() as stack:
        tree = Remote(shop, NoSecrets()).unpack_stream(io.BytesIO(archive()), stack, 1 << 20)
        assert not isinstance(tree, bytes)
        unpacked = Path(getattr(tree, "path", ""))
        assert unpacked.is_dir()
    assert not unpacked.exists()


def test_a_bad_git_context_is_a_usage_error(shop: Workshop) -> None:
    with pytest.raises(UsageError):
        Remote(shop, NoSecrets()).git_context("https://h/x.git#--upload-pack=x")
    with pytest.raises(LayerwrightError):
        Remote(shop, NoSecrets()).fetch(GitSource("file:///etc"))


def test_a_cancelled_build_asks_nobody(shop: Workshop, files: Files) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(BuildCancelled):
        Remote(shop, NoSecrets(), cancel=cancel).pin(HttpSource(files.url + "/f", "f"))
    assert files.paths == []
