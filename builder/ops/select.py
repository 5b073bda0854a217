"""Which paths of a source tree a COPY takes: wildcards, links at the top, and the pivot of --parents.

A path that is, or passes, a symbolic link is followed as a chroot would, inside the source's root
(reference 1.5). Wildcards match one component each and do not walk through links.
Not here: what lies below a selected directory (select_walk), and where it goes (copy_plan).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from builder.context.globs import PatternError, component_regex, has_wildcard, inside, unescape
from builder.context.ignore import IgnoredTree
from builder.context.scan import Seen, look
from builder.errors import LayerwrightError, NotFoundError
from builder.fs.resolve import resolve
from builder.fs.tree import Tree
from grammar.diagnostics import Diagnostic, suggest


class Selected(msgspec.Struct, frozen=True):
    """One path that a source names.

    `source` as written; `path` in the tree with links followed, and what is `seen` there; `name` is what it is
    called inside a directory: the last component before links were followed; `include` the pattern below
    `path` whose matches --parents takes.
    """

    source: str
    path: str
    name: str
    seen: Seen
    include: str | None = None


class Selection(msgspec.Struct, frozen=True):
    """What sources come to, in written order; a wildcard that matches nothing leaves a warning."""

    items: tuple[Selected, ...]
    warnings: tuple[Diagnostic, ...] = ()


def select(tree: Tree, sources: Iterable[str], *, parents: bool = False) -> Selection:
    """What `sources` name in `tree`; NotFoundError when a path without wildcards is not there."""
    items: list[Selected] = []
    warnings: list[Diagnostic] = []
    for source in sources:
        found = _with_parents(tree, source) if parents else list(_expand(tree, source, source))
        if not found:
            warnings.append(_no_match(source))
        items.extend(found)
    return Selection(tuple(items), tuple(warnings))


def select_path(tree: Tree, path: str) -> Selected:
    """One path that means itself, wildcards and all (the source of a mount)."""
    return _followed(tree, inside(path), path)


def _expand(tree: Tree, path: str, source: str) -> Iterator[Selected]:
    """The paths that one path, perhaps with wildcards, names."""
    relative = inside(path)
    if not has_wildcard(relative):
        yield _literal(tree, relative, source)
        return
    parts = relative.split("/")
    first = next(index for index, part in enumerate(parts) if has_wildcard(part))
    base = resolve(tree, "/".join(parts[:first]))
    try:
        matchers = [re.compile(component_regex(part), re.DOTALL) for part in parts[first:]]
    except PatternError as error:
        raise LayerwrightError(
            "bad-pattern", f"{source!r} is not a pattern: {error}", help="a name with a bracket is written `[[]`, as `a[[]0].txt`"
        ) from None
    for match in _matches(tree, base, matchers):
        yield _followed(tree, match, source)


def _matches(tree: Tree, directory: str, matchers: list[re.Pattern[str]]) -> Iterator[str]:
    """Depth first, in order of names; directories only on the way down."""
    entry = tree.lstat(directory)
    if directory and (entry is None or entry.kind != "dir"):
        return
    prefix = directory + "/" if directory else ""
    for name in tree.names(directory):
        if matchers[0].fullmatch(name) is None:
            continue
        if len(matchers) == 1:
            yield prefix + name
        else:
            yield from _matches(tree, prefix + name, matchers[1:])


def _literal(tree: Tree, relative: str, source: str) -> Selected:
    """A path without wildcards; one that is only there with its escapes taken away is meant so."""
    if "\\" in relative and tree.lstat(resolve(tree, relative)) is None:
        plain = unescape(relative)
        if tree.lstat(resolve(tree, plain)) is not None:
            relative = plain
    return _followed(tree, relative, source)


def _followed(tree: Tree, relative: str, source: str) -> Selected:
    path = resolve(tree, relative)
    seen = look(tree, path)
    if seen is None:
        raise missing_source(tree, relative, path, source)
    return Selected(source, path, relative.rpartition("/")[2], seen)


def _with_parents(tree: Tree, source: str) -> list[Selected]:
    """--parents: `base/./pattern`; without a pivot the base is the root."""
    base, pivot, tail = source.partition("/./")
    if not pivot:
        base, tail = "", source
    pattern = inside(tail)
    found: list[Selected] = []
    for item in _expand(tree, base, source):
        if item.seen.entry.kind != "dir":
            raise NotFoundError(
                "copy-source-missing",
                f'"{item.path}" is not a directory, and --parents takes {tail!r} below it',
                help="put the `/./` after a directory",
            )
        if pattern and not has_wildcard(pattern):
            _require(tree, item.path, pattern, source)
        found.append(Selected(source, item.path, item.name, item.seen, include=pattern or None))
    return found


def _require(tree: Tree, base: str, pattern: str, source: str) -> None:
    """A pattern without wildcards names something that must be there; --parents passes no links."""
    path = f"{base}/{pattern}" if base else pattern
    if tree.lstat(path) is not None:
        return
    resolved = resolve(tree, path)
    if tree.lstat(resolved) is not None:
        raise NotFoundError(
            "copy-source-missing",
            f'"/{path}": not found as such: a part of it is a symbolic link, which --parents does not pass',
            help=f'name the real path, "/{resolved}"',
        )
    raise missing_source(tree, path, resolved, source)


def missing_source(tree: Tree, relative: str, resolved: str, source: str) -> NotFoundError:
    """The error of a source that is not there, with what was probably meant."""
    return NotFoundError("copy-source-missing", f'"/{relative}": not found', help=_hint(tree, relative, resolved))


def _hint(tree: Tree, relative: str, resolved: str) -> str | None:
    if isinstance(tree, IgnoredTree) and tree.unfiltered.lstat(resolved) is not None:
        return f'.dockerignore excludes "{resolved}"; add a line `!{resolved}` to it, or copy something else'
    if resolved != relative and tree.lstat(relative) is not None:
        return f'"{relative}" is a symbolic link to "/{resolved}", which is not there'
    parent, _, name = resolved.rpartition("/")
    while parent and tree.lstat(parent) is None:
        parent, _, name = parent.rpartition("/")
    near = suggest(name, tree.names(parent))
    if near is not None:
        tail = resolved[len(parent) + 1 + len(name) :] if parent else resolved[len(name) :]
        return f'did you mean "{parent + "/" if parent else ""}{near}{tail}"?'
    return "paths are taken inside the root of the build context, or of the stage that --from names"


def _no_match(source: str) -> Diagnostic:
    return Diagnostic(
        "copy-no-match",
        f"{source!r} matches nothing, so nothing is copied for it",
        help="check the pattern, and .dockerignore",
        severity="warning",
    )
