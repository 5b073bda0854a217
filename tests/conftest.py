"""Fixtures that every area shares. What this machine lacks is skipped with its reason, never passed over in silence."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.peers.debian import TAG
from tests.peers.debian import debian_layout as make_debian_layout
from tests.peers.distribution import Registry, start_registry
from tests.peers.engine import Engine, start_engine
from tests.peers.service import Unavailable
from tests.peers.users import OrdinaryUser, make_user, remove_user

REPOSITORY = Path(__file__).resolve().parent.parent
APPLETS = (
    "sh ash cat chmod chown cp cut date dd df diff echo env false find getopt grep head hostname id ip kill ln ls mkdir mkfifo mknod "
    "mktemp mount mv nc od printenv printf ps pwd readlink rm rmdir sed seq setpriv sha256sum sleep sort stat stty su sync tail tar tee "
    "test touch tr true truncate tty umount uname uniq wc wget whoami xargs yes"
).split()


# Hypothesis measures by the clock on the wall, which is no measure on a machine that does other things too.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_configure() -> None:
    """timeout(1) ends a session by SIGTERM: daemons, users and mounts are put away then as after Ctrl-C."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules that need a daemon go to one worker, which starts it once, and makes what a module shares once."""
    modules = {item.path for item in items if "dockerd" in getattr(item, "fixturenames", ())}
    for item in items:
        if item.path in modules and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group("dockerd"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How often each named exception of the differential suite let a difference pass."""
    counts: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        for name, count in getattr(report, "user_properties", ()):
            if name.startswith("exception:"):
                counts[name.removeprefix("exception:")] += int(str(count))
    if counts:
        terminalreporter.section("differences let pass, by named exception")
        for name, number in sorted(counts.items()):
            terminalreporter.write_line(f"{number:5}  {name}")
        terminalreporter.write_line(f"{sum(counts.values()):5}  in all, under {len(counts)} names")


@pytest.fixture(scope="session")
def oracles() -> Path:
    """The folder of other projects' test data; skips where it is absent."""
    path = Path(os.environ.get("LAYERWRIGHT_ORACLES", REPOSITORY.parent / "shared" / "oracles"))
    if not path.is_dir():
        pytest.skip(f"no oracles at {path} (set LAYERWRIGHT_ORACLES)")
    return path


@pytest.fixture
def store_root(tmp_path: Path) -> Path:
    """A place for a store that does not exist yet."""
    return tmp_path / "store"


@pytest.fixture(scope="session")
def busybox_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small root filesystem of a static busybox; for reading only, since the session shares it."""
    program = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path)), None)
    if program is None:
        pytest.skip("busybox-static is not installed")
    if b"not a dynamic executable" not in subprocess.run(["ldd", program], capture_output=True, check=False).stderr:
        pytest.skip(f"{program} is not static")
    root = tmp_path_factory.mktemp("busybox") / "root"
    for name in ("bin", "dev", "etc", "home", "proc", "root", "sys", "usr/bin", "var"):
        (root / name).mkdir(parents=True)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    shutil.copy2(program, root / "bin/busybox")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\napp:x:1000:1000::/home:/bin/sh\n"
    )
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\napp:x:1000:\nextra:x:2000:app\n")
    return root


@pytest.fixture(scope="session")
def box_tar(busybox_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The busybox root as a tar for ADD."""
    path = tmp_path_factory.mktemp("box") / "box.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(busybox_root, ".")
    return path


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A real registry on a free loopback port; every worker has one of its own."""
    try:
        server = start_registry(tmp_path_factory.mktemp("registry"))
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def debian_layout() -> Path:
    """An OCI layout with a Debian bookworm under the tag `bookworm`; for reading only."""
    try:
        return make_debian_layout()
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def debian_base(registry: Registry, debian_layout: Path) -> str:
    """The reference of a Debian bookworm in the registry: 127.0.0.1:PORT/debian:bookworm."""
    return registry.push_layout(debian_layout, TAG, f"debian:{TAG}")


@pytest.fixture(scope="session")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A real dockerd on a private socket, data root and bridge."""
    try:
        engine = start_engine(tmp_path_factory.mktemp("dockerd"))
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def ordinary_user() -> Iterator[OrdinaryUser]:
    """A user with subordinate ids who owns nothing but a home directory; needs root to be made."""
    try:
        user = make_user()
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield user
    remove_user(user)
