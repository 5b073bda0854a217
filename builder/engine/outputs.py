"""Which outputs a request means, and what each needs of the image: BuildKit's options to our assembly and exporters."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from builder.engine.caches import insecure_hosts, wants_inline
from builder.engine.request import BuildRequest
from builder.engine.workshop import Workshop, WorkshopSettings
from builder.errors import LayerwrightError, UsageError
from builder.export.exporter import Exporter, Means
from builder.export.parse import parse_annotation, parse_output
from builder.export.spec import OutputSpec
from builder.export.table import make_exporter
from builder.image.model import BuildResult
from builder.image.options import ImageOptions
from builder.oci.manifest import Descriptor
from builder.oci.reference import Reference, parse_reference
from builder.progress.events import ExportFinished, ExportStarted, Listener
from builder.solver.solve import Clock, format_time


class Output(msgspec.Struct, frozen=True):
    """One output: how its image is assembled, and how it is written."""

    spec: OutputSpec
    options: ImageOptions
    names: tuple[Reference, ...]
    request: BuildRequest

    @property
    def packs_layers(self) -> bool:
        """Whether the layers' blobs are wanted as they are: not by outputs of files, nor where timestamps are rewritten."""
        return self.spec.makes_image and not (self.options.rewrite_timestamp and self.options.epoch is not None)

    def exporter(self, shop: Workshop) -> Exporter:
        """The exporter over this workshop."""
        created = None if self.options.epoch is None else format_time(self.options.epoch * 10**9)
        means = Means(
            blobs=shop.store.blobs,
            layers=shop.layers,
            fetch=shop,
            images=shop.store.images,
            registry=shop.registry,
            names=self.names,
            created=created,
            epoch=self.options.epoch,
            stdout=self.request.stdout,
            engine=shop.docker_engine,
        )
        return make_exporter(self.spec, means)

    def pushed(self, result: BuildResult) -> Iterator[tuple[Reference, Descriptor]]:
        """The layers that this output has put into registries, and where."""
        for name in self.names if self.spec.push else ():
            for image in result.images:
                yield from ((name, layer) for layer in image.manifest.layers)

    def write(self, shop: Workshop, result: BuildResult, listener: Listener, clock: Clock) -> BuildResult:
        """Export; the events tell what was written."""
        identity, started = f"export-{os.urandom(4).hex()}", clock.now_ns()
        listener.on_event(ExportStarted(time=started, id=identity, name=f"exporting to {_title(self.spec)}"))
        try:
            exported = self.exporter(shop).export(result)
        except LayerwrightError as error:
            ended = clock.now_ns()
            listener.on_event(ExportFinished(time=ended, id=identity, duration_ns=ended - started, error=error.message))
            raise
        ended = clock.now_ns()
        details = (
            f"manifest {result.descriptor.digest}",
            *(f"naming to {name.familiar}" for name in self.names),
            exported.message,
            *exported.notes,
        )
        listener.on_event(ExportFinished(time=ended, id=identity, duration_ns=ended - started, details=details))
        return result


def plan_outputs(request: BuildRequest) -> tuple[Output, ...]:
    """The outputs in order; without any the image is kept in the local store. Raises UsageError."""
    names = tuple(parse_reference(tag) for tag in request.tags)
    for name in names:
        if name.digest is not None:
            raise UsageError("tag-with-digest", f"the name {name.familiar!r} has a digest", help="a built image is named NAME[:TAG]")
    specs = [parse_output(text) for text in request.outputs]
    if request.push and not any(spec.push for spec in specs):
        specs.append(parse_output("type=registry"))
    if request.load or not specs:
        specs.append(parse_output("type=image"))
    annotations = tuple(note for text in request.annotations for note in parse_annotation(text))
    return tuple(_output(spec, names, annotations, request) for spec in specs)


def trusting(settings: WorkshopSettings, request: BuildRequest) -> WorkshopSettings:
    """The settings with the registries that outputs and caches say may be spoken to without checked TLS."""
    hosts = [*insecure_hosts(request)]
    for spec in map(parse_output, request.outputs):
        if spec.insecure:
            hosts += [name.registry for name in spec.names or map(parse_reference, request.tags)]
    if not hosts:
        return settings
    registry = msgspec.structs.replace(settings.registry, insecure=tuple(dict.fromkeys((*settings.registry.insecure, *hosts))))
    return msgspec.structs.replace(settings, registry=registry)


def _output(spec: OutputSpec, names: tuple[Reference, ...], annotations: tuple[object, ...], request: BuildRequest) -> Output:
    named = spec.names or names
    if spec.push and not named:
        raise UsageError("push-without-name", "a push needs a name for the image", help="add -t REGISTRY/NAME:TAG")
    options = ImageOptions(
        compression=spec.compression,
        level=spec.level,
        force=spec.force_compression,
        oci_media_types=True if spec.oci_media_types is None else spec.oci_media_types,
        rewrite_timestamp=spec.rewrite_timestamp,
        epoch=spec.epoch if spec.epoch is not None else request.epoch,
        annotations=(*annotations, *spec.annotations),  # type: ignore[arg-type]
        inline_cache=wants_inline(request),
    )
    return Output(spec, options, named, request)


def _title(spec: OutputSpec) -> str:
    match spec.type:
        case "oci":
            return f"oci {'archive' if spec.tar else 'layout'} {spec.dest}"
        case "docker":
            return f"docker archive {spec.dest}" if spec.dest else "the docker engine"
        case "local" | "tar":
            return f"{spec.type} {spec.dest}"
        case "registry":
            return "registry"
        case "image":
            return "image"
        case "cacheonly":
            return "nothing"
