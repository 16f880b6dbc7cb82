"""Figures and reports that pages show are made by the build, with the commands that stand on the page.

A page that links `_build/figures/PAGE/NAME` is run (`scripts/run_pages.py`), and what its commands have written is put
there. What has not changed since the last build is not made again.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from page_commands import Commands  # noqa: E402
from run_pages import PageError, made_by, run_page  # noqa: E402

FIGURES = ROOT / "docs" / "_build" / "figures"
logger = logging.getLogger(__name__)


def make(app: Sphinx) -> None:
    """Make what is missing or older than its page or the program."""
    program = _program()
    stale = [page for page in sorted(Path(app.srcdir).rglob("*.md")) if made_by(page) and not _fresh(page, program)]
    if not stale:
        return
    logger.info("making the figures of %s", ", ".join(page.stem for page in stale))
    with Commands() as commands, ThreadPoolExecutor(max_workers=2) as two:
        list(two.map(lambda page: _make(page, program, commands), stale))


def _make(page: Path, program: str, commands: Commands) -> None:
    folder = FIGURES / page.stem
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as place:
        try:
            run_page(page.read_text("utf-8"), Path(place), commands)
        except PageError as error:
            raise ExtensionError(f"{page}: {error}") from error
        for name in made_by(page):
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(Path(place) / name, folder / name)
    (folder / ".of").write_text(_digest(page, program), "utf-8")


def _fresh(page: Path, program: str) -> bool:
    note = FIGURES / page.stem / ".of"
    whole = all((FIGURES / page.stem / name).is_file() for name in made_by(page))
    return whole and note.is_file() and note.read_text("utf-8") == _digest(page, program)


def _digest(page: Path, program: str) -> str:
    return hashlib.sha256(program.encode() + page.read_bytes()).hexdigest()


def _program() -> str:
    """A digest of all that figures depend on but the page: the program and its library."""
    digest = hashlib.sha256()
    for folder in ("trialsim", "configs"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".yaml", ".csv", ".html", ".css", ".js"):
                digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", make)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
