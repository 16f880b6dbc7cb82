"""Type I error of analyses under their own assumptions: the smaller version of `scripts/type_one_error.py`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from helpers import Z, agrees, se_of_share

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import null_worlds as worlds  # noqa: E402
from null_methods import Method, Study  # noqa: E402
from null_studies import KNOWN, one, studies  # noqa: E402
from type_one_error import PAGE, RESULTS, SIZES, Count, counts, read, renewed, tally, write  # noqa: E402

from trialsim.design.analyses import Analysis  # noqa: E402

N, R = 60, 1_000
STUDIES = {study.name: study for study in studies()}

EXACT: dict[str, tuple[str, ...]] = {
    "normal": ("t_test", "ancova, variance=model", "ancova, variance=hc3"),
    "unequal variance": ("t_test, equal_variance=False",),
    "binary": ("chi_squared, correction=False",),
    "overdispersed": ("counts",),
    "times": ("log_rank", "cox"),
    "repeated": ("gee, working=exchangeable, correction=kauermann", "gee, working=exchangeable, correction=mancl"),
    "dropout": ("mmrm, df=kenward_roger", "mmrm, df=satterthwaite"),
    "12 sites": ("mixed, cluster=site, df=satterthwaite", "mixed, cluster=site, df=kenward_roger"),
    "12 coaches": ("cluster_robust, correction=CR2", "cluster_means, weights=equal"),
    "24 randomized clusters": ("mixed, df=kenward_roger", "cluster_means, weights=equal, pooled=True"),
    "mean on the margin": ("ancova, margin=0.5, hypothesis=non_inferiority", "t_test, margin=0.5, hypothesis=non_inf"),
    "3 arms, all equal": ("t_test",),
    "4 arms, all equal": ("t_test, equal_variance=True, multiplicity=dunnett",),
    "4 arms, 2 of 3 differ from control": ("t_test, equal_variance=True, multiplicity=dunnett_step_down",),
}
"""Analyses whose rate is the nominal one with 20 participants in each arm, by the data they are for."""


def rates(study: Study, *, n: int = N, replicates: int = R) -> list[Count]:
    return counts(study, n, [tally(study, study.methods, n, 0, replicates)])


def within(rows: list[Count]) -> bool:
    """Whether all rates are 4.5 Monte Carlo standard errors or less from nominal; a failed fit is no evidence."""
    return all(agrees(row.rate, row.nominal, se_of_share(row.nominal, row.replicates - row.failed)) for row in rows)


def chosen(name: str) -> Study:
    study = STUDIES[name]
    methods = tuple(m for m in study.methods if m.title.startswith(EXACT[name]))
    assert len(methods) >= len(EXACT[name])
    return replace(study, methods=methods)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_true_hypotheses_are_rejected_as_often_as_stated(name: str) -> None:
    rows = rates(chosen(name))
    assert within(rows), [(row.analysis, row.tested, row.rate) for row in rows]


ALL_ALIKE = Method("t_test", {"equal_variance": True})
WRONG = {
    "clusters are ignored": (Study("clusters ignored", worlds.clusters_ignored, (ALL_ALIKE, one("ancova"))), 300),
    "variances are unequal": (Study("pooled", worlds.unequal_variance, (ALL_ALIKE, one("ancova"))), N),
    "arms differ": (Study("no null", worlds.normal_margin, (ALL_ALIKE, one("ancova"))), N),
    "4 arms, 1 differs, LSD": (STUDIES["4 arms, 1 of 3 differ from control"], N),
}


@pytest.mark.slow
@pytest.mark.parametrize("why", WRONG)
def test_the_check_fails_where_assumptions_are_wrong(why: str) -> None:
    study, n = WRONG[why]
    rows = rates(replace(study, methods=study.methods[:2]), n=n)
    assert not within(rows[:1])


# --- the machinery ------------------------------------------------------------------------------------------------


def kinds() -> Iterator[str]:
    for part in get_args(get_args(Analysis)[0]):
        yield from get_args(part.model_fields["kind"].annotation)


def test_every_built_in_kind_of_analysis_is_tried_and_titles_are_unique() -> None:
    tried = {method.kind for study in STUDIES.values() for method in study.methods}
    assert tried == set(kinds()) - {"user"}
    for study in STUDIES.values():
        titles = [method.title for method in study.methods]
        assert len(set(titles)) == len(titles), study.name


@pytest.mark.parametrize("name", ["dropout", "dropout, imputed", "times"])
def test_replicates_do_not_depend_on_how_they_are_shared_out(name: str) -> None:
    study = STUDIES[name]
    methods = [method for method in study.methods if "chained" not in method.title][:2]
    whole = counts(study, N, [tally(study, methods, N, 0, 6)])
    parts = counts(study, N, [tally(study, methods, N, 0, 2), tally(study, methods, N, 2, 4)])
    assert whole == parts
    assert whole != counts(study, N, [tally(study, methods, N, 6, 6)]) or not sum(row.rejected for row in whole)


def test_fewer_replicates_of_what_takes_long() -> None:
    study = replace(STUDIES["normal"], methods=(one("t_test", {N: 3}), one("ancova")))
    found = counts(study, N, [tally(study, study.methods, N, first, 2) for first in (0, 2, 4)])
    assert {(row.analysis, row.replicates) for row in found} == {("t_test", 3), ("ancova", 6)}


def row(**given: Any) -> Count:
    about = {"data": "normal", "analysis": "ancova, variance=hc0", "tested": "all arms", "participants": N, "arms": 3}
    numbers = {"visits": 1, "nominal": 0.05, "replicates": 10_000, "failed": 0, "rejected": 500}
    return Count(**(about | numbers | given))


def test_a_failed_fit_is_failed_and_not_a_fit_that_found_nothing() -> None:
    assert row(failed=5_000).rate == pytest.approx(0.1)
    assert row(failed=5_000).mcse == pytest.approx(np.sqrt(0.05 * 0.95 / 5_000))
    assert row(failed=10_000, rejected=0).verdict()[0] == "no fit"


def test_verdicts() -> None:
    edge = 500 + Z * 10_000 * row().mcse
    assert row(rejected=int(edge)).verdict() == ("within", "")
    verdict, why = row(rejected=int(edge) + 1).verdict()
    assert verdict == "liberal, known"
    assert "sandwich" in why.lower()
    unknown = row(rejected=int(edge) + 1, analysis="ancova, variance=model")
    assert unknown.verdict() == ("liberal, NOT EXPLAINED", "")
    assert row(rejected=300, participants=2331).verdict()[0] == "conservative, NOT EXPLAINED"


def test_new_rows_take_the_place_of_old_ones(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    write(table, [row(participants=300), row()])
    write(table, [row(rejected=1)])
    assert read(table) == [row(rejected=1), row(participants=300)]


# --- the table that is kept -----------------------------------------------------------------------------------------


def test_the_table_has_every_analysis_at_every_size_and_nothing_unexplained() -> None:
    found = read(RESULTS)
    wanted = {(study.name, m.title, n) for study in studies() for m in study.methods for n in SIZES}
    assert {(row.data, row.analysis, row.participants) for row in found} == wanted
    assert [row for row in found if "NOT EXPLAINED" in row.verdict()[0] or not row.fitted] == []


def test_every_reason_is_needed() -> None:
    reasons = {row.verdict()[1] for row in read(RESULTS)}
    assert {known.why for known in KNOWN} == reasons - {""}


def test_the_page_is_made_from_the_table() -> None:
    assert PAGE.read_text("utf-8") == renewed(PAGE.read_text("utf-8"), read(RESULTS))
