"""Who may talk to the page: a browser on this machine that was given the secret of this run.

A page of another site cannot read or change anything: it does not know the secret, its requests carry its own origin,
and a name that it has made to point to this machine is not among the allowed ones.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs

from nucleate.core.text import one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    _Scope: TypeAlias = MutableMapping[str, Any]
    _Receive: TypeAlias = Callable[[], Awaitable[Any]]
    _Send: TypeAlias = Callable[[Any], Awaitable[None]]
    Application: TypeAlias = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

__all__ = ["Guard", "guarded", "refusal"]

_NAMES = ("127.0.0.1", "localhost")
_UNSAID = 80  # the port that browsers leave out
_HARMLESS = {"GET", "HEAD"}
_VIEWER_STYLE = "'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='"  # the only style that OpenSeadragon 6.1.1 adds
_POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {_VIEWER_STYLE}; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "cache-control": "no-store",  # the next run numbers its images anew
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


@dataclass(frozen=True)
class Guard:
    """The port and the secret that a request must match.

    Parameters
    ----------
    port : int
        Port at which the page is served.
    secret : str
        Secret of this run.
    """

    port: int
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def address(self) -> str:
        """The address of the page, with the secret."""
        return f"http://127.0.0.1:{self.port}/?secret={self.secret}"

    @property
    def cookie(self) -> str:
        """Name of the cookie that holds the secret; it has the port in it, since cookies are shared by all ports."""
        return f"nucleate-{self.port}"


def refusal(guard: Guard, method: str, *, headers: dict[str, str], query: str) -> tuple[int, str] | None:
    """Say why a request is refused.

    Parameters
    ----------
    guard : Guard
    method : str
        Such as ``GET``.
    headers : dict
        With names in lower case.
    query : str
        The part of the address behind the question mark; the page itself may be asked for with ``secret=``.

    Returns
    -------
    (int, str) or None
        Status and a line; None if it is let in.

    Examples
    --------
    >>> guard = Guard(8765, "abc")
    >>> status, line = refusal(guard, "GET", headers={"host": "localhost:9000"}, query="secret=abc")
    >>> status, line.partition(";")[0]
    (421, 'this page answers to 127.0.0.1:8765 and localhost:8765 only: got localhost:9000')
    >>> refusal(guard, "GET", headers={"host": "localhost:8765"}, query="secret=abc")
    """
    port, host = guard.port, headers.get("host", "")
    places = [f"{name}:{port}" for name in _NAMES]
    known = [*places, *(_NAMES if port == _UNSAID else ())]
    if host.lower() not in known:
        only = f"this page answers to {' and '.join(places)} only: got {one_line(host) or 'no name'}"
        return 421, f"{only}; give a tunnel the same port on both sides: ssh -L {port}:localhost:{port}"
    given = [_cookie(headers.get("cookie", ""), guard.cookie)]
    if method in _HARMLESS:
        given += parse_qs(query).get("secret", [])
    elif "origin" in headers and headers["origin"].lower() not in {f"http://{place}" for place in known}:
        return 403, f"this was asked for by another page: got {one_line(headers['origin'])}; open {places[0]}"
    # The time of the comparison does not depend on how much of the secret is right.
    if not any(secrets.compare_digest(one.encode(), guard.secret.encode()) for one in given):
        return 403, "open the whole address that nucleate serve has printed: the secret of this run is missing here"
    return None


def _cookie(header: str, name: str) -> str:
    # Not the library's parser, which gives up at the first odd cookie: browsers send those of all ports of the machine.
    pairs = (one.strip().partition("=") for one in header.split(";"))
    return next((value for key, _, value in pairs if key == name), "")


def guarded(app: Application, guard: Guard) -> Application:
    """Put an application behind a guard.

    Parameters
    ----------
    app : ASGI application
    guard : Guard

    Returns
    -------
    ASGI application
        Lets a request through, or answers it with the reason why not.
    """
    cookie = f"{guard.cookie}={guard.secret}; HttpOnly; SameSite=Strict; Path=/"

    async def answered(scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = refusal(guard, scope["method"], headers=headers, query=scope["query_string"].decode("latin-1"))
        added = _HEADERS if refused else {**_HEADERS, "set-cookie": cookie}

        async def answer(message: Any) -> None:  # noqa: ANN401 - whatever ASGI sends
            if message["type"] == "http.response.start":
                more = [(name.encode(), value.encode()) for name, value in added.items()]
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        if refused is None:
            await app(scope, receive, answer)
            return
        status, line = refused
        kind, body = "text/plain; charset=utf-8", f"nucleate: {line}\n"
        if scope["path"].startswith("/api/"):  # asked for by a page, perhaps one of an earlier run
            kind, body = "application/json", json.dumps({"error": line})
        await answer({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind.encode())]})
        await answer({"type": "http.response.body", "body": body.encode()})

    return answered
