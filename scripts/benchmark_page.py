#!/usr/bin/env python
"""How soon does the live page answer? One run of `trialsim teach`, asked like browsers ask.

    python scripts/benchmark_page.py [--quick] [--section NAME] [--rounds N] [--workers 2] [DESIGN]

release     from a slider's release to the answer of 500 replicates: at once, and after a drag with 120 replicates each
crowd       30 browsers that let go of a slider at the same moment: answers per second, median, 95th percentile, errors
beside      the same beside a browser that asks for the largest trial again and again, and 100 silent connections
browser     from a slider's release to the new curve in Chromium (needs Playwright and Chromium)

Times are by the clock and depend on the machine and its other work; compare the ratios. The work of an answer is told
in processor time too, of the server and its workers.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FULL, DRAG = 500, 120
BROWSERS = 30
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int
    full: int = FULL
    browsers: int = BROWSERS


@dataclass
class Times:
    """Waits of questions [ms], and what was not answered."""

    waits: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    """From the first question to the last answer."""

    def shown(self) -> str:
        """Median, 95th percentile and range [ms]."""
        if not self.waits:
            return f"nothing, {len(self.errors)} errors"
        told = f"median {statistics.median(self.waits):,.0f} ms, 95% within {self.late:,.0f} ms"
        ends = f"range {min(self.waits):,.0f} to {max(self.waits):,.0f} ms"
        return f"{told}, {ends}, n = {len(self.waits)}, {len(self.errors)} errors"

    @property
    def late(self) -> float:
        """95th percentile [ms]."""
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.waits) / self.seconds


# --- the page ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """A served page."""

    port: int
    knobs: tuple[dict[str, Any], ...]
    process: int

    def processor_seconds(self) -> float:
        """Processor time of the server and its workers so far; NaN where the system does not tell."""
        mine = [Path(f"/proc/{self.process}")]
        with suppress(OSError):
            children = [one.read_text("utf-8").split() for one in mine[0].glob("task/*/children")]
            mine += [Path(f"/proc/{child}") for some in children for child in some]
            ticks = [(one / "stat").read_text("utf-8").rpartition(")")[2].split()[11:13] for one in mine]
            return sum(float(tick) for pair in ticks for tick in pair) / os.sysconf("SC_CLK_TCK")
        return float("nan")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@contextmanager
def served(*arguments: str) -> Iterator[Page]:
    """`trialsim teach` as a process of its own, warm."""
    code = "from trialsim.cli.main import main; main()"
    command = [sys.executable, "-c", code, "teach", *arguments, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        told = ""
        while "Ctrl-C" not in told:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the page was not served:\n{told}")
            told += line
        found = re.search(r"http://[^/]*:(\d+)/", told)
        assert found is not None
        port = int(found[1])
        with Client(port, "start") as client:
            start = client.get("/api/start")
            client.answer({}, 64)  # so that it is warm
        page = Page(port, tuple(knob for knob in start["explore"]["knobs"] if knob["kind"] == "number"), process.pid)
        yield page
    finally:
        process.terminate()
        process.communicate(timeout=30)


class Client:
    """A browser's page: one connection that is kept, one question at a time."""

    def __init__(self, port: int, name: str) -> None:
        self.port, self.name, self.sequence = port, name, 0
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def get(self, path: str) -> Any:
        """JSON of an address."""
        self.connection.request("GET", path)
        return json.load(self.connection.getresponse())

    def answer(self, values: dict[str, float], replicates: int, *, seed: int = 1) -> Any:
        """The answer to a question of the free page. RuntimeError where it is refused."""
        self.sequence += 1
        asked = {"scene": "explore", "view": "explore", "values": values, "seed": seed, "replicates": replicates}
        body = json.dumps(asked | {"client": self.name, "sequence": self.sequence})
        self.connection.request("POST", "/api/answer", body, {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        data = json.load(response)
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {data['error']}")
        return data


def moves(page: Page, n: int, seed: int) -> list[tuple[str, float]]:
    """Slider after slider moved to some place on its scale."""
    luck, found = random.Random(seed), []
    for k in range(n):
        knob = page.knobs[k % len(page.knobs)]
        steps = round((knob["high"] - knob["low"]) / knob["step"])
        near = steps // 3 if knob["name"] == "n" else steps  # up to about the design's own size
        found.append((knob["name"], knob["low"] + luck.randint(1, near) * knob["step"]))
    return found


def timed(times: Times, work: Callable[[], Any]) -> Any:
    """The result; how long it took is noted."""
    started = time.perf_counter()
    try:
        result = work()
    except (RuntimeError, OSError, http.client.HTTPException) as error:
        times.errors.append(str(error))
        return None
    times.waits.append(1000 * (time.perf_counter() - started))
    return result


# --- sections ---------------------------------------------------------------------------------------------------------


def release(page: Page, effort: Effort) -> None:
    """One browser."""
    with Client(page.port, "one") as client:
        _release(page, effort, client)


def _release(page: Page, effort: Effort, client: Client) -> None:
    first, after, before = Times(), Times(), page.processor_seconds()
    for k, (name, value) in enumerate(moves(page, effort.rounds, 1)):
        timed(first, lambda v={name: value}, s=k: client.answer(v, effort.full, seed=s + 1))
    work = 1000 * (page.processor_seconds() - before) / effort.rounds
    for k, (name, value) in enumerate(moves(page, effort.rounds, 2)):
        client.answer({name: value}, min(DRAG, effort.full), seed=k + 1)
        timed(after, lambda v={name: value}, s=k: client.answer(v, effort.full, seed=s + 1))
    print(f"release at once:      {first.shown()}; {work:,.0f} ms of processor time each")
    print(f"release after a drag: {after.shown()}")


def crowd(page: Page, effort: Effort) -> None:
    """All let go at the same moment, each with values of its own."""
    times = _crowd(page, effort, seed=10)
    print(f"{effort.browsers} at once:           {times.shown()}, {times.rate:.1f} answers per second")


def _crowd(page: Page, effort: Effort, *, seed: int) -> Times:
    times, together = Times(), threading.Barrier(effort.browsers)

    def browser(k: int) -> None:
        with Client(page.port, f"b{seed}-{k}") as client:
            client.get("/api/start")
            for turn, (name, value) in enumerate(moves(page, max(1, effort.rounds // 10), seed + k)):
                with suppress(threading.BrokenBarrierError):
                    together.wait(60)
                timed(times, lambda v={name: value}, s=turn: client.answer(v, effort.full, seed=seed + k + 100 * s))

    threads = [threading.Thread(target=browser, args=(k,)) for k in range(effort.browsers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times.seconds = time.perf_counter() - started
    return times


def beside(page: Page, effort: Effort) -> None:
    """A crowd alone, and beside somebody who takes all he can get."""
    alone = _crowd(page, effort, seed=1000)
    slow, over = Times(), threading.Event()

    def greedy() -> None:
        most, k = {knob["name"]: knob["high"] for knob in page.knobs if knob["name"] == "n"}, 0
        with Client(page.port, "greedy") as client:
            while not over.is_set():
                k += 1
                timed(slow, lambda s=k: client.answer(most, 2 * effort.full, seed=s))

    thread = threading.Thread(target=greedy)
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(socket.create_connection(("127.0.0.1", page.port)))
        thread.start()
        time.sleep(0.5)
        crowded = _crowd(page, effort, seed=2000)
        over.set()
    thread.join()
    print(f"alone:                {alone.shown()}")
    print(f"beside a slow one:    {crowded.shown()}; 95% within {crowded.late / alone.late:.2f} times as long")
    print(f"the slow one:         {slow.shown()}")


MEASURED = """
async ({name, value, drags, rest}) => {
  const slider = document.querySelector(`[data-knob="${name}"] input[type=range]`);
  const bench = document.querySelector(".bench");
  const low = Number(slider.value);
  slider.dispatchEvent(new Event("pointerdown"));
  for (let k = 1; k <= drags; k += 1) {
    slider.value = String(low + (value - low) * k / drags);
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
  await new Promise((resolve) => setTimeout(resolve, rest));
  const settled = new Promise((resolve) => {
    const watching = new MutationObserver(() => {
      if (bench.dataset.settled !== "true") return;
      watching.disconnect();
      requestAnimationFrame(() => setTimeout(resolve));
    });
    watching.observe(bench, {attributes: true, attributeFilter: ["data-settled"]});
  });
  const started = performance.now();
  slider.dispatchEvent(new Event("change", {bubbles: true}));
  await settled;
  return performance.now() - started;
}
"""


def browser(page: Page, effort: Effort) -> None:
    """A slider is dragged in ten steps of 60 ms and let go, at once or after a moment's rest, in Chromium."""
    program = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if program is None or find_spec("playwright") is None:
        print("in Chromium:          not measured (no Chromium or no Playwright)")
        return
    from playwright.sync_api import sync_playwright

    waits = {0: Times(), 150: Times()}
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=program, args=[*QUIET])
        tab = opened.new_page()
        tab.goto(page.url)
        tab.wait_for_selector('.bench[data-settled="true"]', timeout=60_000)
        for k, (name, value) in enumerate(moves(page, effort.rounds * len(waits), 3)):
            rest = list(waits)[k // len(page.knobs) % len(waits)]
            how = {"name": name, "value": value, "drags": 10, "rest": rest}
            waits[rest].waits.append(tab.evaluate(MEASURED, how))
        opened.close()
    for rest, times in waits.items():
        print(f"Chromium, {rest:3d} ms rest: {times.shown()}")


SECTIONS: dict[str, Callable[[Page, Effort], Any]] = {
    "release": release,
    "crowd": crowd,
    "beside": beside,
    "browser": browser,
}


def main(given: Sequence[str] | None = None) -> None:
    """Run some or all sections."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("design", nargs="?", help="default: the trial made for the class")
    parser.add_argument("--quick", action="store_true", help="tiny, in seconds: shows only that it runs")
    parser.add_argument("--section", choices=SECTIONS, help="only this part")
    parser.add_argument("--rounds", type=int, default=40, help="changes of a slider")
    parser.add_argument("--workers", type=int, default=2, help="processes that simulate")
    options = parser.parse_args(given)
    effort = Effort(2, 8, 3) if options.quick else Effort(options.rounds)
    arguments = [options.design] if options.design else []
    with served(*arguments, "--workers", str(options.workers)) as page:
        for name in [options.section] if options.section else SECTIONS:
            SECTIONS[name](page, effort)


if __name__ == "__main__":
    main()
