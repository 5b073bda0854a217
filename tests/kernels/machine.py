"""Virtual machines with other kernels of Debian, for what this machine's own cannot show; only by emulation, so slow.

The disk has Debian bookworm, this repository and the packages of the interpreter that runs the tests, at the same
paths. A machine runs one script as root and is switched off; what the script writes is what comes back.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.peers.service import Unavailable
from tests.privileges import ROOT_OF_THE_MACHINE

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = (
    "linux-image-amd64,python3,systemd,systemd-sysv,dbus,udev,kmod,initramfs-tools,uidmap,passt,nftables,iproute2,busybox-static,procps"
)
PROOF = """[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash -c "tr -d '\\\\0' </dev/vdb >/tmp/script; bash /tmp/script"
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
ExecStopPost=/bin/systemctl --no-block poweroff -ff
[Install]
WantedBy=multi-user.target
"""
END = "the script has ended"


def _run(*command: str, timeout: float = 1200) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    if done.returncode:
        raise Unavailable(f"{command[0]} failed: {(done.stderr or done.stdout)[-800:]}")
    return done.stdout


def require_programs() -> None:
    """Raises Unavailable."""
    for program in ("mmdebstrap", "qemu-system-x86_64", "mke2fs", "git"):
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is not installed")
    if not ROOT_OF_THE_MACHINE or os.uname().machine != "x86_64":
        raise Unavailable("machines are made by root, on x86_64")
    if not Path(os.path.realpath(sys.executable)).is_relative_to("/usr/bin"):
        raise Unavailable("the interpreter must be Debian's, since it is Debian's in the machine too")


class Disk:
    """A root file system in `place`/root and its image; kernels can be added until the first machine runs."""

    def __init__(self, place: Path) -> None:
        require_programs()
        self._root, self._image = place / "root", place / "disk.img"
        _run("mmdebstrap", "--variant=apt", f"--include={PACKAGES}", "bookworm", str(self._root))
        (self._root / "etc/fstab").write_text("/dev/vda / ext4 rw 0 1\n")
        unit = self._root / "etc/systemd/system/proof.service"
        unit.write_text(PROOF)
        wants = unit.parent / "multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / unit.name).symlink_to(f"/etc/systemd/system/{unit.name}")
        (unit.parent / "serial-getty@ttyS0.service").symlink_to("/dev/null")
        _run("chroot", str(self._root), "useradd", "-m", "alice")
        _run("git", "clone", "-q", str(REPOSITORY), f"{self._root}{REPOSITORY}")
        packages = Path(sys.prefix)
        (self._root / packages.relative_to("/").parent).mkdir(parents=True, exist_ok=True)
        _run("cp", "-a", str(packages), f"{self._root}{packages}")

    def kernels(self) -> list[str]:
        """The releases that can be booted."""
        return sorted(path.name.removeprefix("vmlinuz-") for path in (self._root / "boot").glob("vmlinuz-*"))

    def add_kernel(self, suite: str) -> str:
        """The newest kernel of another suite of Debian; its release. Raises Unavailable."""
        before = set(self.kernels())
        (self._root / "etc/apt/sources.list.d/more.list").write_text(f"deb http://deb.debian.org/debian {suite} main\n")
        shutil.copyfile("/etc/resolv.conf", self._root / "etc/resolv.conf")
        # Only unpacked, beside the root: its dependencies are another suite's, and its /lib would replace a link.
        script = f"""
            set -e; apt-get update -qq; cd /tmp; rm -rf new; mkdir new; cd new
            version=$(apt-cache madison linux-image-amd64 | sed -n 's,^[^|]*| *\\([^ ]*\\) *|.* {suite}/.*,\\1,p' | head -1)
            name=$(apt-cache show "linux-image-amd64=$version" | sed -n 's/^Depends: \\([^ ,]*\\).*/\\1/p')
            apt-get download -qq "$name"; dpkg -x ./*.deb .; cp -a boot/. /boot/
            for modules in lib/modules usr/lib/modules; do test ! -d $modules || cp -a $modules/. /lib/modules/; done
            release=$(ls boot | sed -n 's/^vmlinuz-//p'); depmod "$release"; update-initramfs -c -k "$release"
        """
        _run("chroot", str(self._root), "bash", "-c", script)
        added = [release for release in self.kernels() if release not in before]
        if len(added) != 1:
            raise Unavailable(f"{suite} has no kernel of its own")
        return added[0]

    def run(self, release: str, script: str, seconds: float = 1200) -> list[str]:
        """Boot a kernel, run a script of bash, and give what it wrote, by lines, after a first one that has what firmware wrote."""
        if not self._image.exists():
            self._image.touch()
            os.truncate(self._image, 6 << 30)
            _run("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(self._root), str(self._image))
        floppy = self._image.with_name("script.img")
        floppy.write_bytes(f"echo\n{script}\necho {END}\n".encode().ljust(1 << 16, b"\0"))
        boot = f"{self._root}/boot"
        said = _run(*self._machine(f"{boot}/vmlinuz-{release}", f"{boot}/initrd.img-{release}", floppy), timeout=seconds).splitlines()
        if END not in said:
            raise AssertionError("the machine did not come to the script's end:\n" + "\n".join(said[-40:]))
        return said

    def _machine(self, kernel: str, initrd: str, script: Path) -> Sequence[str]:
        options = "root=/dev/vda rw console=ttyS0 quiet systemd.unified_cgroup_hierarchy=1 systemd.show_status=0 mitigations=off"
        return (
            "qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "3G", "-smp", "2",
            "-nodefaults", "-nographic", "-serial", "stdio", "-no-reboot", "-kernel", kernel, "-initrd", initrd, "-append", options,
            "-drive", f"file={self._image},if=virtio,format=raw,snapshot=on", "-drive", f"file={script},if=virtio,format=raw",
        )  # fmt: skip
