"""pydantic's error types in plain English: the rule that a value breaks, and what to try."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Any

from trialsim.design.scalars import is_number
from trialsim.design.shape import close_to
from trialsim.design.yamltree import printable

UNKNOWN_KEY = "unknown key"
MISSING_KEY = "required key is missing"
MISSING_ITEM = "required item is missing"

_WHOLE, _NUMBER, _TEXT = "must be a whole number", "must be a number", "must be text"
_TRUTH, _DATE = "must be true or false", "must be a date (YYYY-MM-DD)"
_MAPPING, _LIST = "must be a mapping of keys to values", "must be a list"
_FORMS = frozenset({_WHOLE, _NUMBER, _TEXT, _TRUTH, _DATE, _MAPPING, _LIST})

_RULES = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "none_required": "must be null",
    "date_past": "must be a date in the past",
    "date_future": "must be a date in the future",
    "tuple_type": _LIST,
    "list_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dataclass_type": _MAPPING,
    "string_type": _TEXT,
    "string_unicode": _TEXT,
}
_RULES_BY_PREFIX = {"int_": _WHOLE, "float_": _NUMBER, "decimal_": _NUMBER, "bool_": _TRUTH, "date_": _DATE}
_PATTERNS = {
    r"^[A-Za-z][A-Za-z0-9_]*$": "must be a name: a letter, then letters, digits or _",
    r"^[a-z][a-z0-9_\-]*$": "must be a short name: a small letter, then small letters, digits, _ or -",
}


def rule_of(detail: Mapping[str, Any]) -> str:
    """The rule behind one entry of `ValidationError.errors()`: a phrase with "must" where possible."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return printable(str(context["error"])) or "is not valid"
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return _PATTERNS.get(pattern, f"must have the form {pattern}")
    if kind in _RULES:
        rule = _RULES[kind].format_map({key: _number(value) for key, value in context.items()})
        return re.sub(r"\b1 entries", "1 entry", rule).replace(" 1 characters", " 1 character")
    by_prefix = next((rule for prefix, rule in _RULES_BY_PREFIX.items() if kind.startswith(prefix)), "")
    return by_prefix or _reworded(detail["msg"])


def hint_of(rule: str, value: object) -> str:
    """What to try when a value of the wrong form looks like the right one."""
    if rule == _WHOLE and isinstance(value, float) and value.is_integer():
        return f"Write {int(value)}." if abs(value) < 1e15 else ""
    if rule in (_WHOLE, _NUMBER) and isinstance(value, str) and is_number(value):
        return "Remove the quotes."
    if rule == _TEXT and isinstance(value, int | float | dt.date):
        return "Put it in quotes."
    return _of_percent(rule, value)


def _of_percent(rule: str, value: object) -> str:
    """What a percentage should have been, where a share was asked for."""
    if isinstance(value, str) and value.endswith("%") and is_number(value[:-1]) and rule == _NUMBER:
        return f"For {printable(value)} write {float(value[:-1]) / 100:.12g}."
    if rule in ("must be at most 1", "must be below 1") and isinstance(value, int | float) and 2 <= value <= 100:
        return f"For {value:g}% write {value / 100:.12g}."
    return ""


def form_hint(rule: str, value: object, *, tags: list[str], keys: list[str]) -> str:
    """What to write for a lone value where a list, a part of these kinds with these keys, or a mapping belongs."""
    if rule not in (_LIST, _MAPPING) or not isinstance(value, str | int | float):
        return ""
    text = printable(str(value))
    if rule == _LIST:
        return f"Write [{text}]."
    if text in tags:
        return f"Write {{kind: {text}}}."
    each = "VALUE" if isinstance(value, str) else text
    return f"Keys here: {', '.join(keys)}." if keys else f"Write {{NAME: {each}}}, with a value for every name."


def joined(rules: Iterable[str]) -> str:
    """One rule out of those of a union's alternatives; a rule on the value beats one on its form."""
    rules = list(dict.fromkeys(rules))
    forms = [rule for rule in rules if rule in _FORMS]
    beyond = [rule for rule in rules if rule not in _FORMS]
    return ", or ".join(beyond) or "must be " + " or ".join(rule.removeprefix("must be ") for rule in forms)


def choices_of(expected: object) -> list[str]:
    """The single choices in pydantic's list of them, such as "'a', 'b' or 'c'"."""
    return re.split(r", | or ", str(expected))


def one_of(choices: list[str]) -> str:
    """The rule that a value must be one of these."""
    return f"must be one of {', '.join(choices)}" if len(choices) > 1 else f"must be {choices[0]}"


def did_you_mean(value: object, choices: Iterable[str]) -> str:
    """A question with the choice that looks most like the value, or nothing."""
    close = close_to(value, [choice.strip("'") for choice in choices]) if isinstance(value, str) else None
    return f"Did you mean '{close}'?" if close else ""


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e5 else str(value)


def _reworded(message: str) -> str:
    message = re.sub(r"^(Input|Value|String) should ", "must ", message)
    return printable(message)
