"""A place where the commands of the documentation mean something: a project, its neighbours, a registry, a repository, images.

What the documentation calls registry.example and git.example are a real registry and a real repository on
loopback; `docker.io` has the registry as its mirror, by a registries.conf as docs/howto/registries.md has it.
"""

from __future__ import annotations

import functools
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.debug.session import Terminal
from tests.peers.distribution import Registry

REPOSITORY = Path(__file__).resolve().parents[2]

DOCKERFILE = """\
ARG VERSION=1
FROM scratch AS box
ADD box.tar /
FROM box AS make
COPY --chmod=755 make /bin/make
WORKDIR /app
ARG VERSION
RUN --mount=type=cache,target=/root/.cache touch /root/.cache/kept
RUN make
FROM scratch AS dist
COPY --from=make /app/out /out
FROM box
COPY --from=make /app /app
CMD ["cat", "/app/out"]
"""
FAILING = "FROM scratch\nADD box.tar /\nRUN --network=none echo half > /half\nRUN --network=none false\n"
LOGS = "FROM scratch\nADD box.tar /\nRUN echo one\nRUN echo two\nCOPY --chmod=755 make /bin/make\nRUN make\n"
EVERYWHERE = "FROM scratch\nCOPY make /file\n"
MIRROR = """\
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "{host}"
insecure = true
"""


class World:
    """The project lies at `work`; `run` is a shell there."""

    def __init__(self, directory: Path, box_tar: Path, registry: Registry, git_url: str, docker: dict[str, str] | None = None) -> None:
        self.home = directory / "home"
        self.work = self.home / "team/app"
        self.work.mkdir(parents=True)
        self._meaning = {
            "registry.example/team/": f"{registry.host}/team/",
            "registry.example": registry.host,
            "ghcr.io": registry.host,
            "127.0.0.1:5000": registry.host,
            "https://git.example": git_url,
            "debian:bookworm": f"{registry.host}/library/debian:bookworm",
            "-t app -o type=registry": f"-t {registry.host}/app -o type=registry",
            "STAGE": "make",
            "last STEP": "last 'RUN make'",
            "COMMAND": "du",
        }
        self.env = {
            "HOME": str(self.home), "PATH": f"{self._programs(directory / 'bin')}:{os.environ['PATH']}", "TERM": "xterm",
            "LAYERWRIGHT_ROOT": str(directory / "store"), "CONTAINERS_REGISTRIES_CONF": str(self.home / "registries.conf"),
            "REGISTRY": registry.host, "SHA": "1f2e3d", "TOKEN": "hush", "DOCKER_CONFIG": str(self.home / ".docker"), **(docker or {}),
        }  # fmt: skip
        (self.home / "registries.conf").write_text(MIRROR.format(host=registry.host))
        self._project(box_tar)

    def _programs(self, directory: Path) -> Path:
        """`build` and `layerwright` as pip would install them."""
        directory.mkdir()
        for name, module in (("build", "builder.cli.build"), ("layerwright", "builder.cli.main")):
            text = f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(REPOSITORY)!r})\nfrom {module} import main\nmain()\n"
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)
        return directory

    def _project(self, box_tar: Path) -> None:
        os.link(box_tar, self.work / "box.tar")
        (self.work / "Dockerfile").write_text(DOCKERFILE)
        (self.work / "make").write_text("#!/bin/sh\necho made $VERSION | tee out\n")
        (self.work / "docker").mkdir()
        (self.work / "docker/Dockerfile").write_text(DOCKERFILE)
        (self.work / "token.txt").write_text("hush")
        (self.work / "failing.Dockerfile").write_text(FAILING)
        (self.work / "logs.Dockerfile").write_text(LOGS)
        (self.work / "everywhere.Dockerfile").write_text(EVERYWHERE)
        (self.work.parent / "shared").mkdir()
        (self.home / ".npmrc").write_text("token=hush\n")
        (self.work / "examples").symlink_to(REPOSITORY / "examples")
        identity = "-c user.name=a -c user.email=a@b"
        self.sh(f"git init -q -b main . && git add make && git {identity} commit -q -m first")

    def prepare(self) -> None:
        """What the documentation takes to be there, whatever a command before took away: images, archives, a build with logs."""
        host = self._meaning["registry.example"]
        for text in (
            "layerwright base -q",
            "build -q -t app:1 -t app -t app:candidate .",
            f"build -q -t {host}/app --push .",
            f"build -q -f everywhere.Dockerfile --platform linux/amd64,linux/arm64 -t {host}/app:1 --push .",
            f"build -q -f everywhere.Dockerfile -t {host}/library/debian:bookworm --push .",
            f"build -q -t {host}/app:1 -t {host}/app .",
            "build -q -t hello -t peek --target make .",
            "build -q -t app:2 --build-arg VERSION=2 .",
            "layerwright save --format oci -o app.tar app:1 && layerwright save --format docker -o old.tar app:1",
            "build -q -t app:new -o type=oci,dest=layout,tar=false .",
        ):
            self.sh(text)

    def build_with_logs(self) -> None:
        """The last build is one whose third step and those after it wrote something, and that runs make."""
        self.sh("build -q -f logs.Dockerfile --network none .")

    def sh(self, text: str) -> str:
        """A shell line that must do; what it printed."""
        done = subprocess.run(["sh", "-ec", text], cwd=self.work, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def meant(self, text: str) -> str:
        """The line with what the documentation's names stand for."""
        for name, meaning in self._meaning.items():
            text = text.replace(name, meaning)
        if "3f2a91c04d2b" in text:
            text = text.replace("3f2a91c04d2b", self.sh("layerwright inspect --config app:2 | sha256sum | cut -c1-12").strip())
        return text

    def run(self, text: str, typed: Sequence[tuple[str, str]] | None = None) -> tuple[int, str]:
        """A line as somebody copies it: its exit code, and all that it printed.

        With `typed` (what is waited for, what is typed then) it has a terminal.
        """
        command = ["bash", "-c", "set -o pipefail; " + self.meant(text)]
        if typed is None:
            nothing = subprocess.DEVNULL
            done = subprocess.run(command, cwd=self.work, env=self.env, capture_output=True, text=True, check=False, stdin=nothing)
            return done.returncode, done.stdout + done.stderr
        with Terminal(command, env=self.env, cwd=self.work) as session:
            for awaited, answer in typed:
                session.wait_for(awaited)
                session.type(answer)
            return session.end(), session.screen


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the tests' standard error."""


@contextmanager
def git_server(directory: Path, box_tar: Path) -> Iterator[str]:
    """A URL below which team/app.git is a repository with the project in it, over dumb HTTP."""
    checkout, bare = directory / "checkout", directory / "www/team/app.git"
    checkout.mkdir(parents=True)
    bare.parent.mkdir(parents=True)
    (checkout / "Dockerfile").write_text(EVERYWHERE)
    (checkout / "make").write_text("x")
    script = f"""
        git init -q -b main . && git add . && git -c user.name=a -c user.email=a@b commit -q -m first
        git clone -q --bare . {bare} && git -C {bare} update-server-info
    """
    subprocess.run(["sh", "-ec", script], cwd=checkout, check=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(directory / "www")))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
