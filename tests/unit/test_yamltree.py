"""YAML text to a tree with places: what scalars mean, and each mistake at its line and column."""

from __future__ import annotations

import datetime as dt

import pytest

from trialsim.design import yamltree
from trialsim.design.yamltree import Mark, Node, plain, planted, read_tree, read_value, shown


def faults(data: str | bytes) -> list[str]:
    tree = read_tree(data.encode() if isinstance(data, str) else data, source="f.yaml")
    return [str(finding.fault()) for finding in tree.findings]


def value(text: str) -> object:
    tree = read_value(text, mark=Mark("--set x"))
    assert tree.root is not None
    assert not tree.findings
    return plain(tree.root)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"),
        ("off", "off"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("5e-2", 0.05),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("017", 17),
        ("-3", -3),
        ("0o17", 15),
        ("0x1F", 31),
        ("9223372036854775807", 2**63 - 1),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("'5e-2'", "5e-2"),
        ('"null"', "null"),
        ("2026-03-01", dt.date(2026, 3, 1)),
        ("'2026-03-01'", "2026-03-01"),
        ("!!str 5", "5"),
        ("!!float 3", 3.0),
        ("[1, {a: no}]", [1, {"a": "no"}]),
        ("<<", "<<"),
        ("=", "="),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, expected: object) -> None:
    got = value(text)
    assert got == expected
    assert type(got) is type(expected)


def test_keys_and_values_know_their_line_and_column() -> None:
    root = read_tree(b"\xef\xbb\xbf# comment\na: 1\nb:\n  - x\n  - {c: 2.5}\nempty:\n\nz: 3\n", source="f.yaml").root
    assert root is not None

    def places(*path: str | int) -> tuple[str, str]:
        node = list(root.trail(path))[-1]
        return str(node.key_mark), str(node.mark)

    assert places() == ("f.yaml:1:1", "f.yaml:1:1")
    assert places("a") == ("f.yaml:2:1", "f.yaml:2:4")
    assert places("b", 0) == ("f.yaml:4:5", "f.yaml:4:5")
    assert places("b", 1, "c") == ("f.yaml:5:6", "f.yaml:5:9")
    assert places("empty") == ("f.yaml:6:1", "f.yaml:6:1")
    assert places("z") == ("f.yaml:8:1", "f.yaml:8:4")


def test_keys_are_text_as_written() -> None:
    tree = read_tree(b"1: a\ntrue: b\n0.50: c\n2026-01-01: d\n", source="f.yaml")
    assert tree.root is not None
    assert plain(tree.root) == {"1": "a", "true": "b", "0.50": "c", "2026-01-01": "d"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: a: duplicate key, first given at line 1, column 1"),
        ("a: 1\n'a': 3\n", "f.yaml:2:1: a: duplicate key, first given at line 1, column 1"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "f.yaml:3:3: c: merge keys (<<) are not part of YAML 1.2"),
        ("a: &x [1, *x]\n", "f.yaml:1:4: a.1: an alias (*) stands inside its own anchor (&)"),
        ("a: !foo 3\n", "f.yaml:1:4: a: the tag !foo is not allowed here (given: 3)"),
        ("a: !!set {b}\n", "f.yaml:1:4: a: the tag !!set is not allowed here"),
        ("a: 2026-02-30\n", "f.yaml:1:4: a: there is no such date (given: 2026-02-30)"),
        (
            "a: 2026-01-01 10:00:00\n",
            "f.yaml:1:4: a: must be a date (YYYY-MM-DD) (given: 2026-01-01 10:00:00)",
        ),
        ("a:\n- .nan\n", "f.yaml:2:3: a.0: must be a finite number (given: .nan)"),
        ("a: -.inf\n", "f.yaml:1:4: a: must be a finite number (given: -.inf)"),
        ("a: 1e999\n", "f.yaml:1:4: a: must be a finite number (given: 1e999)"),
        ("a: 9223372036854775808\n", "f.yaml:1:4: a: the number is too large (given: 9223372036854775808)"),
        ("a: 1_000\n", "f.yaml:1:4: a: not a number in YAML 1.2 (given: 1_000)"),
        ("a: !!float x\n", "f.yaml:1:4: a: not a number in YAML 1.2 (given: x)"),
        ("a: !!bool x\n", "f.yaml:1:4: a: must be true or false (given: x)"),
        ("a: !!null x\n", "f.yaml:1:4: a: the tag !!null is for an empty value (given: x)"),
        ('a: "\\ud800"\n', "f.yaml:1:4: a: the text holds half of a surrogate pair (given: '\\ud800')"),
        ("~: 1\n", "f.yaml:1:1: a key must be a name"),
        ("'': 1\n", "f.yaml:1:1: a key must be a name"),
        ("b: {? [1] : 2}\n", "f.yaml:1:7: b: a key must be a name"),
    ],
)
def test_a_mistake_in_a_readable_file(data: str, expected: str) -> None:
    (fault,) = faults(data)
    assert fault.startswith(expected)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", "f.yaml:1:1: nothing is given"),
        ("# only a comment\n", "f.yaml:1:1: nothing is given"),
        ("- 3\n", "f.yaml:1:1: the file must be a mapping of keys to values (given: [3])"),
        ("just text\n", "f.yaml:1:1: the file must be a mapping of keys to values (given: 'just text')"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document starts here"),
        ("%YAML 1.1\n---\na: no\n", "f.yaml:1:1: lines that start with % are not allowed"),
        ("a: b: c\n", "f.yaml:1:5: not valid YAML: mapping values are not allowed here"),
        ("a:\n\tb: 1\n", "f.yaml:2:1: not valid YAML: found character '\\t' that cannot start any token"),
        ("a: *nope\n", "f.yaml:1:4: not valid YAML: found undefined alias 'nope'"),
        (
            "a: [1,\nb: 2\n",
            "f.yaml:3:1: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'",
        ),
        ("a: ok\nb: \x00\n", "f.yaml:2:4: the character U+0000 is not allowed in a design file"),
        (b"a: ok\nb\xc3\xa9: \xff\n", "f.yaml:2:5: the file is not UTF-8 text"),
        (b"\xef\xbb\xbfa: \xff\n", "f.yaml:1:4: the file is not UTF-8 text"),
        ("a: " + "[" * 50 + "]" * 50, "f.yaml:1:44: more than 40 levels of nesting"),
    ],
)
def test_a_mistake_that_ends_the_reading(data: str | bytes, expected: str) -> None:
    (fault,) = faults(data)
    assert fault.startswith(expected)


def test_a_bracket_that_is_not_closed_is_told_where_it_opened() -> None:
    (finding,) = read_tree(b"a: [1,\nb: 2\n", source="f.yaml").findings
    assert finding.hint == "It began at line 1, column 4."


def test_all_mistakes_are_found_in_one_reading() -> None:
    text = "a: 2026-02-30\nb: .nan\nb: 1\nc: !x y\n<<: 3\nd: 0x1F\n"
    assert [fault.split(": ")[0] for fault in faults(text)] == [
        "f.yaml:1:4",
        "f.yaml:2:4",
        "f.yaml:3:1",
        "f.yaml:4:4",
        "f.yaml:5:1",
    ]


def test_depth_without_a_limit_in_the_parser_is_still_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamltree, "MAX_DEPTH", -1)  # ruamel.yaml takes a limit of 0 as none
    assert faults("[" * 5_000) == ["f.yaml:1:1: more than -1 levels of nesting"]


def test_the_first_of_two_equal_keys_counts() -> None:
    tree = read_tree(b"a: 1\na: 2\n", source="f.yaml")
    assert tree.root is not None
    assert plain(tree.root) == {"a": 1}


def test_an_anchor_may_be_used_again() -> None:
    assert value("[&x 1, *x, &x 2, *x]") == [1, 1, 2, 2]


def test_aliases_repeat_values_but_cannot_explode() -> None:
    tree = read_tree(b"a: &x [1, 2]\nb: *x\nc: {d: *x}\n", source="f.yaml")
    assert tree.root is not None
    assert plain(tree.root) == {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2]}}
    laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    laughs += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    (fault,) = faults("\n".join(laughs))
    assert "more than 100000 values in one file" in fault
    towers = ["a0: &a0 " + "[" * 30 + "]" * 30, "a1: &a1 " + "[" * 30 + "*a0" + "]" * 30]
    (fault,) = faults("\n".join(towers))
    assert "more than 40 levels of nesting" in fault


def test_a_value_that_could_not_be_read_is_marked() -> None:
    root = read_tree(b"a: .nan\nb: ~\n", source="f.yaml").root
    assert root is not None
    assert [(node.content, node.broken) for node in (root.child("a"), root.child("b")) if node] == [
        (None, True),
        (None, False),
    ]


def test_an_overrides_faults_have_the_overrides_place() -> None:
    (finding,) = read_value("[1, .nan]", mark=Mark("--set a=[1, .nan]")).findings
    assert str(finding.fault()).startswith("--set a=[1, .nan]: 1: must be a finite number (given: .nan)")
    (finding,) = read_value("{a: 1, a: 2}", mark=Mark("--set x")).findings
    assert finding.rule == "duplicate key, first given before"


def test_values_are_shown_as_in_a_file_and_cut() -> None:
    assert shown({"a": [1, None, True, "no"], "b": dt.date(2026, 1, 2)}) == "{a: [1, null, true, 'no'], b: 2026-01-02}"
    assert shown("x" * 100) == "'" + "x" * 56 + "..."
    assert shown("a\nb\x1b") == r"'a\nb\x1b'"


def test_planting_and_plain_are_inverse() -> None:
    data = {"a": [1, {"b": None}], "c": "x"}
    node = planted(data, mark=Mark("here"))
    assert isinstance(node, Node)
    assert plain(node) == data
    assert str(node.mark) == "here"
