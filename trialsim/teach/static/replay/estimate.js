// The estimate and its interval while data come in, one small chart for each contrast.

import { h, s } from "../dom.js";
import { number } from "./model.js";

const MARGIN = { left: 40, right: 10, top: 8, bottom: 20 };
const HEIGHT = 118; // pixels, all of these, at the usual size of type

export class Estimates {
  constructor(model) {
    this.model = model;
    this.charts = model.data.estimates.contrasts.map((contrast) => new Chart(model, contrast));
    const none = h("p", { class: "rp-soft" }, "The design has no analysis that compares arms.");
    const note = this.charts.length ? h("p", { class: "rp-soft" }, model.data.estimates.note) : none;
    const warning = model.data.warning ? h("p", { class: "rp-warning" }, model.data.warning) : null;
    this.element = h("div", { class: "rp-estimates" }, warning, ...this.charts.map((chart) => chart.element), note);
  }

  resize(width) {
    for (const chart of this.charts) chart.draw(width);
  }

  show(day) {
    const look = this.model.lookAt(day);
    for (const chart of this.charts) chart.show(day, look);
  }
}

class Chart {
  constructor(model, contrast) {
    Object.assign(this, { model, contrast, look: null, day: null });
    this.days = model.data.estimates.days;
    const [first, second] = contrast.arms.map((number_) => model.arms[number_]);
    this.colour = first.colour;
    const visit = model.data.visits.find((one) => one.name === contrast.visit);
    this.heading = `${first.name} against ${second.name}`;
    this.measure = `${contrast.measure}, ${visit ? visit.label : contrast.visit}`;
    this.figure = h("p", { class: "rp-figure" });
    this.svg = s("svg", { class: `rp-chart rp-c${this.colour}`, role: "img" });
    this.element = h("div", { class: "rp-contrast" }, h("h3", {}, this.heading, h("span", { class: "rp-soft" }, ` ${this.measure}`)), this.figure, this.svg);
    this.range = this.findRange();
  }

  to(value) {
    return this.contrast.scale === "log" ? Math.log(value) : value;
  }

  /** Values that the chart shows: intervals of looks with a fair part of the data; earlier ones reach out of it. */
  findRange() {
    const { low, high, n_used, truth, nothing } = this.contrast;
    const most = Math.max(...n_used);
    const values = [truth, nothing].filter((value) => value !== null);
    n_used.forEach((n, k) => {
      if (low[k] !== null && n >= 0.2 * most) values.push(low[k], high[k]);
    });
    if (!values.length) values.push(-1, 1);
    const ends = values.map((value) => this.to(value));
    const span = Math.max(...ends) - Math.min(...ends) || 1;
    return [Math.min(...ends) - 0.08 * span, Math.max(...ends) + 0.08 * span];
  }

  draw(width) {
    const type = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16 || 1;
    this.box = { left: MARGIN.left * type, right: Math.max(200, width) - MARGIN.right, top: MARGIN.top, bottom: (HEIGHT - MARGIN.bottom) * type, type, height: HEIGHT * type };
    const { box } = this;
    const { data } = this.model;
    const [from, until] = [Math.min(0, data.first_day), data.last_day];
    this.x = (day) => box.left + ((day - from) / Math.max(1, until - from)) * (box.right - box.left);
    const [low, high] = this.range;
    this.y = (value) => box.top + (1 - (Math.min(Math.max(this.to(value), low), high) - low) / (high - low)) * (box.bottom - box.top);
    this.svg.setAttribute("viewBox", `0 0 ${box.right + MARGIN.right} ${box.height}`);
    this.svg.setAttribute("height", box.height);
    this.band = s("path", { class: "rp-band" });
    this.path = s("path", { class: "rp-path" });
    this.whisker = s("path", { class: "rp-whisker" });
    this.point = s("circle", { class: "rp-point", r: 4.5 });
    this.cursor = s("path", { class: "rp-cursor" });
    this.svg.replaceChildren(...this.axes(), this.band, this.path, this.cursor, this.whisker, this.point);
    if (this.day !== null) this.place(this.day, this.look);
  }

  axes() {
    const { nothing, truth } = this.contrast;
    const { left, right, bottom, height, type } = this.box;
    const parts = [s("path", { class: "rp-axis", d: `M${left},${bottom}H${right}` })];
    for (const value of ticks(this.range, this.contrast.scale)) parts.push(s("text", { class: "rp-tick", x: left - 5, y: this.y(value) + 4, "text-anchor": "end" }, number(value, 2)), s("path", { class: "rp-grid", d: `M${left},${this.y(value)}H${right}` }));
    for (const day of yearStarts(this.model)) parts.push(s("text", { class: "rp-tick", x: this.x(day), y: height - 5, "text-anchor": "middle" }, String(this.model.date(day).getUTCFullYear())), s("path", { class: "rp-axis", d: `M${this.x(day)},${bottom}v4` }));
    if (nothing !== null) parts.push(s("path", { class: "rp-nothing", d: `M${left},${this.y(nothing)}H${right}` }), s("text", { class: "rp-tick", x: left + 4, y: this.y(nothing) + (this.truthIsAbove() ? 12 * type : -4) }, "no effect"));
    if (truth !== null) parts.push(s("path", { class: "rp-truth", d: `M${left},${this.y(truth)}H${right}` }));
    return parts;
  }

  truthIsAbove() {
    const { nothing, truth } = this.contrast;
    return truth !== null && truth > nothing;
  }

  show(day, look) {
    if (look !== this.look || this.day === null) this.tell(look);
    this.place(day, look);
    [this.day, this.look] = [day, look];
  }

  tell(look) {
    const { estimate, low, high, n_used, truth } = this.contrast;
    const value = look < 0 ? null : estimate[look];
    const now = value === null || value === undefined ? "no estimate yet" : `${number(value, 2)} (${number(low[look], 2)} to ${number(high[look], 2)}), from ${number(n_used[look])} people`;
    const known = truth === null ? "" : number(truth, 2);
    this.figure.replaceChildren(h("strong", {}, now), ...(known ? [h("span", { class: "rp-true" }, `true value ${known}`, h("span", { class: "rp-soft" }, ", known only in a simulation"))] : []));
    this.svg.setAttribute("aria-label", `${this.heading}, ${this.measure}: ${now}.${known ? ` The true value, known only in a simulation, is ${known}.` : ""}`);
  }

  place(day, look) {
    if (!this.y) return;
    const shown = this.days.map((_, k) => k).filter((k) => k <= look && this.contrast.estimate[k] !== null);
    const at = this.x(day);
    this.cursor.setAttribute("d", `M${at},${this.box.top}V${this.box.bottom}`);
    const last = shown.at(-1);
    for (const part of [this.whisker, this.point, this.band, this.path]) part.toggleAttribute("hidden", last === undefined);
    if (last === undefined) return;
    this.band.setAttribute("d", this.outline(shown, at));
    this.path.setAttribute("d", this.steps(shown, "estimate", at));
    const [y, low, high] = [this.contrast.estimate, this.contrast.low, this.contrast.high].map((values) => this.y(values[last]));
    this.whisker.setAttribute("d", `M${at},${low}V${high}M${at - 4},${low}h8M${at - 4},${high}h8`);
    this.point.setAttribute("cx", at);
    this.point.setAttribute("cy", y);
  }

  /** A line that holds from one look to the next; it ends today. */
  steps(shown, name, at, back = false) {
    const points = shown.flatMap((k, n) => {
      const y = this.y(this.contrast[name][k]);
      const until = n + 1 < shown.length ? this.x(this.days[shown[n + 1]]) : at;
      return [[this.x(this.days[k]), y], [until, y]];
    });
    if (back) points.reverse();
    return points.map(([x, y], n) => `${n || back ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");
  }

  outline(shown, at) {
    return `${this.steps(shown, "high", at)}${this.steps(shown, "low", at, true)}Z`;
  }
}

/** Three to five round values between two limits (of logarithms for ratios). */
function ticks([low, high], scale) {
  if (scale === "log") return [0.125, 0.25, 0.5, 0.7, 1, 1.5, 2, 3, 4, 8].filter((value) => Math.log(value) > low && Math.log(value) < high);
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value < high; value += step) found.push(Math.abs(value) < step / 1e6 ? 0 : value);
  return found;
}

function yearStarts(model) {
  const { first_day, last_day } = model.data;
  const years = [];
  for (let year = model.date(first_day).getUTCFullYear() + 1; ; year += 1) {
    const day = Math.round((Date.UTC(year, 0, 1) - model.start) / 86_400_000);
    if (day > last_day) return years;
    years.push(day);
  }
}
