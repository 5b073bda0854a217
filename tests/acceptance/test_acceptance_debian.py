"""Real images on Debian: built, pushed, pulled and run by dockerd; and not built again when nothing changed."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from builder.image.validate import validate_layout
from tests.acceptance.command import EXAMPLES, Command
from tests.peers.distribution import Registry
from tests.peers.engine import Engine

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, registry: Registry, debian_base: str) -> tuple[Command, str, Path]:
    """examples/python-app, built from the registry's Debian and pushed back; with its own copy of the source."""
    place = tmp_path_factory.mktemp("python-app")
    source = place / "work" / "app"
    shutil.copytree(EXAMPLES / "python-app", source)
    command = Command(place / "store", place / "work")
    name = f"{registry.host}/app:1"
    command.build("-t", name, "--push", "--build-arg", f"BASE={debian_base}", "app")
    return command, name, source


def test_dockerd_pulls_and_runs_it(built: tuple[Command, str, Path], dockerd: Engine) -> None:
    _, name, _ = built
    dockerd.docker("pull", name)
    said = dockerd.docker("run", "--rm", "--network", "none", name).stdout.decode()
    assert said.startswith("hello "), said
    assert said.endswith(" built by app\n"), said
    facts = json.loads(dockerd.docker("image", "inspect", name).stdout)[0]["Config"]
    assert facts["User"] == "app"
    assert facts["ExposedPorts"] == {"8000/tcp": {}}
    assert facts["Healthcheck"]["Test"] == ["CMD", "python3", "/srv/app/app.py", "--check"]
    assert (facts["Entrypoint"], facts["Cmd"]) == (["python3", "/srv/app/app.py"], ["--say", "hello"])


def test_docker_loads_the_docker_archive(built: tuple[Command, str, Path], dockerd: Engine, debian_base: str) -> None:
    command, _, _ = built
    command.build("-t", "loaded:1", "-o", "type=docker,dest=docker.tar", "--build-arg", f"BASE={debian_base}", "app")
    said = dockerd.docker("load", "-i", str(command.cwd / "docker.tar")).stdout.decode()
    assert "loaded:1" in said
    assert dockerd.docker("run", "--rm", "--network", "none", "loaded:1").stdout.startswith(b"hello ")


def test_skopeo_and_umoci_take_the_oci_archive(built: tuple[Command, str, Path], debian_base: str, tmp_path: Path) -> None:
    command, _, _ = built
    command.build("-t", "archive:1", "-o", "type=oci,dest=oci.tar", "--build-arg", f"BASE={debian_base}", "app")
    layout = tmp_path / "layout"
    subprocess.run(["skopeo", "copy", "-q", f"oci-archive:{command.cwd}/oci.tar", f"oci:{layout}:app"], check=True)
    subprocess.run(["umoci", "unpack", "--image", f"{layout}:app", str(tmp_path / "bundle")], check=True, capture_output=True)
    assert (tmp_path / "bundle/rootfs/home/app/built-by").read_text() == "app\n"


def test_a_layout_directory_is_valid_to_the_last_digest(built: tuple[Command, str, Path], debian_base: str) -> None:
    command, _, _ = built
    command.build("-t", "layout:1", "-o", "type=oci,tar=false,dest=layout", "--build-arg", f"BASE={debian_base}", "app")
    assert validate_layout(command.cwd / "layout") == []


def test_built_again_nothing_runs_and_no_layer_is_read(built: tuple[Command, str, Path], debian_base: str) -> None:
    command, name, _ = built
    trace = command.cwd / "trace"
    argv = command.argv("build", "--progress", "plain", "-t", name, "--build-arg", f"BASE={debian_base}", "app")
    ended = subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=openat,openat2,connect", "-o", str(trace), *argv],
        cwd=command.cwd, env=command.env, capture_output=True, check=True,
    )  # fmt: skip
    steps = ended.stderr.decode()
    assert "RUN" in steps
    assert "DONE" not in steps.partition("exporting")[0]
    shown = json.loads(command.run("layerwright", "inspect", name).stdout)
    layers = [layer["digest"].removeprefix("sha256:") for layer in shown["layers"]]
    calls = trace.read_text()
    assert layers
    assert [digest for digest in layers if digest in calls] == []
    assert "AF_INET" not in calls


def test_one_edited_file_runs_only_what_depends_on_it(built: tuple[Command, str, Path], debian_base: str) -> None:
    command, name, source = built
    program = source / "src/app.py"
    program.write_text(program.read_text() + "\n# edited\n")
    said = command.build("-t", name, "--build-arg", f"BASE={debian_base}", "app").stderr
    ran = [block.splitlines()[0] for block in said.split("\n\n") if "DONE" in block and "exporting" not in block]
    assert [line.partition("] ")[2].split()[0] for line in ran] == ["COPY", "RUN"], ran
    assert "src/app.py" in ran[0]


def test_another_store_takes_everything_from_the_cache_and_pulls_nothing(
    built: tuple[Command, str, Path], registry: Registry, debian_base: str, tmp_path: Path
) -> None:
    command, name, _ = built
    cache = f"{registry.host}/app-cache:main"
    base = ("--build-arg", f"BASE={debian_base}")
    command.build("-t", name, "--push", "--cache-to", f"type=registry,ref={cache},mode=max", *base, "app")
    other = Command(tmp_path / "store", command.cwd)
    said = other.build("-t", f"{name}-again", "-o", "type=registry,store=false", "--cache-from", cache, *base, "app")
    lines = said.stderr.splitlines()
    ends = [after.partition(" ")[2] for line, after in itertools.pairwise(lines) if " [" in line]
    assert ends == ["CACHED"] * 6, said.stderr
    kept = [path.stat().st_size for path in (tmp_path / "store/blobs/sha256").iterdir()]
    assert sum(kept) < 100_000, "manifests and configs only"
    assert not any((tmp_path / "store/layers").iterdir())
    inspect = ["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Layers}}"]
    layers = {subprocess.run([*inspect, f"docker://{at}"], check=True, capture_output=True).stdout for at in (name, f"{name}-again")}
    assert len(layers) == 1
