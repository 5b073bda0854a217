"""Flags that scripts written for buildx carry along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builder.cli.build_scripts import refuse_attestations, spread_resources
from builder.errors import UsageError
from tests.cli.commands import Cli
from tests.privileges import needs_no_namespace

NONE: dict[str, Any] = dict.fromkeys(
    ("memory", "memory_swap", "cpu_shares", "cpu_period", "cpu_quota", "cpuset_cpus", "cpuset_mems", "pids_limit", "cgroup_parent")
)


def spread(*items: str, **options: Any) -> dict[str, Any]:
    """What was set."""
    found = spread_resources({**NONE, **options, "resource_list": items})
    return {key: value for key, value in found.items() if value is not None and key != "resource_list"}


def test_resources_go_where_their_options_are() -> None:
    assert spread("memory=512m,cpu-shares=512", "cpuset-cpus=0-1,3") == {"memory": "512m", "cpu_shares": 512, "cpuset_cpus": "0-1,3"}


def test_an_option_of_its_own_wins() -> None:
    assert spread("memory=1g,cpu-quota=5", memory="2g") == {"memory": "2g", "cpu_quota": 5}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("memroy=1g", "--resource 'memroy' is not a resource"),
        ("memory", "--resource 'memory' is not NAME=VALUE"),
        ("cpu-shares=many", "--resource cpu-shares='many' is not a number"),
    ],
)
def test_a_resource_that_is_none(item: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        spread(item)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("provenance", "sbom", "attest"),
    [(None, None, ()), ("false", "false", ()), ("False", "0", ("type=provenance,disabled=true", "type=sbom,disabled=1"))],
)
def test_attestations_may_be_turned_off(provenance: str | None, sbom: str | None, attest: tuple[str, ...]) -> None:
    refuse_attestations(provenance, sbom, attest)
    assert (provenance or "false").lower() == "false"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("true", None, ()), "--provenance=true: attestations are not supported"),
        (("mode=max", None, ()), "--provenance=mode=max: attestations are not supported"),
        ((None, "true", ()), "--sbom=true: attestations are not supported"),
        ((None, None, ("type=sbom",)), "--attest type=sbom: attestations are not supported"),
    ],
)
def test_attestations_are_not_made(given: tuple[str | None, str | None, tuple[str, ...]], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        refuse_attestations(*given)
    assert caught.value.message == message
    assert caught.value.help is not None


@needs_no_namespace
def test_switches_take_values_and_options_of_the_classic_builder_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nLABEL a=b\n")
    cli = Cli(tmp_path)
    done = cli("build", "--quiet=true", "--pull=true", "--pull=false", "--no-cache=0", "--rm=false", "--force-rm", "--compress", ".")
    assert (done.code, done.err, done.out[:7]) == (0, "", "sha256:")
    assert cli("build", "-q=false", "--quiet=1", ".").out == done.out
    done = cli("build", "-q", "--squash", "--isolation=default", "--security-opt", "seccomp=unconfined", ".")
    assert (done.code, done.err) == (
        0, "".join(f"warning: {name} has no effect here\n" for name in ("--squash", "--isolation", "--security-opt"))
    )  # fmt: skip


def test_a_switch_with_a_value_that_is_neither(tmp_path: Path) -> None:
    done = Cli(tmp_path)("build", "--pull=maybe", ".")
    assert (done.code, done.out) == (2, "")
    assert "--pull=maybe is neither true nor false." in done.err


@needs_no_namespace
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("foo=1", "error[bad-ulimit]: --ulimit 'foo=1': there is no limit 'foo'\n"),
        ("nofiles=1", "error[bad-ulimit]: --ulimit 'nofiles=1': there is no limit 'nofiles'\n  = help: did you mean nofile?\n"),
        ("nofile=5:3", "error[bad-ulimit]: --ulimit 'nofile=5:3': the first number is above the second\n"),
        ("core=unlimited", "error[bad-ulimit]: 'core=unlimited' is not a ulimit\n"),
        ("core", "error[bad-ulimit]: 'core' is not a ulimit\n"),
    ],
)
def test_a_ulimit_that_is_none(given: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nLABEL a=b\n")
    done = Cli(tmp_path)("build", "--ulimit", given, ".")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(message)
    assert Cli(tmp_path)("build", "-q", "--ulimit", "core=-1", "--ulimit=nproc=4:-1", ".").code == 0
