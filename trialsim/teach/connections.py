"""Connections that take their time: who says nothing, says it letter by letter, or does not listen is shown out.

uvicorn has no limit on the time in which a request's head must arrive, nor on that in which an answer must be taken. A
patrol looks at every connection now and then; and where there are too many, the one that has waited longest without a
request goes first, so that silent connections keep nobody out.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Patience:
    """How long a connection is waited for."""

    head: float = 10.0
    """From the connection, or from a request's first letter, to the end of its head [s]."""
    kept: int = 30
    """From an answer to the next request; then the connection is closed [s]."""
    send: float = 30.0
    """An answer is given up when nothing of it is taken for so long [s]."""
    every: float = 1.0
    """From one look to the next [s]."""
    most: int = 512
    """Connections at once."""


def protocol_class(patience: Patience) -> type[Any]:
    """uvicorn's protocol on h11, which remembers since when it has been waiting and for what."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Watched(H11Protocol):
        """A connection that the patrol can judge; one that has been answered and is silent, uvicorn closes itself."""

        since: float
        speaks: bool = True
        left: int = 0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self.since = self.loop.time()
            super().connection_made(transport)
            _make_room(self.connections, patience.most, self)

        def data_received(self, data: bytes) -> None:
            if not self.speaks:
                self.since, self.speaks = self.loop.time(), True
            super().data_received(data)

        def on_response_complete(self) -> None:
            self.since, self.speaks = self.loop.time(), False
            super().on_response_complete()

        @property
        def is_idle(self) -> bool:
            """Whether no request is being answered."""
            return self.cycle is None or self.cycle.response_complete

        def look(self, now: float) -> None:
            """Close the connection if it has taken too long."""
            unsent = self.transport.get_write_buffer_size()
            if unsent and unsent != self.left:
                self.since = now  # something is being taken
            self.left = unsent
            if now - self.since > _limit(patience, unsent=bool(unsent), asks=self.is_idle and self.speaks):
                self.transport.abort()

        def send_400_response(self, msg: str) -> None:
            """What is no HTTP is answered, if it still can be."""
            if not self.transport.is_closing():
                super().send_400_response(msg)

    return Watched


def _limit(patience: Patience, *, unsent: bool, asks: bool) -> float:
    """How long a connection may go on as it is [s]."""
    if unsent:
        return patience.send
    return patience.head if asks else math.inf


def _make_room(connections: set[Any], most: int, newest: Any) -> None:
    """Close the idle connection that has been there longest, or the newest if none is idle."""
    if len(connections) <= most:
        return
    idle = [one for one in connections if one.is_idle and one is not newest]
    min(idle, key=lambda one: one.since, default=newest).transport.abort()


async def patrol(connections: set[Any], patience: Patience) -> None:
    """Look at every connection now and then, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(patience.every)
        for connection in list(connections):
            connection.look(loop.time())
