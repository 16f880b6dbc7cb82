// The list of lessons.

import { h } from "./dom.js";
import { writeState } from "./state.js";

export class Lessons {
  constructor(app) {
    this.title = "Lessons";
    const cards = app.start.lessons.map((lesson, i) => this.card(app, lesson, i));
    const lead = h(
      "p",
      { class: "lead" },
      "Short guided paths. Each asks before it answers: say what you expect, then let the simulated trials tell.",
    );
    this.element = h(
      "div",
      { class: "page" },
      h("div", { class: "page-head" }, h("h1", { tabindex: "-1" }, "Lessons"), lead),
      h("ol", { class: "cards" }, ...cards),
    );
  }

  card(app, lesson, i) {
    const link = h("a", { href: writeState({ page: "lessons", lesson: lesson.name, step: 0 }) }, lesson.title);
    const foot = h("p", { class: "card-foot" }, `${lesson.minutes} minutes`);
    return h(
      "li",
      { class: "card" },
      h("span", { class: "card-number", "aria-hidden": "true" }, String(i + 1)),
      h("h2", {}, link),
      h("p", {}, lesson.what),
      foot,
    );
  }

  close() {}
}
