"""Texts that are known to be good, and the one way to renew them: TRIALSIM_UPDATE_GOLDEN=1 pytest ..."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent
UPDATE = "TRIALSIM_UPDATE_GOLDEN"


def golden(name: str, text: str) -> str:
    """The golden text of that name, to compare `text` with; when asked to renew, `text` becomes it."""
    path = FOLDER / name
    if os.environ.get(UPDATE) == "1":
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8")
