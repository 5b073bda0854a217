"""Several machines: each builds the same context into a store of its own; all they share is a registry."""

from __future__ import annotations

from pathlib import Path

from builder.engine.build import BuildOutcome, run_build
from builder.engine.request import BuildRequest
from builder.engine.workshop import WorkshopSettings
from builder.progress.events import Note, Recorder, StepCached, StepStarted, Warning
from builder.registry.settings import Settings
from runtime.sandbox import SHARED_NETWORK
from tests.engine.site import Site
from tests.privileges import XATTR_PREFIX
from tests.registry.fake_registry import FakeRegistry

BASE = "FROM scratch\nCOPY --from=box / /\n"

EXAMPLE = """\
FROM {base} AS build
WORKDIR /src
COPY main.c .
RUN tr a-z A-Z < main.c > program
FROM {base} AS notes
RUN echo notes > /notes
FROM {base}
RUN mkdir -p /opt/app
COPY --from=build /src/program /opt/app/
COPY --from=notes /notes /opt/app/
COPY --link etc /opt/etc
CMD ["cat", "/opt/app/program"]
"""
"""Three stages, of which the last takes from both others."""

SETTINGS = Settings(attempts=2, backoff=0.01)


class Machines:
    """`build("a")` builds on machine a."""

    def __init__(self, directory: Path, box: Path, fake: FakeRegistry) -> None:
        self.fake = fake
        self.directory = directory
        self.base = f"{fake.host}/base:1"
        self.site = Site(directory, box)
        self._on("base")
        self.site.dockerfile(BASE)
        self.site.build(tags=(self.base,), push=True)
        self.example()

    def example(self, text: str = EXAMPLE) -> None:
        """The files of the example."""
        self.site.write("Dockerfile", text.format(base=self.base))
        self.site.write("main.c", "hello\n")
        self.site.write("etc/conf", "x=1\n")

    def build(self, machine: str, *, cache_from: str = "", cache_to: str = "", **fields: object) -> BuildOutcome:
        """One build there; what the registry was asked before is forgotten."""
        self._on(machine)
        self.fake.seen.clear()
        if cache_from:
            fields["cache_from"] = (cache_from,)
        if cache_to:
            fields["cache_to"] = (cache_to,)
        fields.setdefault("tags", ())
        fields.setdefault("outputs", ("type=cacheonly",))
        if not fields["outputs"]:
            return self.site.build(**fields)
        self.site.heard = Recorder()
        request = BuildRequest(context=str(self.site.context), contexts={"box": str(self.site.box)}, **fields)  # type: ignore[arg-type]
        return run_build(request, self.site.settings, self.site.heard)

    def warnings(self) -> list[str]:
        """What the last build warned of."""
        return [event.message for event in self.site.heard.events if isinstance(event, Warning)]

    def notes(self) -> list[str]:
        """What the last build said besides."""
        return [event.message for event in self.site.heard.events if isinstance(event, Note) and event.message != SHARED_NETWORK]

    def ran(self) -> list[str]:
        """The instructions that the last build ran to their end."""
        names = {event.vertex: event.name for event in self.site.heard.events if isinstance(event, StepStarted)}
        hits = {event.vertex for event in self.site.heard.events if isinstance(event, StepCached)}
        return [name.partition("] ")[2] for vertex, name in names.items() if vertex not in hits]

    def pulled(self) -> list[str]:
        """The layers that the last build fetched: blobs that are no manifest's config."""
        configs = {raw.partition(b'"config":')[2].partition(b'"digest":"')[2][:71].decode() for _, raw in self.fake.manifests.values()}
        asked = [seen.path.rpartition("/")[2] for seen in self.fake.requests("GET", "/blobs/")]
        return [digest for digest in asked if digest not in configs]

    def ref(self, tag: str = "cache") -> str:
        """A cache's name."""
        return f"{self.fake.host}/app:{tag}"

    def _on(self, machine: str) -> None:
        self.site.settings = WorkshopSettings(self.directory / f"store-{machine}", SETTINGS, xattr_prefix=XATTR_PREFIX)
