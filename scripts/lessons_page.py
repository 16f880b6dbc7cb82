"""Write docs/lessons.md: what each lesson of the live page asks, answers and shows, with the numbers that it gives.

python scripts/lessons_page.py            # simulate everything and write the page (about a minute)
python scripts/lessons_page.py --check    # only whether the page is that of the lessons as they are
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pages import ROOT, kept

from trialsim.design.reader import digest
from trialsim.experiments.threads import one_thread_per_worker
from trialsim.teach.lessons import MARK, Lesson, lessons
from trialsim.teach.questions import answered

PAGE = ROOT / "docs" / "lessons.md"
REPLICATES, SEED = 500, 1
HEAD = """# Lessons

For instructors: what the lessons of the live page (`trialsim teach`) ask, what the answers are, and the numbers that
come out. Each lesson is a path of four to seven steps for 5 to 15 minutes. A class commits to a prediction before it
sees the simulated trials; then it moves the knobs.

All lessons but two are about invented trials, and their numbers are assumed; "Published and simulated" is about
RESOLVE, and "40 % better" about a programme's own benchmarks. What is published stands beside what is simulated and is
never mixed with it. Truth is something that only a simulation knows.

Numbers below are those of the page as it opens: seed {seed}, {replicates} replicates (fewer where a view says so), each
± its Monte Carlo standard error. "Download this design" on the page gives the design on the screen, and the command
line the same numbers. Every answer is also worked out by a test, which fails in a world in which the answer would be
another (`tests/statistical/test_lesson_claims.py`).

This page is written by `python scripts/lessons_page.py`.
"""


def plain(text: str) -> str:
    """A text without its marks."""
    return MARK.sub(r"\1", text)


def overview() -> Iterator[str]:
    """The lessons in a table."""
    yield "| | lesson | minutes | what it shows |\n|---:|---|---:|---|"
    for k, one in enumerate(lessons().values(), start=1):
        anchor = "".join(c for c in one.file.title.lower().replace(" ", "-") if c.isalnum() or c in "-_")
        yield f"| {k} | [{one.file.title}](#{anchor}) | {one.file.minutes} | {one.file.what} |"


def told(one: Lesson) -> Iterator[str]:
    """One lesson: what it is about, its questions and answers, and what the page says at each."""
    yield f"\n## {one.file.title}\n"
    yield f"{one.file.what}\n"
    yield f"{one.file.minutes} minutes; design `{one.file.design}`, digest `{digest(one.scene.design)}`.\n"
    yield f"{one.file.description}\n"
    shown: dict[object, str] = {}
    for k, step in enumerate(one.file.steps, start=1):
        yield f"**{k}. {step.title}.** {' '.join(plain(text) for text in step.text)}\n"
        if step.question is not None:
            yield f"*{plain(step.question.text)}* → {plain(step.question.choices[step.question.answer])}\n"
        if step.view is None:
            continue
        values = one.data()["steps"][k - 1]["values"]
        question = one.scene.question(step.view, values, seed=SEED, replicates=REPLICATES)
        if question in shown:
            yield f"The same trials as in {shown[question]}.\n"
            continue
        shown[question] = f"step {k}"
        yield "\n".join(f"- {said}" for said in answered(one.scene.views[step.view], question).says) + "\n"
    yield "**For the instructor.** " + "\n\n".join(plain(text) for text in one.file.instructor) + "\n"


def page() -> str:
    """All of it."""
    head = HEAD.format(seed=SEED, replicates=REPLICATES)
    return "\n".join([head, *overview(), *(line for one in lessons().values() for line in told(one))])


if __name__ == "__main__":
    one_thread_per_worker()
    if not kept(PAGE, page(), check="--check" in sys.argv):
        sys.exit("docs/lessons.md is stale: run python scripts/lessons_page.py")
