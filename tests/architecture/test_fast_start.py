"""`import trialsim` and `trialsim --help` load nothing heavy. Modules are looked at, not the clock."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "pandas", "scipy", "pyarrow", "pydantic", "simpy", "ruamel")


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sorted(m for m in sys.modules if m in {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()) if done.stdout.splitlines() else set()


@pytest.mark.parametrize(
    "code",
    [
        "import trialsim",
        "from click.testing import CliRunner\nfrom trialsim.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0",
        "from click.testing import CliRunner\nfrom trialsim.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['run', '--help']).exit_code == 0",
    ],
    ids=["import", "help", "help of run"],
)
def test_starting_is_light(code: str) -> None:
    assert loaded_by(code) == set()


def test_the_check_sees_a_heavy_import() -> None:
    assert "numpy" in loaded_by("import numpy")
