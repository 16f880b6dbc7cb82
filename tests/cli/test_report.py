"""`trialsim report` as a user runs it: what is written where, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from outside import Terminal, files_of

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures have tests of their own, and take most of the time."""
    from trialsim.report.page.pictures import Pictures

    monkeypatch.setattr(Pictures, "_one", lambda self, kind, options: f"figure {kind}")


def test_a_design_is_reported_in_the_current_folder(here: Path, small: Path, terminal: Terminal) -> None:
    result = terminal("report", small, "--replicates", 3, "--seed", 7, "--set", "sample_size=30")
    assert result.exit_code == 0
    assert result.stdout.startswith("report.html: written (0.")
    text = (here / "report.html").read_text("utf-8")
    assert "trialsim run small_trial.yaml --seed 7 --replicates 3" in text
    assert "30 participants" in text
    assert [path.name for path in here.iterdir()] == ["report.html"]


def test_a_run_is_reported_beside_its_folder_which_stays_as_it_is(
    forty_trials: tuple[Path, str], terminal: Terminal
) -> None:
    folder, _ = forty_trials
    before = files_of(folder)
    result = terminal("report", folder)
    assert result.exit_code == 0
    target = folder.with_name("results-report.html")
    assert result.stdout.startswith(f"{target}: written")
    assert files_of(folder) == before
    text = target.read_text("utf-8")
    assert "40 (number 0 to 39)" in text
    assert "The results were made by this command:" in text


def test_the_report_of_a_run_has_the_numbers_of_its_summary(
    forty_trials: tuple[Path, str], terminal: Terminal, tmp_path: Path
) -> None:
    folder, printed = forty_trials
    terminal("report", folder, "--out", tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text("utf-8")
    rows = [
        line for line in printed.splitlines() if "±" in line and line.startswith(("hours of", "contacted", "answered"))
    ]
    assert len(rows) >= 4
    for row in rows:
        for cell in (part.strip() for part in row.split("  ") if "±" in part):
            assert f">{cell}</td>" in text


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--seed", "3"], "this is a results folder, which has its own"),
        (["--set", "sample_size=3"], "cannot be chosen"),
        (["--out", "results.txt"], "its name ends in .html"),
        (["--out", "no/where.html"], "there is no folder 'no'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    here: Path, one_trial: tuple[Path, str], terminal: Terminal, more: list[str], why: str
) -> None:
    result = terminal("report", one_trial[0], *more)
    assert result.exit_code == 2
    assert why in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert list(here.iterdir()) == []


def test_it_is_never_written_into_the_results(one_trial: tuple[Path, str], terminal: Terminal) -> None:
    result = terminal("report", one_trial[0], "--out", one_trial[0] / "report.html")
    assert (result.exit_code, "inside the results folder" in result.stderr) == (2, True)


def test_without_the_extra_it_says_what_to_install(
    here: Path, small: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    result = terminal("report", small)
    assert result.exit_code == 2
    assert result.stderr.strip() == "trialsim: the report needs the extra: pip install 'trialsim[plot]'"
    assert list(here.iterdir()) == []
