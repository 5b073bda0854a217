"""Each rule with Dockerfiles that it fires on, at which lines, and others that it leaves alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from builder.errors import LayerwrightError
from builder.lint.check import lint
from builder.lint.facts import BaseFacts, LintFacts
from builder.lint.rule import Rule
from builder.lint.table import RULE_NAMES, RULES
from builder.oci.config import RunConfig
from builder.oci.platform import Platform
from grammar.parse import parse

S = "FROM scratch\n"
AMD = Platform("amd64", "linux")

# rule, Dockerfile, the lines it fires at
TABLE: list[tuple[str, str, list[int]]] = [
    ("StageNameCasing", "FROM scratch AS Build\nFROM scratch AS build2\n", [1]),
    ("StageNameCasing", "FROM scratch \\\n  AS Build\n", [1]),
    ("StageNameCasing", "FROM scratch AS build\n", []),
    ("FromAsCasing", "FROM scratch as a\n", [1]),
    ("FromAsCasing", "from scratch AS a\n", [1]),
    ("FromAsCasing", "From scratch as a\n", []),
    ("FromAsCasing", "FROM scratch AS a\nFROM scratch\n", []),
    ("NoEmptyContinuation", "FROM scratch\n# a comment\nCOPY a \\\n\n/b\n", [5]),
    ("NoEmptyContinuation", "FROM scratch\nRUN a \\\n\n\n && b \\\n\n && c\n", [7]),
    ("NoEmptyContinuation", "FROM scratch\nCOPY a \\\n# comment\n/b\n", []),
    ("ConsistentInstructionCasing", "From scratch as base\nFROM scratch AS base2\n", [1]),
    ("ConsistentInstructionCasing", "frOM scratch as base\nfrom scratch as base2\n", [1]),
    ("ConsistentInstructionCasing", "FROM scratch\ncopy a /a\nCOPY a /b\n", [2]),
    ("ConsistentInstructionCasing", "from scratch\nCOPY a /a\ncopy a /b\n", [2]),
    ("ConsistentInstructionCasing", "from scratch\nCOPY a /a\n", [1]),
    ("ConsistentInstructionCasing", "FROM scratch\ncopy a /a\ncopy a /b\ncopy a /c\n", [1]),
    ("ConsistentInstructionCasing", "from scratch\ncopy a /a\n", []),
    ("DuplicateStageName", "FROM scratch AS b\nFROM scratch AS B\nFROM scratch AS b\n", [2, 3]),
    ("DuplicateStageName", "FROM scratch AS b1\nFROM scratch AS b2\nFROM scratch\nFROM scratch\n", []),
    ("ReservedStageName", "FROM scratch AS scratch\nFROM scratch AS context\n", [1, 2]),
    ("ReservedStageName", "FROM scratch\nFROM scratch AS a\n", []),
    ("JSONArgsRecommended", S + "CMD run me\nENTRYPOINT run me\n", [2, 3]),
    ("JSONArgsRecommended", S + 'SHELL ["/bin/bash", "-c"]\nCMD run me\n', []),
    ("JSONArgsRecommended", 'FROM scratch AS a\nSHELL ["/bin/bash", "-c"]\nFROM a\nENTRYPOINT run me\n', []),
    ("JSONArgsRecommended", S + 'CMD ["run", "me"]\nHEALTHCHECK CMD run me\n', []),
    ("MaintainerDeprecated", S + "MAINTAINER me@example.org\n", [2]),
    ("MaintainerDeprecated", S + "LABEL org.opencontainers.image.authors=me\n", []),
    ("UndefinedArgInFrom", "ARG tag=1\nFROM debian:${tag}${version} AS b\n", [2]),
    ("UndefinedArgInFrom", "FROM --platform=$BULIDPLATFORM scratch\n", [1]),
    ("UndefinedArgInFrom", "ARG base\nFROM --platform=$BUILDPLATFORM ${base:-scratch}\n", []),
    ("WorkdirRelativePath", S + "WORKDIR app/\nWORKDIR more\n", [2]),
    ("WorkdirRelativePath", S + "WORKDIR /app\nWORKDIR more\n", []),
    ("WorkdirRelativePath", "FROM scratch AS a\nWORKDIR /app\nFROM a\nWORKDIR sub\n", []),
    ("WorkdirRelativePath", S + "ENV D=/app\nWORKDIR $D\n", []),
    ("UndefinedVar", S + "COPY $foo .\nARG foo=bar\nCOPY $foo .\n", [2]),
    ("UndefinedVar", S + "ARG foo\nCOPY Dockerfile${foo} .\n", []),
    ("UndefinedVar", "FROM scratch AS a\nARG foo=x\nENV bar=y\nFROM a\nCOPY $foo $bar/\n", []),
    ("UndefinedVar", "ARG foo=x\nFROM scratch\nCOPY $foo /\n", [3]),
    ("UndefinedVar", S + "ENV PATH=$PAHT:/x PATH2=$PATH\n", [2]),
    ("UndefinedVar", S + "ENV a=1 b=$a\n", [2]),
    ("UndefinedVar", S + "ARG a=1 b=$a\n", []),
    ("UndefinedVar", S + "RUN echo $nothing\nCMD echo $nothing\n", []),
    ("UndefinedVar", S + "RUN --mount=type=cache,target=/$nothing true\n", [2]),
    ("UndefinedVar", S + "COPY <<A <<'B' /\n$one\nA\n$two\nB\n", [2]),
    ("UndefinedVar", S + "LABEL a=$b\nUSER $c\nEXPOSE $d\nVOLUME $e\nSTOPSIGNAL $f\nADD x $g\n", [2, 3, 4, 5, 6, 7]),
    ("UndefinedVar", "FROM debian\nCOPY $JAVA_HOME /\n", []),
    (
        "MultipleInstructionsDisallowed",
        S + 'CMD ["a"]\nCMD ["b"]\nENTRYPOINT ["a"]\nHEALTHCHECK CMD a\nENTRYPOINT ["b"]\nHEALTHCHECK NONE\n',
        [2, 4, 5],
    ),
    ("MultipleInstructionsDisallowed", 'FROM scratch AS a\nCMD ["a"]\nFROM a\nCMD ["b"]\n', []),
    ("LegacyKeyValueFormat", S + "ENV key value\nLABEL key value\n", [2, 3]),
    ("LegacyKeyValueFormat", S + "ENV key=value\nLABEL key=value\nARG key\n", []),
    ("RedundantTargetPlatform", "FROM --platform=$TARGETPLATFORM scratch\nFROM --platform=${TARGETPLATFORM} scratch\n", [1, 2]),
    ("RedundantTargetPlatform", "FROM --platform=$BUILDPLATFORM scratch\n", []),
    (
        "SecretsUsedInArgOrEnv",
        S + "ARG SECRET_PASSPHRASE\nENV SUPER_Secret=foo\nENV password=a secret=b\nENV apikey=x sun=y\nENV git_key=\n",
        [2, 3, 4, 4, 5, 6],
    ),
    ("SecretsUsedInArgOrEnv", S + "ENV a=1 \\\n  token=2\n", [2]),
    ("SecretsUsedInArgOrEnv", "ARG API_TOKEN\nFROM scratch\n", [1]),
    ("SecretsUsedInArgOrEnv", S + "ENV KEYS=1 PUBLIC_KEY=2 TOKEN_FILE=3 AUTHOR=4 KEY_VERSION=5 PASSPHRASE=6\n", []),
    ("InvalidDefaultArgInFrom", "ARG VERSION\nFROM busybox:$VERSION\n", [2]),
    ("InvalidDefaultArgInFrom", "ARG IMAGE\nFROM $IMAGE\n", [2]),
    ("InvalidDefaultArgInFrom", 'ARG SFX="box:"\nFROM busy${SFX}\n', [2]),
    ("InvalidDefaultArgInFrom", "ARG VERSION=latest\nARG V\nFROM busybox:${VERSION}\nFROM busybox:stable${V}\n", []),
    ("FromPlatformFlagConstDisallowed", "FROM --platform=linux/amd64 scratch\n", [1]),
    (
        "FromPlatformFlagConstDisallowed",
        "FROM --platform=linux/amd64 scratch AS my_amd64_stage\nFROM --platform=linux/arm64 scratch AS linux\n",
        [],
    ),
    ("FromPlatformFlagConstDisallowed", "FROM --platform=$BUILDPLATFORM scratch\n", []),
    ("ExposeProtoCasing", S + "EXPOSE 80/TCP 81/udp 82/Tcp\n", [2, 2]),
    ("ExposeProtoCasing", S + "EXPOSE 80 81/udp\n", []),
    ("ExposeInvalidFormat", S + "EXPOSE 127.0.0.1:80:80 8080:80 81\n", [2, 2]),
    ("ExposeInvalidFormat", S + "EXPOSE 80 81-90/udp\n", []),
    ("InvalidDefinitionDescription", "# check=experimental=all\n# something\nARG foo\n# bar the base\nFROM scratch AS bar\n", [3]),
    (
        "InvalidDefinitionDescription",
        "# check=experimental=InvalidDefinitionDescription\n\n# foo it is\nARG foo\n\n# far away\n\nFROM scratch AS bar\n",
        [],
    ),
    ("InvalidDefinitionDescription", "# what\nARG foo\nFROM scratch\n", []),
    ("CopySeveralOntoFile", S + "COPY a b /dest\nADD a b c\nCOPY a <<X /y\nx\nX\n", [2, 3, 4]),
    ("CopySeveralOntoFile", S + "COPY a b /dest/\nCOPY a b .\nCOPY a /dest\nCOPY a b ./\nCOPY a b /\n", []),
    ("UnknownChownName", S + "COPY --chown=app a /a\n", [2]),
    ("UnknownChownName", S + "COPY --chown=10:10 a /a\nCOPY --chown=app b /b\n", []),
    ("UnknownChownName", "FROM debian\nCOPY --chown=app a /a\n", []),
    ("SecretFileCopied", S + "COPY .env id_rsa conf/server.p12 /x/\nCOPY --from=0 /id_rsa /\n", [2, 2, 2]),
    ("SecretFileCopied", S + "COPY environment id_rsa.pub .envrc ca.pem /x/\n", []),
    ("SecretValueInEnv", S + f"ENV A=ghp_{'a' * 36}\nLABEL b=https://me:hidden@example.org/\nARG c=AKIAABCDEFGHIJKLMNOP\n", [2, 3, 4]),
    ("SecretValueInEnv", S + "ENV A=https://example.org:8080/x B=$USER:pw@x C=ghp_short\n", []),
    ("ArgShadowsEnv", S + "ENV A=1\nARG A=2\n", [3]),
    ("ArgShadowsEnv", "FROM scratch AS x\nENV A=1\nFROM x\nARG A=2\n", [4]),
    ("ArgShadowsEnv", S + "ARG A=1\nENV A=2\nENV B=1\nARG B\n", []),
    ("BrokenJsonForm", S + "CMD ['a', 'b']\nRUN [\"a\", \"b\",]\nENTRYPOINT ['x']\nCOPY ['a', 'b']\nVOLUME ['/x']\n", [2, 3, 4, 5, 6]),
    ("BrokenJsonForm", S + 'RUN [ "$a" = "b" ]\nRUN [ -f x ] && [ -f y ]\nCMD ["a", "b"]\nCOPY a[1] b\n', []),
    ("CacheMountSplit", S + "RUN --mount=type=cache,id=a,target=/x true\nRUN --mount=type=cache,id=a,target=/y,uid=5 true\n", [3]),
    ("CacheMountSplit", S + "RUN --mount=type=cache,target=/x true\nRUN --mount=type=cache,target=/x,sharing=locked true\n", []),
    ("EntrypointDropsCmd", 'FROM scratch AS a\nCMD ["x"]\nFROM a\nENTRYPOINT ["y"]\n', [4]),
    ("EntrypointDropsCmd", 'FROM scratch AS a\nCMD ["x"]\nFROM a\nENTRYPOINT ["y"]\nCMD ["z"]\nFROM scratch\nENTRYPOINT ["y"]\n', []),
    ("CommentInArguments", S + "COPY a b / # no\nWORKDIR /x # no\nUSER me # no\n", [2, 3, 4]),
    ("CommentInArguments", S + "COPY a#b /\nRUN true # fine\nWORKDIR /#x\n", []),
    ("UnreadHeredoc", S + "RUN echo it's <<EOF\n", [2]),
    ("UnreadHeredoc", S + "RUN cat <<EOF\nit's\nEOF\nRUN echo it's\n", []),
    ("BrokenOnbuildTrigger", S + "ONBUILD RUM x\nONBUILD COPY a\nONBUILD COPY --frm=a b c\nONBUILD ENV\n", [2, 3, 4, 5]),
    ("BrokenOnbuildTrigger", S + "ONBUILD RUN x\nONBUILD STOPSIGNAL NONE\n", []),
    ("UnknownCheckName", "# check=skip=NoSuchRule,UndefinedVar\nFROM scratch\n# check=skip=StageNameCaseing\nRUN true\n", [1, 3]),
    ("UnknownCheckName", "# check=skip=all;experimental=all\nFROM scratch\n", []),
]


@pytest.mark.parametrize(("rule", "text", "lines"), TABLE, ids=[f"{rule}-{number}" for number, (rule, _, _) in enumerate(TABLE)])
def test_table(rule: str, text: str, lines: list[int]) -> None:
    report = lint(parse(text.encode()), LintFacts(platform=AMD))
    assert [warning.span.line for warning in report.warnings if warning.rule == rule] == lines


def fired(text: str, facts: LintFacts) -> list[tuple[str, int]]:
    return [(warning.rule, warning.span.line) for warning in lint(parse(text.encode()), facts).warnings]


FACTS: list[tuple[str, LintFacts, list[tuple[str, int]]]] = [
    ("FROM x\nCOPY $HOME_OF /\n", LintFacts(bases={0: BaseFacts(RunConfig(env=("HOME_OF=/x",)))}), []),
    ("FROM x\nCOPY $HOME_FO /\n", LintFacts(bases={0: BaseFacts(RunConfig(env=("HOME_OF=/x",)))}), [("UndefinedVar", 2)]),
    ("FROM x\nWORKDIR sub\n", LintFacts(bases={0: BaseFacts(RunConfig(working_dir="/app"))}), []),
    ("FROM x\nWORKDIR sub\n", LintFacts(bases={0: BaseFacts(RunConfig(working_dir="/"))}), [("WorkdirRelativePath", 2)]),
    ("FROM x\nCMD go\n", LintFacts(bases={0: BaseFacts(RunConfig(shell=("/bin/bash", "-c")))}), []),
    ('FROM x\nENTRYPOINT ["go"]\n', LintFacts(bases={0: BaseFacts(RunConfig(cmd=("sh",)))}), [("EntrypointDropsCmd", 2)]),
    ("FROM x\nCOPY --chown=wwwdata a /a\n", LintFacts(bases={0: BaseFacts(users=frozenset({"www-data"}))}), [("UnknownChownName", 2)]),
    ("FROM x\nRUN useradd app\nCOPY --chown=app a /a\n", LintFacts(bases={0: BaseFacts(users=frozenset({"root"}))}), []),
    ("FROM x\n", LintFacts(platform=AMD, bases={0: BaseFacts(platform=Platform("arm64", "linux"))}), [("InvalidBaseImagePlatform", 1)]),
    ("FROM x\n", LintFacts(platform=AMD, bases={0: BaseFacts(platform=AMD)}), []),
    (
        "FROM --platform=$BUILDPLATFORM x\n",
        LintFacts(platform=Platform("s390x", "linux"), bases={0: BaseFacts(platform=Platform("s390x", "linux"))}),
        [("InvalidBaseImagePlatform", 1)],
    ),
    (
        "FROM scratch\nCOPY ./node_modules ok https://x/node_modules /x/\nADD node_modules /y\n",
        LintFacts(ignored=lambda path: path == "node_modules"),
        [("CopyIgnoredFile", 2), ("CopyIgnoredFile", 3)],
    ),
    ("FROM scratch\nCOPY node_modules /x\n", LintFacts(ignored=lambda path: True, ignore_lines=("!x",)), []),
    ("FROM scratch AS a\nFROM scratch\nCOPY --from=a node_modules /x\n", LintFacts(ignored=lambda path: True), []),
    (
        "FROM scratch\nARG VERSION\n",
        LintFacts(build_args={"VERISON": "1", "HTTP_PROXY": "x", "TARGETARCH": "y"}),
        [("UndeclaredBuildArg", 1)],
    ),
    ("FROM scratch AS a\nCOPY $foo /\nFROM scratch\nCOPY $bar /\n", LintFacts(stages=frozenset({1})), [("UndefinedVar", 4)]),
    (
        "FROM scratch AS a\nENV TOKEN=x\nENV a b\nFROM scratch\nENV KEY=x\n",
        LintFacts(stages=frozenset({1})),
        [("SecretsUsedInArgOrEnv", 5)],
    ),
    ("FROM scratch\nENV A=1\nARG A\n", LintFacts(build_args={"A": "2"}), [("ArgShadowsEnv", 3)]),
]


@pytest.mark.parametrize(("text", "facts", "expected"), FACTS)
def test_rules_that_need_facts(text: str, facts: LintFacts, expected: list[tuple[str, int]]) -> None:
    assert fired(text, facts) == expected


def test_every_rule_is_in_the_tables() -> None:
    fire = {rule for rule, _, lines in TABLE if lines} | {rule for _, _, expected in FACTS for rule, _ in expected}
    quiet = {rule for rule, _, lines in TABLE if not lines}
    assert {rule.name for rule in RULES} - fire == set()
    assert {rule.name for rule in RULES} - quiet == {"InvalidBaseImagePlatform", "CopyIgnoredFile", "UndeclaredBuildArg"}
    assert len([rule for rule in RULES if not rule.own]) == 22
    assert [rule.name for rule in RULES if rule.experimental] == ["InvalidDefinitionDescription"]


OPTIONS = [
    ("# check=skip=all\nFROM scratch as base\ncopy a /a\n", {}, [], ()),
    ("# check=skip=ConsistentInstructionCasing\nFROM scratch as base\ncopy a /a\n", {}, ["FromAsCasing"], ()),
    ("# check=skip=ConsistentInstructionCasing,FromAsCasing;error=true\nFROM scratch as base\ncopy a /a\n", {}, [], ()),
    ("# check=skip=ConsistentInstructionCasing;error=true\nFROM scratch as base\ncopy a /a\n", {}, ["FromAsCasing"], ("FromAsCasing",)),
    ("# check=skip=all\nFROM scratch as base\n", {"BUILDKIT_DOCKERFILE_CHECK": "error=true"}, ["FromAsCasing"], ("FromAsCasing",)),
    ("# check=error=true\nFROM scratch\nCOPY a b /c\n", {}, ["CopySeveralOntoFile"], ()),
    ("# check=error=true\nFROM scratch as base\n", {"BUILDKIT_DOCKERFILE_CHECK": "skip=all"}, [], ()),
    (
        "# check=skip=all;experimental=InvalidDefinitionDescription\n# x\nARG foo\nFROM scratch as y\n",
        {},
        ["InvalidDefinitionDescription"],
        (),
    ),
    ("# check=skip=FromAsCasing\nFROM scratch as base\nFROM scratch as Base2\n", {}, ["StageNameCasing"], ()),
    ("FROM scratch\n# check=skip=FromAsCasing\nFROM scratch as a\nFROM scratch as b\n", {}, ["FromAsCasing"], ()),
    ("FROM scratch\n# check=error=true\nFROM scratch as a\nFROM scratch as b\n", {}, ["FromAsCasing", "FromAsCasing"], ("FromAsCasing",)),
]


@pytest.mark.parametrize(("text", "args", "rules", "errors"), OPTIONS)
def test_options(text: str, args: dict[str, str], rules: list[str], errors: tuple[str, ...]) -> None:
    report = lint(parse(text.encode()), LintFacts(build_args=args))
    assert ([warning.rule for warning in report.warnings], report.errors) == (rules, errors)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("skpi=all", "invalid check option `skpi=all`"),
        ("error=maybe", "true or false, not `maybe`"),
        ("skip", "invalid check option `skip`"),
    ],
)
def test_a_wrong_option_is_an_error_with_its_place(options: str, message: str) -> None:
    with pytest.raises(LayerwrightError, match=message) as caught:
        lint(parse(f"# check={options}\nFROM scratch\n".encode()))
    assert caught.value.span is not None
    assert caught.value.span.line == 1


PAGES = Path(__file__).resolve().parents[2] / "docs" / "checks"


def test_every_rule_has_a_page_and_every_page_a_rule() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == {*RULE_NAMES, "README"}
    assert all(f"({name}.md)" in (PAGES / "README.md").read_text() for name in RULE_NAMES)


@pytest.mark.parametrize("rule", RULES, ids=RULE_NAMES)
def test_the_examples_of_the_page_are_true(rule: Rule) -> None:
    page = (PAGES.parents[1] / rule.page).read_text()
    assert page.startswith(f"# {rule.name}\n")
    examples = re.findall(r"```dockerfile\n(.*?)```", page, re.DOTALL)
    reported = [any(name == rule.name for name, _ in fired(example, LintFacts())) for example in examples]
    assert reported == ([] if rule.name in ("InvalidBaseImagePlatform", "CopyIgnoredFile", "UndeclaredBuildArg") else [True, False])


def test_urls_are_dockers() -> None:
    urls = {rule.name: rule.url for rule in RULES}
    assert urls["JSONArgsRecommended"] == "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/"
    assert urls["SecretsUsedInArgOrEnv"] == "https://docs.docker.com/go/dockerfile/rule/secrets-used-in-arg-or-env/"
    assert urls["CopySeveralOntoFile"] == ""
