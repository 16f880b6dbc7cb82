// The panels of an answer: a frame for each, with its title, what its error is, and the same as a table.

import { button, calm, h } from "../dom.js";
import { make as bars } from "./bars.js";
import { make as curve } from "./curve.js";
import { make as estimates } from "./estimates.js";
import { make as intervals } from "./intervals.js";
import { make as numbers } from "./numbers.js";
import { fontOf } from "./parts.js";
import { make as published } from "./published.js";
import { between, errorText, number } from "./scale.js";
import { make as waterfall } from "./waterfall.js";

const KINDS = { bars, curve, estimates, intervals, numbers, published, waterfall };
const GLIDE = 180; // [ms] from one answer to the next

/** A share with its error, and of how many: "46.2%", "± 2.2% of 500 trials". */
function share({ value, of, mcse }) {
  const error = mcse === null ? "" : `± ${errorText(100 * mcse, 1)}% `;
  return { head: value === null ? "–" : `${number(100 * value, 1)}%`, error: `${error}of ${number(of)} trials` };
}

function tableOf({ head, rows }, caption) {
  const top = h("tr", {}, ...head.map((cell) => h("th", { scope: "col" }, cell)));
  const body = rows.map((row) =>
    h("tr", {}, ...row.map((cell, i) => (i ? h("td", {}, cell) : h("th", { scope: "row" }, cell)))),
  );
  const table = h(
    "table",
    { class: "as-table" },
    h("caption", { class: "unseen" }, caption),
    h("thead", {}, top),
    h("tbody", {}, ...body),
  );
  return h("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": `${caption}, as a table` }, table);
}

/** One panel in its frame. */
class Frame {
  constructor(kind, tools) {
    this.kind = kind;
    this.tools = tools;
    this.chart = KINDS[kind](tools);
    this.title = h("h2");
    this.note = h("p", { class: "note" });
    this.swap = button("Table", () => this.toggle(), { class: "quiet swap" });
    this.body = h("div", { class: "panel-body" }, this.chart.element);
    this.element = h(
      "section",
      { class: `panel ${kind}` },
      h("div", { class: "panel-head" }, this.title, this.swap),
      this.body,
      this.note,
    );
    this.tabled = false;
  }

  /** Go to a panel, gliding if it is the same thing with other numbers. */
  show(panel, before) {
    cancelAnimationFrame(this.moving);
    const from = this.seen;
    Object.assign(this, { panel, before });
    this.words();
    if (this.tabled) this.fillTable();
    if (!from || calm() || this.tabled) this.draw(panel);
    else this.glide(from, panel);
  }

  glide(from, to) {
    const start = performance.now();
    const step = (now) => {
      const part = Math.min((now - start) / GLIDE, 1);
      this.draw(part < 1 ? between(from, to, 1 - (1 - part) ** 2) : to);
      if (part < 1) this.moving = requestAnimationFrame(step);
    };
    step(start);
  }

  words() {
    const used = new Set();
    this.tools.words.write(this.title, this.panel.title, used);
    this.tools.words.write(this.note, this.panel.note ?? "", used);
    this.nameSwap();
    const { svg } = this.chart;
    svg?.setAttribute("aria-label", `${this.panel.title}. ${this.panel.note ?? ""} The numbers are in the table.`);
  }

  nameSwap() {
    this.swap.setAttribute("aria-label", `${this.panel.title}: show as a ${this.tabled ? "picture" : "table"}`);
  }

  draw(panel) {
    this.seen = panel;
    const width = Math.floor(this.body.clientWidth);
    if (this.tabled || width < 40) return;
    this.chart.draw(panel, { width, font: fontOf(this.body), before: this.before });
  }

  again() {
    if (this.panel) this.draw(this.panel);
  }

  toggle() {
    this.tabled = !this.tabled;
    this.swap.textContent = this.tabled ? "Picture" : "Table";
    this.nameSwap();
    if (this.tabled) {
      this.fillTable();
      return;
    }
    this.body.replaceChildren(this.chart.element);
    this.draw(this.panel);
  }

  fillTable() {
    this.body.replaceChildren(tableOf(this.panel.table, this.panel.title));
  }
}

/** All panels of a view. */
export class Board {
  constructor(words, { beside = null } = {}) {
    this.tools = { words, share };
    this.beside = beside; // stands after the first panel
    this.element = h("div", { class: "board" });
    this.frames = [];
    this.kept = null;
    this.resize = new ResizeObserver(() => this.redraw());
    this.resize.observe(this.element);
  }

  show(panels) {
    const known = panels.filter((panel) => panel.kind in KINDS);
    const same = known.length === this.frames.length && known.every((panel, i) => panel.kind === this.frames[i].kind);
    if (!same) this.build(known);
    this.panels = known;
    known.forEach((panel, i) => this.frames[i].show(panel, this.before(i)));
  }

  build(panels) {
    this.frames = panels.map((panel) => new Frame(panel.kind, this.tools));
    const elements = this.frames.map((frame) => frame.element);
    if (this.beside) elements.splice(1, 0, this.beside);
    this.element.replaceChildren(...elements);
  }

  before(i) {
    const panel = this.kept?.panels[i];
    return panel && panel.kind === this.frames[i].kind ? { ...panel, kept: this.kept.label } : null;
  }

  /** Keep what is shown now, to be drawn in grey behind what follows; null: forget it. */
  keep(label) {
    this.kept = label === null ? null : { panels: this.panels ?? [], label };
    this.frames.forEach((frame, i) => {
      frame.before = this.before(i);
      frame.again();
    });
  }

  redraw() {
    const width = this.element.clientWidth;
    if (width === this.width) return;
    this.width = width;
    this.frames.forEach((frame) => frame.again());
  }

  close() {
    this.resize.disconnect();
  }
}
