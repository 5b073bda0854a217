"""The filter against Docker's default profile, call by call, on every architecture it knows."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from runtime import seccomp
from runtime.syscalls import numbers
from tests.runtime.bpf import ALLOW, ERRNO, evaluate

AUDIT = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
FAMILY = {"x86_64": ("x86_64", "amd64"), "i386": ("x86_64", "amd64"), "aarch64": ("aarch64", "arm64"), "arm": ("aarch64", "arm64")}
DEFAULT_CAPS = {
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
    ).split()
}
FIRST_ARGUMENTS = (
    *range(64),
    0x80, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF,
    0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
    0x01200011, 0x003D0F00, 0x7E020000,
)  # fmt: skip


def _profile_rules(profile: dict[str, Any], arch: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for rule in profile["syscalls"]:
        includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
        if includes.get("arches") and arch not in includes["arches"]:
            continue
        if arch in excludes.get("arches", ()) or set(excludes.get("caps", ())) & DEFAULT_CAPS:
            continue
        if not set(includes.get("caps", ())) <= DEFAULT_CAPS:
            continue
        for name in rule["names"]:
            found.setdefault(name, []).append(rule)
    return found


def _matches(argument: dict[str, Any], values: tuple[int, ...]) -> bool:
    actual, wanted = values[argument["index"]], argument["value"]
    match argument["op"]:
        case "SCMP_CMP_EQ":
            return bool(actual == wanted)
        case "SCMP_CMP_LT":
            return bool(actual < wanted)
        case "SCMP_CMP_GT":
            return bool(actual > wanted)
        case "SCMP_CMP_MASKED_EQ":
            return actual & wanted == argument.get("valueTwo", 0)
    raise AssertionError(argument)


def _allowed(rules: list[dict[str, Any]], values: tuple[int, ...]) -> bool:
    return any(
        rule["action"] == "SCMP_ACT_ALLOW" and all(_matches(argument, values) for argument in rule.get("args") or ()) for rule in rules
    )


@pytest.mark.parametrize("architecture", list(AUDIT))
def test_allows_and_refuses_what_docker_does(oracles: Path, architecture: str) -> None:
    profile = json.loads((oracles / "seccomp/moby-default.json").read_text())
    machine, arch = FAMILY[architecture]
    rules = _profile_rules(profile, arch)
    program = seccomp.program(machine)
    different = []
    for name, number in numbers(architecture).items():
        conditional = any(rule.get("args") for rule in rules.get(name, ()))
        for first in FIRST_ARGUMENTS if conditional else (0,):
            ours = evaluate(program, AUDIT[architecture], number, (first,)) == ALLOW
            if ours != _allowed(rules.get(name, []), (first, 0, 0, 0, 0, 0)):
                different.append((name, first, ours))
    assert different == []


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_knows_every_call_that_docker_allows_there(oracles: Path, architecture: str) -> None:
    profile = json.loads((oracles / "seccomp/moby-default.json").read_text())
    named = {name for rule in profile["syscalls"] for name in rule["names"]}
    everywhere = set().union(*(numbers(one) for one in AUDIT))
    foreign = {"riscv_flush_icache", "riscv_hwprobe", "swapcontext"}
    assert {name for name in named - everywhere if not name.startswith("s390_")} == foreign
    assert numbers(architecture)["openat2"] == 437


def test_what_is_newer_than_the_table_is_unknown_to_the_program() -> None:
    for machine, architecture in (("x86_64", "x86_64"), ("aarch64", "arm")):
        program = seccomp.program(machine)
        assert evaluate(program, AUDIT[architecture], 600) == ERRNO | errno.ENOSYS
    assert evaluate(seccomp.program("x86_64"), AUDIT["x86_64"], 0x40000000) == ERRNO | errno.ENOSYS
    assert evaluate(seccomp.program("x86_64"), 0xC00000B7, 63) == ERRNO | errno.ENOSYS


def test_gaps_and_clone3_give_the_errors_programs_fall_back_on() -> None:
    program = seccomp.program("x86_64")
    assert evaluate(program, AUDIT["x86_64"], 350) == ERRNO | errno.EPERM
    assert evaluate(program, AUDIT["x86_64"], numbers("x86_64")["clone3"]) == ERRNO | errno.ENOSYS
    assert evaluate(program, AUDIT["x86_64"], numbers("x86_64")["mount"]) == ERRNO | errno.EPERM


def test_an_argument_is_compared_as_the_kernel_reads_it() -> None:
    """socket(2) takes an int: the high half of the register must not slip AF_ALG past the filter."""
    program = seccomp.program("x86_64")
    assert evaluate(program, AUDIT["x86_64"], numbers("x86_64")["socket"], (0x1_0000_0026,)) == ERRNO | errno.EPERM


def test_every_refused_name_is_a_call_and_named_once() -> None:
    names = [name for group in seccomp.REFUSED.values() for name in group.split()]
    known = set().union(*(numbers(architecture) for architecture in AUDIT))
    assert sorted(set(names) - known) == []
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_fits_the_kernel(machine: str) -> None:
    assert len(seccomp.program(machine)) // 8 < 4096
