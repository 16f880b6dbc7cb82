"""Connections that take their time: who says nothing, says it letter by letter, or does not listen is shown out.

uvicorn has no limit on the time in which a request's head must arrive, nor on that in which an answer must be taken. A
patrol looks at every connection now and then; and where there are too many, the one that has waited longest without a
request goes first, so that silent connections keep nobody out.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as Base
else:
    Base = object


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


class Watched(Base):
    """A connection that the patrol can judge; one that has been answered and is silent, uvicorn closes itself."""

    patience: Patience
    since: float
    speaks: bool = True
    left: int = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note when; one of the others may have to go."""
        self.since = self.loop.time()
        super().connection_made(transport)
        _make_room(self.connections, self.patience.most, self)

    def data_received(self, data: bytes) -> None:
        """Note when a request begins."""
        if not self.speaks:
            self.since, self.speaks = self.loop.time(), True
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Note when an answer ends."""
        self.since, self.speaks = self.loop.time(), False
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered if it still can be: not behind an answer that has been given."""
        from h11 import LocalProtocolError

        try:
            super().send_400_response(msg)
        except LocalProtocolError:
            self.transport.abort()

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
        if now - self.since > self._limit(unsent):
            self.transport.abort()

    def _limit(self, unsent: int) -> float:
        """How long it may go on as it is [s]."""
        if unsent:
            return self.patience.send
        return self.patience.head if self.is_idle and self.speaks else math.inf


def protocol_class(patience: Patience) -> type[Watched]:
    """uvicorn's protocol on h11, watched."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    return type("WatchedH11", (Watched, H11Protocol), {"patience": patience})


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
