"""Answers to `--call`: the checks, the outline and the targets of a Dockerfile, without a build."""

from __future__ import annotations

import contextlib

from builder.engine.bases import BaseImages
from builder.engine.checks import Method, answer, facts_of, resolvable_bases
from builder.engine.contexts import open_contexts
from builder.engine.dockerfiles import parse_cached
from builder.engine.remote import agents_of, remote_of
from builder.engine.request import BuildRequest, platforms_of
from builder.engine.workshop import Workshop, WorkshopSettings
from builder.graph.plan import BaseImage


def run_call(method: Method, request: BuildRequest, settings: WorkshopSettings, *, json: bool) -> tuple[str, int]:
    """Answer `--call METHOD` without building: the text to print and the exit code.

    `check` looks at every stage; a base that cannot be resolved leaves the rules that need it silent.
    """
    with Workshop(settings) as shop, agents_of(request) as agents, contextlib.ExitStack() as stack:
        contexts = open_contexts(request, remote_of(request, shop, agents, None), stack)
        dockerfile = parse_cached(contexts.dockerfile, contexts.dockerfile_name, shop.store.index)
        platform = platforms_of(request)[0]
        bases: dict[int, BaseImage] = {}
        if method == "check":
            bases = resolvable_bases(dockerfile, request, platform, BaseImages(shop.store, shop.registry, pull=request.pull))
        facts = facts_of(None, contexts, request.build_args, bases, platform)
        return answer(method, dockerfile, facts, request.target, json=json)
