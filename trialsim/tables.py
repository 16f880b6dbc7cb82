"""The schemas of every table: name, type, unit, key, meaning. Parquet files carry them in their metadata."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_VERSION = "3"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `type` is int32, int8, int16, float64, bool, string or name (dictionary of strings)."""

    name: str
    type: str
    meaning: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Schema:
    """One table: its key columns come first. `others` says what columns are that depend on the design (all float64)."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    others: str = ""


def _schema(name: str, key: str, *columns: Column, others: str = "") -> Schema:
    return Schema(name, tuple(key.split()), columns, others)


DESIGN_POINT = Column("design_point", "int32", "cell of a sweep, from 0")
_REPLICATE = Column("replicate", "int32", "simulated trial, from 0")
_PARTICIPANT = Column("participant", "int32", "participant in order of randomization, from 0")
_ARM = Column("arm", "name", "arm")
_VISIT = Column("visit", "name", "scheduled assessment")
_OUTCOME = Column("outcome", "name", "outcome")


def _day(name: str, meaning: str) -> Column:
    return Column(name, "int32", meaning + "; null if it did not happen", "study day")


FUNNEL = _schema(
    "funnel",
    "replicate site step reason",
    _REPLICATE,
    Column("site", "name", "site"),
    Column("step", "name", "funnel step; 'contacted' for the people contacted"),
    Column("reason", "name", "'passed', a reason for loss, or 'in process' when enrolment closed"),
    Column("n", "int32", "people"),
)

PARTICIPANTS = _schema(
    "participants",
    "replicate participant",
    _REPLICATE,
    _PARTICIPANT,
    Column("site", "name", "site"),
    Column("cluster", "name", "cluster; null where the design has none"),
    Column("screening_number", "int32", "number of the person within the site, from 0"),
    Column(
        "stratum",
        "int16",
        "allocation stratum: mixed-radix number of the period (after changes of ratio) and the factors in their order",
    ),
    Column("consent_day", "int32", "day of the last step before randomization", "study day"),
    Column("randomized_day", "int32", "day of randomization", "study day"),
    _ARM,
    Column("coach", "int16", "coach within the arm, or team that leads the group, from 0; null without one"),
    Column("group", "int16", "delivery group within the arm, from 0; null without one"),
    _day("asked_day", "put on the list for a coach or a group"),
    _day("offered_day", "given a coach, or the group made up"),
    _day("first_session_day", "first session attended"),
    Column("n_sessions", "int8", "sessions attended"),
    Column("n_calls", "int16", "calls after stalling"),
    Column("treatment", "name", "how treatment went"),
    _day("discontinued_day", "stopped treatment, stays in the study"),
    _day("withdrawn_day", "left the study"),
    _day("died_day", "died"),
    others="covariate, or baseline_<outcome>: baseline value [points]; of outcomes of kind event, time_<outcome>: days "
    "from randomization to the event or to where knowledge of it ends, and event_<outcome>: 1 if it is the event",
)

CLUSTERS = _schema(
    "clusters",
    "replicate cluster",
    _REPLICATE,
    Column("cluster", "name", "cluster"),
    Column("site", "name", "site"),
    Column("arm", "name", "arm that the cluster was given; null where clusters are not randomized"),
    Column("expected_share", "float64", "expected share of the site's people once all its clusters are open"),
    Column("opens_day", "int32", "people are contacted from this day on", "study day"),
    Column("n_participants", "int32", "participants"),
)

SESSIONS = _schema(
    "sessions",
    "replicate participant session",
    _REPLICATE,
    _PARTICIPANT,
    Column("session", "int8", "session of the programme, from 0"),
    _ARM,
    Column("module", "name", "the session's name"),
    Column("coach", "int16", "coach or team within the arm who leads it; null without one"),
    Column("group", "int16", "delivery group within the arm; null without one"),
    Column("scheduled_day", "int32", "first due", "study day"),
    _day("attended_day", "took place"),
)

COMPONENTS = _schema(
    "components",
    "replicate participant component",
    _REPLICATE,
    _PARTICIPANT,
    Column("component", "name", "component of a programme in groups"),
    _ARM,
    Column("planned", "int8", "sessions at which it takes place"),
    Column("attended", "int8", "times attended"),
)

OBSERVATIONS = _schema(
    "observations",
    "replicate participant visit outcome",
    _REPLICATE,
    _PARTICIPANT,
    _VISIT,
    _OUTCOME,
    _ARM,
    Column("due_day", "int32", "day on which the visit is due", "study day"),
    _day("observed_day", "answered, or due and read from records"),
    Column("reason_missing", "name", "why there is no value; null if there is one"),
    Column("n_reminders", "int8", "reminders sent"),
    Column("value", "float64", "value; null if missing", "points"),
    Column("responder", "bool", "a response by the rule of the outcome's kind; null if missing"),
)

EVENTS = _schema(
    "events",
    "replicate sequence",
    _REPLICATE,
    Column("sequence", "int32", "place in the replicate's log, from 0"),
    Column("day", "int32", "day", "study day"),
    Column("kind", "name", "what happened"),
    Column("site", "name", "site; null for the trial as a whole"),
    Column("screening_number", "int32", "person within the site; null for the trial as a whole"),
    Column("participant", "int32", "participant; null before randomization"),
    Column("arm", "name", "arm; null before randomization"),
    Column("detail", "name", "step, reason, session's name, coach, group or visit"),
)

RESOURCES = _schema(
    "resources",
    "replicate arm coach day",
    _REPLICATE,
    _ARM,
    Column("coach", "int16", "coach or team within the arm; null in the row that counts those who wait"),
    Column("day", "int32", "day", "study day"),
    Column(
        "in_use",
        "int32",
        "participants who hold a place with the coach or in the team's group; null in the waiting row",
    ),
    Column("waiting", "int32", "participants on the list at the day's end; null in coaches' rows"),
)

TRUTH = _schema(
    "truth",
    "replicate participant arm visit outcome",
    _REPLICATE,
    _PARTICIPANT,
    _ARM,
    _VISIT,
    _OUTCOME,
    Column("value", "float64", "potential value under this arm, as if alive and in the study", "points"),
    Column("responder", "bool", "potential response under this arm"),
    Column("sessions", "int8", "sessions attended by the visit under this arm"),
    Column("motivation", "float64", "latent motivation", "SD"),
    Column("latent_level", "float64", "latent stable level", "points"),
)

ESTIMATES = _schema(
    "estimates",
    "design_point replicate analysis contrast visit measure",
    DESIGN_POINT,
    _REPLICATE,
    Column("analysis", "name", "analysis of the plan"),
    Column("contrast", "name", "arm, pair of arms ('a - b'), or 'all arms'"),
    _VISIT,
    Column("measure", "name", "a mean of an arm, a difference or ratio of two arms, or a test of all arms"),
    Column("estimand", "name", "what the truth is the value of"),
    Column("estimate", "float64", "estimate; for the global test the chi-squared statistic"),
    Column("std_error", "float64", "standard error; of the logarithm for ratios"),
    Column("df", "float64", "degrees of freedom; infinite where the normal distribution is used"),
    Column("ci_low", "float64", "lower confidence limit"),
    Column("ci_high", "float64", "upper confidence limit"),
    Column("p_value", "float64", "p value: two-sided for superiority, one-sided for non-inferiority and equivalence"),
    Column(
        "significant", "bool", "after the analysis's rule for multiplicity; null if the fit failed or it does not apply"
    ),
    Column("n_used", "int32", "participants analysed"),
    Column("converged", "bool", "whether the fit gave an answer"),
    Column("reason", "name", "why not; null if it did"),
    Column("truth", "float64", "value among this replicate's participants, from potential outcomes; null where none"),
    Column("truth_first", "float64", "mean potential outcome of the contrast's first arm; null where none"),
    Column("truth_second", "float64", "mean potential outcome of its second arm; null where none"),
)

REPLICATES = _schema(
    "replicates",
    "design_point replicate",
    DESIGN_POINT,
    _REPLICATE,
    Column("status", "name", "ok, or failed"),
    Column("stage", "name", "stage at which it failed; null if it did not"),
    Column("error", "string", "what went wrong; null if nothing did"),
    Column("n_randomized", "int32", "participants randomized"),
    Column("enrolment_days", "int32", "days from study day 0 to the closing of enrolment", "days"),
    Column("duration_days", "int32", "days from study day 0 to the last visit's last answer or closing", "days"),
    Column("cost", "float64", "total cost", "currency of the design"),
    Column("digest", "string", "sha256 of the replicate's histories and observed values, first 16 hex digits"),
)

MEASURES = _schema(
    "measures",
    "design_point measure replicate",
    DESIGN_POINT,
    Column("measure", "name", "what is counted of the trial, by its path: treatment/coach/started"),
    _REPLICATE,
    Column("value", "float64", "value; null where the trial has nothing to measure"),
)

PERFORMANCE = _schema(
    "performance",
    "design_point analysis contrast visit measure statistic",
    DESIGN_POINT,
    Column("analysis", "name", "analysis of the plan"),
    Column("contrast", "name", "arm or pair of arms"),
    _VISIT,
    Column("measure", "name", "as in estimates; of the trial as a whole, what is counted"),
    Column("estimand", "name", "what the truth is the value of"),
    Column("statistic", "name", "power, mean estimate, truth, bias, MSE, empirical SE, model SE, coverage ..."),
    Column("value", "float64", "value"),
    Column("mcse", "float64", "Monte Carlo standard error"),
    Column("n_replicates", "int32", "replicates it rests on"),
)

SCHEMAS: dict[str, Schema] = {
    schema.name: schema
    for schema in (
        FUNNEL, PARTICIPANTS, CLUSTERS, SESSIONS, COMPONENTS, OBSERVATIONS, EVENTS, RESOURCES, TRUTH,
        ESTIMATES, REPLICATES, MEASURES, PERFORMANCE,
    )
}  # fmt: skip
