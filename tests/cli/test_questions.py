"""`trialsim power`, `size` and `assurance`: what they print, as text and as JSON, and what they refuse."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from designs import Data, plain_data, score, usual
from outside import Shell, Terminal, cells, data, everything_in, section, titles

from trialsim.cli import progress
from trialsim.design.reader import read_design
from trialsim.experiments import runner, successes
from trialsim.experiments.decisions import decide, power_rows
from trialsim.experiments.size import assurance, find_size, read_prior

EFFECT = "arms.coach.effects.pain.by_visit.m3"
PRIOR = f"{EFFECT}=normal(-1, 0.3)"
QUICK = ("--mcse", 0.02, "--max-replicates", 5000)
COMMANDS = [("power",), ("size",), ("assurance", "--prior", PRIOR)]


def quick_data(**changes: Any) -> Data:
    """Three arms, one visit, two analyses, two decisions; a replicate takes a fraction of a millisecond."""
    effects = {"coach": -1.0, "web": -0.5, "usual": 0.0}
    labels = {"coach": "Coaching", "web": "Web modules", "usual": "Usual care"}
    given = {
        "name": "quick",
        "title": "A quick trial",
        "visits": {"m3": {"label": "3 months", "day": 91}},
        "outcomes": {"pain": score(course={"m3": -1.0}, change_sd=1.2)},
        "arms": {
            name: usual(label=labels[name], effects={"pain": {"by_visit": {"m3": value}}})
            for name, value in effects.items()
        },
        "analyses": {
            "change": {"kind": "linear", "outcome": "pain", "multiplicity": "none"},
            "responders": {"kind": "modified_poisson", "outcome": "pain"},
        },
        "decisions": {
            "main": {
                "label": "Primary decision",
                "analysis": "change",
                "hypotheses": {"c": "coach beats usual", "w": "web beats usual"},
                "procedure": {"kind": "holm"},
                "success": "c and not (usual beats web)",
            },
            "alone": {"analysis": "change", "hypotheses": {"cw": "coach beats web"}},
        },
        **changes,
    }
    return plain_data(**given)


def written(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(quick_data(**changes)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("designs") / "quick.yaml")


def said(terminal: Terminal, *args: object, code: int = 0) -> str:
    """What a command prints; nothing on standard error."""
    result = terminal(*args)
    assert (result.exit_code, result.stderr) == (code, "")
    return result.stdout


def told(terminal: Terminal, *args: object) -> str:
    """Why a command refuses, in one message."""
    result = terminal(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("trialsim: ") == 1
    assert "Traceback" not in result.stderr
    return result.stderr.removeprefix("trialsim: ")


def in_line(text: str) -> str:
    return " ".join(text.split())


# --- power ------------------------------------------------------------------------------------------------------------


def test_power_of_the_decisions(terminal: Terminal, quick: Path, here: Path) -> None:
    text = said(terminal, "power", quick, "--replicates", 100)
    assert titles(text) == ["A quick trial", "Decision: Primary decision", "Decision: alone"]
    assert section(text, "A quick trial") == "100 replicates. Values are ± Monte Carlo standard error."
    primary = section(text, "Decision: Primary decision")
    rule = "Procedure: Holm's procedure; two-sided level 5%. Success: c and not (usual beats web)."
    assert in_line(primary).startswith(rule)
    design = read_design(quick)
    estimates = runner.run(design, replicates=100).estimates
    assert estimates is not None
    rows = power_rows(decide(design, "main", estimates))
    names = [
        "coach - usual at 3 months (change)",
        "web - usual at 3 months (change)",
        *["all hypotheses"] * 2,
        "the trial",
    ]
    seen: dict[str, int] = {}
    for name, row in zip(names, rows, strict=True):
        nth = seen[name] = seen.get(name, -1) + 1
        assert cells(primary, name, nth=nth) == [row.statistic, f"{row.value:.3f} ± {row.mcse:.3f}", "100"]
    assert everything_in(here) == []


def test_power_as_data(terminal: Terminal, quick: Path) -> None:
    found = json.loads(said(terminal, "power", quick, "--replicates", 50, "--seed", 3, "--json"))
    assert (found["design"], found["replicates"], found["seed"]) == ("quick", 50, 3)
    assert list(found) == ["design", "replicates", "seed", "power"]
    assert [row["decision"] for row in found["power"]] == ["main"] * 5 + ["alone"] * 4
    design = read_design(quick)
    estimates = runner.run(design, replicates=50, seed=3).estimates
    assert estimates is not None
    row = power_rows(decide(design, "main", estimates))[0]
    assert found["power"][0] == {
        "decision": "main", "analysis": "change", "contrast": "coach - usual", "visit": "m3",
        "statistic": "marginal power", "value": row.value, "mcse": row.mcse, "n_replicates": 50,
    }  # fmt: skip


def test_family_wise_error_under_every_partial_null(terminal: Terminal, quick: Path) -> None:
    text = said(terminal, "power", quick, "--replicates", 64, "--nulls")
    errors = section(text, "Family-wise error under every partial null")
    first = ["coach = web = usual", "coach = web", "coach = usual", "web = usual"]
    for equal in first:
        assert [cells(errors, equal, nth=k)[0] for k in range(2)] == ["main", "alone"]
    assert cells(errors, "coach = web")[1] == "no hypothesis about them"
    found = json.loads(said(terminal, "power", quick, "--replicates", 64, "--nulls", "--json"))["nulls"]
    assert [row["equal"] for row in found[::2]] == [[text.split(" = ")] for text in first]
    assert set(found[0]) == {"equal", "decision", "error", "mcse", "n_replicates"}
    assert set(found[2]) == {"equal", "decision"}


def test_error_rates_need_fewer_replicates_than_power(terminal: Terminal, quick: Path) -> None:
    """0.05 is further from one half; what the analyses' own tests would need does not count."""
    found = json.loads(said(terminal, "power", quick, "--target-mcse", 0.02, "--nulls", "--json"))
    errors = [row for row in found["nulls"] if "error" in row]
    assert max(row["mcse"] for row in errors) <= 0.02
    assert {row["n_replicates"] for row in errors} == {256}  # the first look
    assert found["replicates"] > 500


def test_a_level_that_is_not_kept_is_marked(terminal: Terminal, tmp_path: Path) -> None:
    pairs = {"ab": "coach beats web", "ac": "coach beats usual", "bc": "web beats usual"}
    loose = {
        kind: {"analysis": "change", "hypotheses": pairs, "procedure": {"kind": kind}} for kind in ("none", "holm")
    }
    text = said(terminal, "power", written(tmp_path / "loose.yaml", decisions=loose), "--replicates", 800, "--nulls")
    assert cells(text, "coach = web = usual")[2:] == ["above the level"]
    assert cells(text, "coach = web = usual", nth=1)[2:] == []


def test_two_designs_on_the_same_luck(terminal: Terminal, quick: Path, tmp_path: Path) -> None:
    text = said(terminal, "power", quick, "--replicates", 100, "--versus-set", f"{EFFECT}=-1.5")
    paired = section(text, "Paired comparison")
    gain, replicates = cells(paired, "success (main)")[-2:]
    assert float(gain) > 1.2
    assert replicates == "100"
    assert cells(paired, "months to enrol")[2:] == ["0.0 ± 0", "-", "100"]
    data = quick_data(name="other")
    data["arms"]["coach"]["effects"]["pain"]["by_visit"]["m3"] = -1.5
    (tmp_path / "other.yaml").write_text(json.dumps(data))
    same = said(terminal, "power", quick, "--replicates", 100, "--versus", tmp_path / "other.yaml")
    assert cells(same, "success (main)") == cells(paired, "success (main)")
    assert "other" in section(same, "Paired comparison")


def test_two_designs_as_data(terminal: Terminal, tmp_path: Path) -> None:
    """Without a decision there is power of the analyses to compare."""
    file = written(tmp_path / "plain.yaml", decisions={})
    found = json.loads(said(terminal, "power", file, "--replicates", 32, "--versus-set", "sample_size=61", "--json"))
    assert list(found) == ["design", "replicates", "seed", "versus"]
    rows = {row["what"]: row for row in found["versus"]}
    assert rows["participants randomized"]["difference"] == [1.0, 0.0]
    assert set(rows["participants randomized"]) == {
        "what", "contrast", "visit", "first", "second", "difference", "unpaired_mcse", "n_replicates",
    }  # fmt: skip


@pytest.mark.parametrize("command", ["power", "run"])
def test_as_many_replicates_as_an_error_asks_for(terminal: Terminal, quick: Path, here: Path, command: str) -> None:
    """All chances of the decisions count, not those of the analyses' tests alone."""
    target = 0.025
    args = ("--out", "kept") if command == "run" else ()
    found = json.loads(said(terminal, command, quick, "--target-mcse", target, "--json", *args))
    if command == "run":
        kept = data(here / "kept", "performance")
        errors = kept.loc[kept["statistic"].isin(["power", "marginal power", "success"]), "mcse"]
        n = int(kept.loc[kept["statistic"] == "success", "n_replicates"].iloc[0])
        assert json.loads((here / "kept/manifest.json").read_text())["key"]["replicates"] == "MCSE 0.025"
    else:
        errors, n = np.array([row["mcse"] for row in found["power"]]), found["replicates"]
    assert 256 < n < 1000
    assert 0.9 * target < max(errors) <= target


@pytest.mark.parametrize("option", [("--first", 3), ("--engine", "process"), ("--keep-participants",)])
def test_an_error_and_a_choice_of_replicates_exclude_each_other(
    terminal: Terminal, quick: Path, here: Path, option: tuple[object, ...]
) -> None:
    result = terminal("run", quick, "--target-mcse", 0.02, *option)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--target-mcse goes with neither --first, --engine process nor --keep-participants." in result.stderr
    assert everything_in(here) == []


def failing(path: Path) -> Path:
    """With six participants often nobody responds in an arm; the other decision needs no response."""
    decisions = {
        "fragile": {"analysis": "responders", "hypotheses": {"c": "coach beats usual"}},
        "sound": {"analysis": "change", "hypotheses": {"c": "coach beats usual"}},
    }
    return written(path, sample_size=9, decisions=decisions)


def test_failed_fits_are_refused_or_left_out(terminal: Terminal, tmp_path: Path) -> None:
    file = failing(tmp_path / "failing.yaml")
    message = told(terminal, "power", file, "--replicates", 60)
    assert message.startswith("decision fragile: in ")
    assert message.endswith("summarise the others with --skip-failed (Python: skip_failed=True).\n")
    text = said(terminal, "power", file, "--replicates", 60, "--skip-failed")
    left = {int(cells(section(text, f"Decision: {name}"), "the trial")[-1]) for name in ("fragile", "sound")}
    assert max(left) <= 60
    assert 0 < min(left) < max(left)


def test_no_decision_no_power(terminal: Terminal, tmp_path: Path) -> None:
    file = written(tmp_path / "plain.yaml", decisions={})
    message = "design 'quick' states no decision. Add `decisions` (docs/analyses.md), or see `trialsim run`.\n"
    assert told(terminal, "power", file) == message
    assert told(terminal, "power", file, "--nulls", "--versus-set", "sample_size=61") == message


# --- size -------------------------------------------------------------------------------------------------------------


def test_a_size_in_words(terminal: Terminal, quick: Path, here: Path) -> None:
    question = "Coaching vs Usual Care at 3 months"
    text = said(terminal, "size", quick, "--power", 0.8, "--for", question, "--low", 45, *QUICK)
    found = find_size(read_design(quick), power=0.8, question=question, low=45, mcse=0.02, max_replicates=5000)
    answer = found.answer
    lines = in_line(section(text, "Sample size for 80% power"))
    assert lines.startswith("Design: A quick trial. Question: coach beats usual at m3 in change.")
    each = -(-int(answer.x) // 3)
    assert f"{answer.x:.0f} participants in all (95 % confidence interval" in lines
    assert f"): coach {each}, web {each}, usual {each}" in lines
    assert f"fitted power there {answer.power_at.value:.3f}" in lines
    assert "The search ended: power at the answer has the standard error asked for." in lines
    assert len(answer.points.x) >= 3
    for x, n in zip(answer.points.x, answer.points.n_replicates, strict=True):
        assert cells(text, f"{x:.0f}")[0] == f"{n:,}"
    assert everything_in(here) == []


def test_a_size_as_data_has_the_points_and_the_curve_of_its_picture(terminal: Terminal, quick: Path) -> None:
    found = json.loads(said(terminal, "size", quick, "--for", "alone", "--power", 0.7, *QUICK, "--json"))
    assert (found["design"], found["path"], found["target_power"]) == ("quick", "sample_size", 0.7)
    assert found["question"] == "coach beats web at m3 in change"
    assert found["ci"][0] < found["estimate"] <= found["answer"] < found["ci"][1]
    points, curve = found["points"], found["curve"]
    assert sum(points["n_replicates"]) == found["n_replicates"]
    np.testing.assert_allclose(np.array(points["successes"]) / points["n_replicates"], points["power"])
    assert {name: len(values) for name, values in curve.items()} == dict.fromkeys(("x", "fitted", "low", "high"), 61)
    assert curve["x"] == sorted(curve["x"])
    assert all(a <= b <= c for a, b, c in zip(curve["low"], curve["fitted"], curve["high"], strict=True))
    assert found["mean_randomized"] == found["answer"]


def test_another_number_than_the_size(terminal: Terminal, quick: Path) -> None:
    search = ("size", quick, "--vary", EFFECT, "--low", -3, "--high", 0, "--for", "coach vs usual", "--power", 0.8)
    text = said(terminal, *search, *QUICK)
    assert titles(text) == [f"{EFFECT} for 80% power"]
    assert f"{EFFECT} = -1." in in_line(text)
    assert "participants in all" not in text


def test_an_answer_that_cannot_be_reached_is_exit_code_1(terminal: Terminal, quick: Path) -> None:
    search = ("size", quick, "--for", "web vs usual", "--high", 66, "--low", 30, *QUICK)
    text = in_line(said(terminal, *search, code=1))
    assert "Not found: not reachable: even at the upper limit power is 0." in text
    assert "participants in all" not in text
    found = json.loads(said(terminal, *search, "--json", code=1))
    assert (found["answer"], found["estimate"], found["ci"]) == (None, None, [None, None])
    assert found["stopped"].startswith("not reachable")


def test_a_range_that_is_enough_all_along(terminal: Terminal, quick: Path) -> None:
    text = in_line(said(terminal, "size", quick, "--for", "coach vs usual", "--low", 300, *QUICK))
    start = (
        "300 participants in all (a limit of the search: all of its range is enough): coach 100, web 100, usual 100;"
    )
    assert start in text
    assert "nan" not in text


def test_arms_that_do_not_divide_the_size_are_rounded_up(terminal: Terminal, quick: Path) -> None:
    text = in_line(said(terminal, "size", quick, "--for", "coach vs usual", "--low", 301, *QUICK))
    assert "coach 101, web 101, usual 101 (rounded up); power there" in text


@pytest.mark.parametrize(("low", "high", "code"), [(60, 2000, 1), (61, 400, 0)])
def test_enrolment_that_closes_early_is_told(terminal: Terminal, quick: Path, low: int, high: int, code: int) -> None:
    """Thirty a month for 75 days: no more than about 74, whatever the sample size."""
    power = 0.9 if code else 0.3
    search = ("--for", "coach vs usual", "--power", power, "--low", low, "--high", high)
    text = in_line(said(terminal, "size", quick, "--set", "max_enrolment_days=75", *search, *QUICK, code=code))
    early = "are randomized on average before enrolment closes after 75 days: raise max_enrolment_days or"
    assert (early in text) == bool(code)
    if code:
        assert "But of 2,000 participants only 7" in text


def test_too_few_replicates_are_told(terminal: Terminal, quick: Path) -> None:
    text = said(terminal, "size", quick, "--for", "coach vs usual", "--mcse", 0.001, "--max-replicates", 1000)
    assert "no replicates were left before power at the answer had the standard error asked for" in in_line(text)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--for", "coach vs web modules at 9 months"), "the question cannot be read: no visit is called '9 months'"),
        (("--for", "mian"), "the question cannot be read: 'mian' is not a statement"),
        (("--vary", "sample_sise", "--low", 1, "--high", 2), "no 'sample_sise' in the design (at 'sample_sise'). Did you mean 'sample_size'?"),
        (("--vary", EFFECT), f"searching '{EFFECT}' needs --low and --high (Python: low and high)."),
        (("--vary", "arms.coach", "--low", 1, "--high", 2), "'arms.coach' is not a number of the design."),
        (("--low", 90, "--high", 30), "searching 'sample_size' needs a whole number from 90 up to a higher one (given: 30)."),
        (("--low", 0), "sample_size = 0 is not possible: sample_size must be at least 1."),
        (("--set", "decisions={}", "--set", "analyses={}"), "design 'quick' plans no analysis, so there is no power to speak of."),
        (("--for", "coach vs usual in responders", "--set", "sample_size=9"), " replicates with sample_size = "),
    ],
)  # fmt: skip
def test_sizes_that_are_refused(terminal: Terminal, quick: Path, args: tuple[object, ...], message: str) -> None:
    assert message in told(terminal, "size", quick, *args)


# --- assurance --------------------------------------------------------------------------------------------------------


def test_assurance_in_words_and_as_data(terminal: Terminal, quick: Path, here: Path) -> None:
    call = ("assurance", quick, "--prior", PRIOR, "--for", "alone", "--nodes", 8, "--replicates", 16)
    text, found = said(terminal, *call), json.loads(said(terminal, *call, "--json"))
    same = assurance(read_design(quick), [read_prior(PRIOR)], question="alone", nodes=8, replicates=16)
    lines = in_line(section(text, "Assurance: A quick trial"))
    assert f"Prior: {EFFECT} ~ normal(-1, 0.3)." in lines
    assert f"Assurance (expected power) {same.value:.3f} ± {same.mcse:.3f}; power at the design's own values" in lines
    assert lines.endswith(f"8 values of the prior, {24 * 16} replicates. Question: coach beats web at m3 in change.")
    assert (found["assurance"], found["mcse"], found["power"]) == (same.value, same.mcse, same.power)
    assert found["priors"] == [{"path": EFFECT, "kind": "normal", "numbers": [-1.0, 0.3]}]
    assert [node["power"] for node in found["nodes"]] == same.node_power.tolist()
    assert everything_in(here) == []


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("sample_size", "'sample_size' is not a prior. Write PATH=normal(mean, sd)"),
        ("sample_size=normal(60)", "'sample_size=normal(60)' is not a prior."),
        ("sample_sise=normal(60, 1)", "no 'sample_sise' in the design"),
        ("sample_size=uniform(-9, 1)", "sample_size = -8 is not possible: sample_size must be at least 1."),
    ],
)
def test_priors_that_are_refused(terminal: Terminal, quick: Path, prior: str, message: str) -> None:
    assert message in told(terminal, "assurance", quick, "--prior", prior, "--nodes", 8)


def test_assurance_needs_a_prior(terminal: Terminal, quick: Path) -> None:
    result = terminal("assurance", quick)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Missing option '--prior'" in result.stderr


# --- all three --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_designs_that_cannot_be_found_or_run(terminal: Terminal, here: Path, command: tuple[str, ...]) -> None:
    name, *options = command
    assert told(terminal, name, "resolv", *options).startswith("no scenario 'resolv' in the library. Did you mean")
    written(here / "broken.yaml", sample_size=0)
    assert "broken.yaml:1:" in told(terminal, name, "broken.yaml", *options)


def test_a_refusal_by_a_real_process_has_no_traceback(shell: Shell, quick: Path) -> None:
    done = shell("size", quick, "--for", "coach vs nobody")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("trialsim: the question cannot be read: no arm is called 'nobody'\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_progress_goes_to_standard_error_only(
    terminal: Terminal, quick: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = terminal(command[0], quick, *command[1:], "--json")
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    result = terminal(command[0], quick, *command[1:], "--json")
    assert result.exit_code == 0
    assert result.stdout == quiet.stdout
    json.loads(result.stdout)
    lines = result.stderr.splitlines()
    assert lines
    assert all(" replicates, " in line and line.endswith(" s left") for line in lines)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_an_interruption_is_one_line(
    terminal: Terminal, quick: Path, here: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "measure", interrupted)
    result = terminal(command[0], quick, *command[1:])
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == "\ntrialsim: interrupted; nothing was written.\n"
    assert everything_in(here) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of a terminal on Unix")
@pytest.mark.parametrize("seconds", [1.3, 4.0], ids=["while workers start", "under way"])
def test_ctrl_c_ends_a_search_and_its_workers(quick: Path, here: Path, seconds: float) -> None:
    program = Path(sys.executable).with_name("trialsim")
    search = ["size", quick, "--mcse", 0.0001, "--max-replicates", 10_000_000, "--workers", 2]
    process = subprocess.Popen(
        [str(arg) for arg in (program, *search)],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "\ntrialsim: interrupted; nothing was written.\n")
    assert nobody_left(process.pid)


def nobody_left(group: int) -> bool:
    """Whether no process of the group is alive, soon."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_worker_that_dies_is_told(quick: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(successes, "_judged", dies)
    reason = "its worker process ended with exit code 9, 3 times (perhaps out of memory). Try fewer --workers."
    assert told(terminal, "size", quick, "--workers", 2).endswith(reason + "\n")


def dies(_: object) -> None:
    os._exit(9)
