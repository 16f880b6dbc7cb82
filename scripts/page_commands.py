"""`trialsim` for the shell blocks of pages: each call is a copy (fork) of one process that has everything loaded.

Starting Python and NumPy a hundred times would take longer than all else that pages do. The folder `bin` of a
`Commands` goes to the front of PATH; what is there sends its arguments, folder and standard streams to the loaded
process, whose copy runs the command line as it is, and hands back its exit code.
"""

from __future__ import annotations

import array
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

OPTIONS = "TRIALSIM_PAGE_OPTIONS"
"""Environment variable: options to run with, whatever is written."""
FEW_PEOPLE = 4_000
"""Participants on which true values rest where a block is run with other options than those written."""
CRASHED = 134
CALL = """\
import array, json, os, signal, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect({address!r})
said = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
link.sendmsg([len(said).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
link.sendall(said)
answers = link.makefile("r")
number = int(answers.readline() or 0)
for name in (signal.SIGINT, signal.SIGTERM):
    signal.signal(name, lambda which, frame: os.kill(number, which))
sys.exit(int(answers.readline() or {crashed}))
"""


class Commands:
    """The loaded process, as long as a `with` lasts."""

    def __enter__(self) -> Commands:
        self._folder = tempfile.TemporaryDirectory(prefix="pages-")
        self.bin = Path(self._folder.name)
        address = self.bin / "socket"
        call = self.bin / "trialsim"
        call.write_text(f"#!{sys.executable} -IS\n" + CALL.format(address=str(address), crashed=CRASHED), "utf-8")
        call.chmod(0o755)
        single = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
        self._server = subprocess.Popen(
            [sys.executable, __file__, str(address)], stdout=subprocess.PIPE, text=True, env={**os.environ, **single}
        )
        if self._server.stdout is None or self._server.stdout.readline().strip() != "ready":
            raise RuntimeError("the commands for pages could not be started")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.terminate()
        self._server.communicate()
        self._folder.cleanup()


# --- the loaded process -----------------------------------------------------------------------------------------------


def serve(address: str) -> None:
    """Answer calls until terminated."""
    _load()
    link = socket.socket(socket.AF_UNIX)
    link.bind(address)
    link.listen(32)
    print("ready", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # copies that have ended are taken away by the system
    while True:
        call, _ = link.accept()
        if os.fork() == 0:
            link.close()
            _answer(call)
        call.close()


def _load() -> None:
    import importlib
    import pkgutil
    from contextlib import suppress

    import trialsim

    names = [module.name for module in pkgutil.walk_packages(trialsim.__path__, "trialsim.")]
    for name in ("matplotlib.figure", "jinja2", *names):
        with suppress(ImportError):  # of an extra that is not there, which is for the command to say
            importlib.import_module(name)


def _answer(call: socket.socket) -> None:
    """Run one command in this copy, and end it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    streams = array.array("i")
    head, extra, _, _ = call.recvmsg(8, socket.CMSG_SPACE(3 * streams.itemsize))
    streams.frombytes(extra[0][2])
    words, folder, environment = json.loads(_exactly(call, int.from_bytes(head, "big")))
    call.sendall(f"{os.getpid()}\n".encode())
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(folder)
    os.environ.update(environment)
    code = CRASHED
    try:
        code = _run(words, environment.get(OPTIONS, ""))
    except BaseException:  # noqa: BLE001 - told as Python does at the end of a program
        traceback.print_exc()
        code = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        call.sendall(f"{code}\n".encode())
        os._exit(0)


def _exactly(call: socket.socket, n: int) -> bytes:
    got = b""
    while len(got) < n:
        got += call.recv(n - len(got))
    return got


def _run(words: list[str], options: str) -> int:
    from trialsim.cli.main import main

    if options:
        words = with_options(words, options)
        _true_values_from_few()
    sys.argv = ["trialsim", *words]
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        outside_by_chance = bool(options) and words[:1] == ["compare"] and code == 1
        return 0 if outside_by_chance else code
    return 0


def with_options(words: list[str], options: str) -> list[str]:
    """The words of a command line with these options in place of its own, as far as the command knows them."""
    import click

    from trialsim.cli.main import cli

    command = cli.commands.get(words[0]) if words else None
    if command is None:
        return words
    known = {name for p in command.params if isinstance(p, click.Option) and not p.multiple for name in p.opts}
    parts = shlex.split(options)
    for name, value in [("--workers", "1"), *zip(parts[::2], parts[1::2], strict=True)]:
        if name in known:
            words = [*_without(words, name), name, value]
    return words


def _without(words: list[str], name: str) -> list[str]:
    at = words.index(name) if name in words else None
    return words if at is None else [*words[:at], *words[at + 2 :]]


def _true_values_from_few() -> None:
    from trialsim.experiments import superpopulation

    defaults: dict[str, Any] = superpopulation.superpopulation.__kwdefaults__
    defaults["n_participants"] = FEW_PEOPLE


if __name__ == "__main__":
    serve(sys.argv[1])
