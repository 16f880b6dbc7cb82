"""The page's addresses: what they answer, what every answer says to the browser, and what is refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from designs import coached, plain_data, score, usual
from helpers import in_a_loop

from trialsim.design.parts import Design
from trialsim.design.reader import design_of, digest
from trialsim.errors import TrialsimError
from trialsim.experiments.processes import Serial
from trialsim.teach import explore, scenes
from trialsim.teach.app import make_app, make_page, static_files
from trialsim.teach.crew import Crew, Limits
from trialsim.teach.guard import HEADERS, MOST_BODY, host_name
from trialsim.teach.knobs import turned
from trialsim.teach.questions import answered
from trialsim.teach.serve import LOOPBACK

testclient = pytest.importorskip("starlette.testclient")

ANSWER: dict[str, Any] = {
    "scene": "explore", "view": "explore", "values": {"n": 24}, "seed": 1, "replicates": 8, "client": "me", "sequence": 1,
}  # fmt: skip


def small() -> Design:
    effect = {"label": "<img src=x onerror=alert(1)>", "effects": {"pain": {"by_visit": {"m3": -1.5}}}}
    given = {
        "name": "small",
        "title": "<script>alert(1)</script>",
        "sample_size": 30,
        "arms": {"coach": coached(arm=effect), "usual": usual()},
        "outcomes": {"pain": score()},
        "analyses": {"change": {"kind": "linear", "outcome": "pain"}},
        "decisions": {"main": {"analysis": "change"}},
    }
    return Design.model_validate(plain_data(**given))


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    page = make_page(small(), Crew(1, hands=Serial, limits=Limits(waiting=4)))
    app = make_app(page, hosts=LOOPBACK)
    with testclient.TestClient(app, base_url="http://localhost:8000", raise_server_exceptions=False) as opened:
        yield opened


def post(client: Any, path: str = "/api/answer", data: Any = None, **how: Any) -> Any:
    body = how.pop("content", None)
    headers = {"content-type": "application/json"} | how.pop("headers", {})
    content = body if body is not None else json.dumps(ANSWER if data is None else data)
    return client.post(path, content=content, headers=headers, **how)


def refused(response: Any, status: int, where: str | None = None) -> str:
    """The sentence with which something is refused."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    data = response.json()
    assert set(data) == {"error", "where"}
    assert where is None or data["where"] == where
    assert "Traceback" not in response.text
    assert data["error"]
    return str(data["error"])


# --- what is there ----------------------------------------------------------------------------------------------------


def test_the_start_has_the_scene_the_lessons_and_the_words(client: Any) -> None:
    start = client.get("/api/start").json()
    assert set(start) == {"version", "terms", "explore", "lessons"}
    assert start["explore"]["name"] == "explore"
    assert start["explore"]["title"] == "<script>alert(1)</script>"  # the page writes it as text
    assert {"n", "effect_coach", "coaches_coach"} <= {knob["name"] for knob in start["explore"]["knobs"]}
    assert set(start["lessons"][0]) == {"name", "title", "minutes", "what"}
    for lesson in start["lessons"]:
        data = client.get(f"/api/lessons/{lesson['name']}").json()
        assert data["scene"]["name"] == lesson["name"]
        assert {step["view"] for step in data["steps"]} - {None} <= {view["name"] for view in data["scene"]["views"]}
    assert "'nosuch'" in refused(client.get("/api/lessons/nosuch"), 404)


def test_every_answer_is_strict_with_the_browser(client: Any) -> None:
    responses = [
        client.get("/"), client.get("/static/page.css"), client.get("/api/start"), client.get("/nowhere"),
        post(client), client.put("/api/start"), client.get("/", headers={"host": "evil.example"}),
    ]  # fmt: skip
    for response in responses:
        for name, value in HEADERS.items():
            assert response.headers[name] == value
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "server" not in response.headers
    assert responses[2].headers["cache-control"] == "no-store"
    assert responses[1].headers["cache-control"] == "no-cache"


def test_files_are_those_of_the_package_with_their_kind(client: Any) -> None:
    files = static_files()
    assert "index.html" in files
    assert client.get("/").content == files["index.html"].content
    for name, file in files.items():
        response = client.get(f"/static/{name}")
        assert (response.content, response.headers["content-type"]) == (file.content, file.kind)
        again = client.get(f"/static/{name}", headers={"if-none-match": response.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert len({file.tag for file in files.values()}) == len(files)
    assert client.head("/").status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "../app.py", "..%2fapp.py", "%2e%2e/app.py", "..%5capp.py", "/etc/passwd", "%2fetc%2fpasswd", "index.html%00", "",
        "index.html/", "./index.html", "panels/../index.html", "INDEX.HTML", "__init__.py", "~root", "a" * 300, "%ff%fe",
        "static/index.html", "con", "index.html::$DATA",
    ],
)  # fmt: skip
def test_a_name_of_a_file_is_looked_up_and_never_a_path(client: Any, name: str) -> None:
    """As it comes: clients tidy paths up before they send them."""
    for path in (f"/static/{name}", f"/static/{unquote(name)}"):
        status, body = raw(client.app, path)
        assert (status, json.loads(body)["error"]) == (404, "There is nothing at this address.")


def raw(app: Any, path: str) -> tuple[int, bytes]:
    """Status and body of a GET of exactly this path."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode("utf-8", "surrogateescape"),
        "query_string": b"", "headers": [(b"host", b"localhost")], "scheme": "http", "http_version": "1.1",
        "server": ("localhost", 80), "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    in_a_loop(lambda: app(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


# --- answers ----------------------------------------------------------------------------------------------------------


def test_an_answer_has_the_panels_of_the_view_and_its_command(client: Any) -> None:
    data = post(client).json()
    assert set(data) == {"sequence", "replicates", "seconds", "panels", "says", "command"}
    alone = answered(explore.VIEW, explore.scene_of(small()).question("explore", {"n": 24}, replicates=8))
    assert data["panels"] == alone.panels
    assert data["says"] == alone.says
    assert (data["sequence"], data["replicates"]) == (1, 8)
    name = f"small-{digest(turned(small(), {'n': 24}))[:6]}.yaml"
    assert data["command"] == f"trialsim power {name} --replicates 8 --seed 1"


def test_the_design_on_the_screen_can_be_had(client: Any, tmp_path: Any) -> None:
    asked = {name: ANSWER[name] for name in ("scene", "view", "values", "seed", "replicates")}
    data = post(client, "/api/design", asked).json()
    assert set(data) == {"filename", "yaml", "command"}
    assert digest(design_of(data["yaml"], at=tmp_path / "x.yaml")) == digest(turned(small(), {"n": 24}))
    assert data["command"] == post(client).json()["command"]
    assert data["filename"] in data["command"]


def test_a_trial_can_be_replayed(client: Any) -> None:
    data = post(client, "/api/replay", {"scene": "explore", "values": {"n": 12}, "seed": 3, "replicate": 2}).json()
    assert (data["seed"], data["replicate"], data["sample_size"]) == (3, 2, 12)


def test_defaults_are_the_scenes_own(client: Any) -> None:
    data = post(
        client, data={"scene": "explore", "view": "explore", "client": "d", "sequence": 0, "replicates": 4}
    ).json()
    assert "With 30 participants" in [panel["title"] for panel in data["panels"]]


def test_stale_questions_are_dropped(client: Any) -> None:
    assert post(client, data=ANSWER | {"client": "s", "sequence": 5}).status_code == 200
    assert refused(post(client, data=ANSWER | {"client": "s", "sequence": 4}), 409) == "superseded"
    assert post(client, data=ANSWER | {"client": "s", "sequence": 5}).status_code == 200


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        (b"", 400, ""), (b"{", 400, ""), (b"[]", 400, ""), (b"null", 400, ""), (b'"text"', 400, ""), (b"12", 400, ""),
        (b"\xff\xfe", 400, ""), (b'{"scene": "\xe2\x28\xa1"}', 400, ""), (b'{"seed": NaN}', 400, ""),
        (b'{"seed": Infinity}', 400, ""), (b'{"seed": -Infinity}', 400, ""), (b"[" * 8000, 400, ""),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, 400, ""), (b'{"values": {"a": {"b": {"c": {}}}}}', 400, ""),
        (b'{"scene": "explore", "scene": "explore"}', 400, ""), (b'{"seed": ' + b"9" * 5000 + b"}", 400, ""),
        (b"{}", 422, "scene"),
    ],
)  # fmt: skip
def test_what_is_no_question_at_all(client: Any, body: bytes, status: int, where: str) -> None:
    refused(post(client, content=body), status, where)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"scene": "nosuch"}, "scene"), ({"scene": 1}, "scene"), ({"scene": None}, "scene"), ({"scene": "x" * 41}, "scene"),
        ({"view": "nosuch"}, "view"), ({"view": {}}, "view"), ({"values": []}, "values"), ({"values": None}, "values"),
        ({"values": {"nosuch": 1}}, "values.nosuch"), ({"values": {"n": 10**30}}, "values.n"),
        ({"values": {"n": 1e308}}, "values.n"), ({"values": {"n": "24"}}, "values.n"), ({"values": {"n": [24]}}, "values.n"),
        ({"values": {"n": True}}, "values.n"), ({"values": {"n": 24.5}}, "values.n"), ({"values": {"n": None}}, "values.n"),
        ({"values": {"mechanism": "os.system"}}, "values.mechanism"), ({"values": {"mechanism": 1}}, "values.mechanism"),
        ({"values": {"__class__": 1}}, "values.__class__"), ({"values": {"effect_coach": -1}}, "values.effect_coach"),
        ({"seed": -1}, "seed"), ({"seed": 2**31}, "seed"), ({"seed": 1.5}, "seed"), ({"seed": "1"}, "seed"),
        ({"seed": True}, "seed"), ({"replicates": 1}, "replicates"), ({"replicates": 1001}, "replicates"),
        ({"replicates": 0}, "replicates"), ({"client": 1}, "client"), ({"client": "c" * 41}, "client"),
        ({"sequence": -1}, "sequence"), ({"sequence": None}, "sequence"), ({"sequence": 2**60}, "sequence"),
        ({"more": 1}, "more"), ({"design": "x.yaml"}, "design"), ({"\ud800": 1}, None),
        ({"scene": "../../etc/passwd"}, "scene"), ({"view": "../x"}, "view"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_question_is_told_with_its_place(
    client: Any, change: dict[str, Any], where: str | None
) -> None:
    refused(post(client, data=ANSWER | change), 422, where)


def test_what_is_said_again_is_short_and_printable(client: Any) -> None:
    strange = "\x00\x1b[31m\u202e" + "x" * 30
    said = refused(post(client, data=ANSWER | {"scene": strange}), 422)
    assert all(character.isprintable() for character in said)
    long = refused(post(client, data=ANSWER | {"values": {"k" * 9000: 1}}), 422)
    assert len(long) < 200
    response = post(client, data=ANSWER | {"\ud800": 1})
    assert json.loads(response.content.decode("ascii"))


@pytest.mark.parametrize("missing", ["scene", "view", "client", "sequence"])
def test_what_is_missing_is_told(client: Any, missing: str) -> None:
    asked = {name: value for name, value in ANSWER.items() if name != missing}
    assert refused(post(client, data=asked), 422, missing) == f"'{missing}' is missing."


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"]
)
def test_a_form_of_another_site_cannot_ask(client: Any, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    refused(client.post("/api/answer", content=json.dumps(ANSWER), headers=headers), 415, "Content-Type")


def test_bodies_are_small_and_not_compressed(client: Any) -> None:
    big = b" " * (MOST_BODY + 1)
    refused(post(client, content=big), 413)
    refused(post(client, content=iter([big[:9000], big[9000:]])), 413)  # in pieces, its length not told
    refused(post(client, headers={"content-length": "1e9"}), 413)
    refused(post(client, headers={"content-encoding": "gzip"}), 415)
    assert post(client, content=json.dumps(ANSWER).ljust(MOST_BODY)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/api/answer", "POST"), ("POST", "/api/start", "GET"), ("DELETE", "/", "GET"), ("PUT", "/static/page.css", "GET"),
     ("OPTIONS", "/api/answer", "POST"), ("PATCH", "/api/replay", "POST"), ("TRACE", "/api/design", "POST")],
)  # fmt: skip
def test_methods_that_an_address_does_not_take(client: Any, method: str, path: str, allowed: str) -> None:
    response = client.request(method, path)
    assert "method" in refused(response, 405)
    assert allowed in response.headers["allow"]


@pytest.mark.parametrize(
    "path", ["/nowhere", "/api", "/api/", "/api/answer/", "/api/start/", "/static", "/%00", "/api/lessons/"]
)
def test_addresses_where_nothing_is(client: Any, path: str) -> None:
    assert refused(client.get(path, follow_redirects=False), 404)


@pytest.mark.parametrize("path", ["/..", "/../", "//", "/./", "//etc/passwd", "\\", "*", ""])
def test_paths_that_lead_nowhere(client: Any, path: str) -> None:
    assert raw(client.app, path)[0] == 404


def test_long_addresses(client: Any) -> None:
    refused(client.get("/" + "x" * 3000), 414)
    refused(client.get("/?" + "x" * 3000), 414)
    refused(client.get("/", headers={"cookie": "x" * 17_000}), 431)
    refused(client.get("/", headers=[("host", "localhost"), *((f"x-{k}", "y") for k in range(70))]), 431)


# --- whom the page is for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "LocalHost:8000", "127.0.0.1:9", "[::1]:8000", "[::1]"])
def test_names_of_this_machine_are_served(client: Any, host: str) -> None:
    assert client.get("/api/start", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "evil.example:8000", "", "localhost:8000:1", "127.0.0.1.evil", "[::2]",
     "localhost:port", "localhost@evil", "user@localhost", "::1", "localhost/", "localhost:123456"],
)  # fmt: skip
def test_other_names_are_not(client: Any, host: str) -> None:
    """So that a name that somebody points at this machine does not open the page to their site."""
    refused(client.get("/api/start", headers={"host": host}), 400, "Host")


def test_two_names_at_once_are_not_served(client: Any) -> None:
    hosts = [("host", "localhost"), ("host", "evil.example")]
    refused(client.get("/api/start", headers=hosts), 400, "Host")
    assert host_name("[::1]:80") == "[::1]"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9999"},
        {"origin": "http://localhost"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_another_sites_page_may_not_ask(client: Any, headers: dict[str, str]) -> None:
    refused(post(client, headers=headers), 403, "Origin")


@pytest.mark.parametrize("headers", [{"origin": "http://localhost:8000"}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}])  # fmt: skip
def test_the_page_itself_may(client: Any, headers: dict[str, str]) -> None:
    assert post(client, headers=headers).status_code == 200


# --- what goes wrong inside -------------------------------------------------------------------------------------------


def test_what_goes_wrong_inside_is_one_sentence_outside_and_in_the_log(
    client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("secret folder/design.yaml")

    monkeypatch.setattr(scenes, "view_of", broken)
    said = refused(post(client, data=ANSWER | {"client": "b1", "values": {"n": 18}}), 500)
    assert "secret" not in said
    monkeypatch.undo()
    monkeypatch.setattr("trialsim.teach.app._told", broken)
    response = post(client, data=ANSWER | {"client": "b2"})
    assert "secret" not in refused(response, 500)
    assert caplog.text.count("secret") >= 2
    monkeypatch.undo()
    assert post(client, data=ANSWER | {"client": "b3"}).status_code == 200


def test_what_a_design_cannot_do_is_told_in_words(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: Any) -> Any:
        raise TrialsimError("this estimator is not there.")

    monkeypatch.setattr(scenes, "view_of", cannot)
    asked = ANSWER | {"client": "t", "values": {"n": 15}}
    assert refused(post(client, data=asked), 422) == "this estimator is not there."
