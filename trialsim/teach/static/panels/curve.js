// Curves with their Monte Carlo band; a point of the pointer reads all of them at one place.

import { h, s } from "../dom.js";
import { canvas, held, legend, line, mark, plane, shapeOf, surrounded, swatch, text, xAxis, yGrid } from "./parts.js";
import { number, valueWriter } from "./scale.js";

const KNOWN = (value) => value !== null && value !== undefined;

function points(series, at, side) {
  return series.x.map((x, i) => (KNOWN(series[side][i]) ? [at.x(x), at.y(series[side][i])] : null)).filter(KNOWN);
}

function path(places) {
  return places.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`).join("");
}

function band(series, at) {
  if (!series.low || !series.high) return null;
  const upper = points(series, at, "high");
  const lower = points(series, at, "low").reverse();
  return upper.length ? s("path", { d: `${path([...upper, ...lower])}Z`, class: `band c${series.colour}` }) : null;
}

function curve(series, at, name = "") {
  const style = `stroke c${series.colour} ${series.dashed ? "dashed" : ""} ${name}`;
  return s("path", { d: path(points(series, at, "y")), class: style });
}

function marks(series, at) {
  return points(series, at, "y").map(([x, y]) => mark(shapeOf(series.colour), x, y, 4, `mark c${series.colour}`));
}

/** Lines that mark a place on an axis, each with its words; words on upright lines stand below each other. */
function reference(panel, { box, at, font }) {
  let row = 0;
  return (panel.lines ?? []).flatMap((one) => {
    if (one.axis === "y") {
      const y = at.y(one.at);
      const above = y - font.line > box.top;
      return [
        line(box.left, y, box.right, y, "reference"),
        text(box.left + 6, above ? y - 6 : y + font.size + 2, one.label, { name: "label halo" }),
      ];
    }
    const x = at.x(one.at);
    row += 1;
    const place = held(x, one.label, font, box.left, box.right);
    return [
      line(x, box.top + row * font.line - font.size * 0.4, x, box.bottom, "reference now"),
      text(place, box.top + (row - 1) * font.line + font.size * 0.6, one.label, {
        anchor: "middle",
        name: "label halo strong",
      }),
    ];
  });
}

function legendOf(panel, before) {
  const items = panel.series.map((one) => ({
    label: one.label,
    colour: one.colour,
    shape: shapeOf(one.colour),
    band: one.low?.length > 0,
    name: one.dashed ? "dashed" : "",
  }));
  return before ? [...items, { label: before.kept, colour: 7, name: "ghost" }] : items;
}

function nearest(xs, wanted) {
  let best = 0;
  xs.forEach((x, i) => {
    if (Math.abs(x - wanted) < Math.abs(xs[best] - wanted)) best = i;
  });
  return best;
}

/** Values of all series at the upright line, where there is one: what the class looks for, with its band. */
function values(panel) {
  const now = (panel.lines ?? []).find((one) => one.axis === "x");
  if (!now) return [];
  const write = valueWriter(panel.y);
  return panel.series.map((one) => {
    const i = nearest(one.x, now.at);
    const close = Math.abs(one.x[i] - now.at) < 0.02 * (panel.x.high - panel.x.low);
    if (!close || !KNOWN(one.y[i])) return [];
    return [write(one.y[i]), KNOWN(one.low?.[i]) ? `${write(one.low[i])} to ${write(one.high[i])}` : ""];
  });
}

class Curve {
  constructor(tools) {
    this.tools = tools;
    Object.assign(this, surrounded());
    this.readout = h("div", { class: "readout", hidden: true });
    this.held.append(this.readout);
    this.held.addEventListener("pointermove", (event) => this.point(event));
    this.held.addEventListener("pointerleave", () => this.leave());
  }

  draw(panel, { width, font, before }) {
    const height = Math.round(
      Math.min(Math.max(width * 0.52, 15 * font.size), 26 * font.size, Math.max(innerHeight * 0.42, 14 * font.size)),
    );
    const frame = plane({ width, height, x: panel.x, y: panel.y, font });
    Object.assign(this, { panel, frame });
    canvas(this.svg, width, height);
    const { at } = frame;
    const ghosts = before ? before.series.map((one) => curve(one, at, "ghost")) : [];
    this.cursor = s("g", {});
    const drawn = panel.series.flatMap((one) => [curve(one, at), ...marks(one, at)]);
    const bands = panel.series.map((one) => band(one, at)).filter(KNOWN);
    this.svg.replaceChildren(
      ...yGrid(frame),
      ...xAxis(frame),
      ...bands,
      ...ghosts,
      ...drawn,
      ...reference(panel, frame),
      this.cursor,
    );
    this.write(panel, before);
  }

  write(panel, before) {
    const used = new Set();
    this.tools.words.write(this.yName, panel.y.label, used);
    this.tools.words.write(this.xName, panel.x.label, used);
    legend(this.legend, legendOf(panel, before), this.tools.words, values(panel));
  }

  point(event) {
    if (!this.frame || !this.panel.series.length) return;
    const { box, x } = this.frame;
    const place = event.clientX - this.svg.getBoundingClientRect().left;
    const wanted = x.low + ((place - box.left) / (box.right - box.left)) * (x.high - x.low);
    const xs = this.panel.series[0].x;
    this.read(xs[nearest(xs, wanted)]);
  }

  read(value) {
    const { at, box, font } = this.frame;
    const write = valueWriter(this.panel.y);
    const rows = this.panel.series.map((one) => this.row(one, nearest(one.x, value), write));
    this.cursor.replaceChildren(line(at.x(value), box.top, at.x(value), box.bottom, "cursor"));
    this.readout.replaceChildren(
      h("strong", {}, `${this.panel.x.label}: ${number(value, Number.isInteger(value) ? 0 : 2)}`),
      ...rows,
    );
    this.readout.hidden = false;
    const wide = Math.min(this.readout.offsetWidth, box.right);
    const right = at.x(value) + 14;
    const left = right + wide > box.right + font.size ? at.x(value) - wide - 14 : right;
    this.readout.style.left = `${Math.max(left, 0)}px`;
    this.readout.style.top = `${box.top + font.line * 2}px`;
  }

  row(series, i, write) {
    const value = series.y[i];
    const range = KNOWN(series.low?.[i]) ? ` (${write(series.low[i])} to ${write(series.high[i])})` : "";
    return h(
      "div",
      {},
      swatch({ colour: series.colour, shape: shapeOf(series.colour), name: series.dashed ? "dashed" : "" }),
      h("span", {}, `${KNOWN(value) ? write(value) : "not known"}${range}`),
    );
  }

  leave() {
    this.readout.hidden = true;
    this.cursor?.replaceChildren();
  }
}

export const make = (tools) => new Curve(tools);
