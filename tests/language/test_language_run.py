"""Reference 1.4: RUN's mounts, network and sandbox, and its here-documents, built for real; a test a row."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from builder.ops.secrets import SecretValue
from tests.language.workplace import Workplace


def test_bind_shows_the_context_without_ignored_files_read_only(place: Workplace) -> None:
    made = place.build(
        "FROM base\nRUN --mount=target=/m cd /m && find . | sort > /list; touch /m/x || echo refused >> /list\n"
        "RUN --mount=source=d/f,target=/one cat /one > /content",
        {"a": "", "d/f": "part", "secret": "", ".dockerignore": "secret\n.dockerignore\nDockerfile\n"},
    )
    assert made.text("list") == ".\n./a\n./d\n./d/f\nrefused\n"
    assert made.text("content") == "part"


def test_bind_with_rw_throws_its_writes_away(place: Workplace) -> None:
    made = place.build(
        "FROM base\nRUN --mount=target=/m,rw echo changed > /m/a; cat /m/a > /1\nRUN --mount=target=/m cat /m/a > /2", {"a": "first\n"}
    )
    assert (made.text("1"), made.text("2")) == ("changed\n", "first\n")
    assert (place.context / "a").read_text() == "first\n"


def test_bind_from_a_stage_an_image_and_a_named_context(place: Workplace) -> None:
    other = place.directory / "other"
    other.mkdir()
    (other / "f").write_text("of the named context")
    made = place.build(
        "FROM base AS stage\nRUN mkdir /s && echo of the stage > /s/f\nFROM base\n"
        "RUN --mount=from=stage,source=/s,target=/1 --mount=from=data,source=data/plain,target=/2 --mount=from=other,target=/3 "
        "cat /1/f /2 /3/f > /out",
        contexts={"other": str(other)},
    )
    assert made.text("out") == "of the stage\nplain\nof the named context"


def test_cache_persists_and_is_in_no_layer(place: Workplace) -> None:
    line = "RUN --mount=type=cache,target=/c,id=persists echo {} >> /c/f; cat /c/f > /out"
    assert place.build("FROM base\n" + line.format(1)).text("out") == "1\n"
    made = place.build("FROM base\n" + line.format(2))
    assert made.text("out") == "1\n2\n"
    assert not any(path.startswith("c/") or path == "c" for path in made.tree)


def test_cache_starts_with_a_source_mode_and_owner(place: Workplace) -> None:
    made = place.build(
        "FROM base\nRUN --mount=type=cache,target=/c,id=seed,from=data,source=/data/dir ls /c > /out\n"
        "RUN --mount=type=cache,target=/d,id=mode,mode=0750,uid=5,gid=6 stat -c '%a %u:%g' /d > /stat"
    )
    assert made.text("out") == "a\nb\nsub\n"
    assert made.text("stat") == "750 5:6\n"


@pytest.mark.parametrize("sharing", ["locked", "private"])
def test_cache_sharing_keeps_two_steps_apart(place: Workplace, sharing: str) -> None:
    step = f"RUN --mount=type=cache,target=/c,id=apart-{sharing},sharing={sharing} test ! -e /c/in && touch /c/in && sleep 0.3 && rm /c/in"
    made = place.build(
        f"FROM base AS a\n{step} && echo a > /a\nFROM base AS b\n{step} && echo b > /b\nFROM base\nCOPY --from=a /a /\nCOPY --from=b /b /",
        jobs=4,
    )
    assert (made.text("a"), made.text("b")) == ("a\n", "b\n")


def test_cache_shared_is_one_directory_for_both(place: Workplace) -> None:
    wait = "i=0; while test ! -e /c/{other} && test $i -lt 100; do sleep 0.05; i=$((i+1)); done; test -e /c/{other}"
    step = "RUN --mount=type=cache,target=/c,id=both touch /c/{own} && " + wait
    made = place.build(
        "FROM base AS a\n" + step.format(own="a", other="b") + " && ls /c > /x\nFROM base AS b\n" + step.format(own="b", other="a")
        + " && ls /c > /x\nFROM base\nCOPY --from=a /x /a\nCOPY --from=b /x /b",
        jobs=4,
    )  # fmt: skip
    assert (made.text("a"), made.text("b")) == ("a\nb\n", "a\nb\n")


def test_tmpfs_has_its_size_and_is_gone_afterwards(place: Workplace) -> None:
    made = place.build(
        "FROM base\nRUN --mount=type=tmpfs,target=/t,size=2m touch /t/x && grep ' /t tmpfs' /proc/mounts | grep -o 'size=[0-9]*k' > /size"
    )
    assert made.text("size") == "size=2048k\n"
    assert "t" not in made.tree


def test_secret_is_a_file_of_mode_0400_in_no_layer_history_or_store(place: Workplace) -> None:
    word = "correct-horse-battery"
    made = place.build(
        "FROM base\nRUN --mount=type=secret,id=word stat -c '%a %u:%g' /run/secrets/word > /stat && wc -c < /run/secrets/word > /size\n"
        "RUN --mount=type=secret,id=word,target=/x/y,mode=0444,uid=1,gid=2 stat -c '%a %u:%g' /x/y >> /stat",
        secrets={"word": SecretValue(word.encode())},
    )
    assert made.text("stat") == "400 0:0\n444 1:2\n"
    assert made.text("size") == f"{len(word)}\n"
    assert not {"run", "run/secrets", "x"} & made.tree.keys()
    assert word not in str(made.document)
    assert word.encode() not in place.stored()


def test_secret_as_a_variable_has_no_file_unless_a_target_is_given(place: Workplace) -> None:
    made = place.build(
        "FROM base\nRUN --mount=type=secret,id=w,env=WORD test ! -e /run/secrets/w && echo -n ${#WORD} > /1\n"
        "RUN --mount=type=secret,id=w,env=WORD,target=/f test -s /f && echo -n ${#WORD} > /2\nRUN echo -n [$WORD] > /3",
        secrets={"w": SecretValue(b"12345")},
    )
    assert (made.text("1"), made.text("2"), made.text("3")) == ("5", "5", "[]")


def test_secret_that_is_absent_is_skipped_unless_required(place: Workplace) -> None:
    place.build("FROM base\nRUN --mount=type=secret,id=absent test ! -e /run/secrets/absent")
    error = place.fails("FROM base\nRUN --mount=type=secret,id=absent,required true")
    assert error.code == "secret-missing"
    assert error.span is not None


def test_secret_is_in_no_key(place: Workplace) -> None:
    text = "FROM base\nRUN --mount=type=secret,id=s wc -c < /run/secrets/s > /keyless"
    place.build(text, secrets={"s": SecretValue(b"one")})
    again = place.build(text, secrets={"s": SecretValue(b"another")})
    assert again.outcome.ran == 0
    assert again.text("keyless") == "3\n"


def test_ssh_gives_the_agents_socket(place: Workplace, tmp_path: Path) -> None:
    path = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(path))
        agent.listen()
        made = place.build(
            "FROM base\nRUN --mount=type=ssh echo $SSH_AUTH_SOCK > /name; stat -c '%a %u %F' $SSH_AUTH_SOCK > /stat\n"
            "RUN echo -n [$SSH_AUTH_SOCK] > /after",
            ssh={"default": (str(path),)},
        )
        assert made.text("name") == "/run/buildkit/ssh_agent.0\n"
        assert made.text("stat") == "600 0 socket\n"
        assert made.text("after") == "[]"
        assert "run" not in made.tree


def test_ssh_that_is_absent_is_skipped_unless_required(place: Workplace) -> None:
    made = place.build("FROM base\nRUN --mount=type=ssh test ! -e $SSH_AUTH_SOCK && echo -n $SSH_AUTH_SOCK > /ssh")
    assert made.text("ssh") == "/run/buildkit/ssh_agent.0", "the variable is there, as with BuildKit, and the socket is not"
    assert place.fails("FROM base\nRUN --mount=type=ssh,required true").code == "ssh-missing"


@pytest.mark.parametrize(
    "mount",
    [
        "type=bind,target=/x,mode=0700", "type=tmpfs,target=/x,uid=5", "type=bind,target=/x,sharing=locked", "type=bind,target=/x,size=1m",
        "type=cache,target=/x,required", "type=secret,id=x,from=base", "type=secret,id=x,sharing=shared",
        "type=secret,id=a,source=b",
        "type=cache", "type=tmpfs", "type=ssh,source=x", "type=bind,target=/", "type=cache,target=/x,sharing=some",
        "type=nothing,target=/x",
        "type=bind,targte=/x", "target=/x,mode=abc,type=cache", "type=tmpfs,target=/x,size=much",
    ],
)  # fmt: skip
def test_misuse_of_mounts_is_refused_with_its_place(place: Workplace, mount: str) -> None:
    error = place.fails(f"FROM base\nRUN --mount={mount} true")
    assert error.code == "bad-mount"
    assert error.span is not None
    assert error.span.line == 2


def test_mount_options_come_in_any_order_and_are_expanded(place: Workplace) -> None:
    made = place.build("FROM base\nARG T=/m\nRUN --mount=size=1m,target=$T,type=tmpfs grep -c ' /m tmpfs' /proc/mounts > /out")
    assert made.text("out") == "1\n"
    assert place.fails("FROM base\nARG F=data\nRUN --mount=from=$F,target=/x true").code == "mount-from-variable"


def test_mount_points_leave_no_trace(place: Workplace) -> None:
    made = place.build(
        "FROM data\nRUN --mount=target=/new/deep --mount=type=tmpfs,target=/data/point true\nRUN ls / /data > /list", {"a": ""}
    )
    assert "new" not in made.text("list")
    assert "point" not in made.text("list")
    assert made.tree["data"].mtime == 1577836800


def test_network_none_has_loopback_only(place: Workplace) -> None:
    made = place.build(
        "FROM base\nRUN --network=none grep -c : /proc/net/dev > /count\nRUN --network=none grep -c lo: /proc/net/dev > /lo"
    )
    assert (made.text("count"), made.text("lo")) == ("1\n", "1\n")


def test_security_insecure_has_all_capabilities(place: Workplace) -> None:
    made = place.build(
        "FROM base\nRUN --security=insecure grep CapEff /proc/self/status > /all\nRUN grep CapEff /proc/self/status > /few",
        allow=("security.insecure",),
    )
    assert made.text("few") == "CapEff:\t00000000a80425fb\n"
    assert made.text("all") != made.text("few")


def test_sandbox_as_buildkit_makes_it(place: Workplace) -> None:
    made = place.build(
        "FROM base\nRUN hostname > /out; cat /etc/hosts >> /out; stat -c %a /dev/shm >> /out; cat | wc -c >> /out; "
        "touch /sys/x 2>/dev/null || echo sys is read-only >> /out",
        hosts=(("extra.test", "10.1.2.3"),),
    )
    assert made.text("out").splitlines() == [
        "buildkitsandbox", "127.0.0.1\tlocalhost buildkitsandbox", "::1\tlocalhost ip6-localhost ip6-loopback", "10.1.2.3\textra.test",
        "1777", "0", "sys is read-only",
    ]  # fmt: skip


def test_environment_is_what_was_asked_for_and_nothing_else(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", "00-leak")
    monkeypatch.setenv("OTEL_EXPORTER", "leak")
    made = place.build("FROM base\nARG A=1\nENV B=2\nRUN env | sort > /env")
    assert made.text("env").splitlines() == ["A=1", "B=2", "HOME=/root", "PATH=/bin:/usr/bin", "PWD=/", "SHLVL=1"]


def test_an_empty_home_is_none(place: Workplace) -> None:
    made = place.build("FROM base\nENV HOME=\nRUN echo $HOME > /home-of-root\nENV HOME=/mine\nRUN echo $HOME > /set")
    assert (made.text("home-of-root"), made.text("set")) == ("/root\n", "/mine\n")


def test_hosts_and_resolv_conf_are_in_no_layer_and_runcs_own_mount_points_are(place: Workplace) -> None:
    made = place.build('FROM scratch\nCOPY --from=base /bin /bin\nRUN ["/bin/sh", "-c", "test -s /etc/hosts && echo -n ok > /ok"]')
    assert made.text("ok") == "ok"
    assert sorted(path for path in made.tree if not path.startswith("bin")) == ["dev", "ok", "proc", "sys"]


def test_heredoc_alone_goes_to_the_shell(place: Workplace) -> None:
    made = place.build("FROM base\nENV X=1\nRUN <<EOF\necho $X > /1\necho two > /2\nEOF\nRUN <<'Q'\necho $X > /3\nQ\n")
    assert (made.text("1"), made.text("2"), made.text("3")) == ("1\n", "two\n", "1\n")
    assert made.history[1] == "RUN /bin/sh -c echo $X > /1\necho two > /2\n # buildkit"


def test_heredoc_with_a_shebang_is_run_as_a_file(place: Workplace) -> None:
    made = place.build('FROM base\nRUN <<EOF\n#!/bin/sh\necho -n "$0" > /name\nEOF\n')
    assert made.text("name") == "/dev/pipes/EOF"
    assert made.history == ["RUN /bin/sh -c /dev/pipes/EOF # buildkit"]


def test_heredoc_with_text_is_left_to_the_shell(place: Workplace) -> None:
    made = place.build("FROM base\nRUN cat <<A > /a && cat <<-B > /b\n$HOME\nA\n\ttabbed\n\tB\n")
    assert (made.text("a"), made.text("b")) == ("/root\n", "tabbed\n")


def test_failure_has_the_code_the_place_and_the_last_lines(place: Workplace) -> None:
    error = place.fails("FROM base\nRUN echo before; echo about to fail >&2; exit 7")
    assert error.code == "run-failed"
    assert "exit code 7" in error.message
    assert error.notes[-1] == "about to fail"
    assert error.span is not None
    assert error.span.line == 2


def test_failure_of_a_command_that_is_not_there_says_so(place: Workplace) -> None:
    error = place.fails("FROM base\nRUN nosuchcommand")
    assert "exit code 127" in error.message
    assert error.help is not None
    assert place.fails('FROM base\nRUN ["/no/such"]').code == "run-not-started"


def test_what_a_step_leaves_running_is_killed_before_the_diff(place: Workplace) -> None:
    made = place.build("FROM base\nRUN (sleep 5; touch /late) & touch /early\nRUN sleep 0.1; ls / > /list")
    assert "late" not in made.text("list")
    assert "late" not in made.tree
