// A lesson: step by step, with a question before the answer.

import { Bench } from "./bench.js";
import { openDialog } from "./dialogs.js";
import { button, h, newId } from "./dom.js";
import { sheet } from "./sheet.js";
import { moved, settle, writeState } from "./state.js";

/** A question: choices, a button that commits, then why. `answered(index)` is called once. */
function quiz(app, question, given, answered) {
  const name = newId("quiz");
  const radios = question.choices.map((choice, i) =>
    h("input", { type: "radio", name, value: String(i), id: `${name}-${i}` }),
  );
  const rows = question.choices.map((choice, i) =>
    h("label", { class: "option", for: `${name}-${i}` }, radios[i], h("span", {}, ...app.words.marked(choice))),
  );
  const commit = button(
    "Answer",
    () =>
      close(
        radios.findIndex((radio) => radio.checked),
        true,
      ),
    { class: "primary", disabled: true },
  );
  const why = h("div", { class: "why", tabindex: "-1", hidden: true });
  const set = h("fieldset", { class: "quiz" }, h("legend", {}, ...app.words.marked(question.text)), ...rows, commit);
  radios.forEach((radio) => radio.addEventListener("change", () => (commit.disabled = false)));

  function close(chosen, now) {
    if (chosen < 0) return;
    radios.forEach((radio, i) => {
      radio.checked = i === chosen;
      radio.disabled = true;
      judge(rows[i], i === question.answer, i === chosen);
    });
    commit.hidden = true;
    const verdict = chosen === question.answer ? "That is it." : "Not quite.";
    why.replaceChildren(h("p", {}, h("strong", {}, verdict), " ", ...app.words.marked(question.why)));
    why.hidden = false;
    if (now) why.focus({ preventScroll: true });
    answered(chosen);
  }

  if (given !== undefined) queueMicrotask(() => close(given, false));
  return h("div", { class: "quiz-box" }, set, why);
}

function judge(row, right, chosen) {
  if (right) row.classList.add("right");
  else if (chosen) row.classList.add("wrong");
  const said = right ? (chosen ? "your answer, right" : "right") : chosen ? "your answer" : "";
  if (said) row.append(h("span", { class: "judged" }, `${right ? "✓" : "✕"} ${said}`));
}

/** Where one is: a piece for each step, each a link. */
function progress(lesson, here, replicates) {
  const items = lesson.steps.map((step, i) => {
    const href = writeState({ page: "lessons", lesson: lesson.name, step: i, replicates });
    const label = `Step ${i + 1} of ${lesson.steps.length}: ${step.title}`;
    return h(
      "li",
      {},
      h(
        "a",
        {
          href,
          "aria-label": label,
          "data-tip": step.title,
          "aria-current": i === here ? "step" : null,
          class: i < here ? "done" : null,
        },
        String(i + 1),
      ),
    );
  });
  return h("nav", { class: "progress", "aria-label": "Steps of this lesson" }, h("ol", {}, ...items));
}

/** What the instructor reads: not for the projector, but to print. */
function instructorNote(lesson, words) {
  const asked = lesson.steps
    .filter((step) => step.question)
    .map(({ question }) =>
      h(
        "li",
        {},
        ...words.marked(question.text),
        " ",
        h("strong", {}, ...words.marked(question.choices[question.answer])),
      ),
    );
  const questions = asked.length ? [h("h3", {}, "Questions and answers"), h("ol", {}, ...asked)] : [];
  const dialog = openDialog(
    `Instructor’s note: ${lesson.title}`,
    h("p", { class: "lead" }, lesson.what),
    ...lesson.instructor.map((paragraph) => h("p", {}, ...words.marked(paragraph))),
    ...questions,
  );
  dialog.classList.add("printable");
  dialog.querySelector(".dialog-head .quiet").before(button("Print", () => print(), { class: "quiet print" }));
}

export class Lesson {
  constructor(app, state, lesson) {
    this.title = lesson.title;
    const step = Math.min(state.step, lesson.steps.length - 1);
    Object.assign(this, { app, lesson, step, what: lesson.steps[step] });
    const { knobs, seed } = lesson.scene;
    this.base = { ...settle({}, knobs, {}).values, ...this.what.values };
    const { values, left } = settle(state.values, knobs, this.base);
    this.left = left;
    this.state = { page: "lessons", lesson: lesson.name, step, replicates: state.replicates };
    this.bench = this.what.view ? this.makeBench(values, state.seed ?? seed, state.replicates) : null;
    this.element = this.build();
    if (!this.bench) this.app.note(this.state);
    else {
      this.moved(values, state.seed ?? seed, state.replicates);
      this.bench.ask(); // before the answer is given, so that it is there when it is
    }
  }

  makeBench(values, seed, replicates) {
    const { scene } = this.lesson;
    const knobs = scene.knobs.filter((knob) => this.what.knobs.includes(knob.name));
    const hidden = this.what.kind === "question";
    return new Bench(this.app, {
      scene,
      knobs,
      base: this.base,
      values,
      view: this.what.view,
      seed,
      replicates,
      onMove: (...to) => this.moved(...to),
      hidden,
      saysFirst: true,
    });
  }

  moved(values, seed, replicates) {
    this.state = {
      ...this.state,
      replicates,
      values: moved(values, this.base),
      seed: seed === this.lesson.scene.seed ? null : seed,
    };
    this.app.note(this.state);
  }

  build() {
    const words = this.text();
    const head = this.head();
    if (!this.bench) return h("div", { class: "page lesson" }, head, h("div", { class: "one" }, words, this.steps()));
    this.controls = sheet("Try it", this.bench.knobs.element, this.bench.luck());
    this.controls.hidden = this.what.kind === "question";
    this.wait = h("p", { class: "placeholder" }, "First the question. Then the simulated trials answer it.");
    this.wait.hidden = this.what.kind !== "question";
    this.actions = this.bench.actions();
    this.actions.hidden = this.what.kind === "question";
    const side = h("div", { class: "side" }, words, this.controls);
    const stage = h("div", { class: "stage" }, this.wait, this.bench.element, this.actions);
    return h("div", { class: "page lesson" }, head, h("div", { class: "two" }, side, stage, this.steps()));
  }

  head() {
    const { lesson, app } = this;
    const number = app.start.lessons.findIndex((one) => one.name === lesson.name) + 1;
    const kicker = h(
      "p",
      { class: "kicker" },
      h("a", { href: "#/lessons" }, "Lessons"),
      ` · ${number} of ${app.start.lessons.length} · ${lesson.minutes} minutes`,
    );
    const note = lesson.instructor.length
      ? button("Instructor’s note", () => instructorNote(lesson, app.words), { class: "quiet" })
      : null;
    return h(
      "div",
      { class: "page-head lesson-head" },
      h("div", {}, kicker, h("h1", { tabindex: "-1" }, lesson.title)),
      h("div", { class: "lesson-tools" }, progress(lesson, this.step, this.state.replicates), note),
    );
  }

  text() {
    const { words, answers } = this.app;
    const paragraphs = this.what.text.map((paragraph) => h("p", {}, ...words.marked(paragraph)));
    const key = `${this.lesson.name}/${this.step}`;
    const asked =
      this.what.kind === "question"
        ? quiz(this.app, this.what.question, answers.get(key), (index) => this.answered(key, index))
        : null;
    return h("div", { class: "text" }, h("h2", {}, this.what.title), ...paragraphs, asked);
  }

  answered(key, index) {
    this.app.answers.set(key, index);
    this.next.classList.add("primary");
    if (!this.bench) return;
    this.wait.hidden = true;
    this.actions.hidden = false;
    this.controls.hidden = false;
    this.bench.reveal();
  }

  steps() {
    const last = this.step + 1 === this.lesson.steps.length;
    const { replicates } = this.state;
    const to = (step) => writeState({ page: "lessons", lesson: this.lesson.name, step, replicates });
    const back = this.step ? h("a", { class: "button", href: to(this.step - 1), rel: "prev" }, "Back") : null;
    this.next = last ? this.onward() : h("a", { class: "button", href: to(this.step + 1), rel: "next" }, "Next");
    if (this.what.kind !== "question") this.next.classList.add("primary");
    return h("div", { class: "steps" }, back, this.next);
  }

  /** After the last step: the next lesson. */
  onward() {
    const { lessons } = this.app.start;
    const next = lessons[lessons.findIndex((one) => one.name === this.lesson.name) + 1];
    if (!next) return h("a", { class: "button", href: "#/lessons" }, "All lessons");
    return h(
      "a",
      { class: "button", href: writeState({ page: "lessons", lesson: next.name, step: 0 }) },
      `Next lesson: ${next.title}`,
    );
  }

  close() {
    this.bench?.close();
  }
}
