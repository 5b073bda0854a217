"""What the command line takes from the environment: the only place that reads it.

LAYERWRIGHT_ROOT, LAYERWRIGHT_STORE_SIZE, XDG_DATA_HOME, HOME; DOCKER_CONFIG, REGISTRY_AUTH_FILE, CONTAINERS_REGISTRIES_CONF,
XDG_CONFIG_HOME, XDG_RUNTIME_DIR; the proxies; SOURCE_DATE_EPOCH; NO_COLOR, FORCE_COLOR, CI marks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from builder.errors import UsageError

if TYPE_CHECKING:
    from builder.registry.settings import Settings

SYSTEM_ROOT = "/var/lib/layerwright"
CONFIG = "layerwright/config.toml"
STORE_SIZE = "store-size"


class Environment(msgspec.Struct, frozen=True):
    """The variables as they were when the command started, the user it runs as, and where it was started."""

    variables: Mapping[str, str]
    uid: int
    cwd: str

    def get(self, name: str) -> str | None:
        """A variable that is set and not empty."""
        return self.variables.get(name) or None

    @property
    def home(self) -> str:
        """The home directory."""
        return self.get("HOME") or "/"


def read_environment() -> Environment:
    """Called once, by an entry point."""
    return Environment(dict(os.environ), os.geteuid(), os.getcwd())


def store_root(env: Environment, option: str | None) -> Path:
    """`--root`, else LAYERWRIGHT_ROOT, else the system's as root and the user's data directory otherwise."""
    chosen = option or env.get("LAYERWRIGHT_ROOT")
    if chosen is not None:
        return Path(env.cwd, chosen)
    if env.uid == 0:
        return Path(SYSTEM_ROOT)
    data = env.get("XDG_DATA_HOME") or f"{env.home}/.local/share"
    return Path(data, "layerwright")


def store_size(env: Environment, option: str | None) -> int:
    """Bytes: `--store-size`, else LAYERWRIGHT_STORE_SIZE, else `store-size` of the first config file; 0 where none says."""
    for where, text in (("--store-size", option), ("LAYERWRIGHT_STORE_SIZE", env.get("LAYERWRIGHT_STORE_SIZE"))):
        if text is not None:
            return _bytes(where, text)
    for path in config_files(env):
        if path.exists():
            text = read_config(path).get(STORE_SIZE)
            if text is not None:
                return _bytes(f"{STORE_SIZE} in {path}", text)
    return 0


def config_files(env: Environment) -> tuple[Path, ...]:
    """The user's, then the machine's."""
    return Path(env.get("XDG_CONFIG_HOME") or f"{env.home}/.config", CONFIG), Path("/etc", CONFIG)


def read_config(path: Path) -> Mapping[str, str]:
    """What a config file sets; raises UsageError for what it may not say."""
    import tomllib

    try:
        document = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError("bad-config", f"the settings in {path} cannot be read: {error}") from None
    for key, value in document.items():
        if key != STORE_SIZE or not isinstance(value, str):
            raise UsageError("bad-config", f"{path} sets {key!r} to {value!r}", help=f'it may say {STORE_SIZE} = "20g"')
    return document


def _bytes(where: str, text: str) -> int:
    from builder.cli.values import parse_size

    return parse_size(where, text)


def registry_settings(env: Environment, insecure: tuple[str, ...] = ()) -> Settings:
    """Where logins, mirrors and certificates are found, in the order docker and the containers tools look."""
    from builder.registry.settings import Settings

    config = env.get("XDG_CONFIG_HOME") or f"{env.home}/.config"
    runtime = env.get("XDG_RUNTIME_DIR")
    auth = [env.get("REGISTRY_AUTH_FILE"), f"{runtime}/containers/auth.json" if runtime else None, f"{config}/containers/auth.json"]
    user_conf = f"{config}/containers/registries.conf"
    conf = env.get("CONTAINERS_REGISTRIES_CONF") or (user_conf if Path(user_conf).exists() else "/etc/containers/registries.conf")
    return Settings(
        docker_config=f"{env.get('DOCKER_CONFIG') or env.home + '/.docker'}/config.json",
        auth_files=tuple(path for path in auth if path),
        registries_conf=conf,
        registries_conf_dirs=("/etc/containers/registries.conf.d", f"{config}/containers/registries.conf.d"),
        cert_dirs=("/etc/docker/certs.d", "/etc/containers/certs.d", f"{config}/containers/certs.d"),
        ca_bundle=env.get("SSL_CERT_FILE") or env.get("REQUESTS_CA_BUNDLE"),
        helper_path=env.get("PATH") or "/usr/local/bin:/usr/bin:/bin",
        helper_env=tuple(env.variables.items()),
        http_proxy=proxy(env, "HTTP_PROXY"),
        https_proxy=proxy(env, "HTTPS_PROXY"),
        no_proxy=tuple(part.strip() for part in (proxy(env, "NO_PROXY") or "").split(",") if part.strip()),
        insecure=insecure,
    )


def proxy(env: Environment, name: str) -> str | None:
    """A proxy variable in lower or upper case."""
    return env.get(name.lower()) or env.get(name)


def source_date_epoch(env: Environment) -> int | None:
    """SOURCE_DATE_EPOCH in seconds; raises UsageError where it is no number."""
    return parse_epoch(env.get("SOURCE_DATE_EPOCH"))


def parse_epoch(text: str | None) -> int | None:
    """A number of seconds since 1970 as text; None or empty is none."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) >= 1 << 40:
        raise UsageError(
            "bad-epoch",
            f"SOURCE_DATE_EPOCH={text!r} is not a number of seconds",
            help="set it to seconds since 1970, as `git log -1 --pretty=%ct` prints",
        )
    return int(text)
