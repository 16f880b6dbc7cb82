"""The server of the live page: a socket on loopback unless told otherwise, uvicorn, and what people are told."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from trialsim.design.parts import Design
from trialsim.errors import TrialsimError

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
EVERYWHERE = ("0.0.0.0", "::")
BACKLOG = 256


@dataclass(frozen=True)
class Address:
    """Where the page is served. `names` are the host names under which it may be asked for."""

    host: str
    port: int
    names: tuple[str, ...]

    @property
    def is_loopback(self) -> bool:
        """Whether this machine alone can reach it."""
        return is_loopback(self.host)

    @property
    def url(self) -> str:
        """The address to open."""
        name = self.names[0] if self.host in EVERYWHERE else _bracketed(self.host)
        return f"http://{name}:{self.port}/"


def is_loopback(host: str) -> bool:
    """Whether an address belongs to this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def check_extra() -> None:
    """TrialsimError where starlette or uvicorn is not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise TrialsimError("the live page needs the extra: pip install 'trialsim[web]'.") from None


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there. TrialsimError where that cannot be."""
    try:
        family, kind, proto, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        own = socket.socket(family, kind, proto)
    except OSError as error:
        raise TrialsimError(f"there is no address '{host}' to serve the page on: {error.strerror or error}.") from None
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind(where)
    except OSError as error:
        own.close()
        what = f"port {port} is in use" if error.errno in _IN_USE else f"{error.strerror or error}"
        raise TrialsimError(f"the page cannot be served on {host}: {what}. Try another --port.") from None
    return own


_IN_USE = (48, 98, 10048)


def address_of(own: socket.socket, host: str, allowed: Sequence[str]) -> Address:
    """Where a socket listens, and the names under which the page may be asked for."""
    port = own.getsockname()[1]
    names = list(allowed)
    if is_loopback(host):
        names += LOOPBACK
    elif host in EVERYWHERE:
        names += [*_own_names(), *LOOPBACK]
    if host not in EVERYWHERE:
        names.append(_bracketed(host))
    return Address(host, port, tuple(dict.fromkeys(name.lower() for name in names)))


def _own_names() -> list[str]:
    """This machine's name and addresses, as far as it knows them without asking anybody."""
    name = socket.gethostname()
    found = [name]
    with suppress(OSError):
        found += [_bracketed(str(info[4][0])) for info in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    return found


def serve(
    design: Design,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 2,
    allowed: Sequence[str] = (),
    ready: Callable[[Address], None] = lambda _: None,
) -> None:
    """Serve the page about a design until it is interrupted. `ready` is called when it can be opened.

    TrialsimError where the extra is missing or the address cannot be had.
    """
    check_extra()
    from trialsim.teach.app import make_app, make_page
    from trialsim.teach.crew import Crew
    from trialsim.teach.explore import NAME, scene_of
    from trialsim.teach.scenes import Piece

    own = bound(host, port)
    with own:
        address = address_of(own, host, allowed)
        warm = Piece(scene_of(design).question(NAME), 0, 2)
        app = make_app(make_page(design, Crew(workers, first=warm)), hosts=address.names)
        server = server_of(app)
        with suppress(KeyboardInterrupt):
            asyncio.run(run(server, own, lambda: ready(address)))


def server_of(app: Any, *, patience: Any = None) -> Any:
    """A uvicorn server for an application, on h11, with limits."""
    import uvicorn

    from trialsim.teach.connections import Patience, protocol_class

    own = patience or Patience()
    config = uvicorn.Config(
        app, http=protocol_class(own), ws="none", lifespan="on", loop="asyncio", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, timeout_keep_alive=own.kept, timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=16 * 1024, backlog=BACKLOG,
    )  # fmt: skip
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # the guard has a log of its own
    server = uvicorn.Server(config)
    server.patience = own  # type: ignore[attr-defined]
    return server


async def run(server: Any, own: socket.socket, ready: Callable[[], None]) -> None:
    """Serve on a socket, with a patrol of its connections, until told to end."""
    from trialsim.teach.connections import patrol

    own.listen(BACKLOG)
    watching = asyncio.create_task(patrol(server.server_state.connections, server.patience))
    telling = asyncio.create_task(_tell(server, ready))
    try:
        await server.serve(sockets=[own])
    finally:
        for task in (watching, telling):
            task.cancel()


async def _tell(server: Any, ready: Callable[[], None]) -> None:
    while not server.started:
        await asyncio.sleep(0.02)
    ready()
