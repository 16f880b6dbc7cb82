"""Sweep files: what becomes of a good one, and every mistake told once, at its place, with the points that have it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from designs import coached, plain_data, usual

from trialsim.design.library import library
from trialsim.design.reader import digest, read_design
from trialsim.design.yamltree import plain, read_tree
from trialsim.design.yamlwriter import yaml_text
from trialsim.errors import DesignError, TrialsimError
from trialsim.sweeps.file import read_sweep, sweep_schema
from trialsim.sweeps.parts import Axis, Range, Space, SweepFile
from trialsim.sweeps.sweep import Sweep
from trialsim.tables import SCHEMAS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sweep-file.md"
Read = Callable[..., Sweep]

GOOD = """\
name: s
base: base.yaml
set: {arms.coach.stop_prob: 0.05}
scenarios:
  real: {}
  poor: {arms.coach.start_prob: 0.5, sample_size: 40}
axes:
  - scenarios: all
  - grid: {arms.coach.delivery.coaches: [1, 2]}
replicates: 10
"""


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Reads a sweep file of this text beside a small design, base.yaml."""
    monkeypatch.chdir(tmp_path)
    arm = {"start_prob": 0.8, "stop_prob": 0.1}
    allocation = {"kind": "blocks", "ratio": {"coach": 1, "usual": 1}, "block_sizes": [4, 6]}
    base = plain_data(arms={"coach": coached(arm=arm), "usual": usual()}, allocation=allocation)
    Path("base.yaml").write_text(yaml_text(base), "utf-8")

    def sweep(text: str = GOOD, *, overrides: tuple[str, ...] = ()) -> Sweep:
        Path("s.yaml").write_text(text, "utf-8")
        return read_sweep("s.yaml", overrides=overrides)

    return sweep


def faults(read: Read, text: str, **keys: Any) -> list[str]:
    with pytest.raises(DesignError) as caught:
        read(text, **keys)
    return str(caught.value).splitlines()


def with_axes(axes: str) -> str:
    return f"name: s\nbase: base.yaml\nreplicates: 10\naxes: {axes}\n"


# --- a good file ----------------------------------------------------------------------------------------------------


def test_points_are_the_designs_that_overrides_would_make(read: Read) -> None:
    common = "arms.coach.stop_prob=0.05"
    poor = ["arms.coach.start_prob=0.5", "sample_size=40"]
    points = read().points
    by_hand = [[common, *pack, f"arms.coach.delivery.coaches={n}"] for pack in ([], poor) for n in (1, 2)]
    designs = [read_design("base.yaml", overrides=texts) for texts in by_hand]
    assert [point.design for point in points] == designs
    assert [point.digest for point in points] == [digest(design) for design in designs]
    assert [point.number for point in points] == [0, 1, 2, 3]
    assert points[3].label == "scenario=poor, arms.coach.delivery.coaches=2"


def test_defaults(read: Read) -> None:
    sweep = read()
    assert (sweep.name, sweep.replicates, sweep.target_mcse, sweep.seed) == ("s", 10, None, 1)
    assert (sweep.common_random_numbers, sweep.tables) == (True, ())
    assert {point.seed for point in sweep.points} == {1}


def test_values_of_an_axis_win_over_packs_and_packs_over_set(read: Read) -> None:
    text = (
        "name: s\nbase: base.yaml\nreplicates: 1\nset: {sample_size: 10}\nscenarios: {a: {sample_size: 20}, b: {}}\n"
        "axes: [{list: [{scenario: a}, {scenario: b}, {scenario: a, sample_size: 30}, {sample_size: 40}]}]\n"
    )
    assert [point.design.sample_size for point in read(text).points] == [20, 10, 30, 40]


def test_a_point_may_mend_a_base_that_is_no_design_by_itself(read: Read) -> None:
    Path("base.yaml").write_text(Path("base.yaml").read_text("utf-8").replace("sample_size: 60", ""), "utf-8")
    assert [point.design.sample_size for point in read(with_axes("[{grid: {sample_size: [5, 6]}}]")).points] == [5, 6]


def test_a_value_may_replace_a_whole_part(read: Read) -> None:
    sweep = read(with_axes("[{list: [{}, {arms.usual.delivery: {kind: self_paced, modules: [a, b]}}]}]"))
    assert [point.design.n_sessions("usual") for point in sweep.points] == [0, 2]


def test_the_text_reads_back_to_the_same_sweep(read: Read) -> None:
    sweep = read()
    assert read(sweep.text) == sweep
    assert re.search(r"(?m)^replicates: 10$", sweep.text)


def test_what_is_common_is_held_once(read: Read) -> None:
    one, other = read().points[:2]
    assert one.design.outcomes["pain"] is other.design.outcomes["pain"]
    assert one.design.arms["usual"] is other.design.arms["usual"]
    assert one.design.arms["coach"] != other.design.arms["coach"]


# --- luck, replicates, tables -----------------------------------------------------------------------------------------


def test_seeds_of_their_own_do_not_depend_on_other_points(read: Read) -> None:
    own = "common_random_numbers: false\n"
    few = {p.digest: p.seed for p in read(with_axes("[{grid: {sample_size: [10, 20]}}]") + own).points}
    many = {p.digest: p.seed for p in read(with_axes("[{grid: {sample_size: [30, 20, 10]}}]") + own).points}
    assert few.items() <= many.items()
    assert len(set(many.values())) == 3
    assert all(0 <= seed < 2**63 for seed in many.values())
    other = read(with_axes("[{grid: {sample_size: [10, 20]}}]") + own + "seed: 2\n").points
    assert not {p.seed for p in other} & set(few.values())


def test_with_a_target_replicates_are_the_most(read: Read) -> None:
    text = GOOD.replace("replicates: 10", "target_mcse: 0.01")
    assert (read(text).target_mcse, read(text).replicates) == (0.01, 100_000)
    assert read(text + "replicates: 300\n").replicates == 300


def test_what_is_kept(read: Read) -> None:
    everything = tuple(
        name
        for name in SCHEMAS
        if name not in ("clusters", "components", "events", "estimates", "replicates", "measures", "performance")
    )
    assert read(GOOD + "keep: participants\n").tables == everything
    assert read(GOOD + "keep: [events, truth, clusters, events]\n").tables == ("events", "truth", "clusters")


def test_overrides(read: Read) -> None:
    sweep = read(overrides=("replicates=3", "seed=9", "set.sample_size=50", "set.arms.coach.stop_prob=0.2"))
    assert (sweep.replicates, sweep.seed, sweep.points[0].design.sample_size) == (3, 9, 50)
    assert sweep.points[0].design.arms["coach"].stop_prob == 0.2
    assert read(with_axes("[{list: [{}]}]"), overrides=("set.sample_size=7",)).points[0].design.sample_size == 7


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("replicates: 10", "", ["s.yaml:1:1: give replicates or target_mcse. For example replicates: 200."]),
        ("replicates", "replicate", ["s.yaml:10:1: replicate: unknown key. Did you mean 'replicates'?"]),
        ("replicates: 10", "replicates: 0\nkeep: all\nseed: -1", [
            "s.yaml:10:13: replicates: must be at least 1 (given: 0)",
            "s.yaml:11:7: keep: must be one of 'estimates', 'participants' (given: 'all')",
            "s.yaml:12:7: seed: must be at least 0 (given: -1)",
        ]),
        ("replicates: 10", "replicates: 10000001", ["s.yaml:10:13: replicates: must be at most 10000000 (given: 10000001)"]),
        ("base.yaml", "bse.yaml", ["s.yaml:2:7: base: no file 'bse.yaml' (given: 'bse.yaml') Did you mean 'base.yaml'?"]),
        ("base.yaml", "nothing", ["s.yaml:2:7: base: no scenario 'nothing' in the library (given: 'nothing') Library: " + ", ".join(library()) + "."]),
        ("arms.coach.stop_prob", "arms.coach.stop_pro", ["s.yaml:3:7: arms.coach.stop_pro: no 'arms.coach.stop_pro'. Did you mean 'arms.coach.stop_prob'? In every point."]),
        ("start_prob: 0.5", "start_prob: 1.5", ["s.yaml:6:33: arms.coach.start_prob: must be at most 1 (given: 1.5) In 2 of 4 points, first: point 2 (scenario='poor', arms.coach.delivery.coaches=1)."]),
        ("[1, 2]", "[1, two, 0]", [
            "s.yaml:9:45: arms.coach.delivery.coaches: must be a whole number or a list (given: 'two') In 2 of 6 points, first: point 1 (scenario='real', arms.coach.delivery.coaches='two').",
            "s.yaml:9:50: arms.coach.delivery.coaches: must be at least 1 (given: 0) In 2 of 6 points, first: point 2 (scenario='real', arms.coach.delivery.coaches=0).",
        ]),
        ("[1, 2]", "[1, 1]", ["s.yaml:7:1: axes: point 0 (scenario='real', arms.coach.delivery.coaches=1) and point 1 (scenario='real', arms.coach.delivery.coaches=1) are the same design. Drop one of the two. 2 points repeat an earlier one."]),
        ("{arms.coach.start_prob: 0.5, sample_size: 40}", "{}", ["s.yaml:7:1: axes: point 0 (scenario='real', arms.coach.delivery.coaches=1) and point 2 (scenario='poor', arms.coach.delivery.coaches=1) are the same design. Drop one of the two. 2 points repeat an earlier one."]),
        ("name: s", "name: s\nextends: other", ["s.yaml:2:1: extends: unknown key. Keys here: name, title, description, base, set, scenarios, axes, replicates, target_mcse, seed, keep, common_random_numbers."]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_place(read: Read, old: str, new: str, told: list[str]) -> None:
    assert faults(read, GOOD.replace(old, new)) == told


def test_a_value_of_the_base_that_fits_no_longer_is_told_at_the_axis(read: Read) -> None:
    (told,) = faults(read, with_axes("[{grid: {allocation.ratio.coach: [1, 2]}}]"))
    assert told.startswith("s.yaml:4:44: allocation.block_sizes.0: ")
    assert re.search(r"conflicts with 'allocation\.ratio\.coach', given here; in the base: base\.yaml:\d+:\d+\.", told)
    assert told.endswith("In 1 of 2 points, first: point 1 (allocation.ratio.coach=2).")


def test_a_mistake_of_the_base_stays_in_the_base(read: Read) -> None:
    text = Path("base.yaml").read_text("utf-8").replace("stop_prob: 0.1", "stop_prob: 7")
    Path("base.yaml").write_text(text, "utf-8")
    (told,) = faults(read, with_axes("[{grid: {arms.coach.start_prob: [0.5, 0.6]}}]"))
    assert re.fullmatch(
        r"base\.yaml:\d+:\d+: arms\.coach\.stop_prob: must be at most 1 \(given: 7\) For 7% write 0\.07\. In every point\.",
        told,
    )


def test_a_base_that_cannot_be_read(read: Read) -> None:
    Path("base.yaml").write_text("name: a\nname: b\n", "utf-8")
    assert faults(read, GOOD) == [
        "base.yaml:2:1: name: duplicate key, first given at line 1, column 1. Keep one of the two."
    ]


def test_a_fault_of_many_points_is_told_once(read: Read) -> None:
    box = "[{lhs: {points: 200, ranges: {arms.coach.start_prob: {low: 0.5, high: 1.5}}}}]"
    (told,) = faults(read, with_axes(box))
    assert "In 100 of 200 points, first: point" in told


def test_many_faults_are_cut_short(read: Read) -> None:
    values = ", ".join(f"-{k}" for k in range(1, 61))
    told = faults(read, with_axes(f"[{{grid: {{sample_size: [{values}]}}}}]"))
    assert len(told) == 51
    assert told[-1] == "and: 10 more faults"


def test_faults_of_overrides_name_the_override(read: Read) -> None:
    assert faults(read, GOOD, overrides=("set.sample_size=x",)) == [
        "--set set.sample_size=x: sample_size: must be a whole number (given: 'x') In 2 of 4 points, first: point 0 (scenario='real', arms.coach.delivery.coaches=1)."
    ]
    assert faults(read, GOOD, overrides=("replicate=2",)) == [
        "--set replicate=2: replicate: no 'replicate'. Did you mean 'replicates'?"
    ]
    assert faults(read, GOOD, overrides=("set.sample_size=[",))[0].startswith(
        "--set set.sample_size=[: set.sample_size: not valid YAML"
    )


def test_a_sweep_that_is_not_there(read: Read) -> None:
    with pytest.raises(TrialsimError, match=r"^no sweep 'smal' in the library\. Did you mean 'small'\?$"):
        read_sweep("smal")
    with pytest.raises(TrialsimError, match=r"^no file 'no\.yaml'\.$"):
        read_sweep("no.yaml")


# --- the library, the schema, the page ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(library("sweeps")))
def test_sweeps_of_the_library(name: str) -> None:
    sweep = read_sweep(name)
    assert sweep.name == name
    assert len(sweep.points) > 1
    assert all(point.design.analyses for point in sweep.points)
    text = library("sweeps")[name].read_text("utf-8")
    assert "assumed" in text
    root, _ = read_tree(text.encode(), source=name)
    assert root is not None
    jsonschema.Draft202012Validator(sweep_schema()).validate(plain(root))


def test_the_benchmark_is_what_it_is_called() -> None:
    sweep = read_sweep("benchmark")
    assert (len(sweep.points), sweep.replicates, sweep.tables) == (100, 200, ())
    assert {point.design.sample_size for point in sweep.points} == {300}
    assert {tuple(a.kind for a in point.design.analyses.values()) for point in sweep.points} == {("modified_poisson",)}
    kinds = {tuple(arm.delivery.kind for arm in point.design.arms.values()) for point in sweep.points}
    assert kinds == {("individual", "self_paced", "none")}


def test_the_schema_refuses_what_the_reader_refuses() -> None:
    schema = jsonschema.Draft202012Validator(sweep_schema())
    good: dict[str, Any] = {"name": "s", "base": "resolve", "axes": [{"list": [{}]}], "replicates": 1}
    assert schema.is_valid(good)
    for bad in ({"axes": []}, {"axes": [{}]}, {"axes": [{"list": [{}], "table": "t.csv"}]}, {"sed": 1}, {"keep": "x"}):
        assert not schema.is_valid({**good, **bad})


def page_blocks(language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"))


@pytest.mark.parametrize("text", page_blocks("yaml"))
def test_examples_of_the_page(text: str, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text(page_blocks("csv")[0], "utf-8")
    missing = {"name": "example", "base": "resolve", "replicates": 10}
    head = "".join(f"{key}: {value}\n" for key, value in missing.items() if not re.search(rf"(?m)^{key}:", text))
    (tmp_path / "example.yaml").write_text(head + text, "utf-8")
    assert read_sweep(tmp_path / "example.yaml").points


@pytest.mark.parametrize("model", [SweepFile, Axis, Space, Range])
def test_the_page_has_every_key(model: type[SweepFile | Axis | Space | Range]) -> None:
    page = PAGE.read_text("utf-8")
    assert [name for name in model.model_fields if f"`{name}`" not in page and f"\n### {name}" not in page] == []
    assert all(field.description for field in model.model_fields.values())
