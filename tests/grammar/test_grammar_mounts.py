"""RUN --mount values (reference 1.4): every key, alias and type, what goes wrong, and that order means nothing."""

from __future__ import annotations

import itertools

import pytest

from grammar.flags import FlagError, MountSpec, parse_mount
from grammar.words import expand


@pytest.mark.parametrize(
    ("value", "spec"),
    [
        ("target=/x", MountSpec(target="/x")),
        ("type=bind,source=a,dst=/x,from=b", MountSpec(target="/x", source="a", from_="b")),
        ("src=a,destination=/x,rw", MountSpec(target="/x", source="a", read_only=False)),
        ("target=/x,readwrite=false", MountSpec(target="/x", read_only=True)),
        ("target=/x,ro=0", MountSpec(target="/x", read_only=False)),
        ("target=/x,rw,ro", MountSpec(target="/x", read_only=True)),
        ("TYPE=Cache,Target=/x", MountSpec("cache", "/x", read_only=False)),
        (
            "type=cache,target=/x,id=i,sharing=LOCKED,from=b,source=s,mode=0700,uid=1,gid=2,readonly",
            MountSpec("cache", "/x", "s", "b", True, "i", "locked", mode=0o700, uid=1, gid=2),
        ),
        ("type=tmpfs,target=/x", MountSpec("tmpfs", "/x", read_only=False)),
        ("type=tmpfs,target=/x,size=64m", MountSpec("tmpfs", "/x", read_only=False, size=64 << 20)),
        ("type=secret,id=a", MountSpec("secret", id="a")),
        ("type=secret,target=/x,required", MountSpec("secret", "/x", required=True)),
        ("type=secret,src=a,env=TOKEN,required=false", MountSpec("secret", source="a", env="TOKEN")),
        ("type=ssh", MountSpec("ssh")),
        (
            "type=ssh,id=a,target=/x,mode=0600,uid=5,gid=6,required=TRUE",
            MountSpec("ssh", "/x", id="a", required=True, mode=0o600, uid=5, gid=6),
        ),
        ('"target=/a,b",source="', None),
        ('"target=/a,""b"', MountSpec(target='/a,"b')),
    ],
)
def test_values(value: str, spec: MountSpec | None) -> None:
    if spec is None:
        with pytest.raises(FlagError):
            parse_mount(value)
    else:
        assert parse_mount(value) == spec


def test_options_come_in_any_order() -> None:
    options = ("type=secret", "required", "id=a", "mode=0444")
    specs = {parse_mount(",".join(order)) for order in itertools.permutations(options)}
    assert specs == {MountSpec("secret", id="a", required=True, mode=0o444)}
    assert parse_mount("size=1k,target=/x,type=tmpfs").size == 1024


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("17", 17),
        ("1k", 1024),
        ("1kb", 1024),
        ("1KiB", 1024),
        ("1.5g", 3 << 29),
        ("2 G", 2 << 30),
        (".5m", 1 << 19),
        ("3b", 3),
        ("1t", 1 << 40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_mount(f"type=tmpfs,target=/x,size={text}").size == size


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "no options"),
        ("type=bnd,target=/x", "no mount type 'bnd'"),
        ("type=bind,targt=/x", "no option 'targt'"),
        ("type=bind,target", "target needs a value"),
        ("target=/x,", "no option ''"),
        ("type=cache,target=/x,sharing=lock", "no sharing 'lock'"),
        ("target=/x,ro=maybe", "readonly is true or false"),
        ("target=/x,mode=0700", "a bind mount takes no mode"),
        ("type=tmpfs,target=/x,uid=1", "a tmpfs mount takes no uid"),
        ("target=/x,gid=1", "a bind mount takes no gid"),
        ("target=/x,sharing=shared", "a bind mount takes no sharing"),
        ("type=cache,target=/x,size=1m", "a cache mount takes no size"),
        ("type=cache,target=/x,required", "a cache mount takes no required"),
        ("type=bind,target=/x,required=true", "a bind mount takes no required"),
        ("type=secret,id=a,from=b", "a secret mount takes no from"),
        ("type=secret,id=a,sharing=shared", "a secret mount takes no sharing"),
        ("type=secret,id=a,source=b", "id or source, not both"),
        ("type=secret", "needs an id or a target"),
        ("type=secret,env=A", "needs an id or a target"),
        ("type=ssh,source=a", "a ssh mount takes no source"),
        ("type=ssh,env=a", "a ssh mount takes no env"),
        ("type=cache", "needs a target"),
        ("type=bind,source=a", "needs a target"),
        ("target=/", "cannot be /"),
        ("type=cache,target=//a/..", "cannot be /"),
        ("target=/x,from=$STAGE", "from cannot hold variables"),
        ("type=cache,target=/x,mode=0999", "mode cannot be '0999'"),
        ("type=cache,target=/x,mode=", "mode cannot be ''"),
        ("type=cache,target=/x,uid=-1", "uid cannot be '-1'"),
        ("type=cache,target=/x,uid=4294967296", "uid cannot be"),
        ("type=cache,target=/x,uid=" + "9" * 9999, "uid cannot be"),
        ("type=tmpfs,target=/x,size=-1", "size cannot be"),
        ("type=tmpfs,target=/x,size=1e3", "size cannot be"),
        ("type=tmpfs,target=/x,size=" + "9" * 500, "size cannot be"),
        ('target="/x"', 'has a " inside'),
        ('"target=/x', "never closed"),
        ('"target=/x"y', "goes on behind"),
    ],
)
def test_misuse(value: str, message: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse_mount(value)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("value", "help"),
    [
        ("type=bnd,target=/x", "did you mean bind?"),
        ("type=bind,targt=/x", "did you mean target?"),
        ("type=cache,target=/x,sharing=shard", "did you mean shared?"),
        ("type=nothing,target=/x", "there are bind, cache, tmpfs, secret, ssh"),
        ("type=cache,target=/x,size=1m", "size is for mounts of type tmpfs"),
    ],
)
def test_misuse_suggests(value: str, help: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse_mount(value)
    assert caught.value.help == help


def test_a_variable_expands_inside_its_option_and_adds_none() -> None:
    env = {"X": "/a,rw", "T": "cache"}
    spec = parse_mount("type=$T,target=$X,id='a b'", lambda value: expand(value, env).text)
    assert spec == MountSpec("cache", "/a,rw", read_only=False, id="a b")
