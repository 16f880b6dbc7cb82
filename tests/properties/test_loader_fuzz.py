"""Whatever is in a design file or an override: out comes a Design, or a refusal that says where and why."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from trialsim.design.parts import Design
from trialsim.design.reader import digest, read_design, resolved_yaml
from trialsim.design.yamltree import Mark, plain, read_tree, read_value
from trialsim.errors import DesignError

VALID = """\
name: fuzz
start_date: 2026-01-05
sample_size: 40
max_enrolment_days: 400
recruitment:
  sites:
    north: {rate_per_month: 10}
    south:
      rate_per_month: 5
      opens: 2026-03-01
funnel:
  screened: {criteria: {low pain: {measure: pain, at_least: 3}}}
  randomized: {prob: 0.5}
covariates:
  female: {kind: binary, prob: 0.6}
  age: {kind: normal, mean: 50, sd: 12}
outcomes:
  pain:
    mean: 6
    sd: 1.5
    course: {m3: -0.5, m6: -0.5}
visits:
  m3: {day: 91}
  m6: {day: 182, reminders: [7, 14]}
arms:
  coach:
    delivery:
      kind: individual
      modules: [one, two]
      coaches: [{caseload: 10}, {caseload: 5}]
    effects: {pain: {by_visit: {m3: -1, m6: -1}}}
    response_prob: {m3: 0.9, m6: 0.8}
  usual:
    delivery: {kind: none}
    response_prob: {m3: 0.9, m6: 0.8}
allocation:
  kind: blocks
  ratio: {coach: 1, usual: 1}
  block_sizes: [2, 4]
  strata: [site, female, {outcome: pain, at_least: 6}]
analyses:
  main: {kind: linear, outcome: pain, covariates: [baseline], contrasts: [[coach, usual]]}
"""

fuzzed = settings(deadline=None, derandomize=True, max_examples=100, suppress_health_check=[HealthCheck.too_slow])

Read = Callable[..., Design | None]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Reads bytes as a design file; a refusal must be a well-formed one, and gives None."""
    path = tmp_path_factory.mktemp("fuzz") / "design.yaml"
    (path.parent / "valid.yaml").write_text(VALID, encoding="utf-8")

    def _read(data: bytes, *, overrides: Sequence[str] = ()) -> Design | None:
        path.write_bytes(data)
        try:
            return read_design(path, overrides=overrides)
        except DesignError as error:
            check_faults(error, str(path.parent))
        return None

    return _read


def check_faults(error: DesignError, folder: str) -> None:
    """Every fault has a place and a rule, is told once, and stands in file order."""
    assert error.faults
    assert len(set(error.faults)) == len(error.faults)
    places = []
    for fault in error.faults:
        assert fault.rule.strip()
        assert str(fault).isprintable(), "one line, nothing that moves the cursor"
        place = re.fullmatch(re.escape(folder) + r"/design\.yaml:([1-9]\d*):([1-9]\d*)", fault.where)
        if place:
            places.append((int(place[1]), int(place[2])))
        else:
            assert fault.where.startswith(("--set ", folder))
    assert places == sorted(places)


# --- any text ---------------------------------------------------------------------------------------------

TOKENS = [": ", "- ", "&a ", "*a", "<<: ", "!!int ", "!x ", "null", "true", ".nan", "2026-02-30", "1e999"]
MORE_TOKENS = ["0x1F", "1_0", "{a: ", "[1, ", '"\\ud800"', "kind: none", "extends: valid.yaml", "size: 3"]
LINES = ["---", "...", "%YAML 1.1", "%YAML 1.9", "%TAG ! a", "extends: ", "name: x", "arms: {a: ", "- x"]
CHARACTERS = [*" \n\t:-?[]{}#&*!|>'\"%@`,~<=.0123aeno\\\r\x00\x1b\x85\u2028\ufeffé_"]
YAMLISH = st.lists(
    st.sampled_from([*CHARACTERS, *TOKENS, *MORE_TOKENS, *[f"\n{line}\n" for line in LINES]]), max_size=40
).map("".join)


@fuzzed
@given(text=YAMLISH | st.text(max_size=80))
def test_any_text(read: Read, text: str) -> None:
    read(text.encode("utf-8", "surrogatepass"))


@fuzzed
@given(data=st.binary(max_size=60))
def test_any_bytes(read: Read, data: bytes) -> None:
    read(data)
    read(VALID.encode() + data)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["pain", "m3", "coach", "none", "individual", "site", "2026-01-01", "9999-12-31"])
    | st.sampled_from([1e300, -1e300, 5e-324, 2**63 - 1, 20_000, 10_000, 1_000, -1, 0, ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "prob", "m3", "day", "x", ""]) | st.text(max_size=4), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@fuzzed
@given(data=st.dictionaries(st.sampled_from(sorted(Design.model_fields)), JUNK))
def test_any_data(read: Read, data: dict[str, Any]) -> None:
    read(json.dumps(data).encode())


# --- copies of a valid design with mistakes ---------------------------------------------------------------


def valid_data() -> Any:
    root = read_tree(VALID.encode(), source="valid").root
    assert root is not None
    return json.loads(json.dumps(plain(root), default=str))


def spots(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key or index) in nested data."""
    keys = data.keys() if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in list(keys):
        yield data, key
        yield from spots(data[key])


def mutate(data: Any, draw: st.DataObject) -> None:
    all_spots = list(spots(data))
    if not all_spots:
        return
    container, key = draw.draw(st.sampled_from(range(len(all_spots))).map(all_spots.__getitem__))
    action = draw.draw(st.sampled_from(["junk", "junk", "copy", "delete", "rename", "add"]))
    other_container, other_key = draw.draw(st.sampled_from(range(len(all_spots))).map(all_spots.__getitem__))
    if action == "delete":
        del container[key]
    elif action == "copy":
        container[key] = copy.deepcopy(other_container[other_key])
    elif action == "junk" or isinstance(container, list):
        container[key] = draw.draw(JUNK)
    else:
        name = draw.draw(st.sampled_from([*Design.model_fields, "kind", "m3", "coach", "prob", "~", "1"]))
        container[name] = container.pop(key) if action == "rename" else draw.draw(JUNK)


@fuzzed
@given(draw=st.data())
def test_a_valid_design_with_changed_values_and_keys(read: Read, draw: st.DataObject) -> None:
    data = valid_data()
    for _ in range(draw.draw(st.integers(1, 3))):
        mutate(data, draw)
    design = read(json.dumps(data, ensure_ascii=True).encode())
    if design is not None:
        again = read(resolved_yaml(design).encode())
        assert again == design
        assert digest(again) == digest(design)


@fuzzed
@given(draw=st.data())
def test_a_valid_design_with_changed_lines(read: Read, draw: st.DataObject) -> None:
    lines = VALID.splitlines()
    indices = st.integers(0, len(lines) - 1)
    for _ in range(draw.draw(st.integers(1, 3))):
        index, other = draw.draw(indices), draw.draw(indices)
        action = draw.draw(st.sampled_from(["delete", "repeat", "swap", "cut", "indent", "put"]))
        line = lines[index]
        changed = {
            "delete": "",
            "repeat": f"{line}\n{line}",
            "swap": lines[other],
            "cut": line[: draw.draw(st.integers(0, len(line)))],
            "indent": " " * draw.draw(st.integers(0, 4)) + line,
            "put": line[: other % (len(line) + 1)] + draw.draw(YAMLISH) + line[other % (len(line) + 1) :],
        }
        lines[index] = changed[action]
    read("\n".join(lines).encode())


NUMBERS = [number for number, line in enumerate(VALID.splitlines(), start=1) if re.match(r" *\w+:", line)]


@fuzzed
@given(number=st.sampled_from(NUMBERS))
def test_a_repeated_line_is_told_at_its_place(
    read: Read, tmp_path_factory: pytest.TempPathFactory, number: int
) -> None:
    lines = VALID.splitlines()
    line = lines[number - 1]
    assume(not line.rstrip().endswith(":"))
    column = len(line) - len(line.lstrip()) + 1
    path = tmp_path_factory.getbasetemp() / "repeated.yaml"
    path.write_text("\n".join([*lines[:number], line, *lines[number:]]), encoding="utf-8")
    with pytest.raises(DesignError) as caught:
        read_design(path)
    (fault,) = caught.value.faults
    assert fault.where == f"{path}:{number + 1}:{column}"
    assert fault.rule == f"duplicate key, first given at line {number}, column {column}"


# --- overrides --------------------------------------------------------------------------------------------

KEYS = sorted(
    {*re.findall(r"\w+", VALID), "first", "observation", "answer_days", "costs", "letter", "extends", "~", ""}
)
PATHS = st.lists(st.sampled_from(KEYS) | st.integers(-1, 3).map(str), min_size=1, max_size=5).map(".".join)
REAL_PATHS = st.sampled_from(["arms.coach.delivery.coaches.1.caseload", "arms.usual.delivery.kind", "arms.coach"])
MORE_PATHS = st.sampled_from(["observation.answer_days.days", "visits.m3.day", "allocation.strata.2.at_least"])
OVERRIDES = st.text(max_size=20) | st.builds(
    "{}={}".format, PATHS | REAL_PATHS | MORE_PATHS, YAMLISH | JUNK.map(json.dumps)
)


@fuzzed
@given(overrides=st.lists(OVERRIDES, min_size=1, max_size=4))
def test_any_overrides(read: Read, overrides: list[str]) -> None:
    read(VALID.encode(), overrides=overrides)


# --- what goes in comes out -------------------------------------------------------------------------------


@fuzzed
@given(value=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63) + 1, 2**63 - 1) | st.booleans())
def test_numbers_are_read_as_written(value: float) -> None:
    root = read_value(json.dumps(value), mark=Mark("x")).root
    assert root is not None
    assert root.content == value
    assert math.copysign(1, float(value)) == math.copysign(1, float(plain(root)))


@fuzzed
@given(title=st.text(max_size=60), mean=st.floats(-1e6, 1e6), prob=st.floats(0, 1), days=st.integers(0, 2_000))
def test_a_design_comes_back_from_its_own_text(read: Read, title: str, mean: float, prob: float, days: int) -> None:
    data = valid_data()
    data["title"] = title
    data["covariates"]["age"]["mean"] = mean
    data["arms"]["coach"]["start_prob"] = prob
    data["funnel"]["randomized"]["delay"] = {"days": days, "mean_extra": prob}
    design = Design.model_validate(data)
    again = read(resolved_yaml(design).encode())
    assert again == design
    assert resolved_yaml(again) == resolved_yaml(design)
