"""`trialsim calibrate`: the file it writes, what it prints, what it refuses."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from outside import Terminal, cells, files_of, titles

from trialsim import __version__
from trialsim.design.reader import read_design
from trialsim.experiments import calibration

DESIGN = """\
# A toy trial: two arms, one visit.
name: toy
start_date: 2024-01-01
sample_size: 60
max_enrolment_days: 600
recruitment: {sites: {north: {rate_per_month: 60}}}
funnel: {enrolled: {}}
outcomes:
  pain: {items: 10, mean: 6.0, sd: 1.5, error_sd: 0.5, course: {m3: 0.0}}   # assumed
visits:
  m3: {day: 91}
arms:
  coach:
    delivery: {kind: none}
    response_prob: {m3: 0.5}    # fitted: 40 % answered
  usual:
    delivery: {kind: none}
    response_prob: {m3: 0.8}
allocation: {kind: simple, ratio: {coach: 1, usual: 1}}     # seen
"""
TARGETS = [
    ("observed/coach/m3", "answered, coach, %", 70.0, 5.0),
    ("outcome/pain/usual/m3/mean_change", "change, usual", -0.4, 0.2),
]
FREE = ("--free", "arms.coach.response_prob.m3=0.3..0.9", "--free", "outcomes.pain.course.m3=-1..1")
QUICK = ("--targets", "targets.yaml", "--replicates", 16, *FREE)


@pytest.fixture
def toy(here: Path) -> Path:
    """A folder with a design and its targets."""
    (here / "toy.yaml").write_text(DESIGN)
    rows = [
        {"measure": measure, "label": label, "published": at, "low": at - half, "high": at + half, "source": "seen", "kind": "fitted"}
        for measure, label, at, half in TARGETS
    ]  # fmt: skip
    (here / "targets.yaml").write_text(json.dumps({"design": "toy", "targets": rows}))
    return here


def test_the_file_has_the_fitted_numbers_in_place_and_runs(terminal: Terminal, toy: Path) -> None:
    result = terminal("calibrate", "toy.yaml", *QUICK, "--out", "fitted.yaml", "--set", "sample_size=80")
    assert (result.exit_code, result.stderr) == (0, "")
    assert titles(result.stdout)[0] == "toy: calibrated"
    assert result.stdout.endswith("\nfitted.yaml: written.\n")
    prob = cells(result.stdout, "arms.coach.response_prob.m3")[1]
    course = cells(result.stdout, "outcomes.pain.course.m3")[1]
    header, _, rest = (toy / "fitted.yaml").read_text().partition("\n\n")
    first, command, met = header.splitlines()
    assert first.startswith(f"# Calibrated with trialsim {__version__}: seed 1, 16 replicates for each of ")
    assert command.startswith("#   trialsim calibrate toy.yaml --targets targets.yaml --free ")
    assert "inside their range: 2 of 2;" in met
    expected = DESIGN.replace("sample_size: 60", "sample_size: 80").replace(
        "{m3: 0.5}    # fitted: 40 % answered", f"{{m3: {prob}}} # fitted to: m3: answered, coach, %"
    )
    expected = expected.replace(
        "{m3: 0.0}}   # assumed", f"{{m3: {course}}}}}  # fitted to: m3: change, usual (before: assumed)"
    )
    assert [" ".join(line.split()) for line in rest.splitlines()] == [
        " ".join(line.split()) for line in expected.splitlines()
    ]
    design = read_design("fitted.yaml")
    assert (design.sample_size, design.outcomes["pain"].course["m3"]) == (80, float(course))
    assert terminal("run", "fitted.yaml", "--out", "kept").exit_code == 0


def test_the_command_of_the_header_gives_the_same_file(terminal: Terminal, toy: Path) -> None:
    assert terminal("calibrate", "toy.yaml", *QUICK, "--out", "fitted.yaml", "--workers", 2).exit_code == 0
    before = (toy / "fitted.yaml").read_bytes()
    command = before.decode().splitlines()[1].removeprefix("#   trialsim ")
    assert terminal(*shlex.split(command)).exit_code == 0
    assert (toy / "fitted.yaml").read_bytes() == before


def test_a_fitted_file_can_be_fitted_again(terminal: Terminal, toy: Path) -> None:
    terminal("calibrate", "toy.yaml", *QUICK, "--out", "fitted.yaml")
    assert terminal("calibrate", "fitted.yaml", *QUICK, "--seed", 5, "--out", "again.yaml").exit_code == 0
    text = (toy / "again.yaml").read_text()
    assert text.count("# Calibrated with") == text.count("trialsim calibrate fitted.yaml") == 1
    assert "before: fitted" not in text
    assert text.count("# A toy trial: two arms, one visit.") == 1


def test_json(terminal: Terminal, toy: Path) -> None:
    result = terminal("calibrate", "toy.yaml", *QUICK, "--json", "--out", "fitted.yaml")
    told = json.loads(result.stdout)
    assert result.stderr == "fitted.yaml: written.\n"
    assert [one["paths"] for one in told["numbers"]] == [["arms.coach.response_prob.m3"], ["outcomes.pain.course.m3"]]
    assert told["numbers"][0]["fitted"] == pytest.approx(0.7, abs=0.1)
    assert all(one["after"]["inside"] and not one["before"]["inside"] for one in told["targets"])


@pytest.fixture
def shared(toy: Path) -> Path:
    """Both arms' chances to answer written once, under an anchor."""
    text = DESIGN.replace("response_prob: {m3: 0.5}", "response_prob: &same {m3: 0.5}")
    (toy / "toy.yaml").write_text(text.replace("response_prob: {m3: 0.8}", "response_prob: *same"))
    return toy


@pytest.fixture
def no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be simulated."""
    monkeypatch.setattr(calibration, "run_with", lambda *_, **__: pytest.fail("a simulation was begun"))


@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--out", "toy.yaml"), "--out toy.yaml is the design itself."),
        (("--out", "targets.yaml"), "--out targets.yaml exists already and is not of a calibration."),
        (("--out", "fitted.txt"), "--out fitted.txt must end in .yaml."),
        (("--out", "no/fitted.yaml"), "--out no/fitted.yaml: there is no folder 'no'."),
        (("--out", "f.yaml", "--free", "arms.usual.cost_per_participant=0..1"), "'arms.usual.cost_per_participant' is not written in toy.yaml"),
        (("--out", "f.yaml", "--set", "visits.m3.label=x"), "--set visits.m3.label=x: --out can write numbers only."),
        (("--out", "f.yaml", "--set", "visits.m3.closes=50"), "'visits.m3.closes' is not written in toy.yaml"),
        (("--out", "f.yaml", "--free", "arms.nobody.start_prob=0..1"), "no 'arms.nobody.start_prob' in the design"),
        (("--out", "f.yaml", "--free", "visits.m3.day=80..100"), "--free visits.m3.day: a whole number cannot"),
        (("--free", "nonsense"), "--free nonsense: must have the form PATH=LOW..HIGH"),
        (("--targets", "none.yaml"), "no file 'none.yaml'"),
        (("--targets", "none"), "there are no published targets for 'none'."),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_at_once(
    terminal: Terminal, toy: Path, words: tuple[str, ...], told: str
) -> None:
    before = files_of(toy)
    result = terminal("calibrate", "toy.yaml", *QUICK, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"trialsim: {told}")
    assert files_of(toy) == before


@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--set", "arms.usual.response_prob.m3=0.9"),
        ("--free", "arms.usual.response_prob.m3=0.3..0.9"),  # two numbers at one place
        ("--free", "arms.usual.response_prob.m3=0.5..0.9"),
    ],
)
def test_numbers_that_share_their_place_are_refused(terminal: Terminal, shared: Path, words: tuple[str, ...]) -> None:
    result = terminal("calibrate", "toy.yaml", *QUICK, *words, "--out", "fitted.yaml")
    assert result.exit_code == 2
    assert "fitted.yaml would not say the fitted design: a number shares its place in toy.yaml" in result.stderr
    assert not (shared / "fitted.yaml").exists()


@pytest.mark.usefixtures("shared")
def test_one_number_at_all_places_of_an_anchor_is_written(terminal: Terminal) -> None:
    both = "arms.coach.response_prob.m3,arms.usual.response_prob.m3=0.3..0.9"
    result = terminal(
        "calibrate", "toy.yaml", "--targets", "targets.yaml", "--replicates", 16, "--free", both, "--out", "fitted.yaml"
    )
    assert result.exit_code == 0
    arms = read_design("fitted.yaml").arms
    assert arms["coach"].response_prob == arms["usual"].response_prob == {"m3": pytest.approx(0.7, abs=0.1)}


@pytest.mark.usefixtures("no_search")
def test_a_number_of_the_parent_is_refused_and_a_parent_beside_must_stay_beside(terminal: Terminal, toy: Path) -> None:
    (toy / "child.yaml").write_text("extends: toy.yaml\nname: child\n")
    result = terminal("calibrate", "child.yaml", *QUICK, "--out", "fitted.yaml")
    assert "'arms.coach.response_prob.m3' is not written in child.yaml" in result.stderr
    (toy / "far").mkdir()
    result = terminal("calibrate", "child.yaml", *QUICK, "--out", "far/fitted.yaml")
    assert "child.yaml extends 'toy.yaml' beside it: --out must be in the same folder." in result.stderr


def test_a_child_that_says_its_numbers_is_written(terminal: Terminal, toy: Path) -> None:
    (toy / "child.yaml").write_text("extends: toy.yaml\nname: child\narms: {coach: {response_prob: {m3: 0.5}}}\n")
    free = ("--targets", "targets.yaml", "--replicates", 16, *FREE[:2])
    assert terminal("calibrate", "child.yaml", *free, "--out", "fitted.yaml").exit_code == 0
    assert read_design("fitted.yaml").arms["coach"].response_prob["m3"] != 0.5
