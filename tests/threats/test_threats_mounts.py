"""Attacks on the mounts of a RUN, carried out by whole builds; the names are those of docs/reference/threats.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.errors import LayerwrightError
from tests.engine.site import Site

Refused = Callable[..., LayerwrightError]


@pytest.mark.parametrize("source", ["/absolute", "/upwards", "/chain", "/absolute/../../../.."])
def test_CVE_2024_1753_a_linked_source_stays_in_its_stage(site: Site, outside: Path, source: str) -> None:
    site.dockerfile(f"""
        FROM box AS evil
        RUN ln -s / /absolute; ln -s ../../../../../.. /upwards; ln -s upwards /chain; echo mine > /marker
        FROM box
        RUN --mount=type=bind,from=evil,source={source},target=/m cat /m/marker; test ! -e /m{outside}
        RUN --mount=type=bind,from=evil,source={source},target=/m,rw rm -rf /m/*; test ! -e /m{outside}
    """)
    site.build(network="none")
    assert "mine\n" in site.output()


@pytest.mark.parametrize("option", ["bind-propagation=rshared", "bind-propagation=shared,suid", "relabel=shared", "Z", "dev", "exec=yes"])
def test_CVE_2024_9407_options_that_nobody_knows_are_refused(refused: Refused, option: str) -> None:
    error = refused(f"FROM box\nRUN --mount=type=bind,target=/m,{option} true\n")
    assert option.partition("=")[0].partition(",")[0] in error.message


@pytest.mark.parametrize("identity", ["../../../../outside", "/outside", "..", "a/../../b", "x" * 5000])
def test_CVE_2024_9675_an_id_of_a_cache_is_no_path(site: Site, outside: Path, identity: str) -> None:
    site.dockerfile(f"""
        FROM box
        RUN --mount=type=cache,id={identity},target=/c echo kept > /c/file; ls /c
        RUN --mount=type=cache,id={identity},target=../../../../c2 cat /c2/file
    """)
    site.build(network="none")
    assert site.output() == "file\nkept\n"
    assert sorted(path.name for path in site.context.parent.iterdir()) == ["context", "outside", "store"]


@pytest.mark.parametrize("make", ["mkfifo /etc/passwd", "ln -s {outside}/canary /etc/passwd", "ln -s /proc/self/environ /etc/passwd",
                                  "ln -s /dev/zero /etc/passwd", "truncate -s 64M /etc/passwd", "mkdir /etc/passwd"])  # fmt: skip
@pytest.mark.timeout(30)
def test_CVE_2024_9676_a_hostile_passwd_is_not_read(refused: Refused, outside: Path, make: str) -> None:
    error = refused(f"FROM box\nRUN rm /etc/passwd; {make.format(outside=outside)}\nUSER somebody\nRUN id\n")
    assert "canary" not in error.message + "".join(error.notes)
    assert "somebody" in error.message or "passwd" in error.message


def test_CVE_2024_9341_no_file_of_the_host_is_mounted_through_a_link(site: Site, outside: Path) -> None:
    (site.context / "etc/system-fips.d").mkdir(parents=True)
    (site.context / "etc/resolv.conf").symlink_to(outside / "canary")
    (site.context / "etc/hosts").symlink_to(f"../../../../../..{outside}/canary")
    (site.context / "etc/system-fips").symlink_to(outside / "canary")
    site.dockerfile(f"""
        FROM box
        COPY etc/ /etc/
        RUN cat /etc/hosts /etc/resolv.conf /etc/system-fips; cat {outside}/canary; echo x > {outside}/canary; true
    """)
    site.build(network="none")
    assert "canary of the host" not in site.output()


def test_CVE_2024_11218_a_source_that_another_step_swaps(site: Site, outside: Path) -> None:
    """One step swaps directories of a shared cache for links out of it, while others mount onto and from beneath them."""
    steps = "\n".join(
        f"RUN --mount=type=cache,id=shared,target=/c --mount=type=tmpfs,target=/c/d/victim{number}"
        f" --mount=type=bind,from=box,source=/etc,target=/c/d/b/bound test ! -e /c/d/canary; echo {number}"
        for number in range(8)
    )
    site.dockerfile(f"""
        FROM box AS swapper
        RUN --mount=type=cache,id=shared,target=/c for i in $(seq 1 1500); do \\
          rm -rf /c/d; ln -s {outside} /c/d; rm -rf /c/d; ln -s ../../../../../../../..{outside} /c/d; rm -rf /c/d; mkdir /c/d; done; \\
          echo over > /over
        FROM box AS victim
        {steps}
        RUN echo done > /done
        FROM box
        COPY --from=swapper /over /
        COPY --from=victim /done /
    """)
    told = []
    for _attempt in range(4):
        try:
            site.build(network="none", jobs=3)
            break
        except LayerwrightError as error:  # a mount point that went away between two steps of ours is an error, and no way out
            told.append(error.message)
    assert [message for message in told if "mount" not in message] == []


def test_CVE_2025_4953_writes_to_a_mounted_context_are_thrown_away(site: Site, outside: Path) -> None:
    site.write("kept", "as it was")
    site.write("sub/file", "too")
    site.dockerfile("""
        FROM box
        RUN --mount=type=bind,rw,target=/src echo changed > /src/kept; rm -rf /src/sub; echo > /src/new; cat /src/kept
        RUN --mount=type=bind,target=/src cat /src/kept /src/sub/file; test ! -e /src/new; ! echo x > /src/kept
    """)
    before = {path: path.read_text() for path in site.context.rglob("*") if path.is_file()}
    site.build(network="none")
    assert site.output().startswith("changed\nas it wastoo")
    assert {path: path.read_text() for path in site.context.rglob("*") if path.is_file()} == before


def test_CVE_2024_23652_removing_a_mount_point_follows_no_link(site: Site, outside: Path) -> None:
    site.dockerfile(f"""
        FROM box
        RUN --mount=type=tmpfs,target=/a/b/c mv /a /z 2>/dev/null; rm -rf /a 2>/dev/null; ln -s {outside} /a 2>/dev/null; true
        RUN --mount=type=tmpfs,target=/x/b/c mkdir /y && mv /x /y/ 2>/dev/null; ln -s {outside} /x 2>/dev/null; \\
            rm -rf /x/b/c 2>/dev/null; true
        RUN mkdir /t
        RUN --mount=type=tmpfs,target=/t/b/c mv /t /moved; ln -s {outside} /t
    """)
    site.build(network="none")
    assert (outside / "b" / "c").is_dir()


@pytest.mark.parametrize(
    ("step", "what"),
    [("--security=insecure", "security.insecure"), ("--network=host", "network.host")],
)
def test_CVE_2024_23653_privileges_must_be_allowed(refused: Refused, step: str, what: str) -> None:
    error = refused(f"FROM box\nRUN {step} true\n")
    assert error.code == "not-allowed"
    assert what in error.message


def test_CVE_2024_23653_devices_are_refused(refused: Refused) -> None:
    assert "device" in refused("FROM box\nRUN --device=vendor.com/device=name true\n").message
