#!/usr/bin/env python
"""Ask the live page what it would show with sliders at other values: for the tutorial, in place of a hand on a mouse.

    python scripts/ask_page.py ADDRESS lessons
    python scripts/ask_page.py ADDRESS says [NAME=VALUE ...]
    python scripts/ask_page.py ADDRESS download FILE [NAME=VALUE ...]

`says` prints the sentence below the first picture of the free page, `download` saves the design and prints the command.
"""

from __future__ import annotations

import json
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

REPLICATES = 500
BUSY = (429, 503)


def ask(address: str, path: str, question: dict[str, Any] | None = None) -> Any:
    """The page's answer."""
    data = None if question is None else json.dumps(question).encode()
    request = urllib.request.Request(f"{address}/api/{path}", data=data, headers={"Content-Type": "application/json"})
    for pause in (1, 2, 4, 8, 16, None):
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            if refused.code not in BUSY or pause is None:
                raise
            time.sleep(pause)
    raise AssertionError("the last pause is None")


def free_page(address: str, moved: Iterable[str]) -> dict[str, Any]:
    """The state of the free page with some sliders moved."""
    values = {name: float(value) for name, _, value in (text.partition("=") for text in moved)}
    view = ask(address, "start")["explore"]["views"][0]["name"]
    return {"scene": "explore", "view": view, "values": values, "seed": 1, "replicates": REPLICATES}


def says(address: str, moved: list[str]) -> list[str]:
    """What is said below the first picture. A busy page answers from fewer replicates and goes on when asked again."""
    for sequence in range(20):
        asked = {**free_page(address, moved), "client": "tutorial", "sequence": sequence}
        answer = ask(address, "answer", asked)
        if answer["replicates"] == REPLICATES:
            return list(answer["says"])
    raise SystemExit(f"the page answers from {answer['replicates']} replicates only")


def main() -> None:
    """Ask and print."""
    address, what, *words = sys.argv[1:]
    if what == "lessons":
        for lesson in ask(address, "start")["lessons"]:
            print(f"{lesson['minutes']} min  {lesson['title']}")
    elif what == "says":
        print(*(textwrap.fill(sentence, 88) for sentence in says(address, words)), sep="\n")
    elif what == "download":
        found = ask(address, "design", free_page(address, words[1:]))
        Path(words[0]).write_text(found["yaml"], "utf-8")
        print(found["command"].replace(found["filename"], words[0]))


if __name__ == "__main__":
    main()
