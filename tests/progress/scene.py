"""A build told by hand, at set times: what the documentation's screens show, and a program that shows one moment of it.

python -m tests.progress.scene MOMENT      on a terminal; says `tmux wait-for` when the moment is drawn, then waits
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from builder.progress.events import (
    BuildFinished,
    BuildStarted,
    Event,
    ExportFinished,
    ExportStarted,
    Note,
    StepCached,
    StepFinished,
    StepLog,
    StepStarted,
    Transfer,
    Warning,
)
from builder.progress.live import LiveView

S = 10**9
BEGAN = 1_700_000_000 * S
DIGEST = "sha256:a10772fcb045b6a13298e13944b6c23e7f3d239a493916f21d04a9b99518dfb4"
APT = "apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make pkg-config && rm -rf /var/lib/apt/lists/*"
WARNING = """\
warning[JSONArgsRecommended]: CMD is in shell form, so signals do not reach the program
  --> Dockerfile:31:1
   |
31 | CMD /srv/bin/server --listen 0.0.0.0:8080 --config /etc/server/server.toml --log-level info --workers 4
   | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   = help: write CMD ["/srv/bin/server", …]"""


def at(seconds: float) -> int:
    return BEGAN + round(seconds * S)


def start(seconds: float, vertex: str, name: str) -> StepStarted:
    return StepStarted(time=at(seconds), vertex=vertex, name=name, stage=name.partition(" ")[0].strip("["))


def done(seconds: float, vertex: str, took: float, error: str | None = None, cancelled: bool = False) -> StepFinished:
    return StepFinished(time=at(seconds), vertex=vertex, duration_ns=round(took * S), error=error, cancelled=cancelled)


def log(seconds: float, vertex: str, text: str) -> StepLog:
    return StepLog(time=at(seconds), vertex=vertex, stream="stdout", data=text.encode())


def pulled(seconds: float, name: str, megabytes: float, total: float) -> Transfer:
    return Transfer(time=at(seconds), kind="pull", id=name, done=int(megabytes * 10**6), total=int(total * 10**6))


FIRST: list[Event] = [
    BuildStarted(time=at(0), steps=11, target="server"),
    Warning(time=at(0), code="JSONArgsRecommended", message="", text=WARNING),
    start(0, "base", "docker.io/library/debian:bookworm"),
    StepCached(time=at(0), vertex="base"),
    start(0.1, "apt", f"[compile 2/6] RUN {APT}"),
    start(0.1, "node", "docker.io/library/node:22"),
    pulled(0.2, "sha256:83b60620f8bf1a484c1ec9ebb27953369d7e8625", 0, 48.5),
    pulled(0.2, "sha256:0a9c4a3554e3c85c1a5505a6a0c84f40b02c436d", 0, 211.0),
    start(0.1, "docs", "[docs 2/3] RUN make docs"),
    log(0.3, "apt", "Get:1 http://deb.debian.org/debian bookworm InRelease [151 kB]\n"),
    log(0.4, "docs", "sphinx-build -b html . out\nreading sources... "),
    log(2.9, "apt", "Unpacking libc6-dev:amd64 (2.36-9) ...\nSetting up gcc (4:12.2.0-3) ...\nSetting up make (4.3-4.1) ...\n"),
    log(3.1, "apt", "Processing triggers for libc-bin (2.36-9) ...\n"),
    done(3.2, "apt", 3.1),
    start(3.2, "workdir", "[compile 3/6] WORKDIR /src"),
    done(3.2, "workdir", 0.02),
    start(
        3.3, "make", '[compile 4/6] RUN make -j"$(nproc)" CFLAGS="-O2 -Wall" all && make install DESTDIR=/out && strip /out/usr/bin/server'
    ),
    log(3.5, "docs", "\rreading sources... [ 20%] configure\rreading sources... [ 40%] install"),
    log(3.6, "make", "cc -O2 -Wall -c main.c -o main.o\ncc -O2 -Wall -c wörter.c -o wörter.o\n"),
    log(3.9, "make", "\x1b[31mwarning\x1b[0m: unused variable 'count' [-Wunused-variable]\ncc -O2 -Wall -c net.c -o net.o\n"),
    pulled(4.2, "sha256:83b60620f8bf1a484c1ec9ebb27953369d7e8625", 40.1, 48.5),
    pulled(4.2, "sha256:0a9c4a3554e3c85c1a5505a6a0c84f40b02c436d", 96.0, 211.0),
]
RUNNING = at(4.4)

LAST: list[Event] = [
    pulled(4.9, "sha256:83b60620f8bf1a484c1ec9ebb27953369d7e8625", 48.5, 48.5),
    log(5.0, "docs", "\nbuild succeeded.\n"),
    done(5.1, "docs", 5.0),
    pulled(6.9, "sha256:0a9c4a3554e3c85c1a5505a6a0c84f40b02c436d", 211.0, 211.0),
    done(7.0, "node", 6.9),
    start(7.0, "copy", "[server 2/3] COPY --from=docs --chmod=644 /docs/out /srv/docs"),
    done(7.1, "copy", 0.1),
    done(65.3, "make", 62.0),
    start(65.3, "out", "[server 3/3] COPY --from=compile /out /"),
    done(65.4, "out", 0.1),
    Note(time=at(65.4), message="the image app:41 went from the store, as the least recently used, to keep it within 20.00GB"),
    ExportStarted(time=at(65.4), id="0", name="pushing to registry.example/app:42"),
    ExportFinished(time=at(70.2), id="0", duration_ns=round(4.8 * S), details=(f"manifest {DIGEST}", "pushed registry.example/app:42")),
    BuildFinished(time=at(70.2), duration_ns=round(70.2 * S), ran=7, cached=1, digest=DIGEST),
]
FAILURE: list[Event] = [
    log(4.6, "make", "net.c:12:5: error: implicit declaration of function 'htons'\nmake: *** [Makefile:7: net.o] Error 1\n"),
    done(4.7, "make", 1.4, error="the command ended with exit code 2"),
    done(4.8, "docs", 4.7, cancelled=True),
    done(4.8, "node", 4.7, cancelled=True),
    BuildFinished(time=at(4.9), duration_ns=round(4.9 * S), error="the command ended with exit code 2"),
]
MOMENTS: dict[str, tuple[list[Event], int]] = {
    "running": (FIRST, RUNNING),
    "built": (FIRST + LAST, at(70.2)),
    "failed": (FIRST + FAILURE, at(4.9)),
}


def main(moment: str, signal: str) -> None:
    events, now = MOMENTS[moment]
    view = LiveView(sys.stderr, lambda: now, refresh=None)
    for event in events:
        view.on_event(event)
    view.draw()
    tmux = shutil.which("tmux")
    assert tmux is not None
    subprocess.run([tmux, "wait-for", "-S", signal], check=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
