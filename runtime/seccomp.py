"""The system calls a step may make: a profile as data, and its compilation to a BPF program.

The profile names what is *refused*, with the reason; every other call that `syscalls` knows is allowed. What
it does not know is refused too: with ENOSYS above the highest number known, so that programs fall back as they
would on an older kernel, else with EPERM. It allows and refuses what Docker's default profile does for a
process with the default capabilities. The 32-bit calls of the same processor are filtered likewise; the x32
ABI of x86_64, which no distribution enables, gets ENOSYS.

A program is a binary search over ranges of numbers (seccomp(2), bpf(4)): some ten comparisons a call. Arguments
are compared by their low 32 bits, which is all the kernel reads of them.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise

import msgspec

from runtime.syscalls import numbers

REFUSED: Mapping[str, str] = {
    "kernel code and its replacement": """
        create_module delete_module finit_module get_kernel_syms init_module kexec_file_load kexec_load query_module reboot
        """,
    "mounts and namespaces, which need CAP_SYS_ADMIN": """
        fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree open_tree_attr pivot_root setdomainname sethostname
        setns umount umount2 unshare
        """,
    "swap, quota, accounting and system log": """
        acct quotactl quotactl_fd swapoff swapon syslog
        """,
    "the clock of the machine": """
        clock_settime clock_settime64 settimeofday stime
        """,
    "kernel keyrings, which are not namespaced (CVE-2014-9529, CVE-2016-0728)": """
        add_key keyctl request_key
        """,
    "large attack surface: bpf, perf, userfaultfd, io_uring (CVE-2022-29582 and many others)": """
        bpf io_uring_enter io_uring_register io_uring_setup perf_event_open userfaultfd
        """,
    "ways around the file system's permissions": """
        fanotify_init lookup_dcookie open_by_handle_at
        """,
    "other processes' memory and files, which need CAP_SYS_PTRACE": """
        kcmp move_pages pidfd_getfd process_madvise
        """,
    "placement of memory, which needs CAP_SYS_NICE": """
        get_mempolicy mbind migrate_pages set_mempolicy set_mempolicy_home_node
        """,
    "hardware and terminals": """
        ioperm iopl pciconfig_iobase pciconfig_read pciconfig_write vhangup vm86 vm86old
        """,
    "security modules": """
        lsm_get_self_attr lsm_list_modules lsm_set_self_attr
        """,
    "obsolete, removed, or never implemented": """
        _sysctl afs_syscall bdflush break ftime get_tls getpmsg gtty idle lock mpx nfsservctl nice oldfstat oldlstat oldolduname
        oldstat olduname prof profil putpmsg readdir security sgetmask sigaction signal sigpending sigsuspend ssetmask stty sysfs
        tuxcall ulimit uselib usr26 usr32 ustat vserver
        """,
}

AF_ALG, AF_VSOCK = 38, 40
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, 32-bit addresses, UNAME26, both, and the question
NAMESPACE_FLAGS = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}


class Action(msgspec.Struct, frozen=True):
    """What happens to a call: let through when `errno` is 0."""

    errno: int = 0


class Unless(msgspec.Struct, frozen=True):
    """Refused when the first argument, masked, is one of `values`; or, with `inverted`, when it is none of them."""

    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    inverted: bool = False


Rule = Action | Unless

ALLOW = Action()
REFUSE = Action(errno.EPERM)
UNKNOWN = Action(errno.ENOSYS)

SPECIAL: Mapping[str, Rule] = {
    # glibc falls back to clone, whose flags a filter can see (clone3 passes a structure).
    "clone3": UNKNOWN,
    "clone": Unless((0,), NAMESPACE_FLAGS, inverted=True),
    "socket": Unless((AF_ALG, AF_VSOCK)),  # CVE-2026-31431; vsock reaches the host of a virtual machine
    "personality": Unless(PERSONALITIES, inverted=True),
}

# linux/audit.h: the processor's own calls, and its 32-bit ones
_AUDIT = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
_FAMILIES = {"x86_64": ("x86_64", "i386"), "aarch64": ("aarch64", "arm")}

_LOAD, _JUMP, _JEQ, _JGE, _AND, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x54, 0x06  # linux/bpf_common.h
_NUMBER_AT, _ARCH_AT, _ARGUMENT_AT = 0, 4, 16  # struct seccomp_data, little endian
_RET_ALLOW, _RET_ERRNO = 0x7FFF0000, 0x00050000

_PRIVATE = 0xF0000  # arm's own calls (__ARM_NR_BASE) stand far above the table

Instruction = tuple[int, int, int, int]


def supported(machine: str | None = None) -> bool:
    return (machine or platform.machine()) in _FAMILIES


@cache
def program(machine: str) -> bytes:
    """The filter for a machine (`x86_64`, `aarch64`), as the kernel takes it: 8 bytes an instruction."""
    blocks = [(_AUDIT[name], _block(name)) for name in _FAMILIES[machine]]
    code: list[Instruction] = [(_LOAD, 0, 0, _ARCH_AT)]
    for audit, block in blocks:
        code += [(_JEQ, 1, 0, audit), (_JUMP, 0, 0, len(block)), *block]
    code += _verdict(UNKNOWN)
    return b"".join(struct.pack("<HBBI", *one) for one in code)


def rules(architecture: str) -> dict[int, Rule]:
    """What becomes of each number known on an architecture."""
    refused = {name for names in REFUSED.values() for name in names.split()}
    return {number: SPECIAL.get(name, REFUSE if name in refused else ALLOW) for name, number in numbers(architecture).items()}


def _block(architecture: str) -> list[Instruction]:
    return [(_LOAD, 0, 0, _NUMBER_AT), *_search(_ranges(rules(architecture)))]


def _ranges(known: Mapping[int, Rule]) -> list[tuple[int, Rule]]:
    """(first number, rule) of each run of numbers treated alike, from 0 on and without gaps."""
    every: list[tuple[int, Rule]] = [(0, REFUSE)]
    for number, rule in sorted(known.items()):
        every += [(number, rule), (number + 1, REFUSE)]
    every.append((max(number for number in known if number < _PRIVATE) + 1, UNKNOWN))
    last = dict(every)  # of two entries for one number the later counts
    ordered = sorted(last.items())
    return [ordered[0], *(after for before, after in pairwise(ordered) if before[1] != after[1])]


def _search(ranges: Sequence[tuple[int, Rule]]) -> list[Instruction]:
    if len(ranges) == 1:
        return _verdict(ranges[0][1])
    middle = len(ranges) // 2
    low, high = _search(ranges[:middle]), _search(ranges[middle:])
    first = ranges[middle][0]
    if len(low) < 256:
        return [(_JGE, len(low), 0, first), *low, *high]
    return [(_JGE, 0, 1, first), (_JUMP, 0, 0, len(low)), *low, *high]


def _verdict(rule: Rule) -> list[Instruction]:
    match rule:
        case Action(errno=number):
            return [(_RETURN, 0, 0, _RET_ERRNO | number if number else _RET_ALLOW)]
        case Unless(values=values, mask=mask, inverted=inverted):
            found, otherwise = (ALLOW, REFUSE) if inverted else (REFUSE, ALLOW)
            code: list[Instruction] = [(_LOAD, 0, 0, _ARGUMENT_AT)]
            if mask != 0xFFFFFFFF:
                code.append((_AND, 0, 0, mask))
            for left, value in zip(range(len(values), 0, -1), values, strict=True):
                code.append((_JEQ, left, 0, value))
            return [*code, *_verdict(otherwise), *_verdict(found)]
