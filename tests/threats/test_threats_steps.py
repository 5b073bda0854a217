"""Attacks by what a RUN executes and leaves, carried out by whole builds; the names are those of docs/reference/threats.md."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from builder.errors import LayerwrightError
from builder.ops.secrets import SecretFile, SecretValue
from tests.engine.site import Site
from tests.privileges import needs_root_of_the_machine

Refused = Callable[..., LayerwrightError]


def test_CVE_2021_3602_no_environment_but_its_own_is_seen(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERWRIGHT_TEST_CANARY", "feathered")
    site.dockerfile("FROM box\nRUN cat /proc/*/environ /proc/1/task/*/environ | tr '\\0' '\\n'; ls -d /proc/[0-9]*; env\n")
    site.build(network="none")
    assert "feathered" not in site.output()
    assert "LAYERWRIGHT" not in site.output()


def test_CVE_2022_27651_no_capability_is_inherited(site: Site) -> None:
    site.dockerfile("FROM box\nRUN grep -E 'Cap(Inh|Amb)' /proc/self/status\nUSER app\nRUN grep -E 'Cap(Inh|Amb|Eff)' /proc/self/status\n")
    site.build(network="none")
    assert [line.split()[1] for line in site.output().splitlines()] == ["0" * 16] * 5


@pytest.mark.parametrize("number", [3, 4, 5, 6, 7, 8, 9, 10, 12])
def test_CVE_2024_21626_a_descriptor_is_no_working_directory(site: Site, outside: Path, number: int) -> None:
    site.dockerfile(f"""
        FROM box
        RUN ln -s /proc/self/fd/{number} /leak
        WORKDIR /leak
        RUN pwd; ls -a; cat ../../../../../../../../..{outside}/canary; ls /proc/self/fd
    """)
    with suppress(LayerwrightError):
        site.build(network="none")
    assert "canary of the host" not in site.output()


def test_CVE_2024_21626_workdir_in_proc(site: Site, outside: Path) -> None:
    site.dockerfile(f"FROM box\nWORKDIR /proc/self/fd/7\nRUN pwd; cat ../../../../../../../..{outside}/canary || true\n")
    with suppress(LayerwrightError):
        site.build(network="none")
    assert "canary of the host" not in site.output()


def test_CVE_2019_5736_the_interpreter_of_the_host_stays_as_it_is(site: Site) -> None:
    program = Path(os.path.realpath(sys.executable))
    before = (hashlib.sha256(program.read_bytes()).digest(), program.stat().st_mtime_ns)
    site.dockerfile("""
        FROM box
        RUN printf '#!/proc/self/exe\\n' > /evil && chmod 755 /evil; for p in /proc/[0-9]*; do echo x > $p/exe; done; /evil; true
        RUN for i in 1 2 3 4 5 6 7 8 9; do for p in /proc/[0-9]* /proc/self/task/*; do ( : >> $p/exe ) ; done; done; true
    """)
    site.build(network="none")
    assert (hashlib.sha256(program.read_bytes()).digest(), program.stat().st_mtime_ns) == before


def test_CVE_2025_31133_masks_hold_whatever_the_image_holds(site: Site, outside: Path) -> None:
    """An image whose /dev/null is a link, and whose /proc and /sys are files of its own, does not move the masks."""
    site.dockerfile(f"""
        FROM box
        RUN --mount=type=tmpfs,target=/unused true
        RUN rm -rf /var; true
        COPY evil/ /
        RUN exec 2>&1; ls -ld /dev/null; cat /proc/keys /proc/kcore /proc/timer_list | wc -c; ls /sys/firmware | wc -l; \\
            echo h > /proc/sysrq-trigger || echo refused; cat {outside}/canary || true
    """)
    (site.context / "evil" / "dev").mkdir(parents=True)
    (site.context / "evil" / "dev" / "null").symlink_to("/proc/sys/kernel/core_pattern")
    (site.context / "evil" / "dev" / "console").symlink_to(outside / "canary")
    site.build(network="none")
    lines = site.output().splitlines()
    # In a user namespace it is the host's node, whose mode anybody who is root there may change. Errors may come first.
    assert len([line for line in lines if re.match(r"c[rw-]{9} .* 1, +3 ", line)]) == 1
    assert [line for line in lines if line in ("0", "refused")] == ["0", "0", "refused"]
    assert "canary of the host" not in site.output()


def test_a_process_left_behind_writes_nothing_later(site: Site) -> None:
    site.dockerfile("""
        FROM box
        RUN (sleep 0.4; echo late > /late) & (setsid sh -c 'trap "" HUP TERM INT; sleep 0.4; echo late > /late2') & echo now > /now
        RUN sleep 0.8; ls /now /late /late2 2>/dev/null; true
    """)
    site.build(network="none")
    assert site.output() == "/now\n"


def test_a_secret_is_nowhere(site: Site, tmp_path: Path) -> None:
    """In no blob, config, record, log or database; nor in the arguments or environment of any process but its own step's."""
    canary = "c4n4ry" + os.urandom(12).hex()
    secret = tmp_path / "secret"
    secret.write_text(canary)
    site.dockerfile("""
        FROM box AS a
        RUN --mount=type=secret,id=file test $(wc -c < /run/secrets/file) = 30 && sleep 0.6
        RUN --mount=type=secret,id=value,env=TOKEN --mount=type=secret,id=file,target=/etc/token,uid=1000,mode=0440 \\
            test ${#TOKEN} = 30 && cat /etc/token | wc -c && sleep 0.3
        FROM box AS b
        RUN sleep 0.3; cat /proc/*/environ; ls /run/secrets; true
        FROM box
        COPY --from=a / /a
        COPY --from=b / /b
    """)
    seen: list[str] = []
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(canary.encode(), over, seen))
    watcher.start()
    output = tmp_path / "image.tar"
    try:
        site.build(
            network="none", secrets={"file": SecretFile(str(secret)), "value": SecretValue(canary.encode())},
            outputs=(f"type=oci,dest={output},compression=uncompressed", "type=image"),
        )  # fmt: skip
    finally:
        over.set()
        watcher.join()
    assert canary not in repr(site.heard.events)
    for path in (output, *(path for path in site.settings.root.rglob("*") if path.is_file() and not path.is_symlink())):
        assert canary.encode() not in path.read_bytes(), path
    assert seen == []


def _watch(canary: bytes, over: threading.Event, seen: list[str]) -> None:
    """Looks through the processes of the machine as `ps` would; only the step that was given the variable may have it."""
    while not over.is_set():
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != os.getpid():
                for name in ("cmdline", "environ"):
                    try:
                        content = Path(f"/proc/{entry}/{name}").read_bytes()
                    except OSError:
                        continue
                    if canary in content and not (name == "environ" and b"TOKEN=" in content):
                        seen.append(f"{entry} {name} {content!r}")
        time.sleep(0.02)


def test_an_error_does_not_show_a_secret(refused: Refused, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("c4n4ry" * 5)
    error = refused('FROM box\nRUN --mount=type=secret,id=s,env=TOKEN test -n "$TOKEN"; exit 3\n', secrets={"s": SecretFile(str(secret))})
    assert "c4n4ry" not in str(error) + "".join(error.notes) + repr(error)


@needs_root_of_the_machine
def test_device_nodes_of_an_image_cannot_be_opened(site: Site) -> None:
    """They stay in the layers, as nodes of the disk, the memory and the kernel's log, wherever a step can put them."""
    with tarfile.open(site.context / "nodes.tar", "w") as archive:
        for name, kind, major, minor in (
            ("disk", tarfile.BLKTYPE, 7, 0),
            ("log", tarfile.CHRTYPE, 1, 11),
            ("memory", tarfile.CHRTYPE, 1, 1),
        ):
            entry = tarfile.TarInfo(f"nodes/{name}")
            entry.type, entry.devmajor, entry.devminor, entry.mode = kind, major, minor, 0o666
            archive.addfile(entry)
    site.dockerfile("""
        FROM box
        ADD nodes.tar /
        RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t for place in /c /t /dev /dev/shm /var; do \\
              mknod -m 666 $place/log c 1 11 && mknod -m 666 $place/disk b 7 0; done; mknod /null c 1 3; \\
            for node in /nodes/* /c/* /t/* /dev/log /dev/disk /dev/shm/* /var/*; do \\
              (: < $node) && echo read $node; (: > $node) && echo written $node; done; \\
            echo x > /dev/null && head -c 1 /dev/zero | wc -c
        RUN ls -l /nodes /null | grep -c '^[bc]'
    """)
    site.build(network="none")
    lines = site.output().splitlines()
    assert [line for line in lines if line.startswith(("read", "written"))] == []
    assert len([line for line in lines if "ermission denied" in line or "not permitted" in line]) == 2 * (3 + 5 * 2)
    assert "1" in lines
    assert lines[-1] == "4"
