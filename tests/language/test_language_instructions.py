"""Reference 1.3, and where 1.2 applies: what each instruction does to config and history, a test a row."""

from __future__ import annotations

import pytest

from builder.errors import LayerwrightError
from builder.frontend.settings import ImageContext, LocalContext
from builder.graph.operations import CopyAction, ImageSource, MakeDirectory, RunAction, Scratch
from builder.oci.config import Health
from builder.oci.platform import Platform
from tests.language.planning import AMD64, PLAIN, RICH, Table, changed, config, failure, history, operation, plan

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


# -- FROM ---------------------------------------------------------------------------------------------------


def test_from_inherits_the_whole_config() -> None:
    made = plan("FROM rich")
    assert made.config.config == RICH
    assert made.config.author == "somebody"
    assert made.config.created is None


def test_from_appends_path_where_it_is_absent_also_to_scratch() -> None:
    assert config("FROM nopath").env == ("A=1", DEFAULT_PATH)
    assert config("FROM scratch").env == (DEFAULT_PATH,)
    assert config("FROM scratch").working_dir == "/"


def test_from_binds_to_a_stage_before_an_image() -> None:
    table = Table()
    made = plan("FROM base AS rich\nENV A=1\nFROM rich", table)
    assert table.asked == ["base"]
    assert made.config.config.env == ("PATH=/bin", "A=1")


def test_from_resolves_only_what_the_target_needs() -> None:
    table = Table()
    plan("FROM nosuch AS broken\nRUN x\nFROM rich AS other\nFROM base", table)
    assert table.asked == ["base"]


def test_from_a_stage_inherits_config_and_history_but_no_triggers() -> None:
    text = "FROM base AS one\nENV A=1\nONBUILD LABEL b=2\nFROM one\nLABEL c=3"
    assert config(text).labels == {"b": "2", "c": "3"}
    assert config(text).on_build is None
    assert history(text) == ["ENV A=1", "LABEL b=2", "LABEL c=3"]


@pytest.mark.parametrize(
    ("unneeded", "code"),
    [
        ("FROM Upper", "invalid-reference"),
        ("FROM $NONE", "blank-base"),
        ("FROM --platform=a/b/c/d base", "invalid-platform"),
        ("FROM base\nCOPY --from=9 a b", "bad-stage-index"),
        ("FROM base\nCOPY --from=In:va:lid a b", "invalid-reference"),
        ("FROM base AS u\nCOPY --from=u a b", "circular-stage"),
        ("FROM base AS t\nCOPY --from=u a b\nFROM t AS u", "circular-stage"),
        ("FROM base\nRUN --mount=type=foo true", "bad-mount"),
        ("FROM base\nRUN --mount=target=/x,from=$x true", "mount-from-variable"),
    ],
)
def test_from_and_sources_of_a_stage_that_is_not_needed_must_be_names(unneeded: str, code: str) -> None:
    assert failure(f"{unneeded}\nFROM base AS last") == code
    assert failure(f"FROM base AS first\n{unneeded}", target="first") == code


def test_a_stage_that_is_not_needed_may_be_wrong_otherwise() -> None:
    text = "FROM nosuch\nENV A=${x:?}\nCOPY --chmod=zz --from=last a b\nRUN --mount=type=cache,target=$x,mode=$y --mount=type=tmpfs true"
    table = Table()
    plan(f"{text}\nFROM base AS last", table)
    assert table.asked == ["base"]
    plan("FROM No:such AS u\nFROM base", contexts={"u": LocalContext()})


def test_from_with_variables_sees_global_arguments_only() -> None:
    table = Table()
    plan("ARG B=ba\nFROM ${B}se AS x\nARG C=base\nFROM rich", table, target="x")
    assert table.asked == ["base"]
    assert failure("FROM base\nARG C=base\nFROM $C") == "blank-base"


def test_from_platform_is_asked_of_the_resolver() -> None:
    assert str(plan("FROM --platform=linux/arm64 base").platform) == "linux/arm64"
    assert str(plan("FROM --platform=$BUILDPLATFORM base").platform) == "linux/amd64"
    assert failure("FROM --platform=$NOTHING base") == "blank-platform"


def test_from_an_unknown_image_suggests_a_stage() -> None:
    assert failure("FROM base AS build\nFROM biuld") == "unknown-stage"


def test_a_context_in_the_place_of_a_base() -> None:
    table = Table()
    made = plan("FROM base\nENV A=1", table, contexts={"base": ImageContext("rich")})
    assert table.asked == ["rich"]
    assert made.config.config.env == ("PATH=/bin", "FROM_BASE=base", "A=1")


@pytest.mark.parametrize(("given", "written"), [("base", "base:latest"), ("docker.io/library/base:latest", "base"), ("base:2", "base:2")])
def test_a_context_is_found_by_its_familiar_name(given: str, written: str) -> None:
    table = Table()
    plan(f"FROM {written}", table, contexts={given: ImageContext("rich")})
    assert table.asked == ["rich"]


def test_a_context_in_the_place_of_a_stage_replaces_its_instructions_too() -> None:
    text = "FROM nosuch AS build\nRUN make\nENV A=1\nFROM base\nCOPY --from=build /x /x"
    made = plan(text, contexts={"build": LocalContext()})
    assert not any(isinstance(vertex.operation, RunAction) for vertex in made.graph)
    assert config("FROM base AS one\nENV A=1\nFROM one", contexts={"one": ImageContext("rich")}) == RICH


def test_a_context_for_one_platform_only() -> None:
    table = Table()
    plan("FROM base", table, contexts={"base::linux/arm64": ImageContext("rich")})
    plan("FROM base", table, contexts={"base::linux/amd64": ImageContext("rich")})
    assert table.asked == ["base", "rich"]


# -- ARG and ENV ----------------------------------------------------------------------------------------------


def test_arg_value_comes_from_the_command_line_then_the_stage_then_the_global() -> None:
    text = "ARG A=global\nFROM base\nARG A{}\nLABEL v=$A"
    assert config(text.format("=stage"), build_args={"A": "cli"}).labels == {"v": "cli"}
    assert config(text.format("=stage")).labels == {"v": "stage"}
    assert config(text.format("")).labels == {"v": "global"}
    assert config("ARG A=global\nFROM base\nLABEL v=$A").labels == {"v": ""}


def test_arg_without_a_value_is_unset_not_empty() -> None:
    assert config("FROM base\nARG A\nLABEL v=${A-unset}").labels == {"v": "unset"}
    assert config("FROM base\nARG A=\nLABEL v=${A-unset}").labels == {"v": ""}


def test_arg_is_inherited_by_stages_from_this_one_only() -> None:
    assert config("FROM base AS a\nARG A=1\nFROM a\nLABEL v=$A").labels == {"v": "1"}
    assert config("FROM base AS a\nARG A=1\nFROM base\nLABEL v=$A").labels == {"v": ""}


def test_arg_goes_to_the_environment_of_run_and_never_to_the_config() -> None:
    made = plan("FROM base\nARG A=1\nARG B\nRUN x")
    run = made.graph.vertices[made.target].operation
    assert isinstance(run, RunAction)
    assert run.env == (("PATH", "/bin"), ("A", "1"))
    assert made.config.config.env == ("PATH=/bin",)


def test_arg_of_several_sees_its_own_earlier_items() -> None:
    assert config('FROM base\nARG A=1 B=$A C="x y"\nLABEL v=$B$C').labels == {"v": "1x y"}


def test_arg_history_shows_values_in_force_and_run_all_of_them_once() -> None:
    text = "FROM base\nARG Z=0 N\nARG A=1\nRUN one\nARG A=2\nENV Z=9\nRUN two"
    assert history(text, build_args={"A": "cli"}) == [
        "ARG Z=0 N",
        "ARG A=cli",
        "RUN |3 Z=0 N= A=cli /bin/sh -c one # buildkit [layer]",
        "ARG A=cli",
        "ENV Z=9",
        "RUN |3 Z=9 N= A=cli /bin/sh -c two # buildkit [layer]",
    ]


def test_arg_default_is_not_expanded_where_another_value_is_in_force() -> None:
    assert config("FROM base\nARG A=${B:?unset}\nLABEL v=$A", build_args={"A": "cli"}).labels == {"v": "cli"}
    assert failure("FROM base\nARG A=${B:?unset}") == "bad-expansion"


def test_arg_vs_env_the_last_one_wins() -> None:
    text = "FROM base\nENV A=env\nARG A=arg\nLABEL v=$A\nRUN x"
    made = plan(text)
    run = made.graph.vertices[made.target].operation
    assert isinstance(run, RunAction)
    assert dict(run.env)["A"] == "arg"
    assert made.config.config.env == ("PATH=/bin", "A=env")
    assert made.config.config.labels == {"v": "arg"}
    assert config("FROM base\nARG A=arg\nENV A=env\nLABEL v=$A").labels == {"v": "env"}


def test_env_replaces_in_place_and_appends() -> None:
    assert config("FROM rich\nENV NEW=1 FROM_BASE=2\nENV NEW=3").env == ("PATH=/bin", "FROM_BASE=2", "NEW=3")
    assert history("FROM base\nENV a=1 b='2 3'\nENV c d  e") == ["ENV a=1 b=2 3", "ENV c=d  e"]


def test_env_leaves_what_a_base_has_twice_or_without_a_value() -> None:
    assert config("FROM oddenv\nENV Q=$A").env == ("PATH=/bin", "A=1", "A=2", "BARE", "Z=z", "Q=2")
    assert config("FROM oddenv\nENV A=3 BARE=b N=n").env == ("PATH=/bin", "A=3", "A=2", "BARE=b", "Z=z", "N=n")


def test_timing_an_instruction_sees_what_was_before_it() -> None:
    assert config("FROM base\nENV a=1\nENV a=2 b=$a\nLABEL v=$b$a").labels == {"v": "12"}


# -- metadata ---------------------------------------------------------------------------------------------------


def test_label_expands_keys_and_values_and_the_later_wins() -> None:
    text = "FROM rich\nARG K=key\nLABEL $K=a base=no\nLABEL $K='$K' d=\"e f\""
    assert config(text).labels == {"base": "no", "key": "$K", "d": "e f"}
    assert history(text)[1:] == ["LABEL key=a base=no", "LABEL key=$K d=e f"]


def test_label_of_the_command_line_comes_last_unexpanded_and_without_history() -> None:
    assert config("FROM base\nLABEL a=1", labels={"a": "$2", "b": "3"}).labels == {"a": "$2", "b": "3"}
    assert history("FROM base\nLABEL a=1", labels={"b": "3"}) == ["LABEL a=1"]


def test_run_shell_and_exec_form() -> None:
    assert history('FROM base\nRUN echo  $A\nRUN ["a b", "$c"]') == [
        "RUN /bin/sh -c echo  $A # buildkit [layer]",
        "RUN a b $c # buildkit [layer]",
    ]
    run = operation("FROM rich\nENV X=1\nRUN a")
    assert isinstance(run, RunAction)
    assert (run.argv, run.cwd, run.user) == (("/bin/ash", "-c", "a"), "/work", "app")
    assert failure("FROM base\nRUN []") == "missing-arguments"


def test_run_flags_network_and_security() -> None:
    run = operation("FROM base\nRUN --network=none --security=sandbox x")
    assert isinstance(run, RunAction)
    assert (run.network, run.insecure) == ("none", False)
    assert failure("FROM base\nRUN --network=host x") == "not-allowed"
    assert failure("FROM base\nRUN --security=insecure x") == "not-allowed"
    assert failure("FROM base\nRUN --network=bridge x") == "bad-network"
    allowed = operation("FROM base\nRUN --security=insecure --network=host x", allow=("network.host", "security.insecure"))
    assert isinstance(allowed, RunAction)
    assert (allowed.network, allowed.insecure) == ("host", True)


def test_workdir_joins_and_keeps_a_trailing_slash() -> None:
    assert config("FROM base\nWORKDIR a").working_dir == "/a"
    assert config("FROM base\nWORKDIR /a\nWORKDIR b/../c").working_dir == "/a/c"
    assert config("FROM base\nWORKDIR /bin/").working_dir == "/bin/"
    assert config("FROM base\nENV D=/x\nWORKDIR $D/y").working_dir == "/x/y"
    assert config("FROM base\nWORKDIR /a\nWORKDIR $NONE").working_dir == "/a"
    assert history("FROM base\nWORKDIR /\nWORKDIR x") == ["WORKDIR /", "WORKDIR /x [layer]"]
    made = operation("FROM base\nUSER 5:6\nWORKDIR /x")
    assert made == MakeDirectory("/x", "5:6")


def test_user_is_stored_verbatim() -> None:
    assert config("FROM base\nARG U=me\nUSER $U:grp").user == "me:grp"
    assert history("FROM base\nUSER 5") == ["USER 5"]


def test_cmd_last_wins_and_quotes_its_history() -> None:
    text = 'FROM base\nCMD a "b"\nCMD ["x", "y z", "\\"q\\""]'
    assert config(text) == changed(PLAIN, cmd=("x", "y z", '"q"'), args_escaped=True)
    assert history(text) == ['CMD ["/bin/sh" "-c" "a \\"b\\""]', 'CMD ["x" "y z" "\\"q\\""]']
    assert config("FROM base\nCMD []") == changed(PLAIN, cmd=None, args_escaped=True)
    assert history("FROM base\nCMD []") == ["CMD []"]


def test_entrypoint_resets_an_inherited_cmd_unless_this_stage_sets_one() -> None:
    assert config('FROM rich\nENTRYPOINT ["x"]').cmd is None
    assert config('FROM rich\nCMD ["c"]\nENTRYPOINT ["x"]').cmd == ("c",)
    assert config('FROM rich\nENTRYPOINT ["x"]\nCMD ["c"]').cmd == ("c",)
    assert config('FROM base AS a\nCMD ["c"]\nFROM a\nENTRYPOINT ["x"]').cmd is None
    assert history('FROM base\nENTRYPOINT ["x", "y"]\nENTRYPOINT z') == ['ENTRYPOINT ["x" "y"]', 'ENTRYPOINT ["/bin/sh" "-c" "z"]']


def test_expose_sorts_spreads_and_lower_cases() -> None:
    text = "FROM rich\nEXPOSE 8000 53/UDP 90-92"
    assert config(text).exposed_ports == {f"{port}": {} for port in ("80/tcp", "8000/tcp", "53/udp", "90/tcp", "91/tcp", "92/tcp")}
    assert history(text) == ["EXPOSE [53/udp 8000/tcp 90/tcp 91/tcp 92/tcp]"]


def test_expose_sorts_as_written_and_a_variable_may_be_several_ports() -> None:
    assert history('FROM base\nENV P="9001 9000/udp"\nEXPOSE 80 $P')[1] == "EXPOSE [9001/tcp 9000/udp 80/tcp]"


def test_expose_with_an_address_keeps_the_container_port() -> None:
    assert history("FROM base\nEXPOSE 127.0.0.1:80:8080 [::1]:81:8081 82:8082/sctp") == ["EXPOSE [8080/tcp 8082/sctp 8081/tcp]"]


@pytest.mark.parametrize("port", ["80/icmp", "65536", "x", "5-3", "1-2-3", "-1", "1.2.3:80:80"])
def test_expose_refuses(port: str) -> None:
    assert failure(f"FROM base\nEXPOSE {port}") == "bad-port"


def test_volume_adds() -> None:
    assert config('FROM rich\nVOLUME /a "$X/b"\nVOLUME ["/c d"]').volumes == {"/vol": {}, "/a": {}, "/b": {}, "/c d": {}}
    assert history("FROM base\nVOLUME /v1 /v2") == ["VOLUME [/v1 /v2]"]
    assert failure("FROM base\nVOLUME $NOTHING") == "empty-volume"


def test_stopsignal_is_checked_and_stored_verbatim() -> None:
    for name in ("SIGTERM", "term", "9", "SIGRTMIN+3"):
        assert config(f"FROM base\nSTOPSIGNAL {name}").stop_signal == name
    assert failure("FROM base\nSTOPSIGNAL SIGFOO") == "invalid-signal"


def test_shell_holds_for_the_shell_forms_that_follow() -> None:
    text = 'FROM base\nCMD a\nSHELL ["/bin/bash", "-ec"]\nRUN b\nENTRYPOINT c\nHEALTHCHECK CMD d'
    assert config(text).shell == ("/bin/bash", "-ec")
    assert config(text).entrypoint == ("/bin/bash", "-ec", "c")
    assert config(text).cmd == ("/bin/sh", "-c", "a")
    assert config(text).healthcheck == Health(("CMD-SHELL", "d"))
    assert history(text)[1:3] == ["SHELL [/bin/bash -ec]", "RUN /bin/bash -ec b # buildkit [layer]"]
    assert failure("FROM base\nSHELL /bin/sh -c") == "bad-arguments"


def test_healthcheck_replaces_the_whole() -> None:
    text = "FROM rich\nHEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=1h --start-interval=100ms --retries=4 CMD a b"
    assert config(text).healthcheck == Health(("CMD-SHELL", "a b"), 90 * 10**9, 15 * 10**8, 3600 * 10**9, 10**8, 4)
    assert history(text) == [
        "HEALTHCHECK {Test:[CMD-SHELL a b] Interval:1m30s Timeout:1.5s StartPeriod:1h0m0s StartInterval:100ms Retries:4}"
    ]
    assert config('FROM rich\nHEALTHCHECK CMD ["a"]').healthcheck == Health(("CMD", "a"))
    assert config("FROM rich\nHEALTHCHECK NONE").healthcheck == Health(("NONE",))
    assert history("FROM rich\nHEALTHCHECK NONE") == [
        "HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}"
    ]


def test_onbuild_is_stored_without_history() -> None:
    text = "FROM base\nONBUILD RUN  a\nonbuild copy . /x\nONBUILD ENV A=$B"
    assert config(text).on_build == ("RUN  a", "copy . /x", "ENV A=$B")
    assert history(text) == []


def test_onbuild_of_an_image_runs_right_after_from_and_is_cleared() -> None:
    text = "ARG FROM_CHILD=g\nFROM trigger\nENV AFTER=1"
    assert config(text).on_build is None
    assert history(text) == ["ENV TRIGGERED=", "RUN /bin/sh -c triggered # buildkit [layer]", "ENV AFTER=1"]


def test_onbuild_triggers_may_need_stages() -> None:
    text = "FROM base AS lib\nRUN lib\nFROM base AS parent\nONBUILD COPY --from=lib /l /l\nFROM parent"
    assert history(text) == ["COPY /l /l # buildkit [layer]"]


def test_onbuild_errors_name_the_trigger() -> None:
    assert failure("FROM base AS p\nONBUILD COPY --from=$x a b\nFROM p") == "from-variable"


def test_maintainer_is_the_author() -> None:
    assert plan("FROM rich\nMAINTAINER me $X").config.author == "me $X"
    assert history("FROM base\nMAINTAINER me") == ["MAINTAINER me"]


def test_config_extras_come_from_the_base() -> None:
    made = plan("FROM --platform=linux/arm64 base").config
    assert (made.architecture, made.os) == ("arm64", "linux")


def test_config_is_of_the_platform_that_was_asked_for_whatever_the_base_is() -> None:
    arm = Platform("arm64", "linux")
    made = plan("FROM --platform=$BUILDPLATFORM base\nCOPY a b", platform=arm, platform_given=True)
    assert (made.config.architecture, made.platform) == ("arm64", arm)
    made = plan("FROM --platform=$BUILDPLATFORM base\nCOPY a b", platform=arm)
    assert (made.config.architecture, made.platform) == ("amd64", AMD64)
    assert plan("FROM --platform=linux/s390x scratch\nCOPY a b").config.architecture == "amd64"


# -- COPY and ADD: what stands in history ---------------------------------------------------------------------------


def test_history_of_copy_shows_parents_chown_and_chmod_and_nothing_else() -> None:
    text = "FROM base AS s\nFROM base\nARG A=a\nCOPY --link --from=s --chown=1:$A --exclude=*.md --parents --chmod=644 $A b/ ./c"
    assert history(text)[1] == "COPY --parents --chown=1:a --chmod=644 a b/ ./c # buildkit [layer]"
    assert history("FROM base\nADD --unpack=false --chown=5 x y /z/") == ["ADD --chown=5 x y /z/ # buildkit [layer]"]
    assert history("FROM base\nCOPY a <<EOF <<B /h\nx\nEOF\ny\nB\n") == ["COPY a <<EOF <<B /h # buildkit [layer]"]


@pytest.mark.parametrize(
    ("workdir", "written", "destination"),
    [
        ("/w", "a", "/w/a"), ("/w", "a/", "/w/a/"), ("/w", ".", "/w/"), ("/w", "./", "/w/"), ("/w", "..", "/"), ("/w/v", "../x", "/w/x"),
        ("/w", "/x/../y", "/y"), ("/w", "/x/", "/x/"), ("/w", "/x/.", "/x/"), ("/", ".", "/"), ("/w", '""', "/w/"),
    ],
)  # fmt: skip
def test_destination_is_joined_to_the_workdir(workdir: str, written: str, destination: str) -> None:
    action = operation(f"FROM base\nWORKDIR {workdir}\nCOPY a {written}")
    assert isinstance(action, CopyAction)
    assert action.destination == destination


# -- references to stages -----------------------------------------------------------------------------------------------


def test_copy_from_by_name_number_and_image() -> None:
    made = plan("FROM base AS One\nRUN x\nFROM scratch\nCOPY --from=ONE /x /\nCOPY --from=0 /y /\nCOPY --from=rich /z /")
    kinds = [type(vertex.operation) for vertex in made.graph]
    assert kinds.count(RunAction) == 1
    assert kinds.count(ImageSource) == 2
    assert Scratch in kinds


def test_copy_from_refuses() -> None:
    assert failure("FROM base\nCOPY --from=3 a b") == "bad-stage-index"
    assert failure("FROM base AS a\nCOPY --from=a x y") == "circular-stage"
    assert failure("FROM base AS a\nCOPY --from=b x y\nFROM base AS b\nFROM a") == "later-stage"
    assert failure("FROM base\nCOPY --from=$X a b") == "from-variable"
    assert failure("FROM base AS build\nFROM base\nCOPY --from=biuld a b") == "unknown-stage"


@pytest.mark.parametrize("line", ["COPY --from=a x y", "COPY --from=0 --link x y", "RUN --mount=from=a,target=/m x"])
def test_a_stage_that_needs_itself_is_shown_where_it_says_so(line: str) -> None:
    with pytest.raises(LayerwrightError) as caught:
        plan(f"FROM base AS a\n{line}")
    assert caught.value.code == "circular-stage"
    assert caught.value.span is not None
    assert (caught.value.span.line, caught.value.span.column) == (2, line.index("=") + 2)


def test_circular_stages_through_copy_are_found() -> None:
    assert failure("FROM base AS a\nCOPY --from=b x y\nFROM a AS b\nFROM b") in ("later-stage", "circular-stage")


def test_later_stage_is_not_checked_where_it_is_not_reached() -> None:
    assert history("FROM base AS a\nCOPY --from=b x y\nFROM base AS b\nENV X=1") == ["ENV X=1"]


def test_duplicate_stage_names_bind_as_buildkit_does() -> None:
    text = "FROM base AS x\nENV N=1\nFROM x AS x\nENV M=$N\nFROM base\nCOPY --from=x a b"
    assert history(text, target="x") == ["ENV N=1", "ENV M=1"]


def test_target_takes_a_name_in_any_case_and_an_index() -> None:
    text = "FROM base AS one\nENV A=1\nFROM base AS two\nENV B=2"
    assert history(text, target="ONE") == history(text, target="0") == ["ENV A=1"]
    assert failure(text, target="three") == "unknown-target"


# -- predefined arguments (1.8) --------------------------------------------------------------------------------------------


def test_platform_arguments_are_global_and_must_be_declared() -> None:
    text = "FROM base AS b\nLABEL a=$TARGETARCH\nARG TARGETARCH TARGETPLATFORM BUILDOS TARGETVARIANT TARGETSTAGE\n"
    text += "LABEL b=$TARGETARCH c=$TARGETPLATFORM d=$BUILDOS e=[$TARGETVARIANT] f=$TARGETSTAGE"
    wanted = {"a": "", "b": "amd64", "c": "linux/amd64", "d": "linux", "e": "[]"}
    assert config(text).labels == {**wanted, "f": "default"}
    assert config(text, target="b").labels == {**wanted, "f": "b"}
    assert (config(text, build_args={"TARGETARCH": "mine"}).labels or {})["b"] == "mine"


def test_scan_switches_reach_no_run() -> None:
    run = operation("FROM base\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN x")
    assert isinstance(run, RunAction)
    assert "BUILDKIT_SBOM_SCAN_STAGE" not in dict(run.env)


def test_sandbox_hostname_can_be_given() -> None:
    run = operation("FROM base\nRUN x", build_args={"BUILDKIT_SANDBOX_HOSTNAME": "mine"})
    assert isinstance(run, RunAction)
    assert run.hostname == "mine"


def test_proxies_stand_in_no_key_and_no_history() -> None:
    given = {"HTTP_PROXY": "http://p", "no_proxy": "x"}
    assert operation("FROM base\nRUN x", build_args=given) == operation("FROM base\nRUN x")
    assert history("FROM base\nRUN x", build_args=given) == history("FROM base\nRUN x")
    assert history("FROM base\nARG HTTP_PROXY\nRUN x", build_args=given)[1] == "RUN |1 HTTP_PROXY=http://p /bin/sh -c x # buildkit [layer]"


def test_removed_arguments_are_refused() -> None:
    assert failure("FROM base", build_args={"BUILDKIT_DISABLE_FILEOP": "1"}) == "removed-argument"
    assert history("FROM base\nENV A=1", build_args={"BUILDKIT_DISABLE_FILEOP": "0"}) == ["ENV A=1"]


def test_arguments_of_the_builder_change_no_image() -> None:
    given = {"BUILDKIT_SYNTAX": "docker/dockerfile:1", "BUILDKIT_BUILD_NAME": "x", "BUILDKIT_INLINE_CACHE": "1"}
    assert operation("FROM base\nRUN a", build_args=given) == operation("FROM base\nRUN a")
