"""System calls that Python does not offer, by ctypes: the only module of the runtime that imports it.

Every function raises OSError with the errno of the call and, where it helps, the name of the thing.
Nothing here decides anything.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct

# The calls since Linux 5.2 have one number on every architecture (include/uapi/asm-generic/unistd.h).
_OPEN_TREE = 428
_MOVE_MOUNT = 429
_FSOPEN = 430
_FSCONFIG = 431
_FSMOUNT = 432
_CLOSE_RANGE = 436
_OPENAT2 = 437
_MOUNT_SETATTR = 442
_OLD_NUMBERS = {  # name: (x86_64, aarch64 and the generic table)
    "pivot_root": (155, 41),
    "keyctl": (250, 219),
    "rt_sigaction": (13, 134),
    "bpf": (321, 280),
}

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MNT_DETACH = 2

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6

ATTR_RDONLY = 0x1
ATTR_NOSUID = 0x2
ATTR_NODEV = 0x4
ATTR_NOEXEC = 0x8
ATTR_NOATIME = 0x10
ATTR_STRICTATIME = 0x20

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_MODE_FILTER = 2
BPF_PROG_TYPE_CGROUP_DEVICE = 15
_BPF_PROG_LOAD, _BPF_PROG_ATTACH, _BPF_PROG_QUERY = 5, 8, 16
_BPF_CGROUP_DEVICE = 6  # the kind of attachment
_BPF_F_ALLOW_MULTI = 2
_CAPABILITY_VERSION_3 = 0x20080522
_KEYCTL_JOIN_SESSION_KEYRING = 1

_libc = ctypes.CDLL(None, use_errno=True)
# Told once what they take, a call costs a third: a step makes some 150 of them. A `void *` takes numbers, bytes and structures.
_libc.syscall.restype = ctypes.c_long
_libc.syscall.argtypes = (ctypes.c_long, *(ctypes.c_void_p,) * 5)
_libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_void_p,) * 4)
_X86 = os.uname().machine == "x86_64"


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _check(result: int, what: str | None = None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def _syscall(
    number: int, a: object = 0, b: object = 0, c: object = 0, d: object = 0, e: object = 0, *, what: str | None = None
) -> int:
    return _check(_libc.syscall(number, a, b, c, d, e), what)


def _old(name: str) -> int:
    return _OLD_NUMBERS[name][0 if _X86 else 1]


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags))


def setns(fd: int, kind: int) -> None:
    _check(_libc.setns(fd, kind))


def prctl(option: int, argument: int = 0) -> int:
    return _check(_libc.prctl(option, argument, 0, 0, 0))


def sethostname(name: bytes) -> None:
    _check(_libc.sethostname(name, ctypes.c_size_t(len(name))))


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    _check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            None if kind is None else kind.encode(),
            ctypes.c_ulong(flags),
            os.fsencode(options) if options else None,
        ),
        target,
    )


def umount(target: str, flags: int = 0) -> None:
    _check(_libc.umount2(os.fsencode(target), flags), target)


def pivot_root(new: str, old: str) -> None:
    _syscall(_old("pivot_root"), new.encode(), old.encode())


def fsopen(kind: str) -> int:
    return _syscall(_FSOPEN, kind.encode(), 1, what=kind)


def fsconfig_string(fd: int, key: str, value: str) -> None:
    _syscall(_FSCONFIG, fd, FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0, what=key)


def fsconfig_flag(fd: int, key: str) -> None:
    _syscall(_FSCONFIG, fd, FSCONFIG_SET_FLAG, key.encode(), None, 0, what=key)


def fsconfig_create(fd: int) -> None:
    _syscall(_FSCONFIG, fd, FSCONFIG_CMD_CREATE, None, None, 0)


def fsmount(fd: int, attributes: int = 0) -> int:
    return _syscall(_FSMOUNT, fd, 1, attributes)


def open_tree(dir_fd: int, path: str, flags: int) -> int:
    return _syscall(_OPEN_TREE, dir_fd, os.fsencode(path), flags | OPEN_TREE_CLOEXEC, what=path or None)


def move_mount(mount_fd: int, target_fd: int) -> None:
    """Attach the mount to what `target_fd` (O_PATH) is open on; no path is looked up."""
    _syscall(_MOVE_MOUNT, mount_fd, b"", target_fd, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)


def mount_setattr(fd: int, attributes: int, *, clear: int = 0, recursive: bool = False) -> None:
    attr = _MountAttr(attributes, clear, 0, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _syscall(_MOUNT_SETATTR, fd, b"", flags, ctypes.byref(attr), ctypes.sizeof(attr))


def openat2(dir_fd: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    return _syscall(_OPENAT2, dir_fd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how), what=path)


def capset(effective: int, permitted: int, inheritable: int) -> None:
    header = _CapHeader(_CAPABILITY_VERSION_3, 0)
    words = (_CapData * 2)()
    for index in range(2):
        shift = 32 * index
        words[index].effective = (effective >> shift) & 0xFFFFFFFF
        words[index].permitted = (permitted >> shift) & 0xFFFFFFFF
        words[index].inheritable = (inheritable >> shift) & 0xFFFFFFFF
    _check(_libc.capset(ctypes.byref(header), words))


def permitted() -> int:
    """The capabilities this process may have."""
    words = (_CapData * 2)()
    _check(_libc.capget(ctypes.byref(_CapHeader(_CAPABILITY_VERSION_3, 0)), words))
    return int(words[0].permitted) | int(words[1].permitted) << 32


def clear_ambient() -> None:
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)


def install_filter(program: bytes) -> None:
    """Load a seccomp filter of 8-byte instructions; needs CAP_SYS_ADMIN or no_new_privs."""
    prog = _SockFprog(len(program) // 8, program)
    _check(_libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(prog), 0, 0))


def new_session_keyring() -> None:
    _syscall(_old("keyctl"), _KEYCTL_JOIN_SESSION_KEYRING, None)


def bpf_load(kind: int, program: bytes) -> int:
    """A descriptor of the verified program; PermissionError without CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN."""
    code, licence = ctypes.create_string_buffer(program, len(program)), ctypes.create_string_buffer(b"Apache-2.0")
    return _bpf(_BPF_PROG_LOAD, struct.pack("=IIQQ", kind, len(program) // 8, ctypes.addressof(code), ctypes.addressof(licence)))


def bpf_attach(program_fd: int, cgroup_fd: int) -> None:
    """Attach a program to a control group of version 2, beside others; it goes with the group."""
    _bpf(_BPF_PROG_ATTACH, struct.pack("=IIII", cgroup_fd, program_fd, _BPF_CGROUP_DEVICE, _BPF_F_ALLOW_MULTI))


def bpf_attached(cgroup_fd: int) -> bool:
    """Whether the group itself has a program for devices."""
    asked = ctypes.create_string_buffer(struct.pack("=IIIIQI4x", cgroup_fd, _BPF_CGROUP_DEVICE, 0, 0, 0, 0), 32)
    _syscall(_old("bpf"), _BPF_PROG_QUERY, asked, 32)
    return bool(struct.unpack_from("=I", asked.raw, 24)[0])


def _bpf(command: int, attributes: bytes) -> int:
    """bpf(2), whose `union bpf_attr` ends where the caller ends it; the rest is zero to the kernel."""
    return _syscall(_old("bpf"), command, attributes, len(attributes), what="bpf")


def default_signals() -> None:
    """Every signal back to its default, 32 and 33 too, which the C library keeps for itself and a parent may ignore."""
    action = bytes(32)  # struct sigaction of the kernel: SIG_DFL, no flags, no restorer, an empty mask of 8 bytes
    for number in range(1, 65):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            _syscall(_old("rt_sigaction"), number, action, None, 8)


def close_all(first: int, *, but: int = -1) -> None:
    """Close every descriptor from `first` on except one: close_range(2), or one by one before Linux 5.9."""
    highest = 0x7FFFFFFF
    if but < first:
        but = first - 1
    for low, high in ((first, but - 1), (max(first, but + 1), highest)):
        if low > high:
            continue
        if _libc.syscall(_CLOSE_RANGE, low, high, 0, 0, 0) < 0:
            os.closerange(low, min(high, os.sysconf("SC_OPEN_MAX")) + 1)
