"""RUN in a build: where it runs, agents and secrets, and that none of a secret stays behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import LayerwrightError
from builder.ops.secrets import SecretFile, SecretValue
from tests.engine.site import Site, image


@pytest.mark.parametrize(
    ("path", "flags", "printed"),
    [
        ("/dev/shm/x", "", "/dev/shm/x"),
        ("/app/sub", "--mount=type=tmpfs,target=/app ", "/app/sub"),
        ("/a/../b//c/./d/", "", "/b/c/d"),
    ],
    ids=["below-dev", "covered-by-a-mount", "not-clean"],
)
def test_a_working_directory_that_is_covered_is_made_again(site: Site, path: str, flags: str, printed: str) -> None:
    site.dockerfile(f"FROM box\nWORKDIR {path}\nRUN {flags}pwd\n")
    config = image(site.build()).config.config
    assert (site.output(), config.working_dir) == (f"{printed}\n", path)


def test_an_agent_that_is_not_there_is_named_all_the_same(site: Site) -> None:
    site.dockerfile("FROM box\nRUN --mount=type=tmpfs,target=/x --mount=type=ssh --mount=type=ssh,id=b env | grep SSH\n")
    site.build()
    assert site.output().splitlines()[0] == "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0"


# -- agents ---------------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key without a passphrase, its mode such that ssh-add would refuse the file."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("openssh-client is not installed")
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "canary", "-f", path], check=True)
    path.chmod(0o644)
    return path


@pytest.fixture
def agent(tmp_path: Path, key: Path) -> Iterator[str]:
    """A real agent with the key."""
    path = str(tmp_path / "agent")
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as process:
        while not os.path.exists(path):
            assert process.poll() is None
        subprocess.run(["ssh-add", "-q", "-"], env={"SSH_AUTH_SOCK": path}, input=key.read_bytes(), check=True)
        yield path
        process.send_signal(signal.SIGTERM)


LISTING = """
FROM box
COPY --chmod=755 ask /bin/ask
USER app
RUN --mount=type=ssh,uid=1000,required ls -ln $SSH_AUTH_SOCK && ask
"""


@pytest.fixture
def asker(site: Site) -> Site:
    """With a program that asks the agent for its keys; busybox has none that speaks to unix sockets."""
    source = site.context.parent / "ask.c"
    source.write_text(
        """
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/socket.h>
        #include <sys/un.h>
        #include <unistd.h>
        int main(void)
        {
            struct sockaddr_un address = {.sun_family = AF_UNIX};
            char answer[4096];
            int fd = socket(AF_UNIX, SOCK_STREAM, 0);
            strcpy(address.sun_path, getenv("SSH_AUTH_SOCK"));
            if (connect(fd, (struct sockaddr *)&address, sizeof address)) { perror("ask"); return 1; }
            if (write(fd, "\\0\\0\\0\\1\\13", 5) != 5) return 2; /* SSH_AGENTC_REQUEST_IDENTITIES */
            ssize_t size = read(fd, answer, sizeof answer);
            if (size < 9 || answer[4] != 12) return 3; /* SSH_AGENT_IDENTITIES_ANSWER */
            printf("%d keys, %s\\n", answer[8], memmem(answer, size, "canary", 6) ? "canary" : "another");
            return 0;
        }
        """
    )
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    subprocess.run(["gcc", "-static", "-D_GNU_SOURCE", "-o", site.context / "ask", source], check=True)
    return site


def test_a_step_of_another_user_asks_a_real_agent(asker: Site, agent: str) -> None:
    before = os.stat(agent)
    asker.dockerfile(LISTING)
    asker.build(ssh={"default": (agent,)})
    mode, _, uid, *_ = asker.output().split()
    assert (mode, uid) == ("srw-------", "1000")
    assert asker.output().endswith("1 keys, canary\n")
    after = os.stat(agent)
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_key_file_gets_an_agent_of_the_builds_own(asker: Site, key: Path) -> None:
    agents = _agents()
    asker.dockerfile(LISTING)
    asker.build(ssh={"default": (str(key),)})
    assert asker.output().endswith("1 keys, canary\n")
    assert _agents() == agents
    assert _holding(asker, key.read_bytes().splitlines()[2]) == []


def _agents() -> set[str]:
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"ssh-agent") and b"layerwright-ssh-" in b" ".join(words):
            found.add(pid)
    return found


def test_a_key_with_a_passphrase_is_refused_and_nobody_asked(site: Site, key: Path) -> None:
    key.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", key], check=True, stdout=subprocess.DEVNULL)
    site.dockerfile("FROM box\nRUN --mount=type=ssh true\n")
    with pytest.raises(LayerwrightError) as caught:
        site.build(ssh={"default": (str(key),)})
    assert caught.value.code == "bad-ssh-key"


@pytest.mark.parametrize(("name", "code"), [("key.pub", "bad-ssh-key"), ("nowhere", "ssh-not-found")])
def test_what_is_no_key_is_refused(site: Site, key: Path, name: str, code: str) -> None:
    site.dockerfile("FROM box\nRUN --mount=type=ssh true\n")
    with pytest.raises(LayerwrightError) as caught:
        site.build(ssh={"default": (str(key.parent / name),)})
    assert caught.value.code == code


# -- secrets --------------------------------------------------------------------------------------------

CANARY = b"canary-3f1c9b"


def _holding(site: Site, canary: bytes) -> list[str]:
    """The files of the store, and the events, that hold some bytes, also inside of gzip."""
    found = []
    for path in Path(site.settings.root).rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if data.startswith(b"\x1f\x8b"):
                data += subprocess.run(["gzip", "-dc"], input=data, stdout=subprocess.PIPE, check=False).stdout
            if canary in data:
                found.append(str(path))
    if canary in repr(site.heard.events).encode():
        found.append("events")
    return found


def test_a_secret_stays_nowhere(site: Site, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(CANARY)
    site.dockerfile(
        """
        FROM box
        RUN --mount=type=secret,id=token wc -c < /run/secrets/token; ls -ln /run/secrets/token; echo x > /run/secrets/token || echo ro
        RUN --mount=type=secret,id=token,target=/etc/deep/token,mode=0444,uid=1000 ls -ln /etc/deep/token | cut -c 1-15
        RUN --mount=type=secret,id=word,env=WORD test ! -e /run/secrets/word && echo ${#WORD}
        RUN --mount=type=secret,id=word,env=WORD,target=/w test "$WORD" = "$(cat /w)" && echo both
        RUN --mount=type=secret,id=none ls /run/secrets 2>&1 | wc -l; ls /run /etc/deep /w 2>&1 | grep -c 'No such'
        """
    )
    built = site.build(secrets={"token": SecretFile(str(tmp_path / "token")), "word": SecretValue(CANARY + b"-word")})
    said = site.output()
    assert f"{len(CANARY)}\n" in said
    assert "-r--------" in said
    assert "-r--r--r--" in said
    assert f"\n{len(CANARY) + 5}\n" in said
    assert "both\n" in said
    assert "ro\n" in said
    assert _holding(site, CANARY) == []
    assert all("canary" not in (item.created_by or "") for item in image(built).config.history or ())


def test_another_secret_is_the_same_step(site: Site) -> None:
    site.dockerfile("FROM box\nRUN --mount=type=secret,id=word,env=WORD test -n \"$WORD\"\n")
    site.build(secrets={"word": SecretValue(b"one")})
    site.build(secrets={"word": SecretValue(b"two")})
    assert [name for name in site.ran() if name.startswith("RUN")] == []


def test_a_secret_that_a_step_writes_is_its_own_doing(site: Site) -> None:
    """The search finds what there is to be found."""
    site.dockerfile("FROM box\nRUN --mount=type=secret,id=word,env=WORD echo $WORD > /leak\n")
    site.build(secrets={"word": SecretValue(CANARY)})
    assert len(_holding(site, CANARY)) >= 1


def test_a_required_secret_is_asked_for(site: Site) -> None:
    site.dockerfile("FROM box\nRUN --mount=type=secret,id=word,required true\n")
    with pytest.raises(LayerwrightError) as caught:
        site.build()
    assert (caught.value.code, caught.value.span is not None) == ("secret-missing", True)
