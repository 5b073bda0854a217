"""A case built by us and by a reference, and both results in one form: config, history, layers."""

from __future__ import annotations

import io
import json
import posixpath
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.engine.build import BuildOutcome, run_build
from builder.engine.request import BuildRequest
from builder.engine.workshop import WorkshopSettings
from builder.errors import LayerwrightError
from builder.fs.compress import decompress
from builder.image.archives import load_archive
from builder.image.validate import validate
from builder.ops.secrets import SecretValue
from builder.registry.settings import Settings
from builder.store.store import Store
from grammar.diagnostics import DockerfileError
from tests.differential.casefile import Case
from tests.peers.engine import Engine
from tests.privileges import XATTR_PREFIX


@dataclass(frozen=True)
class Built:
    """An image: its config document, and the bytes of its layers as plain tars. `started`: seconds; younger times are the build's own."""

    config: Mapping[str, Any]
    layers: tuple[bytes, ...]
    started: int


@dataclass(frozen=True)
class Failed:
    """A build that was refused: our code or the reference's words."""

    code: str
    text: str


Outcome = Built | Failed


class Ours:
    """Our builder over one store that holds the bases."""

    def __init__(self, root: Path, archives: Sequence[bytes]) -> None:
        # Steps that cases share are made once, so what is of the build is younger than the session, not than the case.
        self._started = int(time.time()) - 1
        self.settings = WorkshopSettings(root, Settings(attempts=1), state_dir=str(root / "run"), xattr_prefix=XATTR_PREFIX)
        with Store.open(root) as store:
            for archive in archives:
                for loaded in load_archive(io.BytesIO(archive), store.blobs):
                    for name in loaded.names:
                        store.images.set(str(name), loaded.descriptor)

    def request(self, case: Case, context: Path, **more: Any) -> BuildRequest:
        """The case as a request."""
        secrets = {key: SecretValue(value.encode()) for key, value in _pairs(case, "secret")}
        file = case.value("file")
        arguments = dict(_pairs(case, "arg"))
        return BuildRequest(
            context=str(context),
            dockerfile=str(context / file) if file else None,
            target=case.value("target"),
            build_args=arguments,
            proxies=_proxies(arguments),
            labels=dict(_pairs(case, "label")),
            hosts=tuple(tuple(value.split(":", 1)) for value in case.values("host")),  # type: ignore[misc]
            network=case.value("network") or "default",  # type: ignore[arg-type]
            secrets=secrets,
            outputs=("type=image",),
            **more,
        )

    def build(self, case: Case, context: Path) -> Outcome:
        """Cold, then warm: the second build must run nothing and give the same image."""
        try:
            first = run_build(self.request(case, context), self.settings)
        except (LayerwrightError, DockerfileError) as error:
            code = error.code if isinstance(error, LayerwrightError) else error.diagnostic.code
            return Failed(code, str(error))
        second = run_build(self.request(case, context), self.settings)
        assert (second.ran, second.digest) == (0, first.digest), "a warm build differs from a cold one"
        return Built(*self.read(first), self._started)

    def read(self, outcome: BuildOutcome) -> tuple[Mapping[str, Any], tuple[bytes, ...]]:
        """The image as the store holds it, every digest recomputed."""
        image = outcome.result.images[0]
        with Store.open(self.settings.root) as store:
            problems = validate(store.blobs, outcome.result.descriptor)
            assert not problems, problems
            layers = []
            for descriptor in image.manifest.layers:
                with store.blobs.open(descriptor.digest) as blob:
                    layers.append(decompress(blob).read())
        return json.loads(image.config_raw), tuple(layers)


class Reference:
    """dockerd of 2021 with its built-in BuildKit, over the same bases."""

    def __init__(self, engine: Engine, archives: Sequence[bytes]) -> None:
        self._engine = engine
        self._started = int(time.time()) - 1
        for archive in archives:
            engine.docker("load", stdin=archive)

    def build(self, case: Case, context: Path, work: Path) -> Outcome:
        """One `docker build` and one `docker save`."""
        if case.value("reference") is not None:
            return Failed("", str(case.value("reference")))
        tag = f"case-{case.area}-{case.name}".lower()
        done = self._engine.docker("build", "--quiet", "--tag", tag, *self._options(case, context, work), str(context), check=False)
        if done.returncode != 0:
            words = done.stderr.decode(errors="replace").strip()
            assert "connect to the Docker daemon" not in words, f"the reference is gone: {words}"
            return Failed("", words)
        saved = self._engine.docker("save", tag).stdout
        self._engine.docker("rmi", "--no-prune", tag, check=False)
        return Built(*_read_archive(saved), self._started)

    def _options(self, case: Case, context: Path, work: Path) -> list[str]:
        words: list[str] = []
        for key, flag in (
            ("arg", "--build-arg"),
            ("label", "--label"),
            ("target", "--target"),
            ("host", "--add-host"),
            ("network", "--network"),
        ):
            for value in case.values(key):
                words += [flag, value]
        for key, value in _pairs(case, "secret"):
            path = work / f"secret-{key}"
            path.write_text(value)
            words += ["--secret", f"id={key},src={path}"]
        file = case.value("file")
        if case.reference is not None:
            path = work / "Dockerfile"
            path.write_text(case.reference)
            words += ["--file", str(path)]
        elif file is not None:
            words += ["--file", str(context / file)]
        return words


def _proxies(arguments: Mapping[str, str]) -> dict[str, str]:
    given = {key: value for key, value in arguments.items() if key.lower().endswith("_proxy")}
    return {name: value for key, value in given.items() for name in (key.upper(), key.lower())}


def _pairs(case: Case, key: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (item.partition("=") for item in case.values(key))]


def _read_archive(raw: bytes) -> tuple[Mapping[str, Any], tuple[bytes, ...]]:
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:

        def read(name: str) -> bytes:
            info = archive.getmember(name)
            if info.issym():
                return read(posixpath.normpath(posixpath.join(posixpath.dirname(name), info.linkname)))
            body = archive.extractfile(info)
            assert body is not None
            return body.read()

        saved = json.loads(read("manifest.json"))[0]
        return json.loads(read(saved["Config"])), tuple(read(name) for name in saved["Layers"] or ())
