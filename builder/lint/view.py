"""A Dockerfile as the rules look at it: stages, and for each instruction the variables in force before it.

Tolerant where the frontend is strict: a word that cannot be expanded is simply not known. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from builder.frontend.arguments import platform_arguments
from builder.frontend.settings import FrontendSettings
from builder.frontend.stages import Stage, split_stages
from builder.frontend.state import DEFAULT_PATH
from builder.lint.facts import BaseFacts, LintFacts
from builder.oci.platform import host_platform
from grammar.nodes import Add, AnyInstruction, Arg, Copy, Dockerfile, Env, Expose, Label, Run, Stopsignal, User, Volume, Word, Workdir
from grammar.source import Span
from grammar.words import Expanded, ExpansionError, expand, expand_heredoc

Environment = Mapping[str, str]


class Missing(msgspec.Struct, frozen=True):
    """A variable that a word asks for and nobody has set, and the names that were near at hand."""

    name: str
    span: Span


class Step(msgspec.Struct, frozen=True):
    """An instruction of a stage with the environment before it; `declared` are ARGs, with or without a value."""

    node: AnyInstruction
    env: Environment
    declared: frozenset[str]
    missing: tuple[Missing, ...]


class StageView(msgspec.Struct, frozen=True):
    """A stage: `parent` is the earlier stage it is FROM, `image` the other name it is FROM (None if not known).

    `base` is what is known of the image at the bottom, through all parents; None: nothing.
    """

    stage: Stage
    parent: int | None
    image: str | None
    base: BaseFacts | None
    steps: tuple[Step, ...]

    @property
    def index(self) -> int:
        return self.stage.index


class View(msgspec.Struct, frozen=True):
    """The whole file: `global_env` is what FROM lines may use, `global_names` also those ARGs without a value."""

    dockerfile: Dockerfile
    facts: LintFacts
    global_args: tuple[Arg, ...]
    global_env: Environment
    global_names: frozenset[str]
    stages: tuple[StageView, ...]
    rule_names: tuple[str, ...] = ()

    def steps(self) -> Iterator[tuple[StageView, Step]]:
        """Every instruction of every stage."""
        for stage in self.stages:
            for step in stage.steps:
                yield stage, step

    def lineage(self, stage: StageView) -> Iterator[StageView]:
        """The stage and those it is built from, nearest first."""
        current: StageView | None = stage
        while current is not None:
            yield current
            current = None if current.parent is None else self.stages[current.parent]

    def expand(self, word: Word, env: Environment) -> Expanded | None:
        """The word with variables replaced, None where it is no valid word."""
        return expanded(word.text, env, self.dockerfile.directives.escape)


def look(dockerfile: Dockerfile, facts: LintFacts, rule_names: tuple[str, ...] = ()) -> View:
    """The view of a file; `rule_names` are those of all rules. Raises LayerwrightError where it has no stages."""
    split = split_stages(dockerfile)
    escape = dockerfile.directives.escape
    platform = facts.platform or host_platform()
    global_env = platform_arguments(FrontendSettings(platform=platform, build_args=dict(facts.build_args)), "default")
    global_names = set(global_env)
    for node in split.global_args:
        for pair in node.pairs:
            global_names.add(pair.key.text)
            default = expanded(pair.value.text, global_env, escape) if pair.value is not None else None
            if pair.key.text in facts.build_args:
                global_env[pair.key.text] = facts.build_args[pair.key.text]
            elif default is not None:
                global_env[pair.key.text] = default.text
    stages: list[StageView] = []
    ends: list[tuple[Environment, frozenset[str]]] = []
    for stage in split.stages:
        name = expanded(stage.begin.image.text, global_env, escape)
        parent = split.newest_before(name.text, stage.index) if name is not None else None
        if parent is not None:
            base = stages[parent.index].base
            env, declared = ends[parent.index]
        else:
            base = facts.bases.get(stage.index) or (BaseFacts() if name is not None and name.text == "scratch" else None)
            env, declared = _base_env(base), frozenset()
        walk = _Walk(env, declared, facts.build_args, global_env, escape)
        steps = tuple(walk.step(node) for node in stage.instructions)
        ends.append((walk.env, walk.declared))
        image = None if parent is not None or name is None else name.text
        stages.append(StageView(stage, None if parent is None else parent.index, image, base, steps))
    return View(dockerfile, facts, split.global_args, global_env, frozenset(global_names), tuple(stages), rule_names)


def expanded(text: str, env: Environment, escape: str) -> Expanded | None:
    """Expansion that finds no fault."""
    try:
        return expand(text, env, escape)
    except ExpansionError:
        return None


def _base_env(base: BaseFacts | None) -> dict[str, str]:
    env = {"PATH": DEFAULT_PATH}
    for line in (base.config.env or ()) if base is not None else ():
        key, _, value = line.partition("=")
        env[key] = value
    return env


class _Walk:
    """Goes through a stage and keeps its variables; environments are replaced, never changed, so steps may share them."""

    def __init__(self, env: Environment, declared: frozenset[str], given: Environment, global_env: Environment, escape: str) -> None:
        self.env, self.declared = env, declared
        self._given, self._globals, self._escape = given, global_env, escape

    def step(self, node: AnyInstruction) -> Step:
        """The instruction as it finds things, then what it changes."""
        env, declared = self.env, self.declared
        missing: dict[str, Missing] = {}
        for word, heredoc in _words(node):
            self._miss(word, heredoc, env, declared, missing)
        match node:
            case Arg():
                for pair in node.pairs:
                    if pair.value is not None:
                        self._miss(pair.value, False, self.env, self.declared, missing)
                    self._declare(pair.key.text, pair.value)
            case Env():
                made = [(self._text(pair.key), self._text(pair.value)) for pair in node.pairs]
                self.env = {**env, **{key: value or "" for key, value in made if key is not None}}
            case _:
                pass
        return Step(node, env, declared, tuple(missing.values()))

    def _text(self, word: Word | None) -> str | None:
        made = expanded(word.text, self.env, self._escape) if word is not None else None
        return made.text if made is not None else None

    def _declare(self, key: str, default: Word | None) -> None:
        value = self._given.get(key)
        if value is None and default is not None:
            made = expanded(default.text, self.env, self._escape)
            value = made.text if made else None
        elif value is None:
            value = self._globals.get(key)
        if value is not None:
            self.env = {**self.env, key: value}
        self.declared |= {key}

    def _miss(self, word: Word, heredoc: bool, env: Environment, declared: frozenset[str], missing: dict[str, Missing]) -> None:
        try:
            found = expand_heredoc(word.text, env) if heredoc else expand(word.text, env, self._escape)
        except ExpansionError:
            return
        for name in found.unset:
            if name not in declared and name not in missing and (name[0].isalpha() or name[0] == "_"):
                missing[name] = Missing(name, word.span)


def _words(node: AnyInstruction) -> Iterator[tuple[Word, bool]]:
    """The words that are expanded before the instruction runs (reference 1.2 "Where applied"); True: a here-document."""
    match node:
        case Env() | Label():
            for pair in node.pairs:
                yield pair.key, False
                if pair.value is not None:
                    yield pair.value, False
        case Copy() | Add():
            yield from ((word, False) for word in (*node.sources, node.destination))
            yield from (
                (word, False) for word in (node.chown, node.chmod, node.checksum if isinstance(node, Add) else None) if word is not None
            )
            yield from ((Word(heredoc.body, heredoc.span), True) for heredoc in node.heredocs if heredoc.expand)
        case Run():
            yield from ((word, False) for word in node.mounts)
        case Expose():
            yield from ((word, False) for word in node.ports)
        case Volume():
            yield from ((word, False) for word in node.paths)
        case User():
            yield node.user, False
        case Workdir():
            yield node.path, False
        case Stopsignal():
            yield node.signal, False
        case _:
            return
