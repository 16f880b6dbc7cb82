"""Design files: typical mistakes with exact message and place, `extends`, overrides, the way back to YAML."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from designs import Data, plain_data, usual
from pydantic import BaseModel, ConfigDict, Field, Strict, field_validator, model_validator

from trialsim.design import library as library_module
from trialsim.design.parts import Design
from trialsim.design.reader import (
    digest,
    library,
    library_dir,
    new_from,
    read_as,
    read_design,
    resolved_yaml,
)
from trialsim.design.schema import json_schema
from trialsim.design.yamlwriter import yaml_text
from trialsim.errors import DesignError, Fault, TrialsimError

Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Name = Annotated[str, Strict(), Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=12)]
Whole = Annotated[int, Strict(), Field(ge=0)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Nothing(Part):
    kind: Literal["none"]


class Coach(Part):
    caseload: Whole = 10


class Coached(Part):
    kind: Literal["coached"]
    coaches: Whole | Annotated[tuple[Coach, ...], Field(min_length=1)]
    wait_days: Annotated[Whole, Field(le=100)] = 7


class Delay(Part):
    days: Whole = 0
    extra: Number = 0.0


class Arm(Part):
    delivery: Annotated[Nothing | Coached, Field(discriminator="kind")]
    effect: Number = 0.0


class Problems(ValueError):
    def __init__(self, problems: list[tuple[tuple[str | int, ...], str, str]]) -> None:
        self.problems = problems
        super().__init__("problems")


class Toy(Part):
    name: Annotated[str, Strict(), Field(max_length=20)]
    size: Annotated[Whole, Field(ge=1)]
    start_date: dt.date
    arms: Annotated[dict[Name, Arm], Field(min_length=1)]
    kind: Literal["simple", "blocks"] = "simple"
    blinded: Annotated[bool, Strict()] = False
    opens: Whole | dt.date = 0
    strata: tuple[Name | Delay, ...] = ()
    pair: tuple[Whole, Whole] = (1, 2)
    delay: Delay = Delay(days=3)
    extra: Delay | None = None
    prob: Annotated[Number, Field(gt=0, le=1)] = 0.5
    colour: str = "red"

    @field_validator("colour")
    @classmethod
    def _no_blue(cls, value: str) -> str:
        if value == "blue":
            raise ValueError("must be another colour")
        return value

    @model_validator(mode="after")
    def _across(self) -> Toy:
        problems: list[tuple[tuple[str | int, ...], str, str]] = []
        if self.size > 900:
            problems.append((("size",), "too many for the arms", "Add arms."))
        if self.delay.days > 50:
            problems.append((("delay", "extra"), "a long delay needs an extra", ""))
        if problems:
            raise Problems(problems)
        return self


GOOD = """\
# A toy trial.
name: toy
size: 40
start_date: 2026-01-05
arms:
  coach:
    delivery:
      kind: coached
      coaches: [{caseload: 10}, {}]
    effect: -1
  usual:
    delivery: {kind: none}
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes design files into an empty working folder that has an empty library."""
    (tmp_path / "library").mkdir()
    monkeypatch.setattr(library_module, "library_dir", lambda: tmp_path / "library")
    monkeypatch.chdir(tmp_path)

    def _write(text: str, *, name: str = "t.yaml") -> Path:
        Path(name).write_text(text, encoding="utf-8")
        return Path(name)

    return _write


def faults(path: Path, *, overrides: tuple[str, ...] = ()) -> list[Fault]:
    with pytest.raises(DesignError) as caught:
        read_as(Toy, path, overrides=overrides)
    return caught.value.faults


def toy(path: Path | str, *overrides: str) -> Toy:
    return read_as(Toy, path, overrides=overrides)


def test_a_good_file_is_read(write: Write) -> None:
    design = toy(write(GOOD))
    assert design.start_date == dt.date(2026, 1, 5)
    assert design.arms["coach"].effect == -1.0
    assert design.arms["coach"].delivery == Coached(kind="coached", coaches=(Coach(), Coach()))


def told(fault: Fault) -> str:
    return " | ".join([fault.where.removeprefix("t.yaml:"), fault.path, fault.given, fault.rule, fault.hint])


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("size: 40", "sise: 40", "3:1 | sise |  | unknown key | Did you mean 'size'?"),
        ("size: 40", "size: 40.0", "3:7 | size | 40.0 | must be a whole number | Write 40."),
        ("size: 40", "size: '40'", "3:7 | size | '40' | must be a whole number | Remove the quotes."),
        ("size: 40", "size: true", "3:7 | size | true | must be a whole number | "),
        ("size: 40", "size: 0", "3:7 | size | 0 | must be at least 1 | "),
        ("size: 40", "size:", "3:1 | size | null | must be a whole number | "),
        ("size: 40\n", "", "1:1 | size |  | required key is missing | "),
        ("name: toy", "name: 5", "2:7 | name | 5 | must be text | Put it in quotes."),
        ("toy\n", "a really long long name\n",
         "2:7 | name | 'a really long long name' | must have at most 20 characters | "),
        ("2026-01-05", "5 May 26", "4:13 | start_date | '5 May 26' | must be a date (YYYY-MM-DD) | "),
        ("2026-01-05", "2026-02-30",
         "4:13 | start_date | 2026-02-30 | there is no such date | Dates are year-month-day: YYYY-MM-DD."),
        ("effect: -1", "effect: '-1'",
         "10:13 | arms.coach.effect | '-1' | must be a number | Remove the quotes."),
        ("effect: -1", "effect: [1]", "10:5 | arms.coach.effect | [1] | must be a number | "),
        ("effect: -1", "color: red",
         "10:5 | arms.coach.color |  | unknown key | Keys here: delivery, effect."),
        ("kind: coached", "kind: coach", "8:13 | arms.coach.delivery.kind | 'coach' "
         "| must be one of 'none', 'coached' | Did you mean 'coached'?"),
        ("{kind: none}", "{}",
         "12:5 | arms.usual.delivery.kind |  | required key is missing | One of 'none', 'coached'."),
        ("{kind: none}", "{kind: ~}",
         "12:22 | arms.usual.delivery.kind | null | must be one of 'none', 'coached' | "),
        ("{kind: none}", "{kind: none, coaches: 3}",
         "12:28 | arms.usual.delivery.coaches |  | unknown key | It is a key of kind coached."),
        ("{kind: none}", "none",
         "12:15 | arms.usual.delivery | 'none' | must be a mapping of keys to values | Write {kind: none}."),
        ("{kind: none}", "nobody",
         "12:15 | arms.usual.delivery | 'nobody' | must be a mapping of keys to values "
         "| Keys here: kind, coaches, wait_days."),
        ("usual:", "usual care:", "11:3 | arms.usual care | 'usual care' "
         "| the key must be a name: a letter, then letters, digits or _ | "),
        ("[{caseload: 10}, {}]", "many",
         "9:16 | arms.coach.delivery.coaches | 'many' | must be a whole number or a list | "),
        ("[{caseload: 10}, {}]", "[]",
         "9:7 | arms.coach.delivery.coaches | [] | must have at least 1 entry | "),
        ("[{caseload: 10}, {}]", "[{}, {caseload: -1}]",
         "9:32 | arms.coach.delivery.coaches.1.caseload | -1 | must be at least 0 | "),
        ("size: 40", "size: 40\nsize: 50",
         "4:1 | size |  | duplicate key, first given at line 3, column 1 | Keep one of the two."),
    ],
)  # fmt: skip
def test_one_mistake_is_one_fault_at_its_place(write: Write, old: str, new: str, fault: str) -> None:
    assert old in GOOD
    assert [told(found) for found in faults(write(GOOD.replace(old, new, 1)))] == [fault]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("kind: block", "7 | kind | 'block' | must be one of 'simple', 'blocks' | Did you mean 'blocks'?"),
        ("blinded: no", "10 | blinded | 'no' | must be true or false | "),
        ("opens: soon", "8 | opens | 'soon' | must be a whole number or a date (YYYY-MM-DD) | "),
        ("opens: -1", "8 | opens | -1 | must be at least 0 | "),
        ("strata: 3", "9 | strata | 3 | must be a list | Write [3]."),
        ("strata: [a, 3]",
         "13 | strata.1 | 3 | must be text or a mapping of keys to values | Put it in quotes."),
        ("strata: [{day: 3}]", "11 | strata.0.day |  | unknown key | Did you mean 'days'?"),
        ("strata: [a-b]", "10 | strata.0 | 'a-b' | must be a name: a letter, then letters, digits or _ | "),
        ("pair: [1]", "1 | pair.1 |  | required item is missing | "),
        ("pair: [1, 2, 3]", "1 | pair | [1, 2, 3] | must have at most 2 entries | "),
        ("prob: 0", "7 | prob | 0 | must be above 0 | "),
        ("prob: 1.5", "7 | prob | 1.5 | must be at most 1 | "),
        ("prob: 15", "7 | prob | 15 | must be at most 1 | For 15% write 0.15."),
        ("prob: 15%", "7 | prob | '15%' | must be a number | For 15% write 0.15."),
        ("delay: 3", "8 | delay | 3 | must be a mapping of keys to values | Keys here: days, extra."),
        ("extra: {days: x}", "15 | extra.days | 'x' | must be a whole number | "),
        ("colour: blue", "9 | colour | 'blue' | must be another colour | "),
        ("KIND: simple", "1 | KIND |  | unknown key | Did you mean 'kind'?"),
        ("namee: x", "1 | namee |  | unknown key | Keys here: name, size, start_date, arms, kind, blinded, "
         "opens, strata, pair, delay, extra, prob, colour, extends."),
    ],
)  # fmt: skip
def test_one_wrong_line(write: Write, line: str, fault: str) -> None:
    assert [told(found) for found in faults(write(f"{GOOD}{line}\n"))] == [f"13:{fault}"]


def of_trial(path: Path, **parts: Any) -> list[str]:
    """What is told of a trial made with these parts, without the place in the file."""
    path.write_text(yaml_text(plain_data(**parts)), encoding="utf-8")
    with pytest.raises(DesignError) as caught:
        read_design(path)
    assert all(re.fullmatch(r".*t\.yaml:\d+:\d+", fault.where) for fault in caught.value.faults)
    return [f"{fault.path}: {fault.rule}. {fault.hint}" for fault in caught.value.faults]


KINDS_OF_OUTCOME = "must be one of 'score', 'binary', 'ordinal', 'count', 'event', 'dose'"
GROUP = {"kind": "group", "modules": ["one"], "size": 8, "facilitators": 2}
EQUAL = {"coach": 1, "usual": 1}


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ({"outcomes": {"pain": {"mean": 5.0, "itemz": 5}}}, "pain.itemz: unknown key. Did you mean 'items'?"),
        ({"outcomes": {"pain": {"maen": 5.0}}}, "pain.maen: unknown key. Did you mean 'mean'?"),
        ({"outcomes": {"pain": {"mean": 5.0, "levels": {}}}}, "pain.levels: unknown key. It is a key of kind ordinal."),
        ({"outcomes": {"pain": {"sd": 1.0}}}, "pain.mean: required key is missing. "),
        ({"outcomes": {"pain": {"kind": "binry", "prob": 0.5}}}, f"pain.kind: {KINDS_OF_OUTCOME}. Did you mean 'binary'?"),
        ({"outcomes": {"pain": {"kind": "binary", "prob": 0.5, "items": 4}}},
         "pain.items: unknown key. It is a key of kind score."),
        ({"arms": {"coach": {"delivery": {**GROUP, "max_size": 8}}, "usual": usual()}},
         "coach.delivery.max_size: unknown key. Did you mean 'min_size'?"),
        ({"arms": {"coach": {"delivery": {**GROUP, "caseload": 8}}, "usual": usual()}},
         "coach.delivery.caseload: unknown key. It is a key of kind individual."),
        ({"allocation": {"kind": "simple", "ratio": EQUAL, "block_sizes": [2]}},
         "block_sizes: unknown key. It is a key of kind blocks."),
        ({"allocation": {"kind": "simple", "ratio": EQUAL, "strata": ["site"]}},
         "strata: unknown key. It is a key of kind blocks or minimization or biased_coin or urn."),
        ({"allocation": {"kind": "minimisation", "ratio": EQUAL}},
         "kind: must be one of 'simple', 'blocks', 'minimization', 'biased_coin', 'urn', 'clusters', 'cohorts'. "
         "Did you mean 'minimization'?"),
        ({"arms": {"coach": {"delivery": usual()["delivery"], "response_prob": 0.8}, "usual": usual()}},
         "coach.response_prob: must be a mapping of keys to values. Write {NAME: 0.8}, with a value for every name."),
    ],
)  # fmt: skip
def test_a_mistake_in_a_part_of_some_kind_is_judged_as_that_kind(tmp_path: Path, parts: Data, fault: str) -> None:
    (section,) = parts
    assert of_trial(tmp_path / "t.yaml", **parts) == [f"{section}.{fault}"]


def test_all_mistakes_at_once_in_file_order(write: Write) -> None:
    text = GOOD.replace("size: 40", "sise: x").replace("effect: -1", "effect: .inf").replace("coached", "coach")
    text += "name: again\nblinded: 3\n<<: {}\n"
    assert [(fault.where, fault.rule) for fault in faults(write(text))] == [
        ("t.yaml:3:1", "unknown key"),
        ("t.yaml:8:13", "must be one of 'none', 'coached'"),
        ("t.yaml:10:13", "must be a finite number"),
        ("t.yaml:13:1", "duplicate key, first given at line 2, column 1"),
        ("t.yaml:14:10", "must be true or false"),
        ("t.yaml:15:1", "merge keys (<<) are not part of YAML 1.2"),
    ]


def test_a_misspelt_key_hides_neither_other_missing_keys_nor_is_it_told_twice(write: Write) -> None:
    text = GOOD.replace("size: 40\n", "siez: 40\n").replace("name: toy\n", "")
    assert [(fault.path, fault.rule) for fault in faults(write(text))] == [
        ("name", "required key is missing"),
        ("siez", "unknown key"),
    ]


def test_checks_between_parts_point_at_the_value_or_its_parent(write: Write) -> None:
    text = GOOD.replace("size: 40", "size: 999") + "delay:\n  days: 60\n"
    assert faults(write(text)) == [
        Fault("t.yaml:3:7", "size", "999", "too many for the arms", "Add arms."),
        Fault("t.yaml:13:1", "delay.extra", "", "a long delay needs an extra"),
    ]


def test_checks_between_parts_wait_until_every_value_can_be_read(write: Write) -> None:
    text = GOOD.replace("size: 40", "size: 999") + "extra: .nan\n"
    assert [fault.rule for fault in faults(write(text))] == ["must be a finite number"]


def test_a_wrong_key_and_its_unreadable_value_are_both_told(write: Write) -> None:
    assert [(fault.path, fault.rule) for fault in faults(write(f"{GOOD}zzz: .nan\n"))] == [
        ("zzz", "unknown key"),
        ("zzz", "must be a finite number"),
    ]


class Car(Part):
    kind: Literal["car"]
    pause: Delay


class Walk(Part):
    kind: Literal["walk"]
    pause: Whole = 0


class Odd(Part):
    even: Annotated[int, Strict(), Field(multiple_of=2)] = 2
    code: Annotated[str, Field(pattern="^x+$", min_length=1)] = "x"
    names: list[str] = []
    matrix: dict[str, list[tuple[Whole, Delay]]] = {}
    address: uuid.UUID | None = None
    nothing: None = None
    free: dict[str, Any] = {}
    level: Literal[1, 2] = 1
    way: Annotated[Car | Walk, Field(discriminator="kind")] = Walk(kind="walk")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("even: 3", "7 | even | 3 | must be a multiple of 2 | "),
        ("code: y", "7 | code | 'y' | must have the form ^x+$ | "),
        ("code: ''", "7 | code | '' | must have at least 1 character | "),
        ("names: [a, [b]]", "12 | names.1 | ['b'] | must be text | "),
        ("matrix: {a: [[1, {days: x}]]}", "25 | matrix.a.0.1.days | 'x' | must be a whole number | "),
        ("matrix: {a: [[1, {day: 1}]]}", "19 | matrix.a.0.1.day |  | unknown key | Did you mean 'days'?"),
        ("address: 5", "10 | address | 5 | UUID input should be a string, bytes or UUID object | "),
        ("nothing: 1", "10 | nothing | 1 | must be null | "),
        ("way: {kind: car, pause: {days: x}}", "32 | way.pause.days | 'x' | must be a whole number | "),
        ("way: {kind: walk, pause: x}", "26 | way.pause | 'x' | must be a whole number | "),
        ("level: 3", "8 | level | 3 | must be one of 1, 2 | "),
    ],
)
def test_other_types_of_fields(write: Write, line: str, fault: str) -> None:
    with pytest.raises(DesignError) as caught:
        read_as(Odd, write(line))
    assert [told(found) for found in caught.value.faults] == [f"1:{fault}"]


def test_free_data_may_be_overridden_where_it_exists(write: Write) -> None:
    path = write("free: {a: {b: [1, 2]}}\n")
    assert read_as(Odd, path, overrides=["free.a.b.1=x"]).free == {"a": {"b": [1, "x"]}}
    with pytest.raises(DesignError, match=r"no 'free\.a\.B'.*Did you mean 'free\.a\.b'\?"):
        read_as(Odd, path, overrides=["free.a.B=x"])


def test_messages_read_as_sentences(write: Write) -> None:
    with pytest.raises(DesignError, match=r"^t\.yaml:3:7: size: must be at least 1 \(given: 0\)$"):
        toy(write(GOOD.replace("size: 40", "size: 0")))


# --- extends ------------------------------------------------------------------------------------------------


def test_a_child_wins_and_marks_follow_the_file_of_each_value(write: Write) -> None:
    write(GOOD)
    child = write("extends: t.yaml\nname: child\narms:\n  coach:\n    effect: -2\n", name="child.yaml")
    design = toy(child)
    assert (design.name, design.size, list(design.arms)) == ("child", 40, ["coach", "usual"])
    assert design.arms["coach"] == toy("t.yaml").arms["coach"].model_copy(update={"effect": -2.0})

    write(GOOD.replace("size: 40", "size: x").replace("effect: -1", "effekt: -1"))
    write("extends: t.yaml\nname: 5\narms:\n  coach:\n    effect: no\n", name="child.yaml")
    assert [(fault.where, fault.path) for fault in faults(child)] == [
        ("child.yaml:2:7", "name"),
        ("child.yaml:5:13", "arms.coach.effect"),
        ("t.yaml:3:7", "size"),
        ("t.yaml:10:5", "arms.coach.effekt"),
    ]


def test_lists_are_replaced_nulls_remove_and_a_changed_kind_starts_anew(write: Write) -> None:
    write(GOOD + "strata: [a, b]\nprob: 0.1\nextra: {days: 4, extra: 2}\n")
    child = write(
        "extends: t.yaml\nstrata: [c]\nprob: ~\nextra:\n  days: 5\n"
        "arms:\n  usual: ~\n  coach:\n    delivery: {kind: none}\n",
        name="child.yaml",
    )
    design = toy(child)
    assert design.strata == ("c",)
    assert design.prob == 0.5
    assert design.extra == Delay(days=5, extra=2.0)
    assert design.arms == {"coach": Arm(delivery=Nothing(kind="none"), effect=-1.0)}


def test_a_null_for_a_key_that_the_parent_lacks_is_checked_like_any_value(write: Write) -> None:
    write(GOOD)
    (fault,) = faults(write("extends: t.yaml\narms:\n  coahc: ~\n", name="child.yaml"))
    assert (fault.where, fault.path) == ("child.yaml:3:10", "arms.coahc")
    assert fault.rule == "must be a mapping of keys to values"


def test_an_unreadable_value_in_the_child_removes_nothing(write: Write) -> None:
    write(GOOD)
    assert faults(write("extends: t.yaml\nsize: .nan\n", name="child.yaml")) == [
        Fault("child.yaml:2:7", "size", ".nan", "must be a finite number")
    ]


def test_a_removed_required_key_is_missed_in_the_child(write: Write) -> None:
    write(GOOD)
    assert faults(write("\n\nextends: t.yaml\nsize: ~\n", name="child.yaml")) == [
        Fault("child.yaml:1:1", "size", "", "required key is missing")
    ]


def test_chains_folders_and_library_names(write: Write) -> None:
    write(GOOD, name="library/base.yaml")
    Path("sub").mkdir()
    write("extends: base\nsize: 50\n", name="sub/middle.yaml")
    design = toy(write("extends: sub/middle.yaml\nname: last\n", name="last.yml"))
    assert (design.name, design.size) == ("last", 50)


@pytest.mark.parametrize(
    ("value", "rule", "hint"),
    [
        ("other.yaml", "no file 'other.yaml'", "Did you mean 'others.yaml'?"),
        ("bse", "no scenario 'bse' in the library", "Did you mean 'base'?"),
        ("others", "no scenario 'others' in the library", "Did you mean 'others.yaml'?"),
        ("zzz", "no scenario 'zzz' in the library", "Library: base."),
        ("[a, b]", "must be a file or the name of a library scenario", ""),
        (".nan", "must be a finite number", ""),
        ("c.yaml", "a design cannot extend itself", "The chain comes back to this file."),
        ("library/../c.yaml", "a design cannot extend itself", "The chain comes back to this file."),
    ],
)
def test_a_wrong_extends_is_a_fault_there(write: Write, value: str, rule: str, hint: str) -> None:
    write(GOOD, name="library/base.yaml")
    write(GOOD, name="others.yaml")
    (fault,) = faults(write(f"name: x\nextends: {value}\n", name="c.yaml"))
    assert fault.where == ("c.yaml:2:1" if value.startswith("[") else "c.yaml:2:10")
    assert (fault.path, fault.rule, fault.hint) == ("extends", rule, hint)


def test_a_circle_of_files_is_told_where_it_closes(write: Write) -> None:
    write("extends: a.yaml\n", name="b.yaml")
    (fault,) = faults(write("extends: b.yaml\n", name="a.yaml"))
    assert (fault.where, fault.rule) == ("b.yaml:1:10", "a design cannot extend itself")


def test_an_unreadable_parent_is_told_with_the_childs_own_mistakes(write: Write) -> None:
    write("a: [\n", name="b.yaml")
    first, second = faults(write("extends: b.yaml\nname: x\nname: y\n", name="a.yaml"))
    assert (first.where, second.where) == ("a.yaml:3:1", "b.yaml:2:1")


# --- overrides ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("size=7", "size", 7),
        ("arms.coach.effect=5e-2", "arms.coach.effect", 0.05),
        ("arms.coach.effect=-3", "arms.coach.effect", -3.0),
        ("opens=2026-02-01", "opens", dt.date(2026, 2, 1)),
        ("colour=no", "colour", "no"),
        ("colour=a=b", "colour", "a=b"),
        ("strata=[a, {days: 2}]", "strata", ("a", Delay(days=2))),
        ("extra.days=2", "extra", Delay(days=2)),
        ("delay.extra=2", "delay", Delay(days=3, extra=2.0)),
        ("extra=~", "extra", None),
        ("arms.coach.delivery.coaches.1.caseload=3", "arms.coach.delivery.coaches.1", Coach(caseload=3)),
        ("arms.coach.delivery.wait_days=0", "arms.coach.delivery.wait_days", 0),
        ("arms.usual.delivery={kind: coached, coaches: 2}", "arms.usual.delivery.coaches", 2),
    ],
)
def test_an_override_sets_one_value(write: Write, override: str, path: str, value: object) -> None:
    found: Any = toy(write(GOOD), override)
    for part in path.split("."):
        found = found[int(part)] if part.isdigit() else found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value
    assert type(found) is type(value)


def test_an_override_may_go_below_a_null(write: Write) -> None:
    assert toy(write(f"{GOOD}extra: ~\n"), "extra.days=2").extra == Delay(days=2)


def test_overrides_build_on_each_other_and_the_last_wins(write: Write) -> None:
    design = toy(write(GOOD), "arms.usual.delivery.kind=coached", "arms.usual.delivery.coaches=4", "size=1", "size=2")
    assert design.arms["usual"].delivery == Coached(kind="coached", coaches=4)
    assert design.size == 2


@pytest.mark.parametrize(
    ("override", "path", "rule", "hint"),
    [
        ("arms.coahc.effect=1", "arms.coahc", "no 'arms.coahc'", "Did you mean 'arms.coach'?"),
        ("arms.coach.efect=1", "arms.coach.efect", "no 'arms.coach.efect'",
         "Did you mean 'arms.coach.effect'?"),
        ("sixe=1", "sixe", "no 'sixe'", "Did you mean 'size'?"),
        ("delay.zzz=1", "delay.zzz", "no 'delay.zzz'", "Keys there: days, extra."),
        ("arms.usual.delivery.coaches=1", "arms.usual.delivery.coaches", "no 'arms.usual.delivery.coaches'",
         "Keys there: kind."),
        ("arms.coach.delivery.coaches.2.caseload=1", "arms.coach.delivery.coaches.2",
         "no 'arms.coach.delivery.coaches.2'", "The list has items 0 to 1."),
        ("arms.coach.delivery.coaches.x=1", "arms.coach.delivery.coaches.x",
         "no 'arms.coach.delivery.coaches.x'", "The list has items 0 to 1."),
        ("name.x=1", "name.x", "'name' has no keys", "Set it as a whole."),
        ("size", "", "must have the form a.b.c=VALUE", ""),
        ("=3", "", "must have the form a.b.c=VALUE", ""),
        ("a..b=3", "", "must have the form a.b.c=VALUE", ""),
        ("size=", "size", "nothing is given", "The text is empty or only a comment."),
        ("size=.nan", "size", "must be a finite number", ""),
        ("size=x", "size", "must be a whole number", ""),
        ("arms.coach={}", "arms.coach.delivery", "required key is missing", ""),
        ("delay={dayz: 1}", "delay.dayz", "unknown key", "Did you mean 'days'?"),
        ("size=999", "size", "too many for the arms", "Add arms."),
    ],
)  # fmt: skip
def test_a_wrong_override_is_told_with_its_text(write: Write, override: str, path: str, rule: str, hint: str) -> None:
    (fault,) = faults(write(GOOD), overrides=(override,))
    assert (fault.where, fault.path, fault.rule, fault.hint) == (f"--set {override}", path, rule, hint)


def test_faults_of_overrides_come_after_those_of_the_file_in_their_order(write: Write) -> None:
    path = write(GOOD.replace("size: 40", "size: x"))
    found = faults(path, overrides=("prob=2", "zzz=1", "arms.coach.effect=x"))
    assert [fault.where for fault in found] == [
        "t.yaml:3:7",
        "--set prob=2",
        "--set zzz=1",
        "--set arms.coach.effect=x",
    ]


def test_an_override_with_odd_characters_stays_on_one_line(write: Write) -> None:
    (fault,) = faults(write(GOOD), overrides=("size=\x1b[31m\n\udcff",))
    assert fault.where == r"--set size=\x1b[31m\n\udcff"
    assert fault.rule == "the character U+001B is not allowed in a design file"


# --- finding files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tt.yaml", "no file 'tt.yaml'. Did you mean 't.yaml'?"),
        ("base.yaml", "no file 'base.yaml'. Did you mean the library's 'base'?"),
        ("sub/zzz.yaml", "no file 'sub/zzz.yaml'."),
        ("bases", "no scenario 'bases' in the library. Did you mean 'base'?"),
        ("t", "no scenario 't' in the library. Did you mean 't.yaml'?"),
        ("zzz", "no scenario 'zzz' in the library. Library: base."),
        ("folder.yaml", "cannot read 'folder.yaml': Is a directory."),
        ("a\x00.yaml", r"no file 'a\x00.yaml'."),
    ],
)
def test_a_source_that_is_not_there(write: Write, source: str, message: str) -> None:
    write(GOOD)
    write(GOOD, name="library/base.yaml")
    Path("folder.yaml").mkdir()
    with pytest.raises(TrialsimError) as caught:
        toy(source)
    assert str(caught.value) == message


def test_a_huge_file_is_refused(write: Write) -> None:
    with pytest.raises(TrialsimError, match=r"^'t\.yaml' is too large for a design \(over 2000000 bytes\)\.$"):
        toy(write("a" * 2_000_001))


def test_the_library_is_found_and_read_by_name(write: Write) -> None:
    write(GOOD, name="library/base.yaml")
    write("name: [", name="library/broken.yml")
    write("", name="library/notes.txt")
    assert list(library()) == ["base", "broken"]
    assert toy("base").name == "toy"
    with pytest.raises(DesignError, match=r"^library/broken\.yml:1:8: "):
        toy("broken")


def test_the_checkouts_library_holds_designs_that_can_be_read() -> None:
    assert library_dir().name == "configs"
    for name in library():
        assert isinstance(read_design(name), Design)


# --- the way back -------------------------------------------------------------------------------------------


RESOLVED = """\
name: "a: #b"
size: 40
start_date: 2026-01-05
arms:
  coach:
    delivery:
      kind: coached
      coaches:
        - caseload: 10
        - caseload: 10
      wait_days: 7
    effect: -1.0
kind: simple
blinded: false
opens: 2026-02-01
strata:
  - a
  - days: 1
    extra: 0.0
pair: [1, 2]
delay:
  days: 3
  extra: 0.0
extra: null
prob: 1e-05
colour: "017"
"""


def test_a_resolved_design_reads_back_equal(write: Write) -> None:
    write(GOOD + "opens: 2026-02-01\nstrata: [a, {days: 1}]\n")
    child = write("extends: t.yaml\ncolour: '017'\narms: {usual: ~}\n", name="child.yaml")
    design = toy(child, "name='a: #b'", "prob=1e-5")
    text = resolved_yaml(design)
    assert text == RESOLVED
    again = toy(write(text, name="again.yaml"))
    assert again == design
    assert digest(again) == digest(design)


@pytest.mark.parametrize(
    ("colour", "written"),
    [
        ("dark red", "dark red"),
        ("null", '"null"'),
        ("No", '"No"'),
        ("", '""'),
        ("1e3", '"1e3"'),
        ("2026-01-01", '"2026-01-01"'),
        ("a # b", '"a # b"'),
        ("- a", '"- a"'),
        ('a\n\t\\"', r'"a\n\t\\\""'),
        ("é\x85\u2028\U0001f600", '"é\\x85\\u2028\U0001f600"'),
    ],
)
def test_text_that_looks_like_something_else_is_quoted(write: Write, colour: str, written: str) -> None:
    design = toy(write(GOOD)).model_copy(update={"colour": colour})
    text = resolved_yaml(design)
    assert text.endswith(f"\ncolour: {written}\n")
    assert toy(write(text)) == design


@pytest.mark.parametrize("name", sorted(library()))
def test_library_designs_read_back_equal(name: str, tmp_path: Path) -> None:
    design = read_design(name)
    path = tmp_path / "again.yaml"
    path.write_text(resolved_yaml(design), encoding="utf-8")
    assert read_design(path) == design
    assert digest(read_design(path)) == digest(design)


def test_the_digest_depends_on_values_not_on_how_they_are_written(write: Write) -> None:
    design = toy(write(GOOD))
    same = toy(write(GOOD.replace("effect: -1", "effect: -1.0").replace("size: 40\n", "") + "size: 0x28\nprob: 0.5\n"))
    assert digest(same) == digest(design)
    assert len(digest(design)) == 12
    assert digest(toy("t.yaml", "prob=0.6")) != digest(design)


def test_the_json_schema_accepts_designs_and_refuses_unknown_keys(write: Write) -> None:
    schema = json_schema(Toy)
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    data = json.loads(toy(write(GOOD)).model_dump_json())
    assert check.is_valid(data)
    assert check.is_valid({"extends": "base", "size": 4, "delay": None, "arms": {}})
    assert not check.is_valid({"extends": "base", "size": 0})
    assert not check.is_valid({"extends": "base", "sise": 4})
    assert not check.is_valid({"extends": None, **data})
    assert not check.is_valid({**data, "delay": None})
    assert not check.is_valid({"size": 4})
    assert not check.is_valid({**data, "sise": 4})
    assert not check.is_valid({**data, "size": 0})


def test_the_schema_of_designs() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == "trialsim design"
    assert "$id" not in schema
    check = jsonschema.Draft202012Validator(schema)
    for name in library():
        check.validate(json.loads(read_design(name).model_dump_json()))


# --- new designs --------------------------------------------------------------------------------------------


def test_a_new_design_keeps_the_comments_and_takes_the_files_name(write: Write) -> None:
    write(GOOD.replace("name: toy", 'name: "toy"   # short'), name="library/base.yaml")
    new_from("base", Path("My Trial.yaml"))
    assert Path("My Trial.yaml").read_text(encoding="utf-8") == (
        "# Copied from the scenario 'base'. Change what differs in your trial, then\n"
        "#   check it:  trialsim check 'My Trial.yaml'\n"
        "#   run it:    trialsim run 'My Trial.yaml'\n\n" + GOOD.replace("name: toy", "name: my_trial   # short")
    )
    assert toy("My Trial.yaml") == toy("base").model_copy(update={"name": "my_trial"})
    assert sorted(path.name for path in Path().iterdir()) == ["My Trial.yaml", "library"]


def test_a_new_design_extends_the_library_not_a_file_beside_it(write: Write) -> None:
    write(GOOD, name="library/base.yaml")
    write("# Small.\nextends: base.yaml  # the big one\nsize: 5\n", name="library/small.yaml")
    new_from("small", Path("null.yaml"))
    text = Path("null.yaml").read_text(encoding="utf-8")
    assert 'name: "null"\n# Small.\nextends: base  # the big one\nsize: 5\n' in text
    assert (toy("null.yaml").name, toy("null.yaml").size) == ("null", 5)


def test_a_new_design_may_extend_a_file_that_is_not_in_the_library(write: Write) -> None:
    Path("library/parts").mkdir()
    write(GOOD, name="library/parts/base.yaml")
    write("extends: parts/base.yaml\nname: small\n", name="library/small.yaml")
    new_from("small", Path("mine.yaml"))
    assert toy("mine.yaml").name == "mine"


def test_a_new_design_overwrites_nothing(write: Write) -> None:
    write(GOOD, name="library/base.yaml")
    target = write("precious", name="mine.yaml")
    with pytest.raises(TrialsimError, match=r"^'mine\.yaml' exists already and is left as it is\."):
        new_from("base", target)
    assert target.read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize(
    ("like", "target", "message"),
    [
        ("base", "mine.txt", "'mine.txt' must end in .yaml."),
        ("bsae", "mine.yaml", "no scenario 'bsae' in the library. Did you mean 'base'?"),
        ("base", "nowhere/mine.yaml", "cannot write 'nowhere/mine.yaml': No such file or directory."),
        ("bad.yaml", "mine.yaml", "bad.yaml:1:1: the file is not UTF-8 text"),
        ("base", "bad.yaml/mine.yaml", "cannot write 'bad.yaml/mine.yaml': Not a directory."),
        ("base", "a\x00.yaml", r"cannot write 'a\x00.yaml': embedded null byte."),
    ],
)
def test_a_new_design_that_cannot_be_made(write: Write, like: str, target: str, message: str) -> None:
    write(GOOD, name="library/base.yaml")
    Path("bad.yaml").write_bytes(b"\xff")
    with pytest.raises(TrialsimError) as caught:
        new_from(like, Path(target))
    assert str(caught.value).startswith(message)
    assert sorted(path.name for path in Path().iterdir()) == ["bad.yaml", "library"]


def test_the_reader_is_light_to_import() -> None:
    heavy = "('numpy', 'pandas', 'scipy')"
    code = f"import sys, trialsim.design.reader; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
