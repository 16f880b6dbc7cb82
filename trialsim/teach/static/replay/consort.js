// The numbers of the flow diagram (CONSORT), counting up.

import { h } from "../dom.js";
import { number } from "./model.js";

const ARM_ROWS = [
  ["started", "started treatment", (arm) => arm.kind !== "none"],
  ["declined", "did not start", (arm) => arm.kind !== "none"],
  ["stoppedWaiting", "gave up waiting", (arm) => arm.waits],
  ["discontinued", "stopped treatment", (arm) => arm.kind !== "none"],
  ["completed", "completed treatment", (arm) => arm.kind !== "none"],
  ["withdrew", "withdrew from the study", () => true],
  ["died", "died", () => true],
];

export class Consort {
  constructor(model) {
    this.model = model;
    this.cells = [];
    this.element = h("div", { class: "rp-consort" }, this.wayIn(), this.byArm());
  }

  /** A cell whose number is read from the counts of a day. */
  cell(read, attributes = {}) {
    const element = h("td", attributes);
    this.cells.push({ element, read, shown: null });
    return element;
  }

  wayIn() {
    const { data } = this.model;
    const rows = [this.row("Contacted", (counts) => counts.contacted, "rp-total")];
    data.funnel.steps.forEach((step, k) => {
      step.reasons.forEach((reason, r) => rows.push(this.row(`not ${step.name}: ${reason}`, (counts) => counts.steps[k].lost[r].n, "rp-lost")));
      rows.push(this.row(`on the way to “${step.name}”`, (counts) => counts.steps[k].inProcess, "rp-lost"));
      const last = k === data.funnel.steps.length - 1;
      rows.push(this.row(last ? capital(data.enrolled) : capital(step.name), (counts) => counts.steps[k].passed, "rp-total"));
    });
    const spread = data.funnel.spread ? h("p", { class: "rp-soft" }, "People who are lost before anybody looks at them are counted at the closing of enrolment; on the days before, the number is the one expected.") : null;
    return h("div", {}, h("table", {}, h("caption", {}, "Who comes in"), h("tbody", {}, ...rows)), spread);
  }

  row(name, read, kind) {
    return h("tr", { class: kind }, h("th", { scope: "row" }, name), this.cell(read));
  }

  byArm() {
    const { model } = this;
    const head = h("tr", {}, h("td", {}), ...model.arms.map((arm) => h("th", { scope: "col", title: arm.label }, h("span", { class: `rp-chip rp-c${arm.colour}`, "aria-hidden": "true" }), arm.name)));
    const rows = [this.armRow(capital(model.data.enrolled), (arm) => arm.randomized, () => true, "rp-total")];
    for (const [name, text, has] of ARM_ROWS) if (model.arms.some(has)) rows.push(this.armRow(text, (arm) => arm[name], has));
    model.data.visits.forEach((visit, v) => {
      rows.push(this.armRow(`${visit.label}: answered`, (arm) => arm.visits[v].answered, () => true, "rp-total"));
      rows.push(this.armRow("no answer", (arm) => arm.visits[v].unanswered, () => true, "rp-lost"));
      rows.push(this.armRow("had left", (arm) => arm.visits[v].left, () => true, "rp-lost"));
    });
    return h("div", { class: "rp-scroll", tabindex: "0", role: "group", "aria-label": "By arm" }, h("table", {}, h("caption", {}, "By arm"), h("thead", {}, head), h("tbody", {}, ...rows)));
  }

  armRow(name, read, has, kind = "") {
    const cells = this.model.arms.map((arm) => (has(arm) ? this.cell((counts) => read(counts.arms[arm.number])) : h("td", { class: "rp-soft" }, "–")));
    return h("tr", { class: kind }, h("th", { scope: "row" }, name), ...cells);
  }

  show(counts) {
    for (const cell of this.cells) {
      const n = cell.read(counts);
      if (n === cell.shown) continue;
      cell.shown = n;
      cell.element.textContent = number(n);
    }
  }
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
