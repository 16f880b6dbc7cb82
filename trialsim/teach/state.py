"""What a browser says, checked: strict JSON, known names, values within their limits. Nothing else gets further.

Faults are told in one sentence with the place, as `Refused`; names are looked up in dictionaries, never used as a path.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trialsim.design.yamltree import printable
from trialsim.teach.knobs import KnobError, Value
from trialsim.teach.panels import clean
from trialsim.teach.questions import MOST_REPLICATES, Question, Scene, View

MOST_DEPTH = 4
MOST_SEED = 2**31 - 1
MOST_SEQUENCE = 2**53
MOST_CLIENT = 40


class Refused(Exception):
    """A request that is not served: HTTP status, one clear sentence, and where in the request it is."""

    def __init__(self, status: int, error: str, where: str = "", headers: Mapping[str, str] | None = None) -> None:
        self.status, self.error, self.where, self.headers = status, error, where, dict(headers or {})
        super().__init__(error)

    @property
    def body(self) -> bytes:
        """As it is answered."""
        return encoded({"error": self.error, "where": self.where})

    @property
    def all_headers(self) -> dict[str, str]:
        """With what kind of body it is; the connection is closed where more of a request may be on its way."""
        own = {"content-type": "application/json", "cache-control": "no-store"}
        closing = {"connection": "close"} if self.status in (400, 403, 408, 413, 414, 415, 431) else {}
        return own | closing | self.headers


def encoded(data: Any) -> bytes:
    """JSON of ASCII characters only, so that whatever a text holds can be sent; no NaN."""
    return json.dumps(clean(data), separators=(",", ":"), allow_nan=False).encode("ascii")


@dataclass(frozen=True)
class Asked:
    """A question with its view, and who asks."""

    question: Question
    view: View
    client: str = ""
    sequence: int = 0


@dataclass(frozen=True)
class Scenes:
    """Every scene by name, with its design as JSON: made once."""

    scenes: Mapping[str, Scene]
    documents: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        made = {name: scene.design.model_dump_json() for name, scene in self.scenes.items()}
        object.__setattr__(self, "documents", made)


# --- JSON -------------------------------------------------------------------------------------------------------------


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Refused (400) for anything else: NaN, twice the same key, too deep, not UTF-8."""
    try:
        data = json.loads(body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_once)
    except UnicodeDecodeError:
        raise Refused(400, "The request is not UTF-8.") from None
    except RecursionError:
        raise Refused(400, "The request is nested too deeply.") from None
    except ValueError as error:
        said = str(error) if isinstance(error, _Told) else "The request is not JSON."
        raise Refused(400, said) from None
    if not isinstance(data, dict):
        raise Refused(400, "The request must be a JSON object.")
    if _depth(data) > MOST_DEPTH:
        raise Refused(400, "The request is nested too deeply.")
    return data


class _Told(ValueError):
    """A fault of JSON in words."""


def _no_constant(name: str) -> Any:
    raise _Told(f"The request holds {name}, which is not a number in JSON.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise _Told("The request gives a key twice.")
    return data


def _depth(data: Any) -> int:
    """Levels of objects and lists; the reader's own limit keeps this from going deep."""
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


# --- fields -----------------------------------------------------------------------------------------------------------


def shown(text: object) -> str:
    """Something from a browser, safe to say again: printable and short."""
    plain = printable(str(text))
    return plain if len(plain) <= MOST_CLIENT else f"{plain[:MOST_CLIENT]}..."


def known_keys(data: Mapping[str, Any], allowed: Sequence[str], needed: Sequence[str] = ()) -> None:
    """Refused (422) where a key is not known or one is missing."""
    for key in data:
        if key not in allowed:
            raise Refused(422, f"There is no key '{shown(key)}'. Keys: {', '.join(allowed)}.", shown(key))
    for key in needed:
        if key not in data:
            raise Refused(422, f"'{key}' is missing.", key)


def whole(data: Mapping[str, Any], key: str, low: int, high: int, default: int | None = None) -> int:
    """A whole number within limits."""
    value = data.get(key, default)
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Refused(422, f"'{key}' must be a whole number from {low} to {high}.", key)
    return value


def text(data: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """A short text."""
    value = data.get(key, default)
    if not isinstance(value, str) or len(value) > MOST_CLIENT:
        raise Refused(422, f"'{key}' must be a text of at most {MOST_CLIENT} characters.", key)
    return value


# --- requests ---------------------------------------------------------------------------------------------------------

_OF_DESIGN = ("scene", "view", "values", "seed", "replicates")
_OF_ANSWER = (*_OF_DESIGN, "client", "sequence")


def read_answer(scenes: Scenes, body: bytes) -> Asked:
    """What POST /api/answer asks."""
    data = read_object(body)
    known_keys(data, _OF_ANSWER, ("scene", "view", "client", "sequence"))
    client, sequence = text(data, "client"), whole(data, "sequence", 0, MOST_SEQUENCE)
    view, question = _question(scenes, data)
    return Asked(question, view, client, sequence)


def read_design(scenes: Scenes, body: bytes) -> Asked:
    """What POST /api/design asks."""
    data = read_object(body)
    known_keys(data, _OF_DESIGN, ("scene", "view"))
    view, question = _question(scenes, data)
    return Asked(question, view)


def read_replay(scenes: Scenes, body: bytes) -> tuple[Asked, int]:
    """What POST /api/replay asks: a scene's design, and which replicate."""
    data = read_object(body)
    known_keys(data, ("scene", "view", "values", "seed", "replicate", "client"), ("scene",))
    scene = _scene(scenes, data)
    data.setdefault("view", next(iter(scene.views)))
    replicate = whole(data, "replicate", 0, MOST_REPLICATES - 1, 0)
    view, question = _question(scenes, data)
    return Asked(question, view, text(data, "client", "")), replicate


def _scene(scenes: Scenes, data: Mapping[str, Any]) -> Scene:
    name = text(data, "scene")
    if name not in scenes.scenes:
        raise Refused(422, f"There is no scene '{shown(name)}'.", "scene")
    return scenes.scenes[name]


def _question(scenes: Scenes, data: Mapping[str, Any]) -> tuple[View, Question]:
    scene = _scene(scenes, data)
    name = text(data, "view")
    if name not in scene.views:
        known = ", ".join(scene.views)
        raise Refused(422, f"There is no view '{shown(name)}' in this scene. Views: {known}.", "view")
    seed = whole(data, "seed", 0, MOST_SEED, scene.seed)
    replicates = whole(data, "replicates", 2, MOST_REPLICATES, 500)
    values = tuple(_values(scene, data.get("values", {})).items())
    question = Question(scene.name, name, values, seed, replicates, scenes.documents[scene.name])
    return scene.views[name], question


def _values(scene: Scene, given: Any) -> dict[str, Value]:
    """Every knob with its value; its own where none is given."""
    if not isinstance(given, dict):
        raise Refused(422, "'values' must be an object of knobs and their values.", "values")
    knobs = {knob.name: knob for knob in scene.knobs}
    for name in given:
        if name not in knobs:
            raise Refused(422, f"There is no knob '{shown(name)}' in this scene.", f"values.{shown(name)}")
    try:
        checked = {name: knobs[name].checked(value) for name, value in given.items()}
    except KnobError as error:
        raise Refused(422, str(error), f"values.{error.where}") from None
    return {name: checked.get(name, knob.value) for name, knob in knobs.items()}
