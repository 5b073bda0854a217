"""prune, du and fsck: each with its whole output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.cli.settings import Environment, store_size
from builder.oci.reference import parse_reference
from builder.store.buildfiles import log_path
from builder.store.cachemounts import CacheMounts
from builder.store.index import FileDigest, StoredBuild
from builder.store.store import Store
from tests.cli.commands import Cli
from tests.privileges import needs_no_namespace
from tests.registry.fake_registry import sample

pytestmark = needs_no_namespace

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
            ("--filter", "until"),
            "error[bad-duration]: --filter until '' is not a length of time\n  = help: write a number with s, m, h or d, as 48h\n",
        ),
        (
            ("--max-used-space", "much"),
            "error[bad-size]: --max-used-space 'much' is not a size\n  = help: write a number of bytes with k, m or g, as 512m\n",
        ),
    ],
)
def test_prune_with_wrong_values(cli: Cli, args: tuple[str, ...], message: str) -> None:
    assert cli("prune", *args).whole == (2, "", message)


def test_prune_of_what_filters_say(cli: Cli) -> None:
    stored(cli, None)
    with Store.open(cli.root) as store, CacheMounts(store).open("apt", "shared") as mount:
        (mount.path / "file").write_bytes(b"x" * 5000)
    assert cli("prune", "-f", "--filter", "type=cache-mount", "--dry-run").whole == (0, "would remove 1 thing, 12.29kB\n", "")
    assert cli("prune", "--filter", "until=1h", "--filter", "type=blob").whole == (0, "removed 0 things, 0B\n", "")
    assert cli("prune", "--filter", "description=apt", "--verbose").whole == (
        0,
        "KIND          NAME   SIZE\ncache-mount   apt    12.29kB\nremoved 1 thing, 12.29kB\n",
        "",
    )
    assert cli("prune", "--filter", "type=blob", "--filter", "until=0s").whole == (0, "removed 3 things, 12.29kB\n", "")
    assert cli("prune", "--filter", "colour=blob").whole == (
        2,
        "",
        "error[bad-filter]: --filter 'colour=blob': 'colour' is nothing to filter by\n"
        "  = help: there are until, id, type, description, parents, inuse, shared, private, mutable, immutable\n",
    )


def test_prune_all_takes_records_and_what_is_remembered(cli: Cli) -> None:
    with Store.open(cli.root) as store:
        store.index.put_build(StoredBuild("b1", 1, b""))
        log = log_path(store.root, "b1", 1)
        log.parent.mkdir(parents=True)
        log.write_bytes(b"x" * 5000)
        store.index.put_setting("parsed/1/aa", b"x" * 100_000)
        store.index.put_setting("xattr-prefix", b"trusted.overlay.")
        store.index.put_file_digests([FileDigest(1, 2, 3, 4, 5, "sha256:aa")])
    before = (cli.root / "index.db").stat().st_size
    assert cli("prune").whole == (0, "removed 0 things, 0B\n", "")
    assert log.exists()
    assert cli("prune", "--all").whole == (0, "removed 1 thing, 12.29kB\n", "")
    assert not log.exists()
    with Store.open(cli.root) as store:
        assert store.index.builds() == []
        assert store.index.get_setting("parsed/1/aa") is None
        assert store.index.get_setting("xattr-prefix") == b"trusted.overlay."
        assert store.index.get_file_digests([(1, 2)]) == {}
    assert (cli.root / "index.db").stat().st_size < before - 90_000


def test_du(cli: Cli) -> None:
    stored(cli, "app:1")
    lines = cli("du").out.splitlines()
    assert lines[0].split() == ["KIND", "COUNT", "SIZE"]
    assert ["image", "3", "12.29kB"] in [line.split() for line in lines]
    assert lines[-1].endswith("of which prune would give back 0B")
    cli("rm", "app:1")
    assert cli("du").out.splitlines()[-1].endswith("of which prune would give back 12.29kB")
    document = json.loads(cli("du", "--json").out)
    assert document["reclaimable"] == 12288
    assert "an image name needs it" not in cli("du", "--verbose").out
    only = cli("du", "--filter", "type=cache-mount").out
    assert only == "KIND   COUNT   SIZE\n\ntotal 0B, of which prune would give back 0B\n"


@pytest.mark.parametrize(
    ("where", "help_"),
    [
        ("environment", "LAYERWRIGHT_STORE_SIZE"),
        ("file", "store-size in {home}/.config/layerwright/config.toml"),
    ],
)
def test_a_size_that_is_none(cli: Cli, where: str, help_: str) -> None:
    if where == "environment":
        cli.env["LAYERWRIGHT_STORE_SIZE"] = "plenty"
    else:
        write_config(cli, 'store-size = "plenty"\n')
    message = f"error[bad-size]: {help_.format(home=cli.home)} 'plenty' is not a size\n"
    assert cli("du").whole == (2, "", f"{message}  = help: write a number of bytes with k, m or g, as 512m\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("store-size = 5\n", "{path} sets 'store-size' to 5\n  = help: it may say store-size = \"20g\"\n"),
        ('size = "5g"\n', "{path} sets 'size' to '5g'\n  = help: it may say store-size = \"20g\"\n"),
        ("store-size\n", "the settings in {path} cannot be read: Expected '=' after a key in a key/value pair (at line 1, column 11)\n"),
    ],
)
def test_a_config_file_that_says_something_else(cli: Cli, text: str, message: str) -> None:
    path = write_config(cli, text)
    assert cli("du").whole == (2, "", "error[bad-config]: " + message.format(path=path))


def test_the_option_goes_before_the_environment_and_that_before_the_file(cli: Cli) -> None:
    def size(option: str | None) -> int:
        return store_size(Environment(cli.env, 0, "/"), option)

    assert size(None) == 0
    write_config(cli, 'store-size = "3g"\n')
    assert size(None) == 3 << 30
    cli.env["LAYERWRIGHT_STORE_SIZE"] = "2g"
    assert size(None) == 2 << 30
    assert size("1g") == 1 << 30


def write_config(cli: Cli, text: str) -> Path:
    path = cli.home / ".config/layerwright/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


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
