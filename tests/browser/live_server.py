"""`trialsim teach` as a process of its own, and what is done where browser tests cannot run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

PATIENCE = 90.0
"""How long a server may take until it answers [s]."""


def cannot(reason: str, *, module: bool = False) -> NoReturn:
    """Skip a test (or the whole module) and say why; fail instead where TRIALSIM_BROWSER=required."""
    if os.environ.get("TRIALSIM_BROWSER") == "required":
        pytest.fail(f"{reason}, and TRIALSIM_BROWSER=required", pytrace=False)
    pytest.skip(reason, allow_module_level=module)


def free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/api/start", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[str]:
    """`trialsim teach` as somebody starts it, until the block ends; yields its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-c",
        "from trialsim.cli.main import cli; cli()",
        "teach",
        *arguments,
        "--port",
        str(port),
    ]
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
        try:
            ends = time.monotonic() + PATIENCE
            while not _answers(address):
                if process.poll() is not None or time.monotonic() > ends:
                    pytest.fail(f"trialsim teach did not start:\n{log.read_text('utf-8')}", pytrace=False)
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=15)
