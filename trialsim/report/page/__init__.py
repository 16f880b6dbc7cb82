"""The report: one self-contained HTML file about a design, a run, or a sweep."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from trialsim import __version__
from trialsim.errors import TrialsimError

if TYPE_CHECKING:
    from trialsim.report.figures.material import Material
    from trialsim.report.page.parts import Page

__all__ = ["need_extra", "page_of", "report_html", "write_report"]

SUFFIXES = (".html", ".htm")


def need_extra() -> None:
    """TrialsimError where what a report is made with is not installed."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError:
        raise TrialsimError("the report needs the extra: pip install 'trialsim[plot]'") from None


def page_of(material: Material) -> Page:
    """What the report says, section by section."""
    from trialsim.report.page.sweep import sweep_page
    from trialsim.report.page.trial import trial_page

    return sweep_page(material) if material.of == "sweep" else trial_page(material)


def report_html(material: Material) -> str:
    """The report as HTML: the same material gives the same bytes. TrialsimError as for `gather`, or no extra."""
    need_extra()
    return html_of(page_of(material))


def html_of(page: Page) -> str:
    """A page as HTML. All text is escaped by the template; figures are the only markup that is put in as it is."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from trialsim.report.figures import CSS
    from trialsim.report.page.blocks import sections_of

    there = Environment(
        loader=PackageLoader("trialsim.report.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    css = there.loader.get_source(there, "page.css")[0] if there.loader else ""
    from markupsafe import Markup

    return there.get_template("page.html").render(
        page={"title": page.title, "kind": page.kind, "about": page.about, "notice": page.notice,
              "sections": sections_of(page)},
        css=Markup(css), figure_css=Markup(CSS), version=__version__,
    )  # fmt: skip


def default_place(folder: Path | None) -> Path:
    """Where a report goes that nobody says where to put: report.html here, or beside the results folder."""
    if folder is None:
        return Path("report.html")
    named = folder if folder.name not in ("", "..") else folder.resolve()
    return named.with_name(f"{named.name}-report.html")


def check_place(out: Path, *, folder: Path | None = None) -> None:
    """TrialsimError where a report cannot be written: said before anything is simulated.

    `folder` is a results folder, which is left as it is: its manifest knows every file in it.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise TrialsimError(f"{out}: the report is an HTML file, so its name ends in .html.")
    if out.is_dir():
        raise TrialsimError(f"{out}: this is a folder. Give a file name.")
    if folder is not None and out.absolute().resolve().is_relative_to(folder.absolute().resolve()):
        raise TrialsimError(f"{out}: this is inside the results folder, which is left as it is. Choose another --out.")
    above = out.absolute().parent
    if not above.is_dir():
        raise TrialsimError(f"{out}: there is no folder '{out.parent}'.")
    if not os.access(above, os.W_OK):
        raise TrialsimError(f"{out}: cannot be written (permission denied).")


def write_report(text: str, out: Path) -> None:
    """Write the report whole or not at all. TrialsimError where that cannot be."""
    draft = out.with_name(f".{out.name}.{os.getpid()}.draft")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, out)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise TrialsimError(f"{out}: cannot be written ({(error.strerror or str(error)).lower()}).") from error
