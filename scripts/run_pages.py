#!/usr/bin/env python
"""Run the code blocks of pages as a reader would, in order, in one folder for each page.

    python scripts/run_pages.py [--check] [PAGE ...]

Outputs that a page shows are renewed; with --check they are only compared, and exit code 1 says that something
differs or went wrong. Without PAGE: README.md and all of docs/. `scripts/page_blocks.py` lists the comments that say
how a block is run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from page_blocks import Block, blocks_of, shown, with_texts, without_times
from page_commands import OPTIONS, Commands

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 300.0
"""Seconds that one block may take."""
ADDRESS = re.compile(r"http://[\d.]+:\d+\S*")
FREE = re.compile(r"(?<!\S)--port[ =]\d+")


ELSEWHERE = {
    "docs/reading-results.md": {"py": "tests/independent/test_other_readers.py", "r": "the same, with the same data"},
    "docs/design-file.md": {"yaml": "tests/unit/test_docs.py"},
    "docs/sweep-file.md": {"yaml": "tests/unit/test_sweep_file.py", "csv": "the same"},
}
"""Blocks that have a test of their own, by page and language."""


class PageError(Exception):
    """A block that does not do what its page says."""


def pages() -> list[Path]:
    """README.md and every page below docs/."""
    made = ROOT / "docs" / "_build"
    return [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if made not in path.parents)]


def made_by(page: Path) -> list[str]:
    """Names of the files that a page shows and its own commands make."""
    return sorted(set(re.findall(rf"_build/figures/{page.stem}/([\w.\-/]+)", page.read_text("utf-8"))))


@dataclass
class Ran:
    """What became of a page: outputs by the text block that shows them, and what was not run and why."""

    outputs: dict[Block, str] = field(default_factory=dict)
    not_run: list[str] = field(default_factory=list)


def run_page(page: str, folder: Path, commands: Commands, *, without: Collection[str] = ()) -> Ran:
    """Run all blocks of a page in a folder, but those of some languages; what serves is stopped at the end.

    PageError if a block fails.
    """
    blocks = [block for block in blocks_of(page) if block.language not in without]
    with Reader(folder, commands) as reader:
        for block in reversed(blocks):  # of two with one name the first stands at the beginning
            reader.keep(block)
        for block in blocks:
            try:
                reader.meet(block)
            except PageError as error:
                raise PageError(f"line {block.line}: {error}") from error
        return reader.ran


class Reader:
    """Somebody who types in what a page says, block by block."""

    def __init__(self, folder: Path, commands: Commands) -> None:
        self.folder, self.ran = folder, Ran()
        path = os.pathsep.join([str(commands.bin), str(Path(sys.executable).parent), os.environ["PATH"]])
        self._env = {**os.environ, "PATH": path, "TRIALSIM_ROOT": str(ROOT), "NO_COLOR": "1", "COLUMNS": "80"}
        self._env |= {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
        self._printed = ""
        self._python: subprocess.Popen[str] | None = None
        self._servers: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._python is not None:
            self._python.communicate()
        stopped = [stop(server) for server in self._servers]
        if kind is None and any(stopped):
            raise PageError(f"a server ended with {stopped}")

    def meet(self, block: Block) -> None:
        """Do what a block asks for."""
        self._first(block)
        if (command := block.mark("output of")) is not None:
            self.ran.outputs[block] = shown(self._bash(command, {}, code=0), "")
            return
        if block.mark("output") is not None:
            self.ran.outputs[block] = shown(self._printed, block.mark("output") or "")
            return
        if self.keep(block):
            return
        kind = {"sh": self._shell, "python": self._in_python, "r": self._in_r}.get(block.language)
        if kind is None:
            return
        if (why := self._why_not(block)) is not None:
            self.ran.not_run.append(f"line {block.line}: {why}")
            return
        kind(block)

    def keep(self, block: Block) -> bool:
        """Write a block that is a file."""
        if (name := block.mark("file")) is not None:
            (self.folder / name).write_text(block.text, "utf-8")
        return name is not None

    def _why_not(self, block: Block) -> str | None:
        if {"run command", "test command"} & set(block.marks):
            return ".ci/run runs it, in a fresh copy"
        return block.mark("not run")

    def _first(self, block: Block) -> None:
        if (command := block.mark("first")) is not None:
            self._bash(command, {}, code=0)

    def _shell(self, block: Block) -> None:
        options = block.mark("run") or ""
        if block.mark("serves") is not None:
            self._serve(block.text)
        else:
            self._printed = self._bash(block.text, {OPTIONS: options}, code=int(block.mark("exit") or 0))

    def _bash(self, text: str, more: dict[str, str], *, code: int) -> str:
        words = ["bash", "-euo", "pipefail", "-c", text]
        return self._program(words, self._env | more, code=code)

    def _program(self, words: list[str], env: dict[str, str], *, code: int) -> str:
        done = subprocess.run(
            words, cwd=self.folder, env=env, text=True, timeout=LONGEST, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if done.returncode != code:
            raise PageError(f"exit code {done.returncode}, not {code}\n{done.stdout[-3000:]}")
        return done.stdout

    def _serve(self, text: str) -> None:
        """Start a server, with a port that is free; it must say where it is and answer there."""
        words = ["bash", "-c", "exec " + FREE.sub("", text).rstrip() + " --port 0 --no-open"]
        server = subprocess.Popen(
            words, cwd=self.folder, env=self._env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._servers.append(server)
        said = ""
        while (address := ADDRESS.search(said)) is None:
            line = server.stdout.readline() if server.stdout else ""
            if not line:
                raise PageError(f"the server ended: {said}")
            said += line
        self._env["PAGE"] = address[0].rstrip("/")
        with urllib.request.urlopen(address[0], timeout=20) as answer:
            if answer.status != 200:
                raise PageError(f"the server answers {answer.status}")

    def _in_python(self, block: Block) -> None:
        """Run a block in the page's interpreter, which keeps what earlier blocks have defined."""
        text = block.text
        for change in (block.mark("run") or "").split():
            name, _, value = change.partition("=")
            text = re.sub(rf"\b{name}=[^,)\s]+", f"{name}={value}", text)
        if self._python is None:
            words = [sys.executable, "-W", "error", "-u", "-c", SESSION]
            self._python = subprocess.Popen(
                words, cwd=self.folder, env=self._env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        session = self._python
        if session.stdin is None or session.stdout is None:
            raise PageError("Python has no streams")
        print(json.dumps(text), file=session.stdin, flush=True)
        answer = json.loads(session.stdout.readline() or '{"error": "Python has ended"}')
        if answer["error"]:
            raise PageError(answer["error"])
        self._printed = answer["printed"]

    def _in_r(self, block: Block) -> None:
        needed = [name for name in (block.mark("needs") or "").split() if name != "base"]
        missing = [name for name in needed if not _r_has(name)] if shutil.which("Rscript") else ["R"]
        if missing:
            self.ran.not_run.append(f"line {block.line}: there is no {', '.join(missing)}")
            return
        self._printed = self._program(["Rscript", "--vanilla", "-e", block.text], self._env, code=0)


SESSION = """\
import contextlib, io, json, sys, traceback
names = {"__name__": "__main__"}
answers = sys.stdout
for line in sys.stdin:
    printed, error = io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(json.loads(line), "<page>", "exec"), names)
    except BaseException:
        error = traceback.format_exc()
    print(json.dumps({"printed": printed.getvalue(), "error": error}), file=answers, flush=True)
"""
"""The program of a page's interpreter: a block a line, an answer a line."""


def _r_has(name: str) -> bool:
    asked = ["Rscript", "--vanilla", "-e", f"cat(nzchar(system.file(package = '{name}')))"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout == "TRUE"


def stop(server: subprocess.Popen[str]) -> int:
    """Stop a server as Ctrl-C does; its exit code, 0 for one that ends because of that."""
    with suppress(ProcessLookupError):
        server.send_signal(signal.SIGINT)
    server.communicate(timeout=20)
    return 0 if server.returncode in (0, 130, -signal.SIGINT) else server.returncode


# --- what a page shows ------------------------------------------------------------------------------------------------


def renewed(page: str, ran: Ran) -> str:
    """A page with its outputs as they are now; where only times differ they stay as they are."""
    changed = {block: text for block, text in ran.outputs.items() if without_times(block.text) != without_times(text)}
    return with_texts(page, changed)


def main() -> int:
    """Run the pages named, renew or check them, and say what was not run."""
    check = "--check" in sys.argv[1:]
    named = [Path(word).resolve() for word in sys.argv[1:] if word != "--check"]
    good = True
    with Commands() as commands:
        for path in named or pages():
            good &= _told(path, commands, check=check)
    return int(not good)


def _told(path: Path, commands: Commands, *, check: bool) -> bool:
    name, page, started = path.relative_to(ROOT).as_posix(), path.read_text("utf-8"), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            ran = run_page(page, Path(folder), commands, without=ELSEWHERE.get(name, ()))
        except PageError as error:
            print(f"{name}: WRONG: {error}")
            return False
    new = renewed(page, ran)
    same = new == page
    if not same and not check:
        path.write_text(new, "utf-8")
    state = "as it stands" if same else "differs" if check else "renewed"
    print(f"{name}: {state}, {time.perf_counter() - started:.1f} s", *(f"\n  {why}" for why in ran.not_run), sep="")
    return same or not check


if __name__ == "__main__":
    sys.exit(main())
