#!/usr/bin/env python
"""Type I error of every built-in analysis under its own assumptions.

    python scripts/type_one_error.py [--replicates 10000] [--sizes 60,300,2331] [--only NAME] [--workers 2] [--out FILE]
    python scripts/type_one_error.py --write-docs

The first writes `results/type_one_error.csv`, kind of data by kind of data as they are finished; rows that `--only`
leaves out stay as they are. The second makes the tables of `docs/type-one-error.md` from that file. Replicate r of a
kind of data has a seed of its own, so results depend neither on workers nor on how many replicates are asked for.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from zlib import crc32

# ruff: noqa: E402
from trialsim.experiments.threads import one_thread_per_worker

one_thread_per_worker()  # before NumPy starts

import numpy as np
from null_methods import Method, Study, rejections
from null_studies import KNOWN, studies

from trialsim.world.draws import Luck

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "type_one_error.csv"
PAGE = ROOT / "docs" / "type-one-error.md"
SEED = 20_240_615
SIZES = (60, 300, 2331)
Z = 4.5
"""Monte Carlo standard errors that a rate may be away from its nominal value."""
USUAL = 10_000
AT_ONCE = {60: 250, 300: 100, 2331: 25}


@dataclass(frozen=True)
class Count:
    """How often a hypothesis that is true was rejected."""

    data: str
    analysis: str
    tested: str
    participants: int
    arms: int
    visits: int
    nominal: float
    replicates: int
    failed: int
    rejected: int

    @property
    def fitted(self) -> int:
        return self.replicates - self.failed

    @property
    def rate(self) -> float:
        """Among the fits that did not fail."""
        return self.rejected / self.fitted if self.fitted else float("nan")

    @property
    def mcse(self) -> float:
        """Monte Carlo standard error of the rate, if it is the nominal one."""
        return float(np.sqrt(self.nominal * (1 - self.nominal) / self.fitted)) if self.fitted else float("nan")

    @property
    def z(self) -> float:
        return (self.rate - self.nominal) / self.mcse

    @property
    def direction(self) -> str:
        """Empty where the rate is within 4.5 MCSE of the nominal one."""
        if not self.fitted or abs(self.z) <= Z:
            return ""
        return "liberal" if self.z > 0 else "conservative"

    def verdict(self) -> tuple[str, str]:
        """Within, or which way and whether that was to be expected, and why."""
        if not self.direction:
            return ("within", "") if self.fitted else ("no fit", "")
        about = (self.data, self.analysis, self.tested, self.participants, self.direction)
        why = next((known.why for known in KNOWN if known.tells(*about)), "")
        return f"{self.direction}, {'known' if why else 'NOT EXPLAINED'}", why


# --- running ----------------------------------------------------------------------------------------------------------

Cell = tuple[str, str]  # method's title, what is tested


def tally(study: Study, methods: Sequence[Method], n: int, first: int, count: int) -> dict[Cell, tuple[int, int, int]]:
    """Replicates, failed fits and rejections of a run of replicates."""
    key = [SEED, crc32(study.name.encode()), n]
    numbers = range(first, first + count)
    replicates = [study.world(n, np.random.default_rng([*key, r])) for r in numbers]
    found = {}
    for method in methods:
        luck = [Luck(np.random.default_rng([*key, r, 1])) for r in numbers]
        kept = max(0, min(count, method.most.get(n, first + count) - first))
        if not kept:
            continue
        for tested, hits in rejections(study, method, replicates[:kept], luck[:kept]).items():
            found[method.title, tested] = (kept, int(np.isnan(hits).sum()), int(np.nansum(hits)))
    return found


def _tally(name: str, titles: frozenset[str], n: int, first: int, count: int) -> dict[Cell, tuple[int, int, int]]:
    """The same by names: what is sent to a worker."""
    study = next(one for one in studies() if one.name == name)
    return tally(study, [m for m in study.methods if m.title in titles], n, first, count)


def counts(study: Study, n: int, tallies: Sequence[dict[Cell, tuple[int, int, int]]]) -> list[Count]:
    """Tallies of some replicates added up, in the order of the methods."""
    total: dict[Cell, list[int]] = defaultdict(lambda: [0, 0, 0])
    for one in tallies:
        for cell, numbers in one.items():
            total[cell] = [a + b for a, b in zip(total[cell], numbers, strict=True)]
    nominal = {method.title: method.nominal for method in study.methods}
    places = {method.title: place for place, method in enumerate(study.methods)}
    rows = sorted(total.items(), key=lambda item: (places[item[0][0]], item[0][1] == "all arms"))
    return [
        Count(study.name, title, tested, n, study.n_arms, study.n_visits, nominal[title], *numbers)
        for (title, tested), numbers in rows
    ]


def chosen(only: str) -> Iterator[tuple[Study, frozenset[str]]]:
    """Studies and titles of methods whose name or title contains a text."""
    for study in studies():
        titles = frozenset(m.title for m in study.methods if only in study.name or only in m.title)
        if titles:
            yield study, titles


def run(only: str, sizes: Sequence[int], replicates: int, workers: int, out: Path) -> None:
    """All tallies in worker processes; a kind of data is written as soon as it is done."""
    started = time.perf_counter()
    with ProcessPoolExecutor(workers) as pool:
        jobs: dict[tuple[str, int], list[Future[dict[Cell, tuple[int, int, int]]]]] = {}
        owners: dict[Future[dict[Cell, tuple[int, int, int]]], tuple[Study, int]] = {}
        for n in sizes:
            for study, titles in chosen(only):
                step = AT_ONCE.get(n, max(10, 25_000 // n))
                for first in range(0, replicates, step):
                    job = pool.submit(_tally, study.name, titles, n, first, min(step, replicates - first))
                    jobs.setdefault((study.name, n), []).append(job)
                    owners[job] = (study, n)
        left = {key: len(some) for key, some in jobs.items()}
        for job in as_completed(owners):
            job.result()
            study, n = owners[job]
            left[study.name, n] -= 1
            if not left[study.name, n]:
                some = jobs.pop((study.name, n))
                write(out, counts(study, n, [one.result() for one in some]))
                print(f"{time.perf_counter() - started:7.0f} s  {study.name}, n = {n}", flush=True)


# --- the table on disk ------------------------------------------------------------------------------------------------

_COLUMNS = [field.name for field in fields(Count)]


def read(path: Path) -> list[Count]:
    """Rows of the table."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [_count(row) for row in csv.DictReader(file)]


def _count(row: dict[str, str]) -> Count:
    texts = {name: row[name] for name in ("data", "analysis", "tested")}
    whole = ("participants", "arms", "visits", "replicates", "failed", "rejected")
    return Count(**texts, **{name: int(row[name]) for name in whole}, nominal=float(row["nominal"]))


def write(path: Path, new: Sequence[Count]) -> None:
    """Put rows in the place of those about the same, the table sorted as `studies()`; all at once or not at all."""
    kept = {_place(row): row for row in [*read(path), *new]}
    order = {(study.name, m.title): (i, j) for i, study in enumerate(studies()) for j, m in enumerate(study.methods)}
    rows = [row for row in kept.values() if (row.data, row.analysis) in order]
    rows.sort(key=lambda row: (order[row.data, row.analysis], row.tested == "all arms", row.tested, row.participants))
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_COLUMNS, "rate", "mcse", "z", "verdict", "why"])
        for row in rows:
            numbers = [f"{row.rate:.4f}", f"{row.mcse:.4f}", f"{row.z:.1f}"]
            writer.writerow([*asdict(row).values(), *numbers, *row.verdict()])
    os.replace(part, path)


def _place(row: Count) -> tuple[str, str, str, int]:
    return row.data, row.analysis, row.tested, row.participants


# --- the page ---------------------------------------------------------------------------------------------------------


def renewed(page: str, rows: Sequence[Count]) -> str:
    """The page with each `<!-- NAME: begin -->` ... `<!-- NAME: end -->` part made anew from the table."""
    for name, text in {"summary": summary(rows), "outside": outside(rows), "all": everything(rows)}.items():
        pattern = rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)"
        page, n = re.subn(pattern, lambda m, text=text: f"{m[1]}{text}\n{m[2]}", page, flags=re.DOTALL)
        if n != 1:
            raise SystemExit(f"docs/type-one-error.md has no part '{name}'")
    return page


def summary(rows: Sequence[Count]) -> str:
    """How many rows are where."""
    verdicts = Counter(row.verdict()[0] for row in rows)
    fewer = sum(row.replicates < USUAL for row in rows)
    lines = [f"- {verdict}: {n} of {len(rows)} rows" for verdict, n in verdicts.most_common()]
    by_size = ", ".join(f"{sum(bool(r.direction) for r in rows if r.participants == n)} of n = {n:,}" for n in SIZES)
    lines.append(f"- outside by number of participants: {by_size}")
    lines.append(f"- with fewer than {USUAL:,} replicates, because they take long: {fewer} rows")
    return "\n".join(lines)


_HEAD = ["analysis", "tested", *(f"n = {n:,}" for n in SIZES)]


def _grouped(rows: Sequence[Count]) -> dict[tuple[str, str, str], dict[int, Count]]:
    """Rows about the same at several sizes together."""
    found: dict[tuple[str, str, str], dict[int, Count]] = {}
    for row in rows:
        found.setdefault((row.data, row.analysis, row.tested), {})[row.participants] = row
    return found


def _cell(row: Count | None) -> str:
    """The rate and how many MCSE it is from nominal, bold where outside, and what is not as usual."""
    if row is None or not row.fitted:
        return "" if row is None else "no fit"
    rate = f"{row.rate:.4f} ({row.z:+.1f})"
    rate = f"**{rate}**" if row.direction else rate
    extra = [f"{row.replicates:,} replicates"] if row.replicates < USUAL else []
    extra += [f"{row.failed / row.replicates:.1%} failed"] if row.failed else []
    return rate + "".join(f"<br>{text}" for text in extra)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def outside(rows: Sequence[Count]) -> str:
    """Reasons, and below each the rates that it explains."""
    by_reason: dict[str, list[Count]] = {}
    for row in rows:
        if row.direction:
            verdict, why = row.verdict()
            by_reason.setdefault(f"{verdict.capitalize() if why else verdict}. {why}", []).append(row)
    lines: list[str] = []
    for reason, several in by_reason.items():
        cells = [
            [data, f"`{analysis}`", tested, *(_cell(sizes.get(n)) for n in SIZES)]
            for (data, analysis, tested), sizes in _grouped(several).items()
        ]
        lines += [reason, "", *_table(["data", *_HEAD], cells), ""]
    return "\n".join(lines).rstrip()


def everything(rows: Sequence[Count]) -> str:
    """A table for every kind of data."""
    lines: list[str] = []
    grouped = _grouped(rows)
    for study in studies():
        mine = {key: sizes for key, sizes in grouped.items() if key[0] == study.name}
        if not mine:
            continue
        lines += [f"### {study.name[0].upper()}{study.name[1:]}", "", _about(study), ""]
        cells = [[f"`{key[1]}`", key[2], *(_cell(sizes.get(n)) for n in SIZES)] for key, sizes in mine.items()]
        lines += [*_table(_HEAD, cells), ""]
    return "\n".join(lines).rstrip()


def _about(study: Study) -> str:
    """What the data are like, by the docstring of what makes them."""
    text = " ".join((study.world.__doc__ or "").split())
    nominal = {method.nominal for method in study.methods}
    visits = "one visit" if study.n_visits == 1 else f"{study.n_visits} visits, the last one tested"
    return f"{text} {study.n_arms} arms, {visits}; nominal rate {nominal.pop()}."


def main() -> None:
    """Run, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=USUAL)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of participants")
    parser.add_argument("--only", default="", help="part of the name of the data or of the analysis")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--write-docs", action="store_true", help="make the page from the table, simulate nothing")
    options = parser.parse_args()
    if options.write_docs:
        write(options.out, [])  # verdicts anew
        PAGE.write_text(renewed(PAGE.read_text("utf-8"), read(options.out)), encoding="utf-8")
        return
    sizes = [int(n) for n in options.sizes.split(",")]
    run(options.only, sizes, options.replicates, options.workers, options.out)


if __name__ == "__main__":
    main()
