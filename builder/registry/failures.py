"""What a registry's refusal means: its status and error document as one typed error with a way out."""

from __future__ import annotations

import msgspec

from builder.errors import LayerwrightError, NotFoundError
from builder.registry.http import Response, Unreachable

MAX_ERROR = 64 << 10

__all__ = ["Denied", "RegistryError", "Unauthorized", "Unreachable", "failure"]


class RegistryError(LayerwrightError):
    """A registry answered, but not with what was asked for; `status` is the HTTP one."""

    status = 0


class Unauthorized(RegistryError):
    """A login is missing or was refused."""

    status = 401


class Denied(RegistryError):
    """The login is good, but not for this."""

    status = 403


class Missing(RegistryError, NotFoundError):
    """The registry has no such manifest, blob or repository."""

    status = 404


class _One(msgspec.Struct):
    code: str | int = ""
    message: str | None = ""


class _Errors(msgspec.Struct):
    errors: tuple[_One, ...] = ()


def failure(response: Response, host: str, what: str, *, logged_in: bool, notes: tuple[str, ...] = ()) -> RegistryError:
    """The error for an answer that was not expected; reads its body. `what` is the action, as `pull app:1`."""
    said = _said(response)
    status = response.status
    because = f": {said}" if said else ""
    error: RegistryError
    if status == 401:
        error = unauthorized(host, what, logged_in=logged_in, notes=notes, said=said)
    elif status == 403:
        who = "your login may not" if logged_in else "nobody without a login may"
        error = Denied(
            "registry-denied",
            f"{host} does not let you {what}{because}",
            help=f"{who} do that; check the name and your rights",
            notes=notes,
        )
    elif status == 404:
        error = Missing("registry-not-found", f"{host} has not what is needed to {what}{because}", help="check the name", notes=notes)
    elif status == 429:
        help = "wait, or use a mirror" if logged_in else f"log in (`layerwright login {host}`), wait, or use a mirror"
        error = RegistryError("registry-rate-limited", f"{host} limits how often you may {what}{because}", help=help, notes=notes)
    else:
        error = RegistryError(
            "registry-error", f"{host} answered {status} to: {what}{because}", help="try again later, or ask the registry's owner"
        )
        error.status = status
    return error


def unauthorized(host: str, what: str, *, logged_in: bool, notes: tuple[str, ...] = (), said: str = "") -> Unauthorized:
    """No credential, or one that was turned down; a private name and one that does not exist look the same."""
    because = f" ({said})" if said else ""
    if logged_in:
        message, help = (
            f"{host} does not accept your login to {what}{because}",
            f"check the name, or log in anew: `layerwright login {host}`",
        )
    else:
        message, help = (
            f"{host} wants a login to {what}, or there is no such name{because}",
            f"check the name, or log in: `layerwright login {host}`",
        )
    return Unauthorized("registry-unauthorized", message, help=help, notes=notes)


def _said(response: Response) -> str:
    """The words of the error document (distribution-spec "Error Codes"), cut and stripped of control characters."""
    try:
        raw = response.read(MAX_ERROR)
        first = next(iter(msgspec.json.decode(raw, type=_Errors).errors), None)
    except (LayerwrightError, msgspec.DecodeError, RecursionError):
        return ""
    if first is None:
        return ""
    text = first.message or str(first.code).lower().replace("_", " ")
    return "".join(ch if ch.isprintable() else " " for ch in text)[:300].strip()
