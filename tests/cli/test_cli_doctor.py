"""doctor, and commands as an ordinary user."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.commands import Cli
from tests.peers.distribution import Registry
from tests.peers.users import OrdinaryUser
from tests.privileges import needs_no_namespace


@needs_no_namespace
def test_doctor_says_what_works_and_what_to_mend(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    done = cli("doctor")
    assert done.out.splitlines()[1] == f"the store is {cli.root}"
    assert not cli.root.exists()
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/config.json").write_text('{"credsStore": "gone"}')
    (tmp_path / "registries.conf").write_text("[[registry]\n")
    broken = cli("doctor")
    assert broken.code == 1
    assert "--  logins           the credential helper docker-credential-gone is not installed\n" in broken.out
    assert f"NO  registries.conf  {tmp_path}/registries.conf is not a registries.conf of version 2" in broken.out
    report = json.loads(cli("doctor", "--json").out)
    assert {check["name"] for check in report["capabilities"]} > {"kernel", "disk", "logins"}


def layerwright(user: OrdinaryUser, *args: str) -> str:
    done = user.python("-c", "from builder.cli.main import main; main()", *args, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode()


def test_an_ordinary_user_has_a_store_of_their_own(ordinary_user: OrdinaryUser, registry: Registry, debian_base: str) -> None:
    report = json.loads(ordinary_user.python("-c", "from builder.cli.main import main; main()", "doctor", "--json", check=False).stdout)
    if report["mode"] != "userns":
        pytest.skip("no user namespaces for ordinary users here")
    digest = layerwright(ordinary_user, "pull", "-q", debian_base).strip()
    assert digest.startswith("sha256:")
    layerwright(ordinary_user, "tag", debian_base, f"{registry.host}/mine:1")
    assert layerwright(ordinary_user, "push", "-q", f"{registry.host}/mine:1").strip() == digest
    layerwright(ordinary_user, "save", "-o", "base.tar", f"{registry.host}/mine:1")
    saved = os.stat(ordinary_user.home / "base.tar")
    assert saved.st_uid == ordinary_user.uid
    assert layerwright(ordinary_user, "load", "-q", "-i", "base.tar").startswith("sha256:")
    assert layerwright(ordinary_user, "fsck") == "the store is whole\n"
    assert (ordinary_user.home / ".local/share/layerwright/index.db").exists()
