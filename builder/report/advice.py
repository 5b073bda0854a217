"""What would make the next build faster, told by what this one did: each piece names its step, its numbers, and what to write."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builder.graph.operations import CacheSpec, CopyAction, RunAction
from builder.history.cause import place_of
from builder.report.facts import Advice, ContextFile, Facts, LayerFacts, StepFacts
from builder.report.managers import Manager, managers_of
from builder.report.words import seconds, size

SECOND = 10**9
MEGABYTE = 10**6
SHOWN = 5

_BROAD = frozenset({".", "./", "/", "", "*"})
_RUBBISH = frozenset(
    ".git .hg .svn node_modules __pycache__ .venv venv .tox .nox .pytest_cache .mypy_cache .ruff_cache .idea .vscode .gradle .next"
    " .terraform .DS_Store coverage htmlcov .coverage npm-debug.log yarn-error.log".split()
)
_RUBBISH_SUFFIX = (".log", ".swp", ".pyc", ".orig", ".rej", ".iso", ".tar", ".tar.gz", ".tgz", ".zip")
_RECURSIVE = re.compile(r"(?:^|[\s;&|(])(chown|chmod)\s+(?:\S+\s+)*?-\w*R")


def advise(facts: Facts) -> tuple[Advice, ...]:
    """The most worthwhile first."""
    found = [*_order(facts), *_arguments(facts), *_cache_mounts(facts), *_ignore(facts), *_copies(facts), *_waste(facts), *_base(facts)]
    return tuple(sorted(found, key=lambda advice: (-advice.saves_ns, -advice.saves_bytes, advice.title)))


def _runs(facts: Facts) -> Iterator[tuple[int, StepFacts, RunAction]]:
    for index, step in enumerate(facts.steps):
        if isinstance(step.record.operation, RunAction):
            yield index, step, step.record.operation


def _took(step: StepFacts) -> int:
    """In this build, or when it ran."""
    return step.duration or step.took_before


def _time(step: StepFacts) -> str:
    return f"It took {seconds(step.duration)}" if step.duration else f"It was a hit now; it took {seconds(step.took_before)} when it ran"


def _below(facts: Facts, index: int) -> Iterator[StepFacts]:
    """The steps that one stands on, the nearest first."""
    while facts.steps[index].inputs:
        index = facts.steps[index].inputs[0]
        yield facts.steps[index]


def _order(facts: Facts) -> Iterator[Advice]:
    """A COPY of everything before something that downloads: any change of any file runs it again."""
    for index, step, action in _runs(facts):
        managers = managers_of(" ".join(action.argv))
        broad = next((below for below in _below(facts, index) if _is_broad(below)), None)
        if not managers or broad is None or _took(step) < SECOND // 2:
            continue
        manager = managers[0]
        changed = _changed_files(broad)
        because = f" This time it was {changed}." if changed and step.ran else ""
        what = f"Copy only what {manager.name} reads, and the rest after it" if manager.lists else f"Move {manager.name} above the COPY"
        yield Advice(
            what,
            place_of(step.record),
            f"{_time(step)} and runs again whenever any file of the context changes, for {place_of(broad.record)} stands before it."
            + because,
            _better_order(manager, step, broad),
            step.duration,
        )


def _better_order(manager: Manager, step: StepFacts, broad: StepFacts) -> tuple[str, ...]:
    run = _first_line(step.record.name)
    lists = (f"COPY {' '.join(manager.lists)} ./",) if manager.lists else ()
    return (*lists, run, _first_line(broad.record.name))


def _is_broad(step: StepFacts) -> bool:
    action = step.record.operation
    return isinstance(action, CopyAction) and step.reads_context and any(path in _BROAD for given in action.sources for path in given.paths)


def _changed_files(step: StepFacts) -> str:
    names = [change.path for cause in step.causes if cause.kind == "files" for change in cause.files]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else ""


def _arguments(facts: Facts) -> Iterator[Advice]:
    """A build argument that changed before a step that need not know it."""
    for step in facts.steps:
        for cause in step.causes:
            if cause.kind == "argument" and step.ran and step.duration >= SECOND // 2 and cause.name not in step.record.name:
                yield Advice(
                    f"Declare ARG {cause.name} later",
                    place_of(step.record),
                    f"The step does not name {cause.name}, yet ran again ({seconds(step.duration)}) because its value changed:"
                    " an ARG is part of the environment of every RUN below it.",
                    (_first_line(step.record.name), f"ARG {cause.name}"),
                    step.duration,
                )


def _cache_mounts(facts: Facts) -> Iterator[Advice]:
    """A package manager that downloads again what it had."""
    for _, step, action in _runs(facts):
        targets = [mount.target for mount in action.mounts if isinstance(mount, CacheSpec)]
        home = dict(action.env).get("HOME") or "/root"
        for manager in managers_of(" ".join(action.argv)):
            caches = [cache.replace("~", home) for cache in manager.caches]
            if any(_covers(target, cache.partition(",")[0]) for target in targets for cache in caches) or _took(step) < SECOND:
                continue
            mounts = [f"--mount=type=cache,target={cache}" for cache in caches]
            yield Advice(
                f"Give {manager.name} a cache mount",
                place_of(step.record),
                f"{_time(step)}. With a cache mount {manager.name} finds what it downloaded in earlier builds,"
                " and it stays out of the layer.",
                ("RUN " + " \\\n    ".join(mounts) + " \\\n    " + _first_line(_without_keyword(step.record.name)),),
                step.duration // 2,
            )


def _covers(target: str, cache: str) -> bool:
    return cache == target or cache.startswith(target.rstrip("/") + "/") or target.startswith(cache + "/")


def _ignore(facts: Facts) -> Iterator[Advice]:
    """Files that a COPY of everything takes and that no image wants; or that are most of what it takes."""
    by_step: dict[int, list[ContextFile]] = {}
    for file in facts.context_files:
        by_step.setdefault(file.step, []).append(file)
    for index, files in by_step.items():
        step = facts.steps[index]
        if not _is_broad(step):
            continue
        total = sum(file.size for file in files)
        rubbish: dict[str, int] = {}
        for file in files:
            pattern = _rubbish(file.path)
            if pattern is None and file.size >= max(5 * MEGABYTE, total // 4):
                pattern = file.path
            if pattern is not None:
                rubbish[pattern] = rubbish.get(pattern, 0) + file.size
        if not rubbish:
            continue
        largest = sorted(rubbish.items(), key=lambda row: (-row[1], row[0]))[:SHOWN]
        saved = sum(taken for _, taken in largest)
        told = ", ".join(f"{pattern} ({size(taken)})" for pattern, taken in largest)
        yield Advice(
            "Leave out of the context what no image needs",
            place_of(step.record),
            f"Of the {size(total)} that it takes, these are {size(saved)}: {told}. When they change, it and all steps after it run again.",
            ("# .dockerignore", *(pattern for pattern, _ in largest)),
            _ran_for(step, set(rubbish)) and sum(later.duration for later in facts.steps[index:] if later.ran),
            saved,
        )


def _rubbish(path: str) -> str | None:
    """The line of .dockerignore that leaves a path out."""
    parts = path.split("/")
    for count, name in enumerate(parts, 1):
        if name in _RUBBISH:
            return "/".join(parts[:count]) if count == 1 else f"**/{name}"
    return f"**/*{next(suffix for suffix in _RUBBISH_SUFFIX if path.endswith(suffix))}" if path.endswith(_RUBBISH_SUFFIX) else None


def _ran_for(step: StepFacts, patterns: set[str]) -> int:
    """1 where a step ran again for nothing but files that these patterns leave out."""
    names = [change.path for cause in step.causes if cause.kind == "files" for change in cause.files]
    others = [cause for cause in step.causes if cause.kind != "files"]
    return int(bool(names) and not others and all(_rubbish(name) in patterns or name in patterns for name in names))


def _copies(facts: Facts) -> Iterator[Advice]:
    """chown -R and chmod -R copy every file they touch into a layer of its own."""
    for _, step, _ in _runs(facts):
        match = _RECURSIVE.search(step.record.name)
        if match and step.size is not None and step.size >= MEGABYTE:
            flag = "--chown" if match[1] == "chown" else "--chmod"
            yield Advice(
                f"Use COPY {flag} in place of {match[1]} -R",
                place_of(step.record),
                f"The step copies every file it touches: {size(step.size)} a second time in the image.",
                (f"COPY {flag}=… SOURCE DESTINATION",),
                step.duration,
                step.size,
            )


def _waste(facts: Facts) -> Iterator[Advice]:
    """Caches of package managers in layers of the image."""
    for layer in facts.layers:
        waste = [file for file in layer.waste if file.size >= MEGABYTE]
        if layer.in_image and layer.place and waste:
            yield Advice(
                f"Keep {', '.join('/' + file.path for file in waste[:3])} out of the image",
                layer.place,
                f"{size(sum(file.size for file in waste))} of its {size(layer.size)} are caches and temporary"
                " files. A cache mount keeps them out, or `rm -rf` in the same RUN.",
                tuple(f"--mount=type=cache,target=/{file.path}" for file in waste[:3]),
                0,
                _wasted(layer),
            )


def _wasted(layer: LayerFacts) -> int:
    return sum(file.size for file in layer.waste)


def _base(facts: Facts) -> Iterator[Advice]:
    """A tag that moved under a build."""
    for step in facts.steps:
        for cause in step.causes:
            if cause.kind == "base" and step.ran and " changed: sha256:" in cause.text:
                base = next(
                    (below.record.base for below in facts.steps if below.record.base and below.record.base.reference == cause.name), None
                )
                after = sum(later.duration for later in facts.steps if later.ran and later.record.stage == step.record.stage)
                yield Advice(
                    f"Pin {cause.name} to a digest",
                    place_of(step.record),
                    f"{cause.text}: everything on it ran again. A digest in FROM changes only when you change it.",
                    (f"FROM {cause.name}@{base.digest}",) if base is not None and "@" not in cause.name else (),
                    after,
                )


def _first_line(text: str) -> str:
    first, newline, _ = text.strip().partition("\n")
    return first.rstrip("\\").rstrip() + (" …" if newline else "")


def _without_keyword(text: str) -> str:
    return text.strip().partition(" ")[2].strip()
