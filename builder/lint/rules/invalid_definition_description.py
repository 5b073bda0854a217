"""A comment right above FROM … AS or ARG is its description, if it begins with the name."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.options import is_check_comment
from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.nodes import AnyInstruction, Arg, From


def check(view: View) -> Iterator[Finding]:
    for node in view.dockerfile.instructions:
        names = _names(node)
        comments = [word.text.strip() for word in node.comments if not is_check_comment(word.text)]
        if not names or not comments or comments[-1].split(" ")[0] in names:
            continue
        name = names[0] if len(names) == 1 else "<name>"
        yield Finding(
            f"the comment above this {node.keyword.upper()} does not begin with its name", node.span, f"write `# {name} <description>`"
        )


def _names(node: AnyInstruction) -> list[str]:
    match node:
        case Arg():
            return [pair.key.text for pair in node.pairs]
        case From(alias=alias) if alias is not None:
            return [alias.text]
        case _:
            return []


RULE = Rule(
    "InvalidDefinitionDescription",
    "descriptions begin with the name",
    "begin the comment with the name, or leave a blank line below it",
    check,
    experimental=True,
)
