"""What the registry client is told by whoever may read the environment: files, helpers, proxies, limits."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, frozen=True):
    """All paths absolute; a file that does not exist is skipped.

    `docker_config` is docker's config.json, the only file that login and logout write; `auth_files` are
    containers' auth.json, looked at after it, in order. `registries_conf` is the one registries.conf in
    force, `registries_conf_dirs` the directories with its drop-ins. `cert_dirs` hold `<host[:port]>/*.crt`
    and client pairs `*.cert`/`*.key`. `helper_env` is the whole environment of a credential helper, which
    is looked up in `helper_path`. `insecure` lists hosts that may be spoken to without checked TLS.
    `token_hosts` lists further (registry host, token host) pairs that may see the registry's password.
    """

    docker_config: str | None = None
    auth_files: tuple[str, ...] = ()
    registries_conf: str | None = None
    registries_conf_dirs: tuple[str, ...] = ()
    cert_dirs: tuple[str, ...] = ()
    ca_bundle: str | None = None
    helper_path: str = ""
    helper_env: tuple[tuple[str, str], ...] = ()
    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    token_hosts: tuple[tuple[str, str], ...] = ()
    user_agent: str = "layerwright"
    connect_timeout: float = 20.0
    read_timeout: float = 60.0
    attempts: int = 5
    backoff: float = 0.5
    concurrency: int = 4
