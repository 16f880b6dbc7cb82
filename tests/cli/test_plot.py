"""`trialsim plot` as a user runs it: files, captions, what there is, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from outside import Terminal
from sweep_folders import sizes_and_rates, sweep_of, write_sweep

PNG, PDF = b"\x89PNG\r\n", b"%PDF-1."


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a sweep of four design points."""
    folder = tmp_path_factory.mktemp("sweep") / "sizes"
    write_sweep(folder, sweep_of(sizes_and_rates(), replicates=16))
    return folder


def test_a_figure_is_written_and_its_caption_said(
    here: Path, terminal: Terminal, forty_trials: tuple[Path, str]
) -> None:
    result = terminal("plot", forty_trials[0], "--kind", "attendance")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("small_trial-attendance.png: written.\nShare of all participants of an arm")
    assert "40 replicates, seed 5" in " ".join(result.stdout.split())
    assert (here / "small_trial-attendance.png").read_bytes().startswith(PNG)


def test_the_name_says_the_format_and_a_file_is_written_over(
    here: Path, terminal: Terminal, one_trial: tuple[Path, str]
) -> None:
    for _ in range(2):
        assert terminal("plot", one_trial[0], "--kind", "consort", "--out", "flow.pdf").exit_code == 0
    assert (here / "flow.pdf").read_bytes().startswith(PDF)
    assert [path.name for path in here.iterdir()] == ["flow.pdf"]


def test_several_figures_go_into_a_folder(here: Path, terminal: Terminal, sweep: Path) -> None:
    words = ("--kind", "heat", "--kind", "curve", "--format", "svg", "--size", "projector", "--dark")
    assert terminal("plot", sweep, *words, "--statistic", "cost").exit_code == 0
    names = sorted(path.name for path in (here / "small-figures").iterdir())
    assert names == ["small-curve-projector-dark.svg", "small-heat-projector-dark.svg"]
    text = (here / "small-figures" / names[0]).read_text("utf-8")
    assert "Cost [USD]" in text
    assert "DejaVu Sans" in text


def test_everything_that_there_is(here: Path, terminal: Terminal, sweep: Path) -> None:
    assert terminal("plot", sweep, "--all", "--format", "svg", "--out", "all").exit_code == 0
    kinds = ["curve", "heat", "nested_loop", "pareto"]
    assert sorted(path.name for path in (here / "all").iterdir()) == [f"small-{kind}.svg" for kind in kinds]


def test_a_design_point_of_a_sweep_is_a_trial(here: Path, terminal: Terminal, sweep: Path) -> None:
    result = terminal("plot", sweep, "--point", 2, "--kind", "consort", "--replicate", 3, "--format", "svg")
    assert result.exit_code == 0
    assert "Numbers of replicate 3." in " ".join(result.stdout.split())


def test_a_design_is_simulated(here: Path, terminal: Terminal, small: Path) -> None:
    words = ("--replicates", 4, "--seed", 9, "--set", "sample_size=30", "--kind", "responders", "--format", "svg")
    result = terminal("plot", small, *words)
    assert result.exit_code == 0
    assert "4 replicates, seed 9" in " ".join(result.stdout.split())


def test_which_figures_there_are_is_listed(here: Path, terminal: Terminal, one_trial: tuple[Path, str]) -> None:
    told = terminal("plot", one_trial[0], "--kinds").stdout
    assert "power         no   one replicate has no power; at least two are needed." in told
    assert "consort       yes  Who is contacted" in told
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kind", "forrest"), "no figure is called 'forrest'. Did you mean 'forest'?"),
        (("--kind", "power"), "figure 'power' cannot be drawn from"),
        (("--kind", "attendance", "--outcome", "pain"), "--outcome does not concern figure 'attendance'. It concerns"),
        (("--kind", "consort", "--out", "flow.bmp"), "a figure's file ends in .png, .svg or .pdf."),
        (("--kind", "consort", "--out", "flow.svg", "--format", "pdf"), "the name says svg, --format says pdf."),
        (("--kind", "consort", "--replicates", "7"), "replicates cannot be chosen: this is a results folder"),
        (("--kind", "consort", "--kind", "forest", "--out", "here.txt"), "several figures need a folder"),
        (("--kind", "consort", "--replicate", "4"), "replicate 4 is not among 0 to 0."),
    ],
)
def test_what_cannot_be_is_refused(
    here: Path, terminal: Terminal, one_trial: tuple[Path, str], words: tuple[str, ...], message: str
) -> None:
    (here / "here.txt").write_text("mine")
    result = terminal("plot", one_trial[0], *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
    assert [path.name for path in here.iterdir()] == ["here.txt"]


@pytest.mark.parametrize("words", [(), ("--kinds", "--all"), ("--all", "--kind", "heat")])
def test_one_way_of_choosing_figures(terminal: Terminal, sweep: Path, words: tuple[str, ...]) -> None:
    result = terminal("plot", sweep, *words)
    assert result.exit_code == 2
    assert "Give one of --kind KIND" in result.stderr


def test_a_folder_is_not_written_over(here: Path, terminal: Terminal, sweep: Path) -> None:
    (here / "heat.png").mkdir()
    result = terminal("plot", sweep, "--kind", "heat", "--out", "heat.png")
    assert result.exit_code == 0  # into it
    assert [path.name for path in (here / "heat.png").iterdir()] == ["small-heat.png"]
