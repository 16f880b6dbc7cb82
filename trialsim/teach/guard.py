"""The door of the page: who may knock, what a body may be, what every response says, and that nothing inside leaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from typing import Any

from trialsim.teach.state import Refused

log = logging.getLogger("trialsim.teach")

MOST_BODY = 16 * 1024
"""A body that is larger is not read [bytes]."""
BODY_SECONDS = 10.0
"""Time for a body to arrive [s]."""
MOST_TARGET = 2048
"""Characters of a path."""
MOST_HEAD, MOST_HEADERS = 16 * 1024, 64
"""Bytes of all headers together, and their number."""
INTERNAL = "Something went wrong in the server. It is in its log."

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """An application around another one. `hosts` are the names under which the page may be asked for."""

    def __init__(self, inner: Application, *, hosts: Collection[str]) -> None:
        self.inner, self.hosts = inner, {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = _with(HEADERS, message.get("headers", ()))
            await send(message)

        try:
            self._check(scope)
            await self.inner(scope, receive, sending)
        except Refused as refused:
            await _refuse(refused, sending)
        except Exception:  # nothing of what happened inside is told outside
            log.exception("a request raised")
            if not begun:
                await _refuse(Refused(500, INTERNAL), sending)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start and end go through; there are no web sockets."""
        if scope["type"] == "lifespan":
            await self.inner(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    def _check(self, scope: Scope) -> None:
        """Host, origin, length of the path and of the head."""
        headers = [(name.lower(), value) for name, value in scope["headers"]]
        hosts = _all(headers, b"host")
        if len(hosts) != 1 or host_name(hosts[0]) not in self.hosts:
            raise Refused(400, "The page is not served under this name.", "Host")
        if len(scope.get("raw_path") or b"") > MOST_TARGET or len(scope.get("query_string", b"")) > MOST_TARGET:
            raise Refused(414, "The address is too long.")
        if len(headers) > MOST_HEADERS or sum(len(name) + len(value) for name, value in headers) > MOST_HEAD:
            raise Refused(431, "The head of the request is too large.")
        if scope["method"] not in ("GET", "HEAD"):
            _same_origin(headers, hosts[0])


def host_name(host: str) -> str:
    """The name in a Host header, without its port, lower case; empty where it is none."""
    name, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not colon:
        name, port = host, ""
    if port and not (port.isascii() and port.isdecimal() and len(port) <= 5):
        return ""
    return name.strip().lower()


def _all(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key == name]


def _same_origin(headers: Iterable[tuple[bytes, bytes]], host: str) -> None:
    """Refused (403) where another site's page asks."""
    headers = list(headers)
    origins = _all(headers, b"origin")
    foreign = [origin for origin in origins if origin.partition("://")[2].lower() != host.strip().lower()]
    sites = [site for site in _all(headers, b"sec-fetch-site") if site not in ("same-origin", "none")]
    if foreign or sites:
        raise Refused(403, "Another site's page may not ask this.", "Origin")


def _with(own: dict[str, str], given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [*given, *((name.encode("ascii"), value.encode("ascii")) for name, value in own.items())]


async def _refuse(refused: Refused, send: Send) -> None:
    headers = _with(refused.all_headers | {"content-length": str(len(refused.body))}, ())
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": refused.body})


async def read_body(headers: Any, receive: Receive) -> bytes:
    """A JSON body. Refused where it says that it is something else, is too large, or does not arrive in time."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "The request must be JSON (content-type: application/json).", "Content-Type")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "The request must not be compressed.", "Content-Encoding")
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:12]) > MOST_BODY:
        raise Refused(413, f"The request is larger than {MOST_BODY} bytes.")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _whole(receive)
    except TimeoutError:
        raise Refused(408, "The request did not arrive in time.", headers={"connection": "close"}) from None


async def _whole(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "The request ended early.")
        body += message.get("body", b"")
        if len(body) > MOST_BODY:
            raise Refused(413, f"The request is larger than {MOST_BODY} bytes.")
        if not message.get("more_body", False):
            return body
