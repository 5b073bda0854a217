"""One registry host being talked to: its scheme, its logins, and a call that answers a 401 by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import urljoin

from builder.registry.credentials import Credential, Lookup, lookup
from builder.registry.failures import RegistryError, failure, unauthorized
from builder.registry.http import Body, Client, Response, Unreachable
from builder.registry.mirrors import Endpoint
from builder.registry.origin import DOCKER_HUB, Bound, Origin, is_loopback, origin_of
from builder.registry.settings import Settings
from builder.registry.tokens import Challenge, Token, TokenRefused, obtain, parse_challenges

PING_TIMEOUT = 5.0


class Service:
    """Talks to one endpoint's host; thread-safe. Tokens are kept by scope until they run out."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        endpoint: Endpoint,
        *,
        credential: Credential | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self.host = endpoint.host
        self._insecure = endpoint.insecure
        self._lock = threading.Lock()
        self._base: str | None = None
        self._tokens: dict[tuple[str, ...], Token | None] = {}
        self._given = None if credential is None else Lookup(credential)
        self._lookups: dict[str, Lookup] = {}

    @property
    def base(self) -> str:
        """`scheme://host`, chosen once: https, and http only for loopback or a registry marked insecure."""
        with self._lock:
            if self._base is None:
                self._base = self._choose()
            return self._base

    def pause(self, attempt: int) -> None:
        """Wait before trying something longer than one exchange again."""
        self._client.pause(attempt)

    def url(self, path: str) -> str:
        """The address of a path under /v2/."""
        return f"{self.base}/v2/{path}"

    def call(
        self,
        method: str,
        path: str,
        scopes: tuple[str, ...],
        *,
        repository: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | Callable[[], Body] | None = None,
        retry: bool | None = None,
    ) -> Response:
        """One exchange with the registry; `path` is under /v2/, or a whole address (an upload's Location).

        The answer to a 401 is a login and a second try; a 401 that comes back is the caller's to report.
        """
        url = path if "://" in path else self.url(path)
        origin = origin_of(self.base)
        token = self._held(scopes)
        bound = token.bound if token is not None else None
        response = self._send(method, url, headers, bound, body, retry)
        if response.status != 401 or origin_of(response.url) != origin:
            return response
        challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
        fresh = self._login(scopes, repository, challenges, token, origin)
        if fresh is None:
            return response
        response.close()
        return self._send(method, url, headers, fresh.bound, body, retry)

    def location(self, response: Response) -> str:
        """An upload's Location made absolute; it may be on another host, which then sees no credential."""
        return urljoin(response.url, response.headers.get("Location", ""))

    def failure(self, response: Response, what: str, repository: str = "") -> RegistryError:
        """The typed error for an answer."""
        with response:
            found = self._lookup(repository)
            return failure(response, self.host, what, logged_in=found.credential is not None, notes=found.notes)

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        bound: Bound | None,
        body: bytes | Callable[[], Body] | None,
        retry: bool | None,
    ) -> Response:
        # An upload's redirect would have to send the body again elsewhere: registries use Location of a 202 instead.
        redirects = method in ("GET", "HEAD")
        insecure = self._insecure and origin_of(url).host == origin_of(self.base).host
        return self._client.request(
            method, url, headers=headers, bound=bound, body=body, insecure=insecure, retry=retry, redirects=redirects
        )

    def _held(self, scopes: tuple[str, ...]) -> Token | None:
        with self._lock:
            token = self._tokens.get(scopes)
        return token if token is not None and token.expires > self._clock() else None

    def _login(
        self, scopes: tuple[str, ...], repository: str, challenges: tuple[Challenge, ...], refused: Token | None, origin: Origin
    ) -> Token | None:
        """One login at a time; a thread that waited takes what the one before it got."""
        with self._lock:
            held = self._tokens.get(scopes)
            if held is not None and held is not refused and held.expires > self._clock():
                return held
            found = self._lookup(repository)
            try:
                token = obtain(
                    self._client, origin, challenges, scopes, found.credential,
                    listed=self._settings.token_hosts, insecure=self._insecure, clock=self._clock,
                )  # fmt: skip
            except TokenRefused as error:
                raise self._refused(error, found) from None
            if token is not None:
                self._tokens[scopes] = token
            return token

    def _refused(self, error: TokenRefused, found: Lookup) -> RegistryError:
        if error.status in (400, 401, 403, 404):
            return unauthorized(self.host, "use it", logged_in=found.credential is not None, notes=found.notes, said=str(error))
        return RegistryError("registry-error", f"{self.host} gave no token: {error}", help="try again later", notes=found.notes)

    def _lookup(self, repository: str) -> Lookup:
        if self._given is not None:
            return self._given
        if repository not in self._lookups:
            self._lookups[repository] = lookup(self._settings, self.host, repository)
        return self._lookups[repository]

    def _choose(self) -> str:
        host = DOCKER_HUB if self.host == "docker.io" else self.host
        if not self._insecure:
            return f"https://{host}"
        # On loopback nobody listens in, and a plain server may wait for ever for the rest of a TLS hello.
        order = ("http", "https") if is_loopback(origin_of(f"http://{host}").host) else ("https", "http")
        for scheme in order:
            try:
                with self._client.request(
                    "GET", f"{scheme}://{host}/v2/", insecure=True, retry=False, redirects=False, timeout=PING_TIMEOUT
                ) as response:
                    # A TLS port answers plain http with 400 (Go) or closes.
                    if response.status != 400:
                        return f"{scheme}://{host}"
            except Unreachable:
                continue
        return f"{order[0]}://{host}"
