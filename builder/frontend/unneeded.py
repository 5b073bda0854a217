"""What is wrong with stages that the target does not need: BuildKit reads their names before it asks which are needed.

Looked at are the names after FROM and --from, mounts, and circles; no image is resolved, no other instruction is evaluated,
and a stage named by --from may stand below (reference 1.1 "Later stage reference").
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator

from builder.errors import LayerwrightError
from builder.frontend.scope import Expander
from builder.frontend.stages import Stage, StageList
from builder.oci.reference import parse_reference
from grammar.nodes import Copy, Run, Word

_TARGETS = ("target", "dst", "destination")


def variable_in_from(expander: Expander, word: Word) -> LayerwrightError:
    """--from takes no variables."""
    return expander.error(
        "from-variable",
        "variables are not expanded in --from",
        word,
        "define a stage with FROM using the ARG, and copy from that stage",
    )


class Names:
    """How the names of one file are looked up; `context`: whether a --build-context has the name."""

    def __init__(self, stages: StageList, expander: Expander, context: Callable[[str], bool]) -> None:
        self._stages = stages
        self._expander = expander
        self._context = context

    def check(self, needed: Container[int], base_of: Callable[[Stage], str]) -> None:
        """Raises LayerwrightError at the first fault; `base_of` gives the name after FROM, once its variables are resolved."""
        behind: dict[int, list[tuple[Stage, Word]]] = {}
        for stage in self._stages.stages:
            if stage.index in needed or (stage.name and self._context(stage.name)):
                continue
            name, found = base_of(stage), behind.setdefault(stage.index, [])
            parent = self._stages.newest_before(name, stage.index)
            if parent is None:
                self._check_image(name, stage.begin.image)
            else:
                found.append((parent, stage.begin.image))
            for word in self._sources(stage):
                source = self.stage_or_image(word)
                if source is not None:
                    found.append((source, word))
        self._check_circles(behind)

    def stage_or_image(self, word: Word) -> Stage | None:
        """The stage that a --from names; None where it is an image, a context or nothing."""
        name = word.text
        if "$" in name:
            raise variable_in_from(self._expander, word)
        stage = None if self._context(name) else self._stages.last_named(name)
        if stage is None and name.isdigit() and not self._context(name):
            most = len(self._stages.stages) - 1
            raise self._expander.error("bad-stage-index", f"there is no stage {name}: they are 0 to {most}", word, "name the stage with AS")
        if stage is None:
            self._check_image(name, word)
        return stage

    def _check_image(self, name: str, word: Word) -> None:
        if name == "scratch" or self._context(name):
            return
        try:
            parse_reference(name)
        except LayerwrightError as error:
            raise self._expander.error(error.code, error.message, word, error.help) from None

    def _sources(self, stage: Stage) -> Iterator[Word]:
        for node in stage.instructions:
            match node:
                case Copy(from_=Word() as word):
                    yield word
                case Run(mounts=mounts):
                    for word in mounts:
                        yield from self._mount(word)

    def _mount(self, word: Word) -> Iterator[Word]:
        from grammar.mounts import FlagError, parse_mount

        options = word.text.split(",")
        if "$" in word.text:  # what the others are is not known here
            options = [option for option in options if option.lower().startswith("from=")]
        if "type=secret" not in options:  # where the others are mounted is asked only when the step is
            options = [option for option in options if option.lower().partition("=")[0] not in _TARGETS] + ["target=/mnt"]
        try:
            spec = parse_mount(",".join(options))
        except FlagError as error:
            raise self._expander.error(error.code, error.message, word, error.help) from None
        if spec.from_:
            yield Word(spec.from_, word.span)

    def _check_circles(self, behind: dict[int, list[tuple[Stage, Word]]]) -> None:
        done: set[int] = set()
        for start in behind:
            path = [(start, iter(behind[start]))]
            while path:
                index, rest = path[-1]
                source, word = next(rest, (None, None))
                if source is None or word is None:
                    done.add(index)
                    path.pop()
                elif any(source.index == other for other, _ in path):
                    message = f"circular dependency detected on stage: {source.title}"
                    raise self._expander.error("circular-stage", message, word, "a stage cannot copy from itself")
                elif source.index not in done:
                    path.append((source.index, iter(behind.get(source.index, ()))))
