"""Whatever is sent to the page: a clear refusal or an answer, never a fault of the server, never a word from inside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from designs import plain_data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trialsim.design.parts import Design
from trialsim.experiments.processes import Serial
from trialsim.teach.app import make_app, make_page
from trialsim.teach.crew import Crew
from trialsim.teach.state import Refused, read_object

testclient = pytest.importorskip("starlette.testclient")

PATHS = ("/api/answer", "/api/design", "/api/replay")
KEYS = ("scene", "view", "values", "seed", "replicates", "client", "sequence", "replicate")
GOOD: dict[str, Any] = {
    "scene": "explore", "view": "explore", "values": {}, "seed": 1, "replicates": 2, "client": "f", "sequence": 1,
}  # fmt: skip
INSIDE = ("Traceback", 'File "', "/home", "site-packages", "trialsim/teach", "Error:")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    page = make_page(Design.model_validate(plain_data(sample_size=12)), Crew(1, hands=Serial))
    app = make_app(page, hosts=["localhost"])
    with testclient.TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as opened:
        yield opened


def is_clear(response: Any) -> bool:
    """An answer, or a refusal in one sentence that says nothing about the inside."""
    if response.status_code == 200:
        return True
    data = json.loads(response.content.decode("ascii"))
    told = set(data) == {"error", "where"} and 0 < len(data["error"]) < 400 and len(data["where"]) < 100
    return 400 <= response.status_code < 500 and told and not any(word in response.text for word in INSIDE)


texts = st.text(max_size=60)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from(["explore", "n", "__proto__", "../x"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(PATHS), data=st.dictionaries(st.sampled_from(KEYS) | texts, anything, max_size=8))
def test_any_json_at_all(client: Any, path: str, data: dict[str, Any]) -> None:
    assert is_clear(client.post(path, content=json.dumps(data), headers={"content-type": "application/json"}))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    path=st.sampled_from(PATHS),
    change=st.dictionaries(st.sampled_from(KEYS), anything, min_size=1, max_size=2),
    values=st.dictionaries(st.sampled_from(["n", "recruitment", "dropout", "mechanism"]) | texts, scalars, max_size=3),
)
def test_questions_that_are_nearly_right(client: Any, path: str, change: dict[str, Any], values: Any) -> None:
    data = GOOD | {"values": values} | change
    if isinstance(data.get("replicates"), int) and not isinstance(data["replicates"], bool):
        data["replicates"] = min(data["replicates"], 2)  # what is right is worked out, and that takes time
    allowed = {name: data[name] for name in data if path == "/api/answer" or name not in ("client", "sequence")}
    assert is_clear(client.post(path, content=json.dumps(allowed), headers={"content-type": "application/json"}))


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(PATHS), body=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_at_all(client: Any, path: str, body: bytes) -> None:
    response = client.post(path, content=body, headers={"content-type": "application/json"})
    assert is_clear(response)
    assert response.status_code != 200


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "BREW"]),
    above=st.sampled_from(["/", "/static/", "/api/", "/api/lessons/", "/api/answer/", "//"]),
    name=st.text(st.characters(codec="utf-8", exclude_characters="?#"), max_size=40),
    headers=st.dictionaries(
        st.sampled_from(["origin", "host", "content-type", "accept", "cookie", "x-forwarded-host", "range"]),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
        max_size=3,
    ),
)
def test_any_address_at_all(client: Any, method: str, above: str, name: str, headers: dict[str, str]) -> None:
    response = client.request(method, above + quote(name), headers=headers, follow_redirects=False)
    assert method == "HEAD" or is_clear(response)
    assert response.status_code < 500


@settings(max_examples=300)
@given(body=st.binary(max_size=300))
def test_the_reader_gives_an_object_or_refuses(body: bytes) -> None:
    try:
        found: Any = read_object(body)
    except Refused as refused:
        found = refused
    assert isinstance(found, dict) or found.status == 400
