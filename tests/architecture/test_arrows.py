"""Imports point down, and each dangerous thing has one home. The fences of docs/architecture.md, kept by a machine."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "trialsim"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Each room may import itself and every room after it.
ORDER = [
    "cli", "teach", "report", "sweeps", "experiments", "trial", "analysis", "records", "block", "engines", "world", "tables", "design", "errors",
]  # fmt: skip


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(path: Path) -> list[str]:
    """Modules imported anywhere in a file, in or out of functions."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def wrong_arrows(module: str, imported: list[str]) -> list[str]:
    """Imports that point up."""
    here = room(module)
    if here in ("", "__init__"):
        return []
    there = [(name, room(name)) for name in imported if name.startswith("trialsim.")]
    return [name for name, target in there if target in ORDER and ORDER.index(target) < ORDER.index(here)]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    assert wrong_arrows(name_of(path), imports(path)) == []


def test_an_arrow_that_points_up_is_seen() -> None:
    assert wrong_arrows("trialsim.world.cohort", ["trialsim.engines.vector"]) == ["trialsim.engines.vector"]


def test_the_engines_do_not_know_each_other() -> None:
    of_vector, of_process = ((PACKAGE / "engines").glob(f"{name}*.py") for name in ("vector", "process"))
    assert not [i for path in of_vector for i in imports(path) if "process" in i]
    assert not [i for path in of_process for i in imports(path) if "vector" in i]


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("simpy", {f"trialsim.engines.{name}" for name in ("process", "process_clock", "process_desks")}),
        ("ruamel", {"trialsim.design.yamltree", "trialsim.design.yamlwriter", "trialsim.design.scalars"}),
        (
            "click",
            {
                f"trialsim.cli.{name}"
                for name in ("calibrating", "main", "options", "progress", "questions", "showing", "sweeps", "teaching")
            },
        ),
        ("concurrent", {"trialsim.experiments.executors", "trialsim.experiments.processes"}),
        ("multiprocessing", {"trialsim.experiments.processes"}),
        ("distributed", {"trialsim.experiments.executors"}),
        ("mpi4py", {"trialsim.experiments.executors"}),
    ],
)
def test_a_library_has_its_home(library: str, homes: set[str]) -> None:
    users = {name_of(path) for path in MODULES if any(i.split(".")[0] == library for i in imports(path))}
    assert users
    assert users <= homes


def test_only_streams_and_draws_touch_numpy_random() -> None:
    users = {name_of(path) for path in MODULES if ".random." in path.read_text("utf-8")}
    assert users <= {"trialsim.world.streams", "trialsim.world.draws"}
    assert "trialsim.world.streams" in users


def test_only_the_command_line_prints() -> None:
    printers = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                printers.add(name_of(path))
    assert not printers


def test_nothing_below_experiments_opens_files_but_the_design_reader() -> None:
    openers = {
        name_of(path)
        for path in MODULES
        if room(name_of(path)) not in ("sweeps", "experiments", "report", "teach", "cli")
        if any(word in path.read_text("utf-8") for word in ("open(", "read_text(", "write_text(", "read_bytes()"))
    }
    assert {room(name) for name in openers} <= {"design"}


def test_every_module_says_what_it_is() -> None:
    silent = [
        name_of(p) for p in MODULES if p.stat().st_size and not ast.get_docstring(ast.parse(p.read_text("utf-8")))
    ]
    assert silent == []
