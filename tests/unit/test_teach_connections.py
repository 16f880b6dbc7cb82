"""Connections that take their time, or speak no HTTP: a real server in a thread, with little patience."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import pytest

from trialsim.errors import TrialsimError
from trialsim.teach import guard, serve
from trialsim.teach.connections import Patience
from trialsim.teach.guard import Guard, read_body

pytest.importorskip("uvicorn")

LARGE = b"x" * 8_000_000
LITTLE = Patience(head=0.4, kept=1, send=0.5, every=0.05, most=12)


async def page(scope: Any, receive: Any, send: Any) -> None:
    """Echoes the length of a body at /body, and sends much at /large."""
    body = b"here"
    if scope["path"] == "/body":
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = str(len(await read_body(headers, receive))).encode()
    elif scope["path"] == "/large":
        body = LARGE
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}
    )
    await send({"type": "http.response.body", "body": body})


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await page(scope, receive, send)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server that runs until the tests are done."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(guard, "BODY_SECONDS", 0.4)
        server = serve.server_of(Guard(application, hosts=["localhost"]), patience=LITTLE)
        own, ready = serve.bound("127.0.0.1", 0), threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(serve.run(server, own, ready.set)))
        thread.start()
        assert ready.wait(20)
        yield own.getsockname()[1]
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def connected(port: int, *, small_window: bool = False) -> Iterator[socket.socket]:
    with closing(socket.socket()) as own:
        if small_window:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        own.settimeout(10)
        own.connect(("127.0.0.1", port))
        yield own


def head(path: str = "/", *more: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *more, "", ""]).encode("latin-1")


def everything(own: socket.socket) -> bytes:
    """What comes until the other side closes (or breaks the connection off)."""
    found = b""
    with suppress(ConnectionResetError):
        while part := own.recv(65536):
            found += part
    return found


def seconds_until_closed(own: socket.socket) -> float:
    started = time.monotonic()
    everything(own)
    return time.monotonic() - started


def is_served(port: int) -> bool:
    with connected(port) as own:
        own.sendall(head("/", "Connection: close"))
        return everything(own).endswith(b"here")


def test_an_ordinary_request_is_answered_and_the_connection_kept_for_the_next(port: int) -> None:
    with connected(port) as own:
        for _ in range(3):
            own.sendall(head())
            found = b""
            while not found.endswith(b"here"):
                found += own.recv(65536)
            assert found.startswith(b"HTTP/1.1 200 OK")
            time.sleep(0.05)


def test_who_says_nothing_is_shown_out(port: int) -> None:
    with connected(port) as own:
        assert seconds_until_closed(own) < 5
    with connected(port) as own:
        own.sendall(head())
        assert b"200 OK" in own.recv(65536)
        assert seconds_until_closed(own) < 5  # nothing more is asked


def test_who_says_it_letter_by_letter_is_shown_out(port: int) -> None:
    started, sent = time.monotonic(), 0
    with connected(port) as own, suppress(OSError):
        for letter in head("/" + "x" * 1000):
            own.sendall(bytes([letter]))
            sent += 1
            time.sleep(0.02)
    assert time.monotonic() - started < 5
    assert sent < 1000


def test_a_body_that_does_not_come_is_not_waited_for(port: int) -> None:
    with connected(port) as own:
        own.sendall(head("/body", "Content-Type: application/json", "Content-Length: 100", method="POST") + b"{")
        assert b"408 Request Timeout" in everything(own)


def test_who_does_not_listen_is_given_up_and_the_others_are_served_meanwhile(port: int) -> None:
    with connected(port, small_window=True) as deaf:
        deaf.sendall(head("/large"))
        assert is_served(port)
        time.sleep(1.5)
        assert is_served(port)
        assert len(everything(deaf)) < len(LARGE)


def test_who_listens_slowly_but_listens_has_everything(port: int) -> None:
    with connected(port) as slow:
        slow.sendall(head("/large", "Connection: close"))
        found = 0
        while part := slow.recv(200_000):
            found += len(part)
            time.sleep(0.02)
    assert found > len(LARGE)


def test_silent_connections_keep_nobody_out(port: int) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connected(port)) for _ in range(3 * LITTLE.most)]
        assert all(is_served(port) for _ in range(5))
        assert seconds_until_closed(silent[0]) < 5


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,  # TLS
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
        b"GET /" + b"z" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_http_is_refused_without_a_traceback(
    port: int, sent: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with connected(port) as own:
        with suppress(OSError):  # it may be refused before all of it is said
            own.sendall(sent)
        answer = everything(own)
    assert answer[:12] in (b"", *(b"HTTP/1.1 %d" % status for status in (400, 408, 414, 431, 501)))
    assert b"Traceback" not in answer
    assert "Traceback" not in capfd.readouterr().err + caplog.text
    assert is_served(port)


def test_rubbish_behind_an_answer_ends_the_connection_without_a_traceback(
    port: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with connected(port) as own:
        own.sendall(head("/", "Transfer-Encoding: chunked", method="POST"))  # answered before its body has come
        assert own.recv(65536).startswith(b"HTTP/1.1 200")
        with suppress(OSError):
            own.sendall(b"zz\r\nGARBAGE\x00\r\n\r\n")
        everything(own)
    assert "Traceback" not in capfd.readouterr().err + caplog.text
    assert is_served(port)


def test_a_chunked_body_without_end_is_cut_off(port: int) -> None:
    with connected(port) as own:
        own.sendall(head("/body", "Content-Type: application/json", "Transfer-Encoding: chunked", method="POST"))
        piece = b"1000\r\n" + b" " * 4096 + b"\r\n"
        with suppress(OSError):
            for _ in range(64):
                own.sendall(piece)
        assert everything(own)[:12] in (b"HTTP/1.1 413", b"")


def test_requests_one_behind_the_other_are_answered_in_order(port: int) -> None:
    with connected(port) as own:
        own.sendall(head() + head() + head("/", "Connection: close"))
        assert everything(own).count(b"200 OK") == 3


def test_there_are_no_web_sockets(port: int) -> None:
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x")
    with connected(port) as own:
        own.sendall(head("/", *upgrade, "Connection: close"))
        assert b"101" not in everything(own)[:20]


# --- addresses --------------------------------------------------------------------------------------------------------


def test_a_port_that_is_in_use_is_told(port: int) -> None:
    with pytest.raises(TrialsimError, match=f"port {port} is in use"):
        serve.bound("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "999.1.1.1", ""])
def test_a_host_that_is_none_is_told(host: str) -> None:
    with pytest.raises(TrialsimError, match="the page"):
        serve.bound(host or "256.256.256.256", 0)


def test_names_under_which_the_page_is_served() -> None:
    own = serve.bound("127.0.0.1", 0)
    with own:
        local = serve.address_of(own, "127.0.0.1", [])
        assert local.is_loopback
        assert set(local.names) == {"localhost", "127.0.0.1", "[::1]"}
        assert local.url == f"http://127.0.0.1:{own.getsockname()[1]}/"
        everywhere = serve.address_of(own, "0.0.0.0", ["Class.Example"])
        assert not everywhere.is_loopback
        assert {"class.example", socket.gethostname().lower(), "localhost"} <= set(everywhere.names)
        assert "0.0.0.0" not in everywhere.names
        assert serve.address_of(own, "192.0.2.7", []).names == ("192.0.2.7",)
        assert serve.address_of(own, "::1", []).url.startswith("http://[::1]:")


@pytest.mark.parametrize(("host", "loopback"), [("localhost", True), ("127.9.9.9", True), ("::1", True), ("10.0.0.1", False), ("a.b", False)])  # fmt: skip
def test_loopback(host: str, loopback: bool) -> None:
    assert serve.is_loopback(host) == loopback
