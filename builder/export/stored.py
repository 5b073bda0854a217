"""The image and registry outputs: names in the store, and the push."""

from __future__ import annotations

import msgspec

from builder.errors import UsageError
from builder.export.exporter import Exported, Means, complete, mountable
from builder.export.spec import OutputSpec
from builder.image.model import BuildResult


class ImageExporter:
    """Names the image in the store, then pushes it where the output says so; each name moves in one step."""

    def __init__(self, spec: OutputSpec, means: Means) -> None:
        self._spec = spec
        self._means = means

    def check(self) -> None:
        if self._spec.push and not self._means.names:
            raise UsageError(
                "push-without-name", "there is no name to push to", help="add -t registry.example/app:1, or name= in the output"
            )
        for name in self._means.names:
            if name.digest is not None:
                raise UsageError("name-with-digest", f"{name} is no name for a new image, for it has a digest", help="leave @sha256:… out")

    def export(self, result: BuildResult) -> Exported:
        said: list[str] = []
        names = self._means.names
        if self._spec.store and self._means.images is not None:
            # What the store names it has whole: it must be usable when the registry is away.
            complete(result, self._means)
            for name in names:
                self._means.images.set(str(name), msgspec.structs.replace(result.descriptor, platform=None))
            if names:
                said.append(f"stored {', '.join(name.familiar for name in names)}")
        if self._spec.push and self._means.registry is not None:
            registry = self._means.registry()
            origins = mountable(result, self._means)
            for name in names:
                registry.push(name, result.descriptor, origins=origins, by_digest=self._spec.push_by_digest)
            said.append(f"pushed {', '.join(name.familiar for name in names)}")
        return Exported("; ".join(said) or f"stored {result.descriptor.digest} without a name")


class CacheOnlyExporter:
    """Writes nothing: the build's results stay in the cache."""

    def check(self) -> None:
        return None

    def export(self, result: BuildResult) -> Exported:
        return Exported("kept in the cache only")
