"""SOURCE_DATE_EPOCH in all its forms, to seconds: a number, `context`, a named context, a stage that is one remote ADD.

A number is itself. Else the time is that of what the name stands for: a repository's commit, a URL's
Last-Modified, or the youngest file of an archive that came without one. A directory, an archive on standard
input or an image has no such time, and then the build has no epoch (reference 1.8).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from builder.engine.remote import Remote, RemoteSource
from builder.engine.request import EPOCH, BuildRequest
from builder.errors import LayerwrightError, UsageError
from builder.frontend.arguments import evaluate_globals, platform_arguments
from builder.frontend.convert import context_name
from builder.frontend.scope import Expander
from builder.frontend.settings import FrontendSettings
from builder.frontend.stages import Stage, split_stages
from builder.frontend.state import MAIN_CONTEXT
from builder.frontend.transfer import http_filename
from builder.graph.giturl import is_git_url, parse_git_url
from builder.graph.operations import HttpSource
from grammar.nodes import Add, Arg, Dockerfile

_HTTP = re.compile(r"https?://", re.IGNORECASE)
_HELP = "write seconds since 1970, `context`, or the name of a build context or of a stage that is `FROM scratch` and one remote ADD"


def with_epoch(request: BuildRequest, dockerfile: Dockerfile, remote: Remote) -> BuildRequest:
    """The request with its epoch in seconds, in the build argument too; raises LayerwrightError where a name has no meaning."""
    if request.epoch is not None:
        return request
    text = request.build_args.get(EPOCH) or _default(request, dockerfile)
    if not text:
        return request
    epoch = int(text) if text.isascii() and text.isdigit() else _named(text, request, dockerfile, remote)
    others = {key: value for key, value in request.build_args.items() if key != EPOCH}
    return msgspec.structs.replace(request, epoch=epoch, build_args=others if epoch is None else {**others, EPOCH: str(epoch)})


def _globals(request: BuildRequest, dockerfile: Dockerfile) -> dict[str, str]:
    settings = FrontendSettings(build_args=dict(request.build_args))
    expander = Expander(dockerfile.source, dockerfile.directives.escape)
    return evaluate_globals(split_stages(dockerfile).global_args, platform_arguments(settings, "default"), settings.build_args, expander)


def _default(request: BuildRequest, dockerfile: Dockerfile) -> str | None:
    """The default of a global ARG of that name."""
    return _globals(request, dockerfile).get(EPOCH)


def _named(name: str, request: BuildRequest, dockerfile: Dockerfile, remote: Remote) -> int | None:
    if name == MAIN_CONTEXT:
        return _of_url(request.context, remote)
    for key, value in request.contexts.items():
        if context_name(key) == context_name(name):
            return _of_url(value, remote)
    for stage in split_stages(dockerfile).stages:
        if stage.name == name.lower():
            return remote.modified(_only_source(stage, request, dockerfile))
    raise UsageError("bad-epoch", f"{EPOCH}={name!r} is no number and names no context or stage", help=_HELP)


def _of_url(text: str, remote: Remote) -> int | None:
    if is_git_url(text) or text.startswith("github.com/"):
        return remote.modified(remote.git_source(text))
    return remote.modified(HttpSource(text, "context")) if _HTTP.match(text) else None


def _only_source(stage: Stage, request: BuildRequest, dockerfile: Dockerfile) -> RemoteSource:
    """What the one ADD of a stage fetches."""
    expander = Expander(dockerfile.source, dockerfile.directives.escape)
    env = {key: value for key, value in _globals(request, dockerfile).items() if key != EPOCH}

    def error(why: str) -> LayerwrightError:
        message = f"{EPOCH} names a stage that {why}"
        return LayerwrightError("bad-epoch", message, span=stage.begin.span, source=dockerfile.source, help=_HELP)

    if expander.word(stage.begin.image, env) != "scratch":
        raise error("is not FROM scratch")
    added: list[RemoteSource] = []
    for node in stage.instructions:
        match node:
            case Arg():
                for pair in node.pairs:
                    if pair.key.text in request.build_args:
                        env[pair.key.text] = request.build_args[pair.key.text]
                    elif pair.value is not None:
                        env[pair.key.text] = expander.word(pair.value, env)
            case Add():
                if node.heredocs or len(node.sources) != 1:
                    raise error("adds more than one source")
                added.append(_source(node, expander, env, error))
            case _:
                raise error(f"has an instruction besides ARG and ADD: {node.keyword.upper()}")
    if len(added) != 1:
        raise error("has not exactly one ADD")
    return added[0]


def _source(node: Add, expander: Expander, env: dict[str, str], error: Callable[[str], LayerwrightError]) -> RemoteSource:
    text = expander.word(node.sources[0], env)
    checksum = expander.word(node.checksum, env) if node.checksum else None
    if is_git_url(text):
        git = parse_git_url(text, lambda why: error(f"adds a git URL with a mistake: {why}"))
        return msgspec.structs.replace(git, checksum=checksum or git.checksum)
    if _HTTP.match(text):
        return HttpSource(text, http_filename(text), checksum)
    raise error("adds something that is no URL")
