"""`check=` options: `skip=A,B|all;error=true;experimental=A|all`, as a directive, above an instruction, or as a build argument."""

from __future__ import annotations

import msgspec

from builder.errors import LayerwrightError
from grammar.diagnostics import suggest
from grammar.source import Source, Span

ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"
"""The build argument that replaces the file's directive."""

_KEYS = ("skip", "error", "experimental")
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")


class CheckOptions(msgspec.Struct, frozen=True):
    """What is asked of the checks; `error` makes a warning fail the build."""

    skip: frozenset[str] = frozenset()
    skip_all: bool = False
    experimental: frozenset[str] = frozenset()
    experimental_all: bool = False
    error: bool = False

    def allows(self, name: str, experimental: bool) -> bool:
        """Whether a rule may report; an experimental one must be asked for, and then `skip` does not touch it."""
        if experimental:
            return self.experimental_all or name in self.experimental
        return not self.skip_all and name not in self.skip

    def merged(self, other: CheckOptions) -> CheckOptions:
        """Both together, as for an instruction with a comment of its own."""
        return CheckOptions(
            skip=self.skip | other.skip,
            skip_all=self.skip_all or other.skip_all,
            experimental=self.experimental | other.experimental,
            experimental_all=self.experimental_all or other.experimental_all,
            error=self.error or other.error,
        )


def parse_options(text: str, span: Span | None = None, source: Source | None = None) -> CheckOptions:
    """The options of one directive; raises LayerwrightError for an option that does not exist."""
    options = CheckOptions()
    for part in text.split(";") if text.strip() else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        names = frozenset(name.strip() for name in value.split(",") if name.strip())
        if not equals or key not in _KEYS:
            near = suggest(key, _KEYS)
            help = f"did you mean `{near}`?" if near else "the options are skip, error and experimental, with `;` between them"
            raise LayerwrightError("invalid-check", f"invalid check option `{part.strip()}`", help=help, span=span, source=source)
        match key:
            case "skip":
                options = options.merged(CheckOptions(skip_all=True) if value == "all" else CheckOptions(skip=names))
            case "experimental":
                options = options.merged(CheckOptions(experimental_all=True) if value == "all" else CheckOptions(experimental=names))
            case _ if value in _TRUE + _FALSE:
                options = msgspec.structs.replace(options, error=value in _TRUE)
            case _:
                message = f"the check option `error` is true or false, not `{value}`"
                raise LayerwrightError("invalid-check", message, span=span, source=source)
    return options


def is_check_comment(text: str) -> bool:
    """Whether a comment's text (without its #) is a check option."""
    return text.strip().lower().startswith("check=")


def comment_options(text: str) -> str:
    """The options of a check comment."""
    return text.strip().partition("=")[2].strip()


def option_names(text: str) -> tuple[str, ...]:
    """The rule names that a directive or a check comment mentions, `all` left out."""
    body = comment_options(text) if is_check_comment(text) else text
    found: list[str] = []
    for part in body.split(";"):
        key, _, value = part.partition("=")
        if key.strip() in ("skip", "experimental"):
            found += [name.strip() for name in value.split(",") if name.strip() not in ("", "all")]
    return tuple(found)
