#!/usr/bin/env python
"""Say what the built pages would fetch from elsewhere, and which of their own files are missing.

    python scripts/check_site.py docs/_build/html

Exit code 1 if there is anything. Links that a reader may follow are no requests.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADING = {
    "script": ("src",), "link": ("href",), "img": ("src", "srcset"), "source": ("src", "srcset"), "iframe": ("src",),
    "object": ("data",), "embed": ("src",), "video": ("src", "poster"), "audio": ("src",), "track": ("src",),
    "image": ("href", "xlink:href"), "use": ("href", "xlink:href"), "form": ("action",), "input": ("src",),
    "base": ("href",), "body": ("background",),
}  # fmt: skip
"""Attributes whose address a browser asks for by itself, or sends to."""
NO_REQUEST = {"search", "index", "next", "prev", "canonical", "author", "license", "help"}
"""Kinds of <link> that load nothing."""
IN_STYLE = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")


class Loads(HTMLParser):
    """Collects the addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element and its attributes."""
        given = {name: value or "" for name, value in attrs}
        self._style = tag == "style"
        self.found += in_style(given.get("style", ""))
        if tag == "link" and set(given.get("rel", "").split()) <= NO_REQUEST:
            return
        for name in LOADING.get(tag, ()):
            if name in given:
                parts = given[name].split(",") if name == "srcset" else [given[name]]
                self.found += [part.split()[0] for part in parts if part.strip()]

    def handle_data(self, data: str) -> None:
        """Text; that of <style> may load."""
        if self._style:
            self.found += in_style(data)


def in_style(text: str) -> list[str]:
    """Addresses in a style sheet."""
    return [first or second for first, second in IN_STYLE.findall(text)]


def loads(path: Path) -> list[str]:
    """Addresses that a page, a style sheet or an image in SVG loads."""
    text = path.read_text("utf-8")
    if path.suffix == ".css":
        return in_style(text)
    parser = Loads()
    parser.feed(text)
    return parser.found


def faults(site: Path) -> Iterator[str]:
    """Everything that is fetched from elsewhere or is not there."""
    for path in sorted(site.rglob("*")):
        if path.suffix in (".html", ".css", ".svg"):
            for address in loads(path):
                if (fault := fault_of(path.parent, address)) is not None:
                    yield f"{path.relative_to(site)}: {fault}"


def fault_of(folder: Path, address: str) -> str | None:
    """What is wrong with an address that a file in this folder loads."""
    where = urlsplit(address)
    if where.scheme == "data":
        return None
    if where.scheme or where.netloc:
        return f"loads {address}"
    missing = where.path and not (folder / unquote(where.path)).exists()
    return f"{address} is not there" if missing else None


def main() -> int:
    """Print the faults."""
    site = Path(sys.argv[1])
    pages = len(list(site.rglob("*.html")))
    found = list(faults(site))
    print(*found, f"{pages} pages, {len(found)} faults", sep="\n")
    return int(bool(found) or not pages)


if __name__ == "__main__":
    sys.exit(main())
