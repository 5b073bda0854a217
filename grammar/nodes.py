"""The typed tree of a Dockerfile: one frozen node an instruction, words still unexpanded.

Not here: variable values, stage scopes, base images. Those are the frontend's; and `from __future__ import
annotations`: msgspec compiles each annotation that is a text anew in every process that decodes the type, which
was 6 ms of a build of which nothing had changed. The same holds for the other modules without it.
"""

import msgspec

from grammar.diagnostics import Diagnostic
from grammar.source import Source, Span


class Word(msgspec.Struct, frozen=True):
    """A word as written, quotes and variables untouched."""

    text: str
    span: Span


class Pair(msgspec.Struct, frozen=True):
    """`key=value` as written; `legacy` marks the `KEY value` form. ARG without a default has value None."""

    key: Word
    value: Word | None
    legacy: bool = False


class Heredoc(msgspec.Struct, frozen=True):
    """A here-document: `expand` is False when the delimiter was quoted; the body has its TABs stripped for `<<-`.

    `raw` is the body as it stands in the file; `span` is the `<<NAME` word.
    """

    name: str
    body: str
    expand: bool
    strip_tabs: bool
    fd: int | None
    span: Span
    raw: str = ""


class ShellForm(msgspec.Struct, frozen=True, tag="shell"):
    """A command as one string for the shell: `text` is exactly what goes behind `sh -c`.

    - without here-documents: the command, continuations joined, comment lines gone;
    - `RUN cat <<A > /x`: the command, and below it each raw body and its terminator, for the shell to read;
    - `RUN <<EOF` alone: the body;
    - `RUN <<EOF` alone, body beginning `#!`: `script` is True and `text` is `/dev/pipes/EOF`; there `heredocs[0].body`
      is to be mounted, read-only, mode 0755.
    No variable in it is for the builder to expand. An empty CMD or ENTRYPOINT has the text "".
    """

    text: str
    heredocs: tuple[Heredoc, ...] = ()
    script: bool = False


class ExecForm(msgspec.Struct, frozen=True, tag="exec"):
    """A command as a JSON array."""

    args: tuple[str, ...]


Command = ShellForm | ExecForm


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """What every instruction has.

    `keyword` as the author cased it; `text` the logical line after joining, for messages and history;
    `comments` the comment lines right above (without `#`), nearest last: descriptions and `check=` live there.
    """

    keyword: str
    span: Span
    keyword_span: Span
    text: str
    comments: tuple[Word, ...] = ()


class From(Instruction, frozen=True, tag=True):
    image: Word
    platform: Word | None = None
    alias: Word | None = None
    as_keyword: Word | None = None


class Arg(Instruction, frozen=True, tag=True):
    pairs: tuple[Pair, ...]


class Env(Instruction, frozen=True, tag=True):
    pairs: tuple[Pair, ...]


class Label(Instruction, frozen=True, tag=True):
    pairs: tuple[Pair, ...]


class Run(Instruction, frozen=True, tag=True):
    """`mounts` are the raw values of --mount; the frontend expands them and hands them to flags.parse_mount."""

    command: Command
    mounts: tuple[Word, ...] = ()
    network: Word | None = None
    security: Word | None = None
    devices: tuple[Word, ...] = ()


class Transfer(Instruction, frozen=True):
    """What COPY and ADD share; here-documents are sources too, in `heredocs`, and their `<<X` words are not in `sources`."""

    sources: tuple[Word, ...]
    destination: Word
    heredocs: tuple[Heredoc, ...] = ()
    json_form: bool = False
    chown: Word | None = None
    chmod: Word | None = None
    link: bool = False
    excludes: tuple[Word, ...] = ()


class Copy(Transfer, frozen=True, tag=True):
    from_: Word | None = None
    parents: bool = False


class Add(Transfer, frozen=True, tag=True):
    checksum: Word | None = None
    keep_git_dir: bool | None = None
    unpack: bool | None = None


class Cmd(Instruction, frozen=True, tag=True):
    command: Command


class Entrypoint(Instruction, frozen=True, tag=True):
    command: Command


class Healthcheck(Instruction, frozen=True, tag=True):
    """`command` None is HEALTHCHECK NONE; durations are Go durations in nanoseconds, None where not given."""

    command: Command | None
    interval: int | None = None
    timeout: int | None = None
    start_period: int | None = None
    start_interval: int | None = None
    retries: int | None = None


class Expose(Instruction, frozen=True, tag=True):
    ports: tuple[Word, ...]


class Volume(Instruction, frozen=True, tag=True):
    paths: tuple[Word, ...]
    json_form: bool = False


class User(Instruction, frozen=True, tag=True):
    user: Word


class Workdir(Instruction, frozen=True, tag=True):
    path: Word


class Stopsignal(Instruction, frozen=True, tag=True):
    signal: Word


class Shell(Instruction, frozen=True, tag=True):
    args: tuple[str, ...]


class Maintainer(Instruction, frozen=True, tag=True):
    name: Word


class Onbuild(Instruction, frozen=True, tag=True):
    """`trigger` is the text to run in a child image, exactly as it is stored in config.OnBuild; `parsed` None: it cannot be run."""

    trigger: str
    parsed: "AnyInstruction | None"


AnyInstruction = (
    From
    | Arg
    | Env
    | Label
    | Run
    | Copy
    | Add
    | Cmd
    | Entrypoint
    | Healthcheck
    | Expose
    | Volume
    | User
    | Workdir
    | Stopsignal
    | Shell
    | Maintainer
    | Onbuild
)


class Directives(msgspec.Struct, frozen=True):
    """The parser directives: `check` is the raw value, `syntax` is kept and never acted upon."""

    escape: str = "\\"
    syntax: str | None = None
    check: Word | None = None


class Dockerfile(msgspec.Struct, frozen=True):
    """A whole file; `warnings` are those only the text shows (blank lines in continuations, triggers that cannot be run)."""

    source: Source
    directives: Directives
    instructions: tuple[AnyInstruction, ...]
    warnings: tuple[Diagnostic, ...] = ()
