"""The options of `build` as data: click's command is made from it, and plain command lines are read with it."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["text", "texts", "flag", "number", "choice"]


class Option(NamedTuple):
    """One option; `key` is its name among the values, and `texts` may be repeated."""

    key: str
    names: tuple[str, ...]
    kind: Kind
    metavar: str | None
    help: str
    default: str | None = None
    choices: tuple[str, ...] = ()
    least: int | None = None

    @property
    def missing(self) -> str | bool | tuple[str, ...] | None:
        """The value where the option is not given."""
        return () if self.kind == "texts" else False if self.kind == "flag" else self.default


def _option(
    names: str,
    kind: Kind,
    metavar: str | None,
    help: str,
    key: str = "",
    default: str | None = None,
    choices: tuple[str, ...] = (),
    least: int | None = None,
) -> Option:
    spelled = tuple(names.split())
    return Option(key or spelled[-1][2:].replace("-", "_"), spelled, kind, metavar, help, default, choices, least)


def _text(names: str, metavar: str, help: str, key: str = "", default: str | None = None) -> Option:
    return _option(names, "text", metavar, help, key, default)


def _texts(names: str, metavar: str, help: str, key: str = "") -> Option:
    return _option(names, "texts", metavar, help, key)


def _flag(names: str, help: str) -> Option:
    return _option(names, "flag", None, help)


def _number(names: str, metavar: str | None, help: str, least: int | None = None) -> Option:
    return _option(names, "number", metavar, help, least=least)


def _choice(names: str, choices: tuple[str, ...], help: str, default: str | None = None) -> Option:
    return _option(names, "choice", None, help, default=default, choices=choices)


OPTIONS = (
    _text("-f --file", "FILE", "The Dockerfile (PATH/Dockerfile); - for standard input.", key="dockerfile"),
    _texts("-t --tag", "NAME", "A name for the image; may be repeated.", key="tags"),
    _text("--target", "STAGE", "The stage to build, by name or index."),
    _texts("--build-arg", "NAME[=VALUE]", "A value for an ARG; without = the environment's.", key="build_args"),
    _texts("--label", "NAME=VALUE", "A label of the image.", key="labels"),
    _texts("--annotation", "[TYPE:]KEY=VALUE", "An annotation of the manifest or index.", key="annotations"),
    _texts("--platform", "OS/ARCH", "The platform; several give an index.", key="platforms"),
    _texts(
        "--build-context", "NAME=VALUE", "A further context: a path, docker-image://, oci-layout://, a git or http URL.", key="contexts"
    ),
    _flag("--no-cache", "Run every step."),
    _texts("--no-cache-filter", "STAGE", "Run every step of these stages."),
    _flag("--pull", "Ask the registry for every base, whatever the store has."),
    _texts("--cache-from", "REF|type=…", "A cache to look in: registry (an image too) or local."),
    _texts("--cache-to", "REF|type=…", "Where results are put: registry, local or inline."),
    _flag("--cache-mounts", "Cache mounts too: every --cache-to gets cache-mounts=true."),
    _choice("--network", ("default", "none", "host"), "The network of RUN steps.", "default"),
    _texts("--add-host", "HOST:IP", "A line of /etc/hosts; host-gateway is the host.", key="hosts"),
    _text("--shm-size", "SIZE", "The size of /dev/shm (64m).", default="64m"),
    _texts("--ulimit", "NAME=SOFT[:HARD]", "A resource limit of RUN steps.", key="ulimits"),
    _text("-m --memory", "SIZE", "Memory of a RUN step."),
    _text("--memory-swap", "SIZE", "Memory and swap of a RUN step; -1 for no limit."),
    _number("-c --cpu-shares", None, "The weight of a RUN step."),
    _number("--cpu-period", None, "The period of --cpu-quota in microseconds."),
    _number("--cpu-quota", None, "Microseconds of cpu in a period."),
    _text("--cpuset-cpus", "LIST", "The processors of a RUN step, as 0-3,5."),
    _text("--cpuset-mems", "LIST", "The memory nodes of a RUN step."),
    _number("--pids-limit", None, "Processes of a RUN step."),
    _text("--cgroup-parent", "PATH", "The cgroup that steps are put below."),
    _texts("--allow", "ENTITLEMENT", "network.host or security.insecure."),
    _texts("--secret", "id=NAME[,src=FILE|env=VAR]", "A secret for RUN --mount=type=secret.", key="secrets"),
    _texts("--ssh", "default|ID[=SOCKET|KEY[,KEY]]", "An ssh agent for RUN --mount=type=ssh."),
    _texts("-o --output", "type=…,dest=…", "oci, docker, local, tar, registry or image; - for standard output.", key="outputs"),
    _flag("--push", "Push the image: -o type=registry."),
    _flag("--load", "Keep the image in the local store: -o type=image."),
    _text("--iidfile", "FILE", "Write the image's id to a file."),
    _text("--metadata-file", "FILE", "Write digests and names to a JSON file."),
    _choice("--progress", ("auto", "tty", "plain", "quiet", "rawjson", "none"), "How the build is shown (auto)."),
    _flag("-q --quiet", "Print the image's id and nothing else."),
    _flag("--strict", "Every warning is an error."),
    _flag("--check", "Check the Dockerfile and build nothing: --call check."),
    _text("--call", "METHOD[,format=json]", "build, check, outline or targets."),
    _texts("--resource", "NAME=VALUE", "memory, cpu-shares, pids-limit, …: as the options.", key="resource_list"),
    _text("--provenance", "false", "Attestations are not made: only false, or an attestation turned off."),
    _text("--sbom", "false", "As --provenance."),
    _texts("--attest", "type=…,disabled=true", "As --provenance."),
    _text("--builder", "NAME", "Accepted for scripts; there is one builder."),
    _flag("-D --debug", "Accepted for scripts."),
    _flag("--explain", "Afterwards tell of each step whether it was a hit, and for a miss what changed."),
    _text("--report", "FILE", "Write an HTML page about the build: graph, timeline, misses, layers, what would help."),
    _choice(
        "--on-fail",
        ("stop", "shell"),
        "shell: open one in the file system of a RUN that failed, with its environment, mounts and user.",
        "stop",
    ),
    _flag(
        "--verify-reproducible",
        "Build twice from cold, and write nothing unless both give the same; else tell the first difference, and what would mend it.",
    ),
    _flag("--dry-run", "Only tell what would be a hit and what would run, and why (JSON with --progress=rawjson)."),
    _number("--jobs", "N", "Steps at a time (the number of cores, at least 4).", least=1),
    _text("--root", "DIR", "The store."),
    _text("--store-size", "SIZE", "What the store may take of the disk, kept by removing what was longest not used."),
)
