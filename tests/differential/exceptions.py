"""The differences that may be: each named, explained, and recognised by what it is, not by the case it shows in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.differential.compare import Difference


@dataclass(frozen=True)
class Exempt:
    """`why` it may differ; `covers` tells it; `asked`: only in cases that say `except: NAME`."""

    name: str
    why: str
    covers: Callable[[Difference], bool]
    asked: bool = False


def _starts(value: object, prefix: str | tuple[str, ...]) -> bool:
    return isinstance(value, str) and value.startswith(prefix)


def _without_flags(line: str) -> str:
    verb, _, rest = line.partition(" ")
    while rest.startswith(("--chown=", "--chmod=")):
        rest = rest.partition(" ")[2]
    return f"{verb} {rest}"


def _same_names(ours: object, theirs: object) -> bool:
    """Whether two ARG lines declare the same names."""
    return _starts(theirs, "ARG ") and str(ours).partition("=")[0] == str(theirs).partition("=")[0]


def _command(line: object) -> str:
    """A line of RUN without the arguments in front of its command."""
    text = str(line)
    return "RUN " + text[text.index("/bin/") :] if text.startswith("RUN |") and "/bin/" in text else text


def _is_mount_point(d: Difference) -> bool:
    """What 20.10 leaves of a mount in a RUN's layer: new directories (not runc's own), and new times on those of the sandbox."""
    if d.kind != "tree" or not (d.step == "" or d.step.startswith("RUN ")):
        return False
    if d.where.endswith(" exists"):
        return d.ours is None and d.theirs == "dir 755 0:0" and d.where not in ("dev exists", "proc exists", "sys exists")
    return d.where in ("etc mtime", "dev mtime", "proc mtime", "sys mtime", "run mtime", "var mtime")


EXCEPTIONS: tuple[Exempt, ...] = (
    Exempt(
        "workdir-that-exists",
        "design: a WORKDIR that exists adds no layer",
        lambda d: d.kind == "history" and d.where.startswith("empty_layer of WORKDIR ") and d.ours is True,
    ),
    Exempt(
        "history-of-copy-flags",
        "20.10 leaves --chown and --chmod out of the history of COPY and ADD; reference 1.5 history: they are shown",
        lambda d: d.kind == "history" and _starts(d.theirs, ("COPY ", "ADD ")) and _without_flags(d.ours) == d.theirs,
    ),
    Exempt(
        "mtime-of-copied-top-directory",
        "20.10 leaves the time of writing on an existing destination directory; reference 1.5: it gets the source directory's mtime",
        lambda d: (
            d.kind == "tree"
            and d.where.endswith(" mtime")
            and d.theirs == "of the build"
            and (d.step == "" or _starts(d.step, ("COPY ", "ADD ")))
        ),
    ),
    Exempt(
        "mount-points-of-run",
        "20.10 makes mount points in the layer of a RUN; reference 1.4: no trace in the layer",
        _is_mount_point,
    ),
    Exempt(
        "parents-of-mount-points",
        "20.10 leaves a new time on a directory in which it made a mount point; reference 1.4: the parent's mtime is restored",
        lambda d: d.kind == "tree" and _starts(d.step, "RUN ") and d.where.endswith(" mtime") and d.theirs == "of the build",
        asked=True,
    ),
    Exempt(
        "chown-of-archive-members",
        "20.10 keeps the owners of an archive's members; reference 1.6 local archive: --chown applies to members",
        lambda d: d.kind == "tree" and _starts(d.step, "ADD --chown=") and d.where.endswith((" uid", " gid")),
    ),
    Exempt(
        "history-of-a-sibling-stage",
        "20.10 lets two stages of one parent write into one array of history; the other stage's line is its bug",
        lambda d: d.kind == "history",
        asked=True,
    ),
    Exempt(
        "start-interval",
        "20.10 has no --start-interval; reference 1.3 HEALTHCHECK",
        lambda d: d.kind == "config" and d.where == "config.Healthcheck",
        asked=True,
    ),
    Exempt(
        "json-with-text-behind",
        "20.10 reads a JSON array and forgets what stands behind it; later BuildKit takes such a line for shell form (reference 1.1)",
        lambda d: d.kind in ("config", "history") and "CMD" in (d.where.upper() + str(d.ours)),
        asked=True,
    ),
    Exempt(
        "ignored-directories-walked",
        "20.10 does not look for `!` patterns with wildcards below an ignored directory; reference 1.7: it is walked if negations exist",
        lambda d: d.kind == "tree" and d.where.endswith(" exists") and d.theirs is None,
        asked=True,
    ),
    Exempt(
        "time-of-an-existing-destination",
        "20.10 leaves the time of a destination in which nothing new was made; reference 1.5: it gets the source directory's mtime",
        lambda d: d.kind == "tree" and d.where.endswith(" mtime") and _starts(d.step, "COPY "),
        asked=True,
    ),
    Exempt(
        "chmod-above-0777",
        "20.10 drops setuid, setgid and sticky from --chmod; reference 1.5 --chmod: octal up to 07777",
        lambda d: d.kind == "tree" and d.where.endswith(" mode") and "--chmod=" in d.step and int(d.ours, 8) & 0o777 == int(d.theirs, 8),
    ),
    Exempt(
        "chmod-of-created-destination",
        "20.10 makes the destination directory 0755; reference 1.5 dir to new dest dir: it gets an octal --chmod",
        lambda d: d.kind == "tree" and d.where.endswith(" mode") and "--chmod=" in d.step and d.theirs == "755",
    ),
    Exempt(
        "fifo-copied",
        "20.10 leaves named pipes out; reference 1.5 file types: fifos and devices are copied",
        lambda d: d.kind == "tree" and d.where.endswith(" exists") and d.theirs is None and _starts(d.ours, "fifo "),
    ),
    Exempt(
        "destination-that-ends-in-dot",
        "20.10 takes `/z/.` for the name of a file; later BuildKit keeps the dot, which stands for the directory",
        lambda d: d.kind == "tree" and d.where.split(" ")[0] in ("z", "z/d"),
        asked=True,
    ),
    Exempt(
        "escape-without-wildcard",
        "BuildKit takes an escape for itself where no wildcard is beside it, and no such file is there; reference 1.5: `\\` escapes",
        lambda d: d.kind == "outcome" and d.ours == "builds",
        asked=True,
    ),
    Exempt(
        "history-of-arg-values",
        "20.10 shows an ARG's default where another value is in force; reference 1.3 ARG: the value",
        lambda d: d.kind == "history" and _same_names(d.ours, d.theirs),
    ),
    Exempt(
        "history-of-run-arguments",
        "20.10 lists an ARG once for each declaration and drops those of a parent stage; reference 1.3 RUN: first-seen order, last value",
        lambda d: d.kind == "history" and _starts(d.ours, "RUN |") and _command(d.ours) == _command(d.theirs),
    ),
    Exempt(
        "history-of-expose",
        "20.10 prints Go's map; reference 1.3 EXPOSE: the sorted list",
        lambda d: d.kind == "history" and _starts(d.theirs, "EXPOSE map[") and _starts(d.ours, "EXPOSE ["),
    ),
    Exempt(
        "history-of-healthcheck",
        "20.10 prints a Go pointer; reference 1.3 HEALTHCHECK: the fields with their names",
        lambda d: d.kind == "history" and _starts(d.theirs, "HEALTHCHECK &{") and _starts(d.ours, "HEALTHCHECK {Test:"),
    ),
)


def sort_out(differences: list[Difference], asked: tuple[str, ...]) -> tuple[dict[str, int], list[Difference]]:
    """How often each exception was used, and the differences that none covers."""
    used: dict[str, int] = {}
    left: list[Difference] = []
    for difference in differences:
        for exempt in EXCEPTIONS:
            if (not exempt.asked or exempt.name in asked) and exempt.covers(difference):
                used[exempt.name] = used.get(exempt.name, 0) + 1
                break
        else:
            left.append(difference)
    return used, left
