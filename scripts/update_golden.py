#!/usr/bin/env python
"""Renew the golden texts of the tests. Look at `git diff tests/golden` afterwards: every change must be meant.

    python scripts/update_golden.py

A test takes part by comparing its text with `golden(name, text)`; all tests that import it are run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"


def tests_with_golden_texts() -> list[Path]:
    """Test files that import `golden`."""
    imports = re.compile(r"(?m)^from golden import golden$")
    return sorted(path for path in TESTS.rglob("test_*.py") if imports.search(path.read_text("utf-8")))


def main() -> int:
    """Run those tests with leave to write; exit code 0 if all passed."""
    files = [str(path.relative_to(ROOT)) for path in tests_with_golden_texts()]
    environment = {**os.environ, "TRIALSIM_UPDATE_GOLDEN": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    print(f"Golden texts of {len(files)} test files renewed. Now read: git diff tests/golden")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
