"""From the rules of words.lark to the tree of a word, bottom up while the parser runs: no recursion."""

from __future__ import annotations

from lark import Token, Transformer, v_args

from grammar import wordtree as tree


def _start(token: Token) -> int:
    return token.start_pos or 0


def _end(token: Token) -> int:
    return token.end_pos or 0


def _node(part: Token | tree.Node) -> tree.Node:
    """Terminals that are parts come as they were lexed."""
    if not isinstance(part, Token):
        return part
    text = str(part)
    match part.type:
        case "TEXT":
            return tree.Text(_start(part), _end(part), text)
        case "GLUED":
            return tree.Glued(_start(part), _end(part), text)
        case "QUOTED":
            return tree.Quoted(_start(part), _end(part), text)
        case "NAME":
            return tree.Plain(_start(part), _end(part), text)
        case _:
            return tree.Escaped(_start(part), _end(part), text[0], text[1:])


@v_args(inline=True)
class WordBuilder(Transformer[Token, tree.Word]):
    """One method a rule of words.lark."""

    def word(self, *parts: Token | tree.Node) -> tree.Word:
        return tuple(map(_node, parts))

    def double(self, opening: Token, *rest: Token | tree.Node) -> tree.Node:
        *parts, closing = rest
        assert isinstance(closing, Token)
        return tree.Double(_start(opening), _end(closing), tuple(map(_node, parts)))

    def plain(self, name: Token) -> tree.Node:
        return tree.Plain(_start(name), _end(name), str(name))

    def braced(self, name: Token, closing: Token) -> tree.Node:
        return tree.Braced(_start(name), _end(closing), str(name))

    def modified(self, name: Token, operator: Token, word: tree.Word, closing: Token) -> tree.Node:
        return tree.Modified(_start(name), _end(closing), str(name), str(operator), word)

    def replaced(self, name: Token, operator: Token, pattern: tree.Word, slash: Token, replacement: tree.Word, closing: Token) -> tree.Node:
        return tree.Replaced(_start(name), _end(closing), str(name), operator == "//", pattern, replacement)
