"""prune, du and fsck: each with its whole output."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from builder.oci.reference import parse_reference
from builder.store.store import Store
from tests.cli.commands import Cli
from tests.registry.fake_registry import sample

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user enters a user namespace, which a test's own process must not")

IMAGE = sample(bytes(10240))
PARTS = (IMAGE.descriptor, IMAGE.manifest.config, *IMAGE.manifest.layers)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def stored(cli: Cli, name: str | None) -> None:
    with Store.open(cli.root) as store:
        descriptor = IMAGE.put(store.blobs)
        if name is not None:
            store.images.set(str(parse_reference(name)), descriptor)


def test_prune_takes_what_no_name_needs(cli: Cli) -> None:
    stored(cli, "app:1")
    assert cli("prune").whole == (0, "removed 0 things, 0B\n", "")
    cli("rm", "app:1")
    assert cli("prune", "--dry-run").whole == (0, "would remove 3 things, 12.29kB\n", "")
    assert cli("prune", "--unused-for", "1h").whole == (0, "removed 0 things, 0B\n", "")
    assert cli("prune", "--max-used-space", "1g").whole == (0, "removed 0 things, 0B\n", "")
    done = cli("prune", "--verbose")
    assert done.out.splitlines()[-1] == "removed 3 things, 12.29kB"
    assert {line.split()[1] for line in done.out.splitlines()[1:-1]} == {part.digest for part in PARTS}
    assert cli("prune").whole == (0, "removed 0 things, 0B\n", "")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ("--unused-for", "soon"),
            "error[bad-duration]: --unused-for 'soon' is not a length of time\n  = help: write a number with s, m, h or d, as 48h\n",
        ),
        (
            ("--unused-for", "-1h"),
            "error[bad-duration]: --unused-for '-1h' is not a length of time\n  = help: write a number with s, m, h or d, as 48h\n",
        ),
        (
            ("--max-used-space", "much"),
            "error[bad-size]: --max-used-space 'much' is not a size\n  = help: write a number of bytes with k, m or g, as 512m\n",
        ),
    ],
)
def test_prune_with_wrong_values(cli: Cli, args: tuple[str, ...], message: str) -> None:
    assert cli("prune", *args).whole == (2, "", message)


def test_du(cli: Cli) -> None:
    stored(cli, "app:1")
    lines = cli("du").out.splitlines()
    assert lines[0].split() == ["KIND", "COUNT", "SIZE"]
    assert ["blob", "3", "12.29kB"] in [line.split() for line in lines]
    assert lines[-1].endswith("of which prune would give back 0B")
    cli("rm", "app:1")
    assert cli("du").out.splitlines()[-1].endswith("of which prune would give back 12.29kB")
    document = json.loads(cli("du", "--json").out)
    assert document["reclaimable"] == 12288
    assert "an image name needs it" not in cli("du", "--verbose").out


def test_fsck(cli: Cli) -> None:
    stored(cli, "app:1")
    assert cli("fsck").whole == (0, "the store is whole\n", "")
    layer = IMAGE.manifest.layers[0].digest
    (cli.root / "blobs/sha256" / layer[7:]).write_bytes(b"rotten")
    broken = f"blob: the bytes of blob {layer} do not have that digest"
    assert cli("fsck").whole == (1, f"{broken}\n1 problem; `layerwright fsck --repair` mends what can be mended\n", "")
    done = cli("fsck", "--repair")
    assert done.out.splitlines()[0] == f"{broken} (repaired)"
    assert done.code == 0
    assert cli("fsck").whole == (0, "the store is whole\n", "")
