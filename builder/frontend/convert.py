"""A Dockerfile and settings to a build plan: stages in need, their bases, and one pass over the instructions.

Errors: LayerwrightError with the place. Of the stages that the target does not need only the names are read.
"""

from __future__ import annotations

import msgspec

from builder.errors import LayerwrightError, UsageError
from builder.frontend.arguments import evaluate_globals, platform_arguments
from builder.frontend.instructions import apply
from builder.frontend.scope import Expander
from builder.frontend.settings import BaseResolver, FrontendSettings, ImageContext, LocalContext
from builder.frontend.stages import Stage, StageList, split_stages
from builder.frontend.state import DEFAULT_PATH, Session, StageState
from builder.graph.operations import ContextSource, CopyAction, CopyFrom, ImageSource, Scratch
from builder.graph.plan import BaseImage, BuildPlan
from builder.graph.vertex import GraphBuilder, Label, VertexID
from builder.oci.config import ImageConfig, RunConfig
from builder.oci.digest import chain_ids
from builder.oci.platform import Platform, parse_platform
from builder.oci.reference import parse_reference
from grammar.diagnostics import suggest
from grammar.nodes import Dockerfile, From, Word


def convert(dockerfile: Dockerfile, settings: FrontendSettings, resolver: BaseResolver) -> BuildPlan:
    """The plan for one platform; raises LayerwrightError with its place."""
    if settings.build_args.get("BUILDKIT_DISABLE_FILEOP", "").lower() in ("1", "t", "true"):
        raise UsageError("removed-argument", "BUILDKIT_DISABLE_FILEOP means nothing any more", help="drop the --build-arg")
    return Converter(dockerfile, settings, resolver).plan()


def context_name(text: str) -> str:
    """The name that a --build-context and what it stands for meet under: familiar, and without `:latest`, as docker does."""
    name, mark, platform = text.partition("::")
    try:
        short = parse_reference(name).familiar.removesuffix(":latest")
    except LayerwrightError:
        short = name.lower()
    return short + mark + platform


def _for_platform(image: ImageConfig, wanted: Platform) -> ImageConfig:
    """The config under the platform that was asked for by name: an image that was built for it is of it, whatever its base was."""
    same = (image.os, image.architecture) == (wanted.os, wanted.architecture)
    return msgspec.structs.replace(
        image,
        os=wanted.os,
        architecture=wanted.architecture,
        variant=wanted.variant if wanted.variant or not same else image.variant,
        os_version=wanted.os_version if wanted.os_version or not same else image.os_version,
        os_features=wanted.os_features or image.os_features,
    )


class Converter:
    """One conversion: the stages built so far and the images resolved so far."""

    def __init__(self, dockerfile: Dockerfile, settings: FrontendSettings, resolver: BaseResolver) -> None:
        self._settings = settings
        self._resolver = resolver
        self._stages: StageList = split_stages(dockerfile)
        self._graph = GraphBuilder()
        self._expander = Expander(dockerfile.source, dockerfile.directives.escape)
        target = self._target = self._stages.target(settings.target)
        self._platform_args = platform_arguments(settings, (settings.target and target.name) or "default")
        self._globals = evaluate_globals(self._stages.global_args, self._platform_args, settings.build_args, self._expander)
        self._session = Session(settings, self._graph, self._expander, self._globals, self._root_of)
        self._contexts = {context_name(key): (key, context) for key, context in settings.contexts.items()}
        self._built: dict[int, StageState] = {}
        self._open: list[int] = []
        self._bases: dict[str, BaseImage] = {}
        self._stage_bases: dict[int, BaseImage] = {}

    def plan(self) -> BuildPlan:
        """Everything the target stage needs."""
        state = self._stage(self._target)
        self._check_unneeded()
        config = state.config
        if self._settings.labels:
            config = msgspec.structs.replace(config, labels={**(config.labels or {}), **self._settings.labels})
        image = self._image_config(state, config)
        return BuildPlan(
            platform=self._settings.platform if self._settings.platform_given else state.platform,
            graph=self._graph.finish(),
            target=state.vertex,
            config=image,
            base=state.base,
            bases=tuple(self._bases.values()),
            history=tuple(state.history),
            stages=tuple(stage.title for stage in self._stages.stages),
            needed_stages=tuple(sorted(self._built)),
            stage_bases=dict(self._stage_bases),
        )

    def _check_unneeded(self) -> None:
        if len(self._built) == len(self._stages.stages):
            return
        from builder.frontend.unneeded import Names

        def base_of(stage: Stage) -> str:
            self._platform(stage.begin)
            return self._base_name(stage.begin)

        def is_context(name: str) -> bool:
            return self._named_context(name, self._settings.platform) is not None

        Names(self._stages, self._expander, is_context).check(self._built, base_of)

    def _image_config(self, state: StageState, config: RunConfig) -> ImageConfig:
        if state.base is not None:
            inherited = msgspec.structs.replace(state.base.config, config=config, author=state.author, created=None, history=None)
            return _for_platform(inherited, self._settings.platform) if self._settings.platform_given else inherited
        platform = state.platform
        return ImageConfig(
            architecture=platform.architecture,
            os=platform.os,
            variant=platform.variant,
            os_version=platform.os_version,
            os_features=platform.os_features or None,
            author=state.author,
            config=config,
        )

    # -- stages ---------------------------------------------------------------------------------------

    def _stage(self, stage: Stage, word: Word | None = None) -> StageState:
        if stage.index in self._built:
            return self._built[stage.index]
        if stage.index in self._open:
            raise LayerwrightError(
                "circular-stage",
                f"circular dependency detected on stage: {stage.title}",
                span=(word or stage.begin).span,
                source=self._expander.source,
                help="a stage cannot copy from itself",
            )
        self._open.append(stage.index)
        platform = self._platform(stage.begin)
        replacement = self._named_context(stage.name, platform) if stage.name else None
        if replacement is not None:
            state = self._from_context(stage, platform, replacement)
        else:
            state = self._begin(stage, platform)
            self._follow(stage, state)
        self._open.pop()
        self._built[stage.index] = state
        return state

    def _follow(self, stage: Stage, state: StageState) -> None:
        """The triggers of what a stage is built on, then its own instructions."""
        triggers = state.config.on_build or ()
        state.configure(on_build=None)
        state.steps = 1 + len(stage.instructions) + len(triggers)
        state.position = 1
        for text in triggers:
            self._trigger(state, stage, text)
        for node in stage.instructions:
            state.position += 1
            apply(self._session, state, node)

    def _base_name(self, node: From) -> str:
        name = self._expander.word(node.image, self._globals)
        if not name.strip():
            raise self._expander.error(
                "blank-base",
                f"the base name {node.image.text!r} is blank once its variables are resolved",
                node.image,
                "give the ARG a default before the first FROM, or pass --build-arg",
            )
        return name

    def _begin(self, stage: Stage, platform: Platform) -> StageState:
        node, name = stage.begin, self._base_name(stage.begin)
        context = self._named_context(name, platform)
        parent = None if context else self._stages.newest_before(name, stage.index)
        if parent is not None:
            return self._from_stage(stage, self._stage(parent))
        if name == "scratch" and context is None:
            # Nothing is of every platform, so FROM --platform says nothing here.
            state = StageState(stage, self._settings.platform, self._graph.add(Scratch(), (), Label("scratch")))
            state.config = RunConfig(env=(f"PATH={DEFAULT_PATH}",), working_dir="/")
            state.scope.set_env("PATH", DEFAULT_PATH)
            return state
        if context is not None:
            return self._from_context(stage, platform, context)
        return self._from_image(stage, platform, name, node.image)

    def _from_context(self, stage: Stage, platform: Platform, context: ImageContext | tuple[str]) -> StageState:
        """A --build-context in the place of a base; in the place of a stage none of its instructions is run."""
        if isinstance(context, ImageContext):
            return self._from_image(stage, platform, context.reference, stage.begin.image)
        return self._from_files(stage, platform, context[0])

    def _platform(self, node: From) -> Platform:
        if node.platform is None:
            return self._settings.platform
        text = self._expander.word(node.platform, self._globals)
        if not text:
            raise self._expander.error(
                "blank-platform",
                f"--platform={node.platform.text} is empty once its variables are resolved",
                node.platform,
                "name a platform, as linux/amd64",
            )
        try:
            return parse_platform(text)
        except LayerwrightError as error:
            raise self._expander.error(error.code, error.message, node.platform, error.help) from None

    def _from_stage(self, stage: Stage, parent: StageState) -> StageState:
        state = StageState(stage, parent.platform, parent.vertex)
        state.config, state.author, state.base = parent.config, parent.author, parent.base
        state.scope, state.history = parent.scope.copy(), list(parent.history)
        for item in state.config.env or ():  # a stage begins with its config's variables, whatever ARG made of them since
            key, _, value = item.partition("=")
            state.scope.set_env(key, value)
        return state

    def _from_files(self, stage: Stage, platform: Platform, name: str) -> StageState:
        scratch = self._graph.add(Scratch(), (), Label("scratch"))
        files = self._graph.add(ContextSource(name), (), Label(f"context {name}"))
        action = CopyAction(sources=(CopyFrom(1, ("/",), zero_owner=True),), destination="/")
        vertex = self._graph.add(
            action, (scratch, files), Label(f"FROM {name}", stage.title, None, stage.begin.span, self._expander.source)
        )
        state = StageState(stage, platform, vertex)
        state.config = RunConfig(env=(f"PATH={DEFAULT_PATH}",), working_dir="/")
        state.scope.set_env("PATH", DEFAULT_PATH)
        state.note(f"FROM {name}", vertex)
        return state

    def _from_image(self, stage: Stage, platform: Platform, reference: str, word: Word) -> StageState:
        try:
            base = self._resolve(reference, platform, word)
        except LayerwrightError as error:
            raise self._unknown_source(f"FROM {reference}", reference, stage.index, word, error) from None
        state = StageState(stage, platform, self._image_vertex(base, word))
        state.base, state.author = base, base.config.author
        self._stage_bases[stage.index] = base
        env = base.config.config.env or ()
        if not any(item.partition("=")[0] == "PATH" for item in env):
            env = (*env, f"PATH={DEFAULT_PATH}")
        state.config = msgspec.structs.replace(base.config.config, env=env)
        for item in env:
            key, _, value = item.partition("=")
            state.scope.set_env(key, value)
        return state

    def _resolve(self, reference: str, platform: Platform, word: Word) -> BaseImage:
        try:
            base = self._resolver.resolve(reference, platform)
        except LayerwrightError as error:
            if error.span is None:
                error.span, error.source = word.span, self._expander.source
            raise
        if base.diff_ids:
            self._bases[chain_ids(base.diff_ids)[-1]] = base
        return base

    def _image_vertex(self, base: BaseImage, word: Word) -> VertexID:
        if not base.diff_ids:
            return self._graph.add(Scratch(), (), Label("scratch"))
        label = Label(base.reference, span=word.span, source=self._expander.source)
        return self._graph.add(ImageSource(chain_ids(base.diff_ids)[-1]), (), label)

    def _named_context(self, name: str, platform: Platform) -> ImageContext | tuple[str] | None:
        """What a --build-context puts in the place of a name: an image, or the name of a tree of files."""
        short = context_name(name)
        for known in (f"{short}::{platform}", short):
            key, context = self._contexts.get(known, ("", None))
            match context:
                case ImageContext():
                    return context
                case LocalContext():
                    return (key,)
                case None:
                    continue
        return None

    # -- roots named by --from --------------------------------------------------------------------------

    def _root_of(self, state: StageState, word: Word, verb: str) -> VertexID:
        """The root a --from names: a named context, a stage above, or an image."""
        name = word.text
        if "$" in name:
            from builder.frontend.unneeded import variable_in_from

            raise variable_in_from(self._expander, word)
        context = self._named_context(name, state.platform)
        if isinstance(context, tuple):
            return self._graph.add(ContextSource(context[0]), (), Label(f"context {name}"))
        stage = None if context else self._stages.last_named(name)
        if stage is not None:
            if stage.index > state.stage.index:
                raise self._expander.error(
                    "later-stage",
                    f'cannot {verb} stage "{name}", it needs to be defined before current stage "{state.stage.title}"',
                    word,
                    f"move the stage of line {stage.begin.span.line} up",
                )
            return self._stage(stage, word).vertex
        if stage is None and context is None and name.isdigit():
            raise self._expander.error(
                "bad-stage-index", f"there is no stage {name}: they are 0 to {len(self._stages.stages) - 1}", word, "name the stage with AS"
            )
        if name == "scratch" and context is None:
            return self._graph.add(Scratch(), (), Label("scratch"))
        reference = context.reference if isinstance(context, ImageContext) else name
        try:
            return self._image_vertex(self._resolve(reference, state.platform, word), word)
        except LayerwrightError as error:
            raise self._unknown_source(f"--from={name}", name, state.stage.index, word, error) from None

    def _unknown_source(self, said: str, name: str, before: int, word: Word, error: LayerwrightError) -> LayerwrightError:
        """The resolver's error, unless the name is nearly that of an earlier stage: then that is what was meant."""
        near = suggest(name, [stage.name for stage in self._stages.stages[:before] if stage.name])
        if near is None:
            return error
        line = next(stage.begin.span.line for stage in self._stages.stages if stage.name == near)
        message = f"{said} names no earlier stage, and there is no such image"
        return self._expander.error("unknown-stage", message, word, f"did you mean `{near}` (line {line})?")

    # -- instructions -----------------------------------------------------------------------------------

    def _trigger(self, state: StageState, stage: Stage, text: str) -> None:
        from grammar.diagnostics import DockerfileError
        from grammar.parse import parse_trigger

        try:
            node = parse_trigger(text, f"ONBUILD of {stage.begin.image.text}")
        except DockerfileError as error:
            raise LayerwrightError(
                error.diagnostic.code,
                f"an ONBUILD trigger of the base image cannot be run: {error.diagnostic.message}",
                span=stage.begin.image.span,
                source=self._expander.source,
                help=f"the trigger is: {text}",
            ) from None
        state.position += 1
        try:
            apply(self._session, state, msgspec.structs.replace(node, span=stage.begin.span))
        except LayerwrightError as error:
            error.span = stage.begin.image.span
            error.notes = (*error.notes, f"in the ONBUILD trigger: {text}")
            raise
