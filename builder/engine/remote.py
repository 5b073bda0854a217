"""Sources from elsewhere: URLs and repositories for ADD and for contexts, archives on standard input, OCI layouts.

Everything is asked for at most once a build; what was fetched lives in the store's working directory. What
fetches is loaded with the first source that needs it: most builds have none.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from builder.engine.request import BuildRequest
from builder.engine.workshop import Workshop
from builder.errors import BuildCancelled, UsageError
from builder.fs.tree import Tree
from builder.graph.giturl import parse_git_url
from builder.graph.operations import GitSource, HttpSource
from builder.oci.manifest import Descriptor
from builder.oci.reference import parse_reference
from builder.ops.protocol import TreeInput
from builder.ops.secrets import GivenSecrets, Secrets

if TYPE_CHECKING:
    from builder.context.git import GitCheckouts
    from builder.context.git_command import GitSettings
    from builder.context.http import HttpFiles, Known
    from builder.fs.compress import Readable

RemoteSource = HttpSource | GitSource

LAYOUT_HOST = "oci-layout.invalid"
"""Images of a layout are named as of a host that cannot exist (RFC 2606)."""


class Remote:
    """A Fetcher for operations, and what contexts need beside it; thread-safe.

    `ssh` are agents' sockets by id, of which git gets `default`; `keep_git_dir` is for contexts.
    """

    def __init__(
        self,
        shop: Workshop,
        secrets: Secrets,
        *,
        cancel: threading.Event | None = None,
        ssh: Mapping[str, str] | None = None,
        keep_git_dir: bool = False,
    ) -> None:
        self._shop = shop
        self._cancel = cancel or threading.Event()
        self._keep_git_dir = keep_git_dir
        self._secrets = secrets
        self._ssh = dict(ssh or {})
        self._lock = threading.Lock()
        self._locks: dict[RemoteSource, threading.Lock] = {}
        self._known: dict[HttpSource, Known] = {}
        self._commits: dict[GitSource, str] = {}
        self._fetched: dict[RemoteSource, TreeInput] = {}
        self.layouts: dict[str, Descriptor] = {}
        """The images that `load_layout` brought in, by the names it gave them."""

    def pin(self, source: RemoteSource) -> str:
        """The content digest of a URL, the commit of a repository."""
        with self._one_at_a_time(source):
            if isinstance(source, HttpSource):
                from builder.context.http import http_pin

                return http_pin(source, self._known_file(source))
            from builder.context.git import git_pin

            return git_pin(source, self._commit(source))

    def fetch(self, source: RemoteSource) -> TreeInput:
        """The files, fetched at the first call."""
        with self._one_at_a_time(source):
            found = self._fetched.get(source)
            if found is None:
                scratch = self._scratch()
                if isinstance(source, HttpSource):
                    files = self._http().fetch(source, scratch, self._known_file(source))
                else:
                    files = self._git().fetch(source, self._commit(source), scratch)
                found = self._fetched[source] = TreeInput(files.tree, files.pin)
            return found

    def modified(self, source: RemoteSource) -> int | None:
        """When a source was made, in seconds: a commit's time, Last-Modified, an archive's youngest file; None where nothing says."""
        with self._one_at_a_time(source):
            if isinstance(source, GitSource):
                return self._git().committed(source, self._commit(source), self._scratch())
            known = self._known_file(source)
        if known.last_modified:
            return known.mtime_ns // 10**9
        from builder.context.tarball import youngest_file

        with self._shop.store.blobs.open(known.digest) as reader:
            return youngest_file(reader)

    def git_source(self, url: str) -> GitSource:
        """A context's URL as a source; `github.com/owner/repository` will do."""
        from builder.context.git import parse_bare

        return parse_git_url(parse_bare(url), lambda message: UsageError("bad-git-url", message, help="see `layerwright help contexts`"))

    def git_context(self, url: str) -> Tree:
        """The files of a repository."""
        source = self.git_source(url)
        return self.fetch(msgspec.structs.replace(source, keep_git_dir=source.keep_git_dir or self._keep_git_dir)).tree

    def http_context(self, url: str, stack: ExitStack, limit: int) -> Tree | bytes:
        """An archive's files, or the text of a Dockerfile, by what the URL gives."""
        known = self._known_file(HttpSource(url, "context"))
        with self._shop.store.blobs.open(known.digest) as reader:
            opened = self.unpack_stream(reader, stack, limit)
            reader.drain()
        return opened

    def http_bytes(self, url: str, limit: int) -> bytes:
        """A small file."""
        return self._http().read(url, limit)

    def unpack_stream(self, stream: Readable, stack: ExitStack, limit: int) -> Tree | bytes:
        """An archive's files, or the text of a Dockerfile, by the first bytes; the files live as long as `stack`."""
        from builder.context.tarball import read_context

        return read_context(stream, stack.enter_context(self._shop.store.temporary("context-")), limit)

    def load_layout(self, value: str) -> str:
        """Brings an image of `PATH[:TAG|@DIGEST]` (an OCI layout) into the store; the name it has for this build."""
        from builder.image.archives import load_layout
        from builder.store.layout import Layout

        path, name = _split_layout(value.removeprefix("oci-layout://"))
        layout = Layout.at(Path(path))
        descriptor = layout.find(name)
        load_layout(layout, self._shop.store.blobs, [descriptor])
        reference = parse_reference(f"{LAYOUT_HOST}/image@{descriptor.digest}")
        self.layouts[str(reference)] = descriptor
        return str(reference)

    def _http(self) -> HttpFiles:
        from builder.context.http import HttpFiles

        shop = self._shop
        return HttpFiles(lambda: shop.registry().gate, shop.store.blobs, shop.store.index, self._secrets.get)

    def _git(self) -> GitCheckouts:
        from builder.context.git import GitCheckouts

        return GitCheckouts(_git_settings(self._shop, self._ssh), self._secrets.get, self._check)

    def _known_file(self, source: HttpSource) -> Known:
        self._check()
        known = self._known.get(source)
        if known is None:
            known = self._known[source] = self._http().known(source)
        return known

    def _commit(self, source: GitSource) -> str:
        commit = self._commits.get(source)
        if commit is None:
            commit = self._commits[source] = self._git().commit(source, self._scratch())
        return commit

    def _scratch(self) -> Path:
        return self._shop.store.scratch_directory("source-")

    def _one_at_a_time(self, source: RemoteSource) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(source, threading.Lock())

    def _check(self) -> None:
        if self._cancel.is_set():
            raise BuildCancelled()


def _split_layout(text: str) -> tuple[str, str | None]:
    """The path, and the tag or digest behind it."""
    path, at, digest = text.partition("@")
    if at:
        return path, digest
    head, colon, tag = text.rpartition(":")
    return (head, tag) if colon and "/" not in tag and not Path(text).exists() else (text, None)


def _git_settings(shop: Workshop, ssh: Mapping[str, str]) -> GitSettings:
    """git goes through the proxies and trusts the CAs that the registry client does."""
    from builder.context.git_command import GitSettings

    registry = shop.registry_settings
    proxies = {"http_proxy": registry.http_proxy, "https_proxy": registry.https_proxy, "no_proxy": ",".join(registry.no_proxy)}
    settings = GitSettings(
        ssh_agent=ssh.get("default"),
        proxies=tuple((name, value) for name, value in proxies.items() if value),
        ca_bundle=registry.ca_bundle,
    )
    return msgspec.structs.replace(settings, search_path=registry.helper_path) if registry.helper_path else settings


def agents_of(request: BuildRequest) -> AbstractContextManager[Mapping[str, str]]:
    """The sockets of --ssh; what starts agents is loaded by a build that has some."""
    if not request.ssh:
        return nullcontext({})
    from builder.engine.agents import open_agents

    return open_agents(request.ssh)


def remote_of(request: BuildRequest, shop: Workshop, agents: Mapping[str, str], cancel: threading.Event | None) -> Remote:
    """The remote sources as `request` lets them be fetched: with its secrets, agents and wish for `.git`."""
    keep = request.build_args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "") in ("1", "true")
    return Remote(shop, GivenSecrets(request.secrets), cancel=cancel, ssh=agents, keep_git_dir=keep)
