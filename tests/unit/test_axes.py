"""Axes of sweeps: which rows each kind makes, in which order, with which luck, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from designs import coached, plain_data, usual

from trialsim.design.yamlwriter import yaml_text
from trialsim.errors import DesignError
from trialsim.sweeps.file import read_sweep

Values = list[dict[str, Any]]
Read = Callable[..., Values]

STOP, START, COACHES = "arms.coach.stop_prob", "arms.coach.start_prob", "arms.coach.delivery.coaches"
RATE = "recruitment.sites.north.rate_per_month"


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """What the points of a sweep with these axes set; keywords are further files."""
    monkeypatch.chdir(tmp_path)
    arm = {"start_prob": 0.8, "stop_prob": 0.1}
    base = plain_data(arms={"coach": coached(arm=arm), "usual": usual()})
    Path("base.yaml").write_text(yaml_text(base), "utf-8")

    def values(axes: str, *, more: str = "", overrides: tuple[str, ...] = (), **tables: str) -> Values:
        for name, text in tables.items():
            Path(f"{name}.csv").write_text(text, "utf-8")
        Path("s.yaml").write_text(f"name: s\nbase: base.yaml\nreplicates: 5\n{more}axes: {axes}\n", "utf-8")
        return [point.values for point in read_sweep("s.yaml", overrides=overrides).points]

    return values


def faults(read: Read, axes: str, **keys: Any) -> list[str]:
    with pytest.raises(DesignError) as caught:
        read(axes, **keys)
    return str(caught.value).splitlines()


# --- kinds ----------------------------------------------------------------------------------------------------------


def test_the_last_path_of_a_grid_and_the_last_axis_change_fastest(read: Read) -> None:
    got = read(f"[{{grid: {{sample_size: [20, 30], {START}: [0.5, 0.6]}}}}, {{grid: {{{STOP}: [0.1, 0.2]}}}}]")
    assert [tuple(v.values()) for v in got] == [
        (n, start, stop) for n in (20, 30) for start in (0.5, 0.6) for stop in (0.1, 0.2)
    ]
    assert list(got[0]) == ["sample_size", START, STOP]


def test_lists_of_a_zip_move_together(read: Read) -> None:
    assert read(f"[{{zip: {{sample_size: [20, 30], {START}: [0.5, 0.6]}}}}]") == [
        {"sample_size": 20, START: 0.5},
        {"sample_size": 30, START: 0.6},
    ]


def test_points_written_out_may_set_different_things(read: Read) -> None:
    assert read(f"[{{list: [{{}}, {{sample_size: 20}}, {{{COACHES}: [{{caseload: 3}}, {{}}]}}]}}]") == [
        {},
        {"sample_size": 20},
        {COACHES: [{"caseload": 3}, {}]},
    ]


def test_cells_of_a_table_are_read_as_in_a_file(read: Read) -> None:
    table = f'\ufeffsample_size,{STOP},{COACHES}\r\n20,1.5e-1,"[{{caseload: 3}}, {{}}]"\r\n\r\n30 ,,2\r\n40,0.0,\r\n'
    assert read("[{table: t.csv}]", t=table) == [
        {"sample_size": 20, STOP: 0.15, COACHES: [{"caseload": 3}, {}]},
        {"sample_size": 30, COACHES: 2},
        {"sample_size": 40, STOP: 0.0},
    ]


def test_all_scenarios_come_in_the_order_of_the_file(read: Read) -> None:
    more = "scenarios: {b: {}, a: {sample_size: 20}}\n"
    assert [v["scenario"] for v in read("[{scenarios: all}]", more=more)] == ["b", "a"]
    assert [v["scenario"] for v in read("[{scenarios: [a, b]}]", more=more)] == ["a", "b"]
    assert [v["scenario"] for v in read("[{grid: {scenario: [a, b]}}]", more=more)] == ["a", "b"]
    assert [v["scenario"] for v in read("[{table: t.csv}]", more=more, t="scenario\na\nb\n")] == ["a", "b"]


# --- boxes ----------------------------------------------------------------------------------------------------------

BOX = f"ranges: {{{STOP}: {{low: 0.01, high: 0.1, log: true}}, {START}: {{low: 0.2, high: 0.6}}}}"


@pytest.mark.parametrize("kind", ["lhs", "sobol"])
def test_each_equal_part_of_a_range_is_used_once(read: Read, kind: str) -> None:
    got = read(f"[{{{kind}: {{points: 16, {BOX}}}}}]")
    shares = np.array([[np.log10(v[STOP] / 0.01), (v[START] - 0.2) / 0.4] for v in got])
    assert np.sort(np.floor(16 * shares), axis=0).tolist() == [[k, k] for k in range(16)]


@pytest.mark.parametrize("kind", ["lhs", "sobol"])
def test_luck_belongs_to_the_seed_and_the_axis(read: Read, kind: str) -> None:
    axes = f"[{{{kind}: {{points: 4, {BOX}}}}}]"
    first = read(axes)
    assert read(axes) == first
    assert read(axes, overrides=("seed=2",)) != first
    later = read(f"[{{list: [{{}}]}}, {axes[1:]}")
    assert len(later) == 4
    assert later != first


def test_drawn_values_read_well(read: Read) -> None:
    got = read(f"[{{lhs: {{points: 50, {BOX}}}}}]")
    assert all(float(f"{x:.6g}") == x for v in got for x in v.values())


def test_rounding_keeps_values_apart(read: Read) -> None:
    for box, points in (("low: 0.5, high: 0.9", 2000), ("low: 0.50000001, high: 0.50000002", 50)):
        got = read(f"[{{lhs: {{points: {points}, ranges: {{{START}: {{{box}}}}}}}}}]")
        assert len({v[START] for v in got}) == points


def test_whole_numbers_where_the_design_takes_nothing_else(read: Read) -> None:
    ranges = f"{{{COACHES}: {{low: 1, high: 4}}, {RATE}: {{low: 10, high: 40}}}}"
    got = read(f"[{{lhs: {{points: 40, ranges: {ranges}}}}}]")
    coaches = [v[COACHES] for v in got]
    assert all(type(x) is int for x in coaches)
    assert [coaches.count(k) for k in (1, 2, 3, 4)] == [10, 10, 10, 10]  # both ends have their full share
    assert all(type(v[RATE]) is float for v in got)


def test_whole_numbers_where_asked(read: Read) -> None:
    got = read(
        f"[{{lhs: {{points: 30, ranges: {{{RATE}: {{low: 10, high: 39, whole: true, log: true}}, {START}: {{low: 0, high: 1}}}}}}}}]"
    )
    assert all(type(v[RATE]) is int and 10 <= v[RATE] <= 39 for v in got)


# --- what is refused ------------------------------------------------------------------------------------------------

KINDS = "grid, zip, lhs, sobol, list, table, scenarios"


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ("[]", ["s.yaml:4:1: axes: must have at least 1 entry (given: [])"]),
        ("[{grid: {}}]", ["s.yaml:4:9: axes.0.grid: must have at least 1 entry (given: {})"]),
        ("[{gird: {a: [1]}}]", ["s.yaml:4:9: axes.0.gird: unknown key. Did you mean 'grid'?"]),
        ("[{grid: {sample_size: []}}]", ["s.yaml:4:16: axes.0.grid.sample_size: must have at least 1 entry (given: [])"]),
        ("[{}]", [f"s.yaml:4:8: axes.0: an axis has exactly one of {KINDS}. Given: none. Start a new item (-) for each axis: axes are crossed."]),
        ("[{grid: {a: [1]}, list: [{}]}]", [f"s.yaml:4:8: axes.0: an axis has exactly one of {KINDS}. Given: grid and list. Start a new item (-) for each axis: axes are crossed."]),
        ("[{zip: {sample_size: [1, 2], b: [1]}}]", ["s.yaml:4:9: axes.0.zip: lists that move together must be equally long. sample_size has 2, b has 1."]),
        ("[{sobol: {points: 12, ranges: {a: {low: 2, high: 2}}}}]", [
            "s.yaml:4:25: axes.0.sobol.points: must be a power of 2 (given: 12) The next ones are 8 and 16.",
            "s.yaml:4:47: axes.0.sobol.ranges.a.low: low must be below high (given: 2)",
        ]),
        ("[{lhs: {points: 1, ranges: {a: {low: 0, high: 2.5, log: true, whole: true}}}}]", [
            "s.yaml:4:44: axes.0.lhs.ranges.a.low: a logarithmic range must lie above 0 (given: 0)",
            "s.yaml:4:53: axes.0.lhs.ranges.a.high: must be a whole number, as the values are (given: 2.5)",
        ]),
        ("[{grid: {sample_size: [20]}}, {list: [{}, {sample_size: 30}]}]", ["s.yaml:4:50: axes.1.sample_size: set by axes.0 already. Let both move together in one axis (zip, list or table), or drop one."]),
        ("[{scenarios: all}]", ["s.yaml:4:20: axes.0.scenarios: the sweep has no scenarios (given: 'all') Name packs of values under its key 'scenarios'."]),
        ("[{list: [{scenario: x}]}, {table: no.csv}]", ["s.yaml:4:27: scenario: there is no scenario 'x'. Known: none.", "s.yaml:4:41: axes.1.table: cannot read 'no.csv': No such file or directory"]),
        ("[{grid: {a: [1, 2], b: [1, 2]}}, {lhs: {points: 25001, ranges: {c: {low: 0, high: 1}}}}]", ["s.yaml:4:1: axes: these are 100,004 points, and a sweep has at most 100,000. An lhs or sobol axis covers a box with fewer points."]),
    ],
)  # fmt: skip
def test_a_faulty_axis(read: Read, axes: str, told: list[str]) -> None:
    assert faults(read, axes) == told


def test_a_range_of_a_whole_number_needs_whole_ends(read: Read) -> None:
    (told,) = faults(read, f"[{{lhs: {{points: 1, ranges: {{{COACHES}: {{low: 1.5, high: 2.5}}}}}}}}]")
    assert told.startswith(f"s.yaml:4:35: {COACHES}: must be a whole number or a list (given: ")


def test_a_huge_grid_is_refused_at_once(read: Read) -> None:
    lists = ", ".join(f"p{k}: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]" for k in range(12))
    (told,) = faults(read, f"[{{grid: {{{lists}}}}}]")
    assert told.startswith(
        "s.yaml:4:9: axes.0.grid: these are 1,000,000,000,000 points, and a sweep has at most 100,000."
    )


def test_a_pack_that_no_axis_names(read: Read) -> None:
    told = faults(read, "[{scenarios: [a]}]", more="scenarios: {a: {}, b: {}}\n")
    assert told == [
        "s.yaml:4:20: scenarios.b: no axis names this scenario. Add '- scenarios: all' to axes, or drop the pack."
    ]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("", "t.csv:1:1: the table needs a line of headers and at least one row"),
        ("sample_size\n", "t.csv:1:1: the table needs a line of headers and at least one row"),
        (",sample_size\n1,20\n", "t.csv:1:1: a header is empty. Headers are dotted paths; leave out row names."),
        ("sample_size,sample_size\n1,20\n", "t.csv:1:2: the header 'sample_size' stands here twice"),
        ("sample_size\n20\n30,40\n", "t.csv:3:1: 2 cells under 1 headers. Put text with commas in quotes."),
        ("sample_size,scenario\n20,\n30,x\n", "t.csv:3:2: scenario: there is no scenario 'x'. Known: none."),
        ("sample_size,arms.coch\n20,1\n", "t.csv:1:2: arms.coch: no 'arms.coch'. Did you mean 'arms.coach'?"),
        ("sample_size\n20\n\n-1\n", "t.csv:4:1: sample_size: must be at least 1 (given: -1) In 1 of 2 points, first: point 1 (sample_size=-1)."),
        ("sample_size\n!!map 1\n", "t.csv:2:1: sample_size: the tag !!map is not allowed here (given: 1) Write the plain value."),
        ('sample_size\n"20\n', "s.yaml:4:16: axes.0.table: 't.csv' is not a CSV file in UTF-8: unexpected end of data"),
    ],
)  # fmt: skip
def test_a_faulty_table(read: Read, table: str, told: str) -> None:
    assert faults(read, "[{table: t.csv}]", t=table) == [told]


def test_a_table_that_is_not_text(read: Read) -> None:
    Path("b.csv").write_bytes(b"sample_size\n\xff\n")
    assert faults(read, "[{table: b.csv}]") == ["s.yaml:4:16: axes.0.table: 'b.csv' is not a CSV file in UTF-8"]
