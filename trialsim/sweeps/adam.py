"""One simulated trial in the shape of CDISC's analysis data sets: ADSL and ADQS, for rehearsing an analysis pipeline.

Names, labels and terms follow the ADaM Implementation Guide where it has them; docs/reading-results.md says what is
like it and what is not. Dates follow from the design's start date, study day 0.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from trialsim.design.outcomes import Ordinal, Outcome, Score
from trialsim.design.parts import BinaryCovariate, Design
from trialsim.sweeps.xpt import short_names
from trialsim.world.world import World

Values = Any  # an Arrow array or chunked array, a NumPy array, a list, or one text for all rows
Columns = dict[str, tuple[Values, str]]
"""Name -> values and label."""

_SEXES = {"female": ("F", "M"), "woman": ("F", "M"), "male": ("M", "F"), "man": ("M", "F")}


def adam_tables(participants: pa.Table, observations: pa.Table, design: Design) -> dict[str, pa.Table]:
    """'adsl', a row per participant, and 'adqs', a row per participant, outcome and visit with the baseline.

    Takes the tables of one replicate, participants in their order. Labels are the columns' meanings.
    """
    subjects = _adsl(participants, observations, design)
    return {"adsl": _table(subjects), "adqs": _table(_adqs(participants, observations, design, subjects))}


# --- ADSL: one row per participant ------------------------------------------------------------------------------------


def _adsl(participants: pa.Table, observations: pa.Table, design: Design) -> Columns:
    arm = _codes(participants["arm"], design.arms)
    number = [f"{k:05d}" for k in participants["participant"].to_pylist()]
    stratum = participants["stratum"].to_numpy()
    strata = World(design).strata
    columns: Columns = {
        "STUDYID": (design.name, "Study Identifier"),
        "USUBJID": ([f"{design.name}-{subject}" for subject in number], "Unique Subject Identifier"),
        "SUBJID": (number, "Subject Identifier for the Study"),
        "SITEID": (participants["site"], "Study Site Identifier"),
        "TRT01P": (_labels(design.arms, arm), "Planned Treatment for Period 01"),
        "TRT01PN": (arm + 1, "Planned Treatment for Period 01 (N)"),
        "ITTFL": ("Y", "Intent-To-Treat Population Flag"),
        "STRATAR": ([strata[code] or None for code in stratum], "Strata Used for Randomization"),
        "STRATARN": (stratum + 1, "Strata Used for Randomization (N)"),
        "RFICDT": (_dates(participants["consent_day"], design), "Date of Informed Consent"),
        "RANDDT": (_dates(participants["randomized_day"], design), "Date of Randomization"),
        "TRTSDT": (_dates(participants["first_session_day"], design), "Date of First Exposure to Treatment"),
        **_ends(participants, observations, design),
        "COACHID": (_coaches(participants), "Coach (Cluster within Arm)"),
        "NSESS": (participants["n_sessions"], "Number of Sessions Attended"),
        "TRTSTAT": (pc.utf8_upper(participants["treatment"].cast(pa.string())), "How Treatment Went"),
        **_baselines(participants, design),
    }
    return columns | _covariates(participants, design, columns)


def _covariates(participants: pa.Table, design: Design, taken: Iterable[str]) -> Columns:
    """AGE with its unit, SEX from a yes/no covariate of that meaning, and the others under short names."""
    yes_no = [name for name, kind in design.covariates.items() if isinstance(kind, BinaryCovariate)]
    sex = next((name for name in yes_no if name in _SEXES), None)
    others = [name for name in design.covariates if name not in ("age", sex)]
    short = short_names([*taken, "AGE", "AGEU", "SEX", *others])
    columns: Columns = {}
    if "age" in design.covariates:
        columns |= {"AGE": (participants["age"], "Age"), "AGEU": ("YEARS", "Age Units")}
    if sex:
        columns["SEX"] = (pc.if_else(pc.greater(participants[sex], 0), *_SEXES[sex]), "Sex")
    return columns | {short[name]: (participants[name], design.covariates[name].label or name) for name in others}


def _ends(participants: pa.Table, observations: pa.Table, design: Design) -> Columns:
    """How treatment and study ended. A participant who does not leave completes the study, answers or not."""
    completed = pc.equal(participants["treatment"].cast(pa.string()), "completed")
    started = pc.is_valid(participants["first_session_day"])
    died, withdrew = participants["died_day"], participants["withdrawn_day"]
    left = pc.coalesce(died, withdrew)
    reasons = pc.case_when(pc.make_struct(pc.is_valid(died), pc.is_valid(withdrew)), "DEATH", "WITHDRAWAL BY SUBJECT")
    treated = pc.case_when(pc.make_struct(completed, started), "COMPLETED", "DISCONTINUED")
    ended = pc.coalesce(left, _last_days(participants, observations))
    return {
        "EOTSTT": (treated, "End of Treatment Status"),
        "EOSSTT": (pc.if_else(pc.is_valid(left), "DISCONTINUED", "COMPLETED"), "End of Study Status"),
        "EOSDT": (_dates(ended, design), "End of Study Date"),
        "DCSREAS": (reasons, "Reason for Discontinuation from Study"),
        "DTHFL": (pc.if_else(pc.is_valid(died), "Y", None), "Subject Death Flag"),
        "DTHDT": (_dates(died, design), "Date of Death"),
    }


def _last_days(participants: pa.Table, observations: pa.Table) -> pa.Array:
    """Each participant's last due day or last answer, whichever is later [study day]."""
    day = pc.max_element_wise(observations["due_day"], observations["observed_day"]).to_numpy()
    last = np.zeros(len(participants), dtype=np.int32)
    np.maximum.at(last, _who(participants, observations), day)
    return pa.array(last)


def _coaches(participants: pa.Table) -> pa.Array:
    coach = participants["coach"].cast(pa.string())
    return pc.binary_join_element_wise(participants["arm"].cast(pa.string()), coach, "-")


def _baselines(participants: pa.Table, design: Design) -> Columns:
    codes = _parameter_codes(design, size=6)
    return {
        f"{codes[name]}BL": (participants[f"baseline_{name}"], f"Baseline {outcome.label or name}")
        for name, outcome in design.outcomes.items()
    }


# --- ADQS: one row per participant, outcome and visit -----------------------------------------------------------------


def _adqs(participants: pa.Table, observations: pa.Table, design: Design, subjects: Columns) -> Columns:
    """Rows in the order participant, outcome, visit; the baseline is visit 0, on the day of randomization."""
    n, outcomes = len(participants), list(design.outcomes)
    who = np.concatenate([np.repeat(np.arange(n), len(outcomes)), _who(participants, observations)])
    outcome = np.concatenate([np.tile(np.arange(len(outcomes)), n), _codes(observations["outcome"], outcomes)])
    visit = np.concatenate([np.zeros(n * len(outcomes), dtype=int), _codes(observations["visit"], design.visits) + 1])
    order = np.lexsort((visit, outcome, who))
    who, outcome, visit = who[order], outcome[order], visit[order]

    baselines = np.stack([participants[f"baseline_{name}"].to_numpy() for name in outcomes], axis=1)
    value = np.concatenate([baselines.ravel(), observations["value"].to_numpy()])[order]
    nothing = pa.nulls(n * len(outcomes))

    def seen(name: str, *, before: Values = nothing) -> pa.Array:
        """A column of observations, with what the baseline records have, in this order of rows."""
        later = observations[name]
        later = later.cast(pa.string()) if pa.types.is_dictionary(later.type) else later
        return pa.concat_arrays([before.cast(later.type), *later.chunks]).take(order)

    randomized = participants["randomized_day"].combine_chunks()
    first = randomized.take(np.repeat(np.arange(n), len(outcomes)))
    day = seen("observed_day", before=first)
    base, is_baseline = baselines[who, outcome], visit == 0
    criteria = [_criterion(outcome) for outcome in design.outcomes.values()]

    def of_subject(name: str) -> tuple[Values, str]:
        values, label = subjects[name]
        return (values if isinstance(values, str) else pa.chunked_array(_array(values, n)).take(who)), label

    return {
        **{name: of_subject(name) for name in ("STUDYID", "USUBJID", "SUBJID", "SITEID")},
        "TRTP": (of_subject("TRT01P")[0], "Planned Treatment"),
        "TRTPN": (of_subject("TRT01PN")[0], "Planned Treatment (N)"),
        **{name: of_subject(name) for name in ("ITTFL", "RANDDT")},
        "PARAM": (_labels(design.outcomes, outcome), "Parameter"),
        "PARAMCD": (np.array(list(_parameter_codes(design).values()), dtype=object)[outcome], "Parameter Code"),
        "PARAMN": (outcome + 1, "Parameter (N)"),
        "AVISIT": (np.array(["Baseline", *_names(design.visits)], dtype=object)[visit], "Analysis Visit"),
        "AVISITN": (visit, "Analysis Visit (N)"),
        "ADT": (_dates(day, design), "Analysis Date"),
        "ADY": (pc.add(pc.subtract(day, randomized.take(who)), 1), "Analysis Relative Day"),
        "AVAL": (pa.array(value, from_pandas=True), "Analysis Value"),
        "BASE": (base, "Baseline Value"),
        "CHG": (pa.array(np.where(is_baseline, np.nan, value - base), from_pandas=True), "Change from Baseline"),
        "ABLFL": (pc.if_else(is_baseline, "Y", None), "Baseline Record Flag"),
        "CRIT1": (np.array(criteria, dtype=object)[outcome], "Analysis Criterion 1"),
        "CRIT1FL": (pc.if_else(seen("responder"), "Y", "N"), "Criterion 1 Evaluation Result Flag"),
        "ANL01FL": (pc.if_else(~np.isnan(value), "Y", None), "Analysis Flag 01"),
        "DTYPE": (pa.nulls(len(order), pa.string()), "Derivation Type"),
        "QSSTAT": (pc.if_else(np.isnan(value), "NOT DONE", None), "Completion Status"),
        "QSREASND": (pc.utf8_upper(seen("reason_missing")), "Reason Not Performed"),
    }


# --- parts ------------------------------------------------------------------------------------------------------------


def _criterion(outcome: Outcome) -> str:
    """What makes a responder."""
    if isinstance(outcome, Score):
        move = "Rise" if outcome.better_is_higher else "Fall"
        return f"{move} from baseline of at least {100 * outcome.responder_change:g} %"
    if isinstance(outcome, Ordinal):
        return f"{outcome.responder_from} or higher"
    return {"binary": "Yes", "count": "No event", "event": "Has happened", "dose": "Dose of 0"}[outcome.kind]


def _parameter_codes(design: Design, *, size: int = 8) -> dict[str, str]:
    """Outcome -> code of at most `size` characters, all different."""
    short = short_names(design.outcomes)
    cut = [short[name][:size] for name in design.outcomes]
    return {
        name: code if cut.count(code) == 1 else f"{code[: size - 2]}{k:02d}"
        for k, (name, code) in enumerate(zip(design.outcomes, cut, strict=True), start=1)
    }


def _names(parts: Mapping[str, Any]) -> list[str]:
    """Labels of arms, outcomes or visits; the name where there is none."""
    return [part.label or name for name, part in parts.items()]


def _labels(parts: Mapping[str, Any], code: NDArray[Any]) -> NDArray[np.object_]:
    return np.array(_names(parts), dtype=object)[code]


def _codes(values: pa.ChunkedArray, names: Any) -> NDArray[np.int32]:
    """Places of a column's names in the design's order."""
    return pc.index_in(values.cast(pa.string()), value_set=pa.array(list(names))).to_numpy()


def _who(participants: pa.Table, observations: pa.Table) -> NDArray[np.intp]:
    """Row of the participant of each observation."""
    return np.searchsorted(participants["participant"].to_numpy(), observations["participant"].to_numpy())


def _dates(days: Values, design: Design) -> Values:
    """Study days as dates."""
    offset = (design.start_date - dt.date(1970, 1, 1)).days
    return pc.add(days, offset).cast(pa.int32()).cast(pa.date32())


def _array(values: Values, n: int) -> Values:
    if isinstance(values, str):
        return pa.array([values] * n)
    return values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)


def _table(columns: Columns) -> pa.Table:
    n = len(columns["USUBJID"][0])
    arrays = [_array(values, n) for values, _ in columns.values()]
    fields = [
        pa.field(name, array.type, metadata={"meaning": label, "unit": ""})
        for array, (name, (_, label)) in zip(arrays, columns.items(), strict=True)
    ]
    return pa.table(arrays, schema=pa.schema(fields))
