"""The one HTTP gate: timeouts, TLS, proxies, redirects by hand, retries; the only importer of requests.

Credentials travel only as `Bound` (builder.registry.origin), never as a header of the caller's: each hop
asks `authorization_for` anew. No cookies are kept, no netrc is read, no content coding is undone.
Not here: what a status means. A response of any status is handed back, except those worth a retry.
"""

from __future__ import annotations

import email.utils
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import urljoin

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import NewConnectionError

from builder.errors import LayerwrightError
from builder.registry.origin import Bound, Origin, authorization_for, check_redirect, origin_of, redact
from builder.registry.settings import Settings

MAX_REDIRECTS = 10
MAX_RETRY_AFTER = 60.0
CHUNK = 1 << 19

_RETRY_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_SENSITIVE = frozenset({"authorization", "cookie", "proxy-authorization"})
_SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_HOST_PORT = re.compile(r"[a-z0-9.:-]+\Z")


class Body(Protocol):
    """A request body of known length; each sending makes a new one, and closes it."""

    def __len__(self) -> int: ...
    def read(self, size: int = -1, /) -> bytes: ...
    def close(self) -> None: ...


class Unreachable(LayerwrightError):
    """No answer came: name, connection, or time; `tls` when the other side could not be trusted.

    `tries`: how many attempts are worth while, None when more may help (the other side was there once).
    """

    def __init__(self, origin: Origin, why: str, *, tls: bool = False, tries: int | None = None) -> None:
        self.tls = tls
        self.tries = 1 if tls else tries
        self.origin = origin
        code = "registry-tls" if tls else "registry-unreachable"
        message = f"the certificate or TLS of {origin} was not accepted: {why}" if tls else f"{origin} cannot be reached: {why}"
        help = (
            "add its CA as /etc/containers/certs.d/<host:port>/ca.crt, or mark it insecure in registries.conf"
            if tls
            else "check the name, the network and the proxy"
        )
        super().__init__(code, message, help=help)


class Response:
    """An answer being read; a context manager that gives the connection back."""

    def __init__(self, raw: requests.Response, url: str) -> None:
        self._raw = raw
        self.url = url
        self.status: int = raw.status_code
        self.headers: Mapping[str, str] = raw.headers

    def __enter__(self) -> Response:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The body as it was sent; raises Unreachable when it breaks off."""
        try:
            while data := self._raw.raw.read(size, decode_content=False):
                yield data
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(origin_of(self.url), _cause(error)) from None

    def read(self, limit: int) -> bytes:
        """The whole body; one of more than `limit` bytes is refused."""
        data = bytearray()
        for chunk in self.chunks():
            data += chunk
            if len(data) > limit:
                raise LayerwrightError("response-too-large", f"the answer of {redact(self.url)} is larger than {limit} bytes")
        return bytes(data)

    def close(self) -> None:
        """Drop the rest; the connection is kept only when nothing is left on it."""
        self._raw.close()


class Client:
    """Sends requests; thread-safe. Times are injected: `sleep` waits between attempts."""

    def __init__(self, settings: Settings, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._settings = settings
        self._sleep = sleep
        self._lock = threading.Lock()
        self._sessions: dict[tuple[str, bool], requests.Session] = {}

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            sessions, self._sessions = tuple(self._sessions.values()), {}
        for session in sessions:
            session.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        bound: Bound | None = None,
        body: bytes | Callable[[], Body] | None = None,
        insecure: bool = False,
        retry: bool | None = None,
        redirects: bool = True,
        timeout: float | None = None,
    ) -> Response:
        """One exchange, redirects followed, tried again while that may help.

        `retry` None: GET and HEAD are retried, all else is sent once. `insecure`: the certificate of the
        first origin is not checked; that never extends to where it redirects.
        """
        attempts = self._settings.attempts if retry or (retry is None and method in ("GET", "HEAD")) else 1
        for attempt in range(1, attempts + 1):
            try:
                response = self._follow(method, url, headers or {}, bound, body, insecure, redirects, timeout)
            except Unreachable as error:
                if attempt >= min(attempts, error.tries or attempts):
                    raise
                self._sleep(self._delay(attempt, None))
                continue
            if response.status not in _RETRY_STATUS or attempt == attempts:
                return response
            wait = self._delay(attempt, response.headers.get("Retry-After"))
            response.close()
            self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def pause(self, attempt: int) -> None:
        """Wait as between two attempts."""
        self._sleep(self._delay(attempt, None))

    def _delay(self, attempt: int, retry_after: str | None) -> float:
        """Exponential with jitter, or what the server asks for, up to a minute."""
        wait = self._settings.backoff * float(2 ** (attempt - 1)) * (0.5 + random.random())
        return min(max(wait, _seconds(retry_after)), MAX_RETRY_AFTER)

    def _follow(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        bound: Bound | None,
        body: bytes | Callable[[], Body] | None,
        insecure: bool,
        redirects: bool,
        timeout: float | None,
    ) -> Response:
        first = origin_of(url)
        for _ in range(MAX_REDIRECTS + 1):
            unchecked = insecure and origin_of(url).host == first.host
            response = self._send(method, url, headers, bound, body, unchecked, timeout)
            location = response.headers.get("Location")
            if not redirects or response.status not in (301, 302, 303, 307, 308) or not location:
                return response
            response.close()
            target = urljoin(url, location)
            check_redirect(url, target)
            if response.status == 303 and method != "HEAD":
                method, body = "GET", None
            url = target
        raise LayerwrightError("too-many-redirects", f"{redact(url)} redirects more than {MAX_REDIRECTS} times")

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        bound: Bound | None,
        body: bytes | Callable[[], Body] | None,
        insecure: bool,
        timeout: float | None,
    ) -> Response:
        origin = origin_of(url)
        sent = {"Accept-Encoding": "identity", "User-Agent": self._settings.user_agent}
        sent.update((name, value) for name, value in headers.items() if name.lower() not in _SENSITIVE)
        authorization = authorization_for(url, bound)
        if authorization is not None:
            sent["Authorization"] = authorization
        data: Any = body() if callable(body) else body
        session = self._session(origin, insecure)
        try:
            prepared = session.prepare_request(requests.Request(method, url, headers=sent, data=data))
            raw = session.send(
                prepared,
                allow_redirects=False,
                stream=True,
                verify=not insecure,
                timeout=(timeout or self._settings.connect_timeout, timeout or self._settings.read_timeout),
                proxies=self._proxies(origin),
            )
        except requests.exceptions.SSLError as error:
            raise Unreachable(origin, _cause(error), tls=True) from None
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(origin, _cause(error), tries=_tries(error)) from None
        finally:
            if data is not None and not isinstance(data, bytes):
                data.close()
        return Response(raw, url)

    def _proxies(self, origin: Origin) -> dict[str, str]:
        proxy = self._settings.https_proxy if origin.scheme == "https" else self._settings.http_proxy
        if proxy is None or bypasses_proxy(origin, self._settings.no_proxy):
            return {}
        return {origin.scheme: proxy if "://" in proxy else f"http://{proxy}"}

    def _session(self, origin: Origin, insecure: bool) -> requests.Session:
        """One session for each host's TLS settings; a session keeps the connections."""
        authority = f"{origin.host}:{origin.port}"
        key = (authority if origin.scheme == "https" else "http", insecure)
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                context = None if origin.scheme == "http" else _tls_context(self._settings, origin, insecure)
                session = self._sessions[key] = _new_session(context)
            return session


class _Adapter(HTTPAdapter):
    """Connections with our TLS context; requests' own choice of CA files is left out."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__(pool_connections=4, pool_maxsize=16)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, blocksize=CHUNK, **kwargs)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return super().proxy_manager_for(*args, ssl_context=self._context, **kwargs)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """The context says all there is to say (requests would load certifi's file for each connection)."""


def _new_session(context: ssl.SSLContext | None) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.mount("https://", _Adapter(context))
    session.mount("http://", _Adapter(None))
    return session


def _tls_context(settings: Settings, origin: Origin, insecure: bool) -> ssl.SSLContext:
    """The system's CAs (or the bundle that was named), and what certs.d says of this host."""
    if insecure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    else:
        context = ssl.create_default_context(cafile=_bundle(settings))
    for directory in settings.cert_dirs:
        for name in (origin.host, f"{origin.host}:{origin.port}"):
            if _HOST_PORT.match(name):
                _load_certificates(context, Path(directory) / name)
    return context


def _bundle(settings: Settings) -> str:
    if settings.ca_bundle is not None:
        return settings.ca_bundle
    for path in _SYSTEM_BUNDLES:
        if Path(path).is_file():
            return path
    return str(DEFAULT_CA_BUNDLE_PATH)


def _load_certificates(context: ssl.SSLContext, directory: Path) -> None:
    """containers-certs.d(5): `*.crt` are CAs, `x.cert` with `x.key` a client pair."""
    if not directory.is_dir():
        return
    for path in sorted(directory.iterdir()):
        try:
            if path.suffix == ".crt":
                context.load_verify_locations(cafile=path)
            elif path.suffix == ".cert" and path.with_suffix(".key").is_file():
                context.load_cert_chain(path, path.with_suffix(".key"))
        except (OSError, ssl.SSLError) as error:
            raise LayerwrightError("registry-tls", f"the certificate {path} cannot be used: {error}") from None


def bypasses_proxy(origin: Origin, no_proxy: tuple[str, ...]) -> bool:
    """NO_PROXY: `*`, a host, a `.domain` or domain (both match below), each with an optional port; loopback always."""
    from ipaddress import ip_address, ip_network

    if origin.host == "localhost" or origin.host.startswith("127.") or origin.host == "::1":
        return True
    for item in no_proxy:
        name, _, port = item.strip().lower().rpartition(":") if item.count(":") == 1 else (item.strip().lower(), "", "")
        if port and port != str(origin.port):
            continue
        if name == "*":
            return True
        try:
            if ip_address(origin.host) in ip_network(name, strict=False):
                return True
        except ValueError:
            bare = name.lstrip(".")
            if bare and (origin.host == bare or origin.host.endswith("." + bare)):
                return True
    return False


def _seconds(retry_after: str | None) -> float:
    """Retry-After in either of its forms (RFC 9110 10.2.3)."""
    if not retry_after:
        return 0.0
    if retry_after.strip().isdigit():
        return float(min(int(retry_after.strip()[:9]), int(MAX_RETRY_AFTER)))
    try:
        when = email.utils.parsedate_to_datetime(retry_after)
    except (TypeError, ValueError):
        return 0.0
    return max(0.0, when.timestamp() - time.time())


def _tries(error: BaseException) -> int | None:
    """A name that does not exist stays so; a host that takes no connection is asked twice."""
    inner = _innermost(error)
    if isinstance(inner, socket.gaierror):
        return 1 if inner.errno in (socket.EAI_NONAME, socket.EAI_NODATA) else 2
    return (
        2
        if isinstance(error, requests.exceptions.ConnectTimeout) or isinstance(inner, (ConnectionRefusedError, NewConnectionError))
        else None
    )


def _cause(error: BaseException) -> str:
    """The innermost reason of a chain of wrapped errors, without addresses of objects."""
    inner = _innermost(error)
    text = inner.strerror if isinstance(inner, OSError) and inner.strerror else str(inner)
    return (
        re.sub(r"^.*\[Errno -?\d+\] |<[^>]*object at 0x[0-9a-f]+>:? ?|^HTTPS?Connection(?:Pool)?\([^)]*\): ", "", text)
        or type(inner).__name__
    )


def _innermost(error: BaseException) -> BaseException:
    for _ in range(8):
        wrapped = [getattr(error, "reason", None), *error.args[:1], *error.args[-1:], error.__cause__]
        inner = next((item for item in wrapped if isinstance(item, BaseException)), None)
        if inner is None:
            break
        error = inner
    return error
