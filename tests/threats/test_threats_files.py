"""Attacks by files, links and metadata, carried out by whole builds; the names are those of docs/reference/threats.md."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.errors import LayerwrightError
from builder.store.store import Store
from tests.engine.site import Site
from tests.threats.conftest import CANARY

Refused = Callable[..., LayerwrightError]


@pytest.mark.parametrize("target", ["{outside}/canary", "../../../../../..{outside}/canary", "../outside/canary"])
@pytest.mark.parametrize("instruction", ["ADD", "COPY"])
def test_CVE_2026_44517_a_link_out_of_the_context(refused: Refused, site: Site, outside: Path, instruction: str, target: str) -> None:
    (site.context / "link").symlink_to(target.format(outside=outside))
    (site.context / "dir").symlink_to(str(outside))
    for source in ("link", "dir/canary"):
        error = refused(f"FROM box\n{instruction} {source} /stolen\nRUN cat /stolen\n")
        assert CANARY not in str(error) + "".join(error.notes)


def test_CVE_2026_44517_a_link_out_of_a_tar_context(site: Site, outside: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, link in (("link", f"{outside}/canary"), ("up", "../../../../../../outside")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, link
            archive.addfile(entry)
        for name, text in (("up/planted", b"x"), ("Dockerfile", b"FROM box\nADD link /stolen\n")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    from builder.engine.build import run_build
    from builder.engine.request import BuildRequest

    data.seek(0)
    request = BuildRequest(context="-", stdin=data, contexts={"box": str(site.box)}, network="none")
    with pytest.raises(LayerwrightError) as caught:
        run_build(request, site.settings, site.heard)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("name", [".dockerignore", "Dockerfile"])
def test_CVE_2022_4122_files_that_steer_the_build_are_not_read_through_links(site: Site, outside: Path, name: str) -> None:
    site.dockerfile("FROM box\nCOPY . /all\nRUN ls /all\n")
    (site.context / name).unlink(missing_ok=True)
    (site.context / name).symlink_to(outside / "canary")
    said = ""
    try:
        site.build(network="none")
    except LayerwrightError as error:
        said = str(error) + "".join(error.notes)
    assert bool(said) == (name == "Dockerfile")
    assert CANARY not in said + site.output()


@pytest.mark.parametrize("user", ["root", "app"])
def test_CVE_2026_55686_workdir_through_a_link_stays_in_the_root(site: Site, outside: Path, user: str) -> None:
    site.dockerfile(f"""
        FROM box
        RUN ln -s {outside} /absolute; ln -s ../../../../../../../..{outside} /upwards; mkdir -p {outside} && chmod 777 {outside}
        USER {user}
        WORKDIR /absolute/made
        WORKDIR /upwards/made/too
        RUN pwd; echo here > file
    """)
    site.build(network="none")
    assert site.output().strip().endswith("/made/too")


@pytest.mark.parametrize("user", ["4294967296", "4294967295", "-1", "2147483648", "0x0", "4294967296:0", "1000:4294967296", "1000:-1"])
def test_CVE_2024_40635_numbers_of_users_never_wrap(refused: Refused, user: str) -> None:
    error = refused(f"FROM box\nUSER {user}\nRUN id\n")
    assert user.partition(":")[0] in error.message or user.partition(":")[2] in error.message


@pytest.mark.parametrize(
    ("user", "expected"),
    [("app", "1000 1000 1000 2000"), ("1000", "1000 1000 1000 2000"), ("1000:1000", "1000 1000 1000"), ("app:extra", "1000 2000 2000"),
     ("4711", "4711 0 0"), ("root", "0 0 0"), ("0:2000", "0 2000 2000")],
)  # fmt: skip
def test_CVE_2022_2990_groups_are_those_of_the_user(site: Site, user: str, expected: str) -> None:
    site.dockerfile(f"FROM box\nUSER {user}\nRUN echo $(id -u) $(id -g) $(id -G)\n")
    site.build(network="none")
    assert site.output() == expected + "\n"


def test_CVE_2022_23648_a_volume_copies_nothing(site: Site, outside: Path) -> None:
    site.dockerfile(f"FROM box\nRUN ln -s {outside} /volume\nVOLUME /volume\nVOLUME /volume/../../..{outside}\nRUN readlink /volume\n")
    outcome = site.build(network="none")
    assert next(iter(outcome.result.images[0].config.config.volumes or {})) == "/volume"
    with Store.open(site.settings.root) as store:
        blobs = [store.blobs.read(layer.digest, 1 << 24) for layer in outcome.result.images[0].manifest.layers]
    assert not any(CANARY.encode() in blob for blob in blobs)


def test_CVE_2026_53488_labels_are_data(site: Site, outside: Path) -> None:
    value = f"$(touch {outside}/a);`touch {outside}/b`;|touch {outside}/c\n--privileged"
    site.write("Dockerfile", "FROM box\nARG V\nLABEL evil=$V\nENV EVIL=$V\nRUN true\n")
    outcome = site.build(network="none", build_args={"V": value}, labels={"other": value, "--flag": value})
    config = json.loads(outcome.result.images[0].config_raw)["config"]
    assert config["Labels"]["evil"] == value
    assert config["Labels"]["other"] == value


@pytest.mark.parametrize("line", ["# syntax=docker/dockerfile:9", "# syntax=127.0.0.1:1/evil/frontend", "#syntax=/outside/canary"])
def test_CVE_2026_33747_a_named_frontend_is_never_run(site: Site, outside: Path, line: str) -> None:
    site.write("Dockerfile", f"{line}\nFROM box\nRUN echo ours\n")
    site.build(network="none")
    assert site.output() == "ours\n"
