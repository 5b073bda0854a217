"""COPY and ADD: sources told apart, destination made absolute, vertices added (reference 1.5, 1.6)."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import msgspec

from builder.frontend.metadata import normalize_workdir
from builder.frontend.state import Session, StageState
from builder.graph.giturl import is_git_url, parse_git_url, without_passwords
from builder.graph.operations import CopyAction, CopyFrom, HttpSource, InlineFile, Merge, Scratch
from builder.graph.vertex import Label, VertexID
from grammar.nodes import Add, Copy, Word
from grammar.words import expand_heredoc

_WILDCARD = r"[*?\[\\]"
_HTTP = r"(?i)https?://"
_CHECKSUM = r"(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})\Z"
_NUMERIC_OWNER = r"[0-9]+(:[0-9]+)?\Z"


class _Source(msgspec.Struct, frozen=True):
    """One source argument: a path in `root`, as CopyFrom will hold it."""

    root: VertexID
    path: str
    unpack: bool
    zero_owner: bool


def copy(session: Session, state: StageState, node: Copy) -> None:
    """COPY from the context, a stage, an image or a named context."""
    if node.from_ is not None:
        root = session.root_of(state, node.from_, "copy from")
        zero_owner = session.graph.is_context(root)
    else:
        root, zero_owner = session.main_context(), True
    sources: list[_Source] = []
    for word in node.sources:
        path = session.expander.word(word, state.scope.env)
        if node.from_ is None:
            _refuse_remote(session, word, path)
        sources.append(_Source(root, path, False, zero_owner))
    _transfer(session, state, node, sources, "COPY")


def add(session: Session, state: StageState, node: Add) -> None:
    """ADD from the context (archives unpacked), from URLs and from git repositories."""
    checksum = session.expander.word(node.checksum, state.scope.env) if node.checksum else None
    if node.checksum is not None and len(node.sources) + len(node.heredocs) != 1:
        raise session.expander.error("bad-checksum", "--checksum goes with exactly one source", node.checksum, "split the ADD in two")
    sources = [_add_source(session, state, node, word, checksum) for word in node.sources]
    _transfer(session, state, node, sources, "ADD")


def _add_source(session: Session, state: StageState, node: Add, word: Word, checksum: str | None) -> _Source:
    text = session.expander.word(word, state.scope.env)
    if is_git_url(text):
        git = parse_git_url(text, lambda message: session.expander.error("bad-git-url", message, word))
        if checksum is not None:
            if git.checksum not in (None, checksum):
                raise session.expander.error("bad-checksum", "--checksum and the checksum in the URL differ", word)
            git = msgspec.structs.replace(git, checksum=checksum)
        if node.keep_git_dir is not None:
            if "keep-git-dir" in text.partition("?")[2] and git.keep_git_dir != node.keep_git_dir:
                raise session.expander.error("bad-git-url", "--keep-git-dir and the URL's keep-git-dir differ", word, "drop one of them")
            git = msgspec.structs.replace(git, keep_git_dir=node.keep_git_dir)
        label = Label(f"git {without_passwords(text)}", state.stage.title, None, node.span, session.expander.source)
        root = session.graph.add(git, (), label)
        return _Source(root, "/", False, False)
    if re.match(_HTTP, text):
        if checksum is not None and re.match(_CHECKSUM, checksum) is None:
            raise session.expander.error(
                "bad-checksum", f"{checksum!r} is not a checksum", node.checksum or word, "write sha256: and 64 hex digits"
            )
        name = http_filename(text)
        label = Label(without_passwords(text), state.stage.title, None, node.span, session.expander.source)
        root = session.graph.add(HttpSource(text, name, checksum), (), label)
        return _Source(root, "/" + re.sub(_WILDCARD, r"\\\g<0>", name), bool(node.unpack), False)
    if checksum is not None:
        raise session.expander.error(
            "bad-checksum",
            "--checksum is for sources with a URL",
            node.checksum or word,
            "drop the flag: files of the context are checked by content anyway",
        )
    return _Source(session.main_context(), text, node.unpack is not False, True)


def http_filename(url: str) -> str:
    """The file name of a URL as Go's path.Base of its decoded path, `__unnamed__` where there is none."""
    name = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    return name if name not in ("", ".", "..") and "\0" not in name else "__unnamed__"


def _refuse_remote(session: Session, word: Word, path: str) -> None:
    if re.match(_HTTP, path) and not is_git_url(path):
        raise session.expander.error("copy-url", "a COPY source cannot be a URL", word, "ADD fetches URLs")
    if is_git_url(path):
        raise session.expander.error("copy-git", "a COPY source cannot be a git repository", word, "ADD fetches repositories")


def _transfer(session: Session, state: StageState, node: Copy | Add, sources: list[_Source], verb: str) -> None:
    env = state.scope.env
    written = session.expander.word(node.destination, env)
    chown = session.expander.word(node.chown, env) if node.chown else None
    chmod = session.expander.word(node.chmod, env) if node.chmod else None
    if chown:
        session.require_files(state, node, chown)
    inline = tuple(
        InlineFile(doc.name, (expand_heredoc(doc.body, env).text if doc.expand else doc.body).encode("utf-8", "surrogateescape"))
        for doc in node.heredocs
    )
    link = node.link and not chmod
    inputs: list[VertexID] = [session.graph.add(Scratch(), (), Label("scratch")) if link else state.vertex]
    grouped: list[CopyFrom] = []
    for source in sources:
        if source.root not in inputs[1:]:
            inputs.append(source.root)
        position = inputs.index(source.root, 1)
        last = grouped[-1] if grouped else None
        if last is not None and (last.input, last.unpack, last.zero_owner) == (position, source.unpack, source.zero_owner):
            grouped[-1] = msgspec.structs.replace(last, paths=(*last.paths, source.path))
        else:
            grouped.append(CopyFrom(position, (source.path,), source.unpack, source.zero_owner))
    owner_input = None
    if link and chown and re.match(_NUMERIC_OWNER, chown) is None:
        owner_input = len(inputs)
        inputs.append(state.vertex)
    action = CopyAction(
        sources=tuple(grouped),
        destination=absolute_destination(state.workdir, written),
        inline=inline,
        chown=chown or None,
        owner_input=owner_input,
        chmod=chmod or None,
        link=link,
        parents=node.parents if isinstance(node, Copy) else False,
        excludes=tuple(word.text for word in node.excludes),
        add=isinstance(node, Add),
    )
    made = session.add(state, node, action, tuple(inputs), without_passwords(node.text))
    state.vertex = session.add(state, node, Merge(), (state.vertex, made)) if link else made
    state.note(_history(verb, node, [session.expander.word(word, env) for word in node.sources], inline, chown, chmod, written), made)


def _history(
    verb: str, node: Copy | Add, sources: list[str], inline: tuple[InlineFile, ...], chown: str | None, chmod: str | None, destination: str
) -> str:
    words = [verb]
    if isinstance(node, Copy) and node.parents:
        words.append("--parents")
    if chown:
        words.append(f"--chown={chown}")
    if chmod:
        words.append(f"--chmod={chmod}")
    return " ".join([*words, *map(without_passwords, sources), *(f"<<{item.name}" for item in inline), destination, "# buildkit"])


def absolute_destination(workdir: str, written: str) -> str:
    """The destination joined to the working directory; its trailing slash says that it is a directory."""
    directory = written in ("", ".") or written.endswith(("/", "/."))
    path = normalize_workdir(workdir, written) if not written.startswith("/") else normalize_workdir("/", "." + written)
    return path if path == "/" or not directory else path + "/"
