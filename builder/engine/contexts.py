"""From what the user named to trees of files: the main context, the Dockerfile in or beside it, named contexts."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from builder.context.directory import MAX_DOCKERFILE, open_directory, read_dockerfile, with_ignore
from builder.engine.request import BuildRequest
from builder.errors import NotFoundError, UsageError
from builder.frontend.settings import ImageContext, LocalContext, NamedContext
from builder.frontend.state import MAIN_CONTEXT
from builder.fs.tree import EmptyTree, Tree
from builder.graph.giturl import is_git_url

if TYPE_CHECKING:
    from builder.engine.remote import Remote

_HTTP = re.compile(r"https?://", re.IGNORECASE)


class OpenedContexts(msgspec.Struct, frozen=True):
    """What a build reads: trees by name (the main one is `context`), names for the frontend, and the Dockerfile."""

    trees: dict[str, Tree]
    named: dict[str, NamedContext]
    dockerfile_name: str
    dockerfile: bytes


def open_contexts(request: BuildRequest, remote: Remote, stack: ExitStack) -> OpenedContexts:
    """Open all; what has to be unpacked or cloned lives as long as `stack`. Raises LayerwrightError."""
    if request.context == "-" and request.dockerfile == "-":
        raise UsageError(
            "stdin-twice", "the context and the Dockerfile cannot both come from standard input", help="put one of them in a file"
        )
    inside = _path_in_context(request)
    stdin_text: bytes | None = None
    if request.context == "-":
        opened = remote.unpack_stream(_stdin(request), stack, MAX_DOCKERFILE)
        tree: Tree
        if isinstance(opened, bytes):
            tree, stdin_text = EmptyTree(), opened
        else:
            tree = with_ignore(opened, inside)
    elif is_git_url(request.context) or request.context.startswith("github.com/"):
        tree = remote.git_context(request.context)
    elif _HTTP.match(request.context):
        fetched = remote.http_context(request.context, stack, MAX_DOCKERFILE)
        tree = EmptyTree() if isinstance(fetched, bytes) else fetched
        stdin_text = fetched if isinstance(fetched, bytes) else None
    else:
        tree = open_directory(request.context, dockerfile=inside)
    name, text = _dockerfile(request, tree, inside, stdin_text, remote)
    trees, named = _named_contexts(request, remote, stack)
    trees[MAIN_CONTEXT] = tree
    return OpenedContexts(trees, named, name, text)


def _path_in_context(request: BuildRequest) -> str | None:
    """The Dockerfile's path below a context directory, where it lies there; as written for other contexts."""
    if request.dockerfile in (None, "-"):
        return None
    assert request.dockerfile is not None
    if not os.path.isdir(request.context):
        return request.dockerfile
    path = os.path.relpath(os.path.abspath(request.dockerfile), os.path.realpath(request.context))
    if path.startswith("../"):
        path = os.path.relpath(os.path.abspath(request.dockerfile), os.path.abspath(request.context))
    return None if path.startswith("../") else path


def _dockerfile(request: BuildRequest, tree: Tree, inside: str | None, given: bytes | None, remote: Remote) -> tuple[str, bytes]:
    if request.dockerfile == "-":
        return "-", _stdin(request).read(MAX_DOCKERFILE)
    if request.dockerfile is not None and _HTTP.match(request.dockerfile):
        return request.dockerfile, remote.http_bytes(request.dockerfile, MAX_DOCKERFILE)
    if given is not None:
        return "Dockerfile", given
    if request.dockerfile is not None and os.path.isdir(request.context):
        try:
            with Path(request.dockerfile).open("rb") as stream:
                return request.dockerfile, stream.read(MAX_DOCKERFILE)
        except OSError as error:
            raise NotFoundError(
                "dockerfile-not-found",
                f"the Dockerfile {request.dockerfile!r} cannot be read: {error.strerror}",
                help="-f is relative to where you are, not to the context",
            ) from None
    return read_dockerfile(tree, inside)


def _stdin(request: BuildRequest) -> BinaryIO:
    if request.stdin is None:
        raise UsageError("no-stdin", "there is no standard input to read from")
    return request.stdin


def _named_contexts(request: BuildRequest, remote: Remote, stack: ExitStack) -> tuple[dict[str, Tree], dict[str, NamedContext]]:
    trees: dict[str, Tree] = {}
    named: dict[str, NamedContext] = {}
    for name, value in request.contexts.items():
        if name.lower() in ("scratch", MAIN_CONTEXT):
            raise UsageError("reserved-context", f"a build context cannot be called {name!r}", help="choose another name")
        if value.startswith("docker-image://"):
            named[name] = ImageContext(value.removeprefix("docker-image://"))
            continue
        if value.startswith("oci-layout://"):
            named[name] = ImageContext(remote.load_layout(value))
            continue
        if is_git_url(value):
            trees[name] = remote.git_context(value)
        elif _HTTP.match(value):
            fetched = remote.http_context(value, stack, MAX_DOCKERFILE)
            if isinstance(fetched, bytes):
                raise UsageError("bad-context", f"the build context {name!r} is not an archive: {value}")
            trees[name] = fetched
        else:
            trees[name] = open_directory(value)
        named[name] = LocalContext()
    return trees, named
