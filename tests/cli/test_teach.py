"""`trialsim teach` as somebody starts it: what it says, what it serves, how it ends, what it refuses. Real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from designs import coached, online, plain_data, score, usual
from outside import Shell, Terminal

from trialsim.teach.serve import Address

pytest.importorskip("uvicorn")

PROGRAM = Path(sys.executable).with_name("trialsim")


def trial(path: Path) -> Path:
    """A small trial of three arms with a queue and a decision."""
    pain = {"pain": {"by_visit": {"m3": -1.5}, "sd": 0.5}}
    arms = {
        "coach": coached(caseload=2, arm={"effects": pain}),
        "web": online(arm={"effects": pain}),
        "usual": usual(),
    }
    data = plain_data(
        name="small",
        title="A small trial",
        sample_size=48,
        arms=arms,
        outcomes={"pain": score(coach_sd=0.3), "mood": score()},
        analyses={
            "change": {"kind": "linear", "outcome": "pain", "covariates": ["baseline"]},
            "mood": {"kind": "linear", "outcome": "mood"},
        },
        decisions={"main": {"analysis": "change", "procedure": {"kind": "holm"}}},
    )
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


class Served:
    """A page that is served by a process of its own."""

    def __init__(self, *args: object) -> None:
        command = [str(PROGRAM), "teach", *map(str, args), "--port", "0"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, start_new_session=True, **pipes)  # type: ignore[call-overload]
        self.told = ""
        for line in self.process.stdout:
            self.told += line
            if "Ctrl-C" in line:
                break
        found = re.search(r"http://\S+", self.told)
        assert found, self.process.communicate()
        self.url = found[0]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=60) as response:
            return json.load(response)

    def post(self, path: str, data: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self.url + path, json.dumps(data).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def answer(self, sequence: int, values: dict[str, Any], replicates: int = 48) -> Any:
        asked = {"scene": "explore", "view": "explore", "values": values, "seed": 5, "replicates": replicates}
        return self.post("api/answer", asked | {"client": "test", "sequence": sequence})

    def end(self, how: int) -> tuple[int, str, str]:
        """A signal to the process and all its workers, as a terminal sends it."""
        os.killpg(self.process.pid, how)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    page = Served(trial(tmp_path_factory.mktemp("page") / "small.yaml"), "--workers", 1)
    yield page
    if page.process.poll() is None:
        page.end(signal.SIGKILL)


def test_it_says_what_it_is_where_it_is_and_for_whom(served: Served) -> None:
    assert served.told.startswith("A small trial\n\nThe page: http://127.0.0.1:")
    assert served.told.endswith("Only this computer can open it.\nCtrl-C ends it.\n")
    start = served.get("api/start")
    assert start["explore"]["title"] == "A small trial"
    assert len(start["lessons"]) == 10


def test_the_power_on_the_screen_is_that_of_the_command_for_the_design_that_can_be_downloaded(
    served: Served, here: Path, terminal: Terminal
) -> None:
    """All knobs at once, so that a knob that is not in the file would be seen."""
    values = {"n": 60, "recruitment": 1.5, "effect_web": 0.5, "start_coach": 70.0, "dropout": 35.0, "mechanism": "mar"}
    values |= {"coaches_coach": 1, "icc_coaches": 0.1}
    answer = served.answer(1, values)
    asked = {"scene": "explore", "view": "explore", "values": values, "seed": 5, "replicates": 48}
    design = served.post("api/design", asked)
    assert design["command"] == answer["command"]
    (here / design["filename"]).write_text(design["yaml"], encoding="utf-8")
    words = design["command"].split()
    assert words[:2] == ["trialsim", "power"]
    result = terminal(*words[1:], "--json")
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)["power"]
    printed = [row for row in rows if row["statistic"] in ("marginal power", "success")]
    shown = next(panel for panel in answer["panels"] if panel["kind"] == "numbers")["items"]
    powers = [item for item in shown if item["key"].startswith("power_")]
    assert [(item["value"], item["mcse"]) for item in powers] == [(row["value"], row["mcse"]) for row in printed]
    assert len(powers) == 4
    assert {row["n_replicates"] for row in printed} == {48}


def test_workers_that_are_killed_are_replaced(served: Served) -> None:
    lists = list(Path(f"/proc/{served.process.pid}/task").glob("*/children"))
    if not lists:
        pytest.skip("no list of processes here")
    before = served.answer(10, {"n": 50})
    children = [child for one in lists for child in one.read_text("utf-8").split()]
    workers = [child for child in children if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()]
    assert len(workers) == 1
    for worker in workers:
        os.kill(int(worker), signal.SIGKILL)
    after = served.answer(11, {"n": 54})
    assert after["replicates"] == before["replicates"] == 48
    again = served.answer(12, {"n": 50}, replicates=47)
    assert again["replicates"] == 47


def test_a_port_in_use_is_one_message(served: Served, terminal: Terminal) -> None:
    port = served.url.rsplit(":", 1)[1].strip("/")
    result = terminal("teach", "--port", port)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"trialsim: the page cannot be served on 127.0.0.1: port {port} is in use. Try another --port.\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals of a terminal on Unix")
def test_ctrl_c_ends_it_without_a_traceback_and_leaves_nobody(served: Served) -> None:
    """The last test of this page: it is gone afterwards."""
    with socket.create_connection(("127.0.0.1", int(served.url.rsplit(":", 1)[1].strip("/")))):  # somebody is there
        code, out, err = served.end(signal.SIGINT)
    assert code == 0
    assert re.fullmatch("(a worker was lost: .*SIGKILL\n)?", err)  # by the test before
    assert out == "\nThe page is closed.\n"
    for _ in range(100):
        try:
            os.killpg(served.process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("a process is left")


def test_a_wrong_design_is_refused_like_anywhere(here: Path, terminal: Terminal) -> None:
    Path("wrong.yaml").write_text("name: wrong\nsample_size: many\n", encoding="utf-8")
    result = terminal("teach", "wrong.yaml", "--port", 0)
    assert result.exit_code == 2
    assert "mistakes in the design" in result.stderr
    assert "sample_size" in result.stderr
    unknown = terminal("teach", "cbt_generics")
    assert unknown.exit_code == 2
    assert "cbt_generic" in unknown.stderr
    setting = terminal("teach", "cbt_generic", "--set", "sample_size=0")
    assert setting.exit_code == 2


@pytest.mark.parametrize("args", [("--host", "no.such.host.invalid"), ("--port", "70000"), ("--workers", "0")])
def test_what_cannot_be_served_is_refused(terminal: Terminal, args: tuple[str, str]) -> None:
    result = terminal("teach", *args)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_a_missing_extra_is_told_before_anything_else(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = terminal("teach", "--port", 0)
    assert result.exit_code == 2
    assert result.stderr == "trialsim: the live page needs the extra: pip install 'trialsim[web]'.\n"


def test_what_the_network_means_is_said(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    def serving(design: Any, *, ready: Any, **how: Any) -> None:
        assert how == {"host": "0.0.0.0", "port": 8123, "workers": 1, "allowed": ("class.example",)}
        ready(Address("0.0.0.0", 8123, ("class.example", "me", "localhost")))

    monkeypatch.setattr("trialsim.teach.serve.serve", serving)
    monkeypatch.setattr("click.launch", lambda url: opened.append(url))
    opened: list[str] = []
    args = ("--host", "0.0.0.0", "--port", 8123, "--workers", 1, "--allow-host", "class.example", "--open")
    said = terminal("teach", *args).stdout
    assert "http://class.example:8123/" in said
    assert "Anybody who can reach this computer over the network can open it; there are no accounts" in said
    assert "class.example, me, localhost" in said
    assert opened == ["http://class.example:8123/"]


def test_it_has_help(shell: Shell) -> None:
    result = shell("teach", "--help")
    assert result.returncode == 0
    assert "--allow-host NAME" in result.stdout
