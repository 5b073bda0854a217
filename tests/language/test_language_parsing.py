"""Parsing, a test for each row of reference 1.1, and the parse-level rules of 1.3 to 1.5."""

from __future__ import annotations

import msgspec
import pytest

from grammar import nodes
from grammar.diagnostics import DockerfileError
from grammar.durations import parse_duration
from grammar.parse import parse, parse_trigger
from grammar.source import Span


def instructions(text: str | bytes) -> tuple[nodes.AnyInstruction, ...]:
    """What follows a FROM."""
    data = text.encode() if isinstance(text, str) else text
    return parse(b"FROM scratch\n" + data).instructions[1:]


def one(text: str) -> nodes.AnyInstruction:
    (node,) = instructions(text)
    return node


def shell(text: str) -> nodes.ShellForm:
    """The shell form of a RUN (or CMD, ENTRYPOINT)."""
    node = one(text)
    assert isinstance(node, nodes.Run | nodes.Cmd | nodes.Entrypoint)
    assert isinstance(node.command, nodes.ShellForm)
    return node.command


def texts(words: tuple[nodes.Word, ...]) -> list[str]:
    return [word.text for word in words]


def pairs(text: str) -> list[tuple[str, str | None, bool]]:
    node = one(text)
    assert isinstance(node, nodes.Env | nodes.Label | nodes.Arg)
    return [(pair.key.text, pair.value.text if pair.value is not None else None, pair.legacy) for pair in node.pairs]


# Line scanner


def test_line_scanner_takes_65535_bytes_and_no_more() -> None:
    assert len(shell("RUN " + "x" * 65531).text) == 65531
    for text in ("RUN " + "x" * 65532, "RUN " + "é" * 32766, "RUN <<A\n" + "x" * 65536 + "\nA"):
        with pytest.raises(DockerfileError) as caught:
            instructions(text)
        assert caught.value.diagnostic.code == "line-too-long"
    assert len(shell("RUN " + ("x" * 60000 + "\\\n") * 4).text) == 240_000


def test_line_scanner_drops_the_byte_order_mark_of_the_first_line_only() -> None:
    parsed = parse(b"\xef\xbb\xbf# escape=`\nFROM a\n")
    assert parsed.directives.escape == "`"
    assert parsed.source.lines[0] == "# escape=`"
    with pytest.raises(DockerfileError):
        parse(b"FROM a\n\xef\xbb\xbfRUN b")


def test_line_scanner_tolerates_carriage_returns() -> None:
    run, copy = instructions(b"RUN a \\\r\n  b\r\nCOPY <<EOF /x\r\nhi\r\nEOF\r\n")
    assert isinstance(run, nodes.Run)
    assert run.command == nodes.ShellForm("a   b")
    assert isinstance(copy, nodes.Copy)
    assert copy.heredocs[0].body == "hi\r\n"


# Comments, whitespace, continuations


def test_comments_are_whole_lines_also_inside_continuations() -> None:
    assert shell("RUN a \\\n# gone\n  # gone too\n b # stays").text == "a  b # stays"
    assert shell("RUN echo '#not'").text == "echo '#not'"


def test_leading_whitespace_goes_from_the_first_line_only() -> None:
    assert shell(" \t RUN   a \\\n \t b").text == "a  \t b"


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("RUN a\\\nb", "ab"),
        ("RUN a\\ \t\nb", "ab"),
        ("RUN a \\\n\\\nb", "a b"),
        ("RUN a \\\n \\\n b", "a   b"),
        ("RUN a\\", "a"),
        ("\\\nRUN a", "a"),
        ("RUN \\\na", "a"),
    ],
)
def test_continuations(text: str, command: str) -> None:
    assert shell(text).text == command


def test_a_doubled_escape_does_not_continue() -> None:
    first, second = instructions("RUN a\\\\\nRUN b")
    assert isinstance(first, nodes.Run)
    assert first.command == nodes.ShellForm("a\\\\")
    assert isinstance(second, nodes.Run)


def test_blank_continuation_lines_are_dropped_and_warned_of_once_an_instruction() -> None:
    parsed = parse(b"FROM a\nRUN b \\\n\n  \n  c\nRUN d\n")
    assert isinstance(parsed.instructions[1], nodes.Run)
    assert parsed.instructions[1].command == nodes.ShellForm("b   c")
    (warning,) = parsed.warnings
    assert (warning.code, warning.severity) == ("no-empty-continuation", "warning")
    assert warning.span is not None
    assert warning.span.line == 5


# Names, flags


def test_instruction_names_are_case_insensitive_and_split_on_blanks() -> None:
    nodes_ = parse(b"from\ta\nRuN\v b\nworkdir\f/x").instructions
    assert [node.keyword for node in nodes_] == ["from", "RuN", "workdir"]
    assert [type(node) for node in nodes_] == [nodes.From, nodes.Run, nodes.Workdir]


def test_flags_have_their_quotes_and_escapes_processed() -> None:
    node = one('COPY --from="a b" --chown=x\\ y --exclude=\'*.md\' --exclude=a"b"c --link --parents=FALSE -- --src /dst')
    assert isinstance(node, nodes.Copy)
    assert node.from_ is not None
    assert node.from_.text == "a b"
    assert node.chown is not None
    assert node.chown.text == "x y"
    assert texts(node.excludes) == ["*.md", "abc"]
    assert (node.link, node.parents) == (True, False)
    assert texts(node.sources) == ["--src"]


def test_flags_go_on_over_continuations_and_point_at_their_values() -> None:
    node = one("RUN --mount=type=cache,target=/x \\\n  --mount=type=tmpfs,target=/y \\\n  --network=none \\\n  make")
    assert isinstance(node, nodes.Run)
    assert texts(node.mounts) == ["type=cache,target=/x", "type=tmpfs,target=/y"]
    assert node.mounts[1].span == Span(3, 11, 3, 31)
    assert node.command == nodes.ShellForm("make")


def test_flags_of_each_instruction() -> None:
    run = one("RUN --security=insecure --device=a --device=b,required x")
    assert isinstance(run, nodes.Run)
    assert run.security is not None
    assert run.security.text == "insecure"
    assert texts(run.devices) == ["a", "b,required"]
    add = one("ADD --checksum=sha256:00 --keep-git-dir --unpack=false --chmod=u=rwX a b")
    assert isinstance(add, nodes.Add)
    assert add.checksum is not None
    assert (add.checksum.text, add.keep_git_dir, add.unpack) == ("sha256:00", True, False)
    assert add.chmod is not None
    assert add.chmod.text == "u=rwX"
    plain = one("ADD a b")
    assert isinstance(plain, nodes.Add)
    assert (plain.keep_git_dir, plain.unpack, plain.link) == (None, None, False)
    stage = parse(b"FROM --platform=$BUILDPLATFORM alpine:3 As Base").instructions[0]
    assert isinstance(stage, nodes.From)
    assert stage.platform is not None
    assert stage.alias is not None
    assert stage.as_keyword is not None
    assert (stage.platform.text, stage.image.text, stage.alias.text, stage.as_keyword.text) == ("$BUILDPLATFORM", "alpine:3", "Base", "As")


# JSON and word forms


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ('["a", "b"]', ("a", "b")),
        ('[ "a b" ,\t"c" ] ', ("a b", "c")),
        ('["\\u00e9\\n\\"\\/"]', ('é\n"/',)),
        ('["\\ud83d\\ude00", "\\ud800"]', ("😀", "\ufffd")),
        ('[""]', ("",)),
        ('\\\n  ["a", \\\n # no\n  "b"]', ("a", "b")),
    ],
)
def test_json_form(text: str, args: tuple[str, ...]) -> None:
    node = one(f"CMD {text}")
    assert isinstance(node, nodes.Cmd)
    assert node.command == nodes.ExecForm(args)


@pytest.mark.parametrize(
    "text",
    ["['a']", '["a"', '["a",]', '["a" "b"]', '["a"] b', '["\\x"]', '["a\tb"]', "[a, b]", "[NaN]", "[1e999]", '"a"', "{}", '["\\u12"]'],
)
def test_what_is_no_json_is_shell_form(text: str) -> None:
    for name in ("RUN", "CMD", "ENTRYPOINT"):
        assert shell(f"{name} {text}").text == text


def test_json_is_tried_for_the_instructions_that_take_it_only() -> None:
    copy, add, volume, health, user, expose = instructions(
        'COPY ["a b", "c"]\nADD [a, b]\nVOLUME ["/x y"]\nHEALTHCHECK CMD ["a"]\nUSER ["a"]\nEXPOSE ["1"]'
    )
    assert isinstance(copy, nodes.Copy)
    assert (texts(copy.sources), copy.destination.text, copy.json_form) == (["a b"], "c", True)
    assert copy.sources[0].span == Span(2, 7, 2, 12)
    assert isinstance(add, nodes.Add)
    assert (texts(add.sources), add.destination.text, add.json_form) == (["[a,"], "b]", False)
    assert isinstance(volume, nodes.Volume)
    assert (texts(volume.paths), volume.json_form) == (["/x y"], True)
    assert isinstance(health, nodes.Healthcheck)
    assert health.command == nodes.ExecForm(("a",))
    assert isinstance(user, nodes.User)
    assert user.user.text == '["a"]'
    assert isinstance(expose, nodes.Expose)
    assert texts(expose.ports) == ['["1"]']


def test_deep_json_neither_hangs_nor_overflows() -> None:
    with pytest.raises(DockerfileError) as caught:
        instructions("RUN " + "[" * 30_000 + "]" * 30_000)
    assert caught.value.diagnostic.code == "json-not-strings"


def test_word_forms() -> None:
    expose, user, workdir, signal, maintainer, volume = instructions(
        "EXPOSE 8000/tcp  53/udp $PORTS\nUSER  a b \nWORKDIR /a b\nSTOPSIGNAL SIGTERM\nMAINTAINER A <b@c>\nVOLUME /a  /b"
    )
    assert isinstance(expose, nodes.Expose)
    assert texts(expose.ports) == ["$PORTS", "53/udp", "8000/tcp"]
    assert isinstance(user, nodes.User)
    assert user.user.text == "a b"
    assert isinstance(workdir, nodes.Workdir)
    assert workdir.path.text == "/a b"
    assert isinstance(signal, nodes.Stopsignal)
    assert signal.signal.text == "SIGTERM"
    assert isinstance(maintainer, nodes.Maintainer)
    assert maintainer.name.text == "A <b@c>"
    assert isinstance(volume, nodes.Volume)
    assert (texts(volume.paths), volume.json_form) == (["/a", "/b"], False)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ENV a=1 b=", [("a", "1", False), ("b", "", False)]),
        ("ENV a=\"x y\" b='z w' c=p\\ q", [("a", '"x y"', False), ("b", "'z w'", False), ("c", "p\\ q", False)]),
        ("ENV a=b=c", [("a", "b=c", False)]),
        ("ENV a=1 \\\n    # note\n    b=2", [("a", "1", False), ("b", "2", False)]),
        ("ENV a b=c d", [("a", "b=c d", True)]),
        ("ENV a   \t b  ", [("a", "b", True)]),
        ('ENV "a b" c', [('"a', 'b" c', True)]),
        ('LABEL "a b"="c"', [('"a b"', '"c"', False)]),
        ("LABEL maintainer A B <c@d>", [("maintainer", "A B <c@d>", True)]),
        ("ENV a='x", [("a", "'x", False)]),
        ("ARG a b=1 c=", [("a", None, False), ("b", "1", False), ("c", "", False)]),
        ('ARG a="x y" b', [("a", '"x y"', False), ("b", None, False)]),
    ],
)
def test_pairs_and_the_legacy_form(text: str, wanted: list[tuple[str, str | None, bool]]) -> None:
    assert pairs(text) == wanted


# Directives and comments


@pytest.mark.parametrize(
    ("head", "escape", "syntax", "check"),
    [
        ("# escape=`", "`", None, None),
        ("#ESCAPE = `", "`", None, None),
        ("# syntax=docker/dockerfile:1 more\n# check=skip=all;error=true\n# escape=`", "`", "docker/dockerfile:1", "skip=all;error=true"),
        ("# syntax=a\n\n# escape=`", "\\", "a", None),
        ("# hello\n# escape=`", "\\", None, None),
        ("# unknown=x\n# escape=`", "\\", None, None),
        ("\n# escape=`", "\\", None, None),
        ("#!/usr/bin/build\n# syntax=a\n# check=skip=b", "\\", "a", "skip=b"),
        ("#", "\\", None, None),
    ],
)
def test_directives(head: str, escape: str, syntax: str | None, check: str | None) -> None:
    found = parse(f"{head}\nFROM a\n".encode()).directives
    assert (found.escape, found.syntax) == (escape, syntax)
    assert (found.check.text if found.check else None) == check


def test_the_check_directive_has_a_place() -> None:
    check = parse(b"# check = skip=a \nFROM a\n").directives.check
    assert check == nodes.Word("skip=a", Span(1, 11, 1, 17))


def test_the_escape_directive_changes_continuations_and_words() -> None:
    env, run = parse(b'# escape=`\nFROM a\nENV a="`"" b=C:\\ c=x` y\nRUN dir C:\\ `\n  /q').instructions[1:]
    assert isinstance(env, nodes.Env)
    assert [pair.value.text for pair in env.pairs if pair.value] == ['"`""', "C:\\", "x` y"]
    assert isinstance(run, nodes.Run)
    assert run.command == nodes.ShellForm("dir C:\\   /q")


def test_comments_right_above_belong_to_an_instruction() -> None:
    arg, stage, run, last = parse(
        b"# check=skip=none\n# far\n\n# version which one\nARG version\n# old\n#\n"
        b"  # base the first\n# stage\nFROM a AS base\nRUN b \\\n# in\n c\nRUN d"
    ).instructions
    assert texts(arg.comments) == ["version which one"]
    assert texts(stage.comments) == ["base the first", "stage"]
    assert stage.comments[0].span == Span(8, 5, 8, 19)
    assert (run.comments, last.comments) == ((), ())


# Here-documents


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("RUN <<EOF\na\nb\nEOF", nodes.Heredoc("EOF", "a\nb\n", True, False, None, Span(2, 5, 2, 10), "a\nb\n")),
        ("RUN <<EOF\nEOF", nodes.Heredoc("EOF", "", True, False, None, Span(2, 5, 2, 10), "")),
        ("RUN 3<<EOF\nEOF", nodes.Heredoc("EOF", "", True, False, 3, Span(2, 5, 2, 11), "")),
        (
            "RUN <<-EOF\n\ta\n\t\tb\n \tc\n\tEOF",
            nodes.Heredoc("EOF", "a\nb\n \tc\n", True, True, None, Span(2, 5, 2, 11), "\ta\n\t\tb\n \tc\n"),
        ),
        ("RUN <<'EOF'\n$a\nEOF", nodes.Heredoc("EOF", "$a\n", False, False, None, Span(2, 5, 2, 12), "$a\n")),
        ('RUN <<-"EOF"\n\t$a\nEOF', nodes.Heredoc("EOF", "$a\n", False, True, None, Span(2, 5, 2, 13), "\t$a\n")),
        ("RUN <<'one two'\na\none two", nodes.Heredoc("one two", "a\n", False, False, None, Span(2, 5, 2, 16), "a\n")),
        ("RUN <<eo'f'\na\neof", nodes.Heredoc("eof", "a\n", False, False, None, Span(2, 5, 2, 12), "a\n")),
        ("RUN <<eo\\'f\na\neo'f", nodes.Heredoc("eo'f", "a\n", True, False, None, Span(2, 5, 2, 12), "a\n")),
        ("RUN <<\\EOF\na\nEOF", nodes.Heredoc("EOF", "a\n", False, False, None, Span(2, 5, 2, 11), "a\n")),
        ("RUN <<$EOF\na\n$EOF", nodes.Heredoc("$EOF", "a\n", True, False, None, Span(2, 5, 2, 11), "a\n")),
        ("RUN <<  EOF\na\nEOF", nodes.Heredoc("EOF", "a\n", True, False, None, Span(2, 5, 2, 12), "a\n")),
        (
            "RUN <<EOF\n# no comment\n\\\nEOF",
            nodes.Heredoc("EOF", "# no comment\n\\\n", True, False, None, Span(2, 5, 2, 10), "# no comment\n\\\n"),
        ),
    ],
)
def test_heredoc_words(text: str, wanted: nodes.Heredoc) -> None:
    form = shell(text)
    assert form.heredocs == (wanted,)
    assert form.text == wanted.body


@pytest.mark.parametrize(
    "text",
    [
        'RUN "<<EOF"',
        "RUN '<<EOF'",
        "RUN cat <<<EOF",
        "RUN a<<EOF",
        "RUN cat <",
        "RUN cat <<",
        "RUN cat <<-",
        'RUN ["<<EOF"]',
        "CMD <<EOF",
        "USER <<EOF",
    ],
)
def test_what_opens_no_heredoc(text: str) -> None:
    node = one(text)
    if isinstance(node, nodes.Run) and isinstance(node.command, nodes.ShellForm):
        assert node.command == nodes.ShellForm(text.removeprefix("RUN "))


def test_bash_modifiers_do_not_hide_a_heredoc() -> None:
    assert shell('RUN : "${x:=1}" ${y:0:3} && cat <<EOF\na\nEOF').text == ': "${x:=1}" ${y:0:3} && cat <<EOF\na\nEOF'


def test_heredoc_of_run_alone_is_the_script() -> None:
    assert shell("RUN --network=none <<EOF\necho $a\nEOF") == nodes.ShellForm(
        "echo $a\n", (nodes.Heredoc("EOF", "echo $a\n", True, False, None, Span(2, 20, 2, 25), "echo $a\n"),)
    )


def test_heredoc_of_run_with_a_shebang_is_a_file() -> None:
    form = shell("RUN <<EOF\n#!/usr/bin/python3\nprint(1)\nEOF")
    assert (form.text, form.script) == ("/dev/pipes/EOF", True)
    assert form.heredocs[0].body == "#!/usr/bin/python3\nprint(1)\n"


def test_heredocs_of_run_with_text_are_put_together_again() -> None:
    form = shell("RUN cat <<A > /x && \\\n  cat <<-'B' > /y\n#!one\nA\n\ttwo\n\tB")
    assert form.text == "cat <<A > /x &&   cat <<-'B' > /y\n#!one\nA\n\ttwo\nB"
    assert [heredoc.body for heredoc in form.heredocs] == ["#!one\n", "two\n"]
    assert not form.script


def test_heredocs_of_copy_are_sources_beside_others() -> None:
    node = one("COPY --chmod=755 <<X y <<'Y Z' /dest/\nY\nX\n1\nY Z")
    assert isinstance(node, nodes.Copy)
    assert [(heredoc.name, heredoc.body, heredoc.expand) for heredoc in node.heredocs] == [("X", "Y\n", True), ("Y Z", "1\n", False)]
    assert (texts(node.sources), node.destination.text) == (["y"], "/dest/")
    add = one("ADD <<x.txt /a\nhi\nx.txt")
    assert isinstance(add, nodes.Add)
    assert add.heredocs[0].name == "x.txt"


def test_lines_go_on_behind_a_heredoc() -> None:
    node, after = instructions("RUN <<EOF\na\nEOF\nUSER x")
    assert node.span == Span(2, 1, 4, 4)
    assert after.span == Span(5, 1, 5, 7)


def test_a_heredoc_that_an_open_quote_hides_is_warned_of() -> None:
    parsed = parse(b"FROM a\nRUN echo it's <<EOF\nUSER x\n")
    assert [(warning.code, warning.span) for warning in parsed.warnings] == [("unread-heredoc", Span(2, 15, 2, 20))]


def test_a_flag_with_an_empty_value_is_no_flag() -> None:
    copy, add, begin = instructions("COPY --from= --chown= a b\nADD --checksum= --chmod= a b\nFROM --platform= a")
    assert isinstance(copy, nodes.Copy)
    assert isinstance(add, nodes.Add)
    assert isinstance(begin, nodes.From)
    assert (copy.from_, copy.chown, add.checksum, add.chmod, begin.platform) == (None,) * 5


# ONBUILD


def test_onbuild_keeps_its_text_and_is_checked() -> None:
    node = one("ONBUILD   COPY --from=a \\\n  b /c ")
    assert isinstance(node, nodes.Onbuild)
    assert node.trigger == "COPY --from=a   b /c "
    assert isinstance(node.parsed, nodes.Copy)
    assert node.parsed.destination.span == Span(3, 5, 3, 7)


def test_a_trigger_that_cannot_be_run_is_kept_and_warned_of() -> None:
    """BuildKit keeps the text unread; only a child's build fails."""
    parsed = parse(b'FROM a\nONBUILD RUM x\nONBUILD ["a"]\nONBUILD COPY \\\n  --frm=x a b\n')
    assert [node.trigger for node in parsed.instructions if isinstance(node, nodes.Onbuild)] == ["RUM x", '["a"]', "COPY   --frm=x a b"]
    assert [(one.code, one.span) for one in parsed.warnings] == [
        ("broken-trigger", Span(2, 9, 2, 12)), ("broken-trigger", Span(3, 9, 3, 14)), ("broken-trigger", Span(5, 3, 5, 10)),
    ]  # fmt: skip


def test_heredocs_inside_onbuild_round_trip() -> None:
    node = one("ONBUILD RUN cat <<-A <<'B' > /x\n\t1\n\tA\n$2\nB")
    assert isinstance(node, nodes.Onbuild)
    assert node.trigger == "RUN cat <<-A <<'B' > /x\n\t1\nA\n$2\nB"
    again = parse_trigger(node.trigger, "base image")
    assert isinstance(again, nodes.Run)
    assert isinstance(node.parsed, nodes.Run)
    assert isinstance(again.command, nodes.ShellForm)
    assert isinstance(node.parsed.command, nodes.ShellForm)
    assert again.command.text == node.parsed.command.text == "cat <<-A <<'B' > /x\n\t1\nA\n$2\nB"


@pytest.mark.parametrize("text", ["", "# x", "RUN a\nRUN b", "FROM a", "ONBUILD RUN a", "MAINTAINER a", "FOO", "COPY a"])
def test_triggers_that_cannot_be_run(text: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse_trigger(text, "base image")
    assert caught.value.source.name == "base image"


# Stages (1.1) and instructions (1.3)


@pytest.mark.parametrize("name", ["a", "A1", "build-env", "x_y.z"])
def test_stage_names(name: str) -> None:
    stage = parse(f"FROM scratch AS {name}".encode()).instructions[0]
    assert isinstance(stage, nodes.From)
    assert stage.alias is not None
    assert stage.alias.text == name


def test_healthcheck() -> None:
    full, none, loud, zero = instructions(
        "HEALTHCHECK --interval=1m30s --timeout=5s --start-period=1h --start-interval=500ms --retries=3 cmd curl -f x || exit 1\n"
        "HEALTHCHECK --interval=5s none\nHEALTHCHECK --interval= --retries= CMD a\nHEALTHCHECK --interval=0s --retries=0 CMD a"
    )
    assert isinstance(full, nodes.Healthcheck)
    assert full.command == nodes.ShellForm("curl -f x || exit 1")
    seconds = 1_000_000_000
    assert (full.interval, full.timeout, full.start_period, full.start_interval) == (
        90 * seconds,
        5 * seconds,
        3600 * seconds,
        seconds // 2,
    )
    assert full.retries == 3
    assert isinstance(none, nodes.Healthcheck)
    assert (none.command, none.interval) == (None, None)
    assert isinstance(loud, nodes.Healthcheck)
    assert (loud.interval, loud.retries) == (None, None)
    assert isinstance(zero, nodes.Healthcheck)
    assert (zero.interval, zero.retries) == (0, 0)
    assert parse_duration("1m30s") == 90 * seconds


def test_empty_cmd_and_entrypoint_are_accepted_as_buildkit_does() -> None:
    cmd, entrypoint, array = instructions("CMD\nENTRYPOINT\nCMD []")
    assert isinstance(cmd, nodes.Cmd)
    assert isinstance(entrypoint, nodes.Entrypoint)
    assert isinstance(array, nodes.Cmd)
    assert (cmd.command, entrypoint.command, array.command) == (nodes.ShellForm(""), nodes.ShellForm(""), nodes.ExecForm(()))


def test_shell() -> None:
    node = one('SHELL ["/bin/bash", "-c"]')
    assert isinstance(node, nodes.Shell)
    assert node.args == ("/bin/bash", "-c")


def test_instructions_know_their_text_and_place() -> None:
    node = one("  run a \\\n    b")
    assert node.text == "run a     b"
    assert node.span == Span(2, 3, 3, 6)
    assert node.keyword_span == Span(2, 3, 2, 6)


def test_a_parsed_file_can_be_kept_and_read_again() -> None:
    parsed = parse(
        b'# check=skip=a\nARG A=1\nFROM a AS b\nRUN <<E\nx\nE\nONBUILD COPY --from=b ["x", "y"]\nHEALTHCHECK NONE\nCMD a\nRUN b \\\n\n c'
    )
    packed = msgspec.msgpack.encode(parsed)
    assert msgspec.msgpack.decode(packed, type=nodes.Dockerfile) == parsed
