// Parts that charts share: frames, axes, legends, marks. Colours are classes, so that dark and light need no new drawing.

import { h, s } from "../dom.js";
import { lines as wrapped, scale, tickWriter, ticks, widthOf } from "./scale.js";

/** The font of charts, as the page has it now. */
export function fontOf(element) {
  const style = getComputedStyle(element);
  const size = parseFloat(style.fontSize) || 15;
  return { size, line: size * 1.3, css: `${size}px ${style.fontFamily}` };
}

export function text(x, y, words, { anchor = "start", name = "label" } = {}) {
  return s("text", { x, y, "text-anchor": anchor, class: name }, words);
}

export function line(x1, y1, x2, y2, name) {
  return s("line", { x1, y1, x2, y2, class: name });
}

export function rect(x, y, width, height, name) {
  return s("rect", { x, y, width: Math.max(width, 0), height: Math.max(height, 0), class: name });
}

const SHAPES = {
  circle: (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
  square: (r) => `M${-r * 0.9} ${-r * 0.9}h${1.8 * r}v${1.8 * r}h${-1.8 * r}z`,
  triangle: (r) => `M0 ${-1.15 * r}L${1.1 * r} ${0.85 * r}H${-1.1 * r}z`,
  diamond: (r) => `M0 ${-1.3 * r}L${1.3 * r} 0L0 ${1.3 * r}L${-1.3 * r} 0z`,
};
const ORDER = ["circle", "square", "triangle", "diamond"];

/** The shape that goes with a colour: nobody has to tell arms apart by colour alone. */
export function shapeOf(colour) {
  return ORDER[colour % ORDER.length];
}

export function mark(shape, x, y, r, name) {
  return s("path", { d: SHAPES[shape](r), transform: `translate(${x} ${y})`, class: name });
}

/** An SVG of this size; what it shows is said by its name, the numbers by the table. */
export function canvas(element, width, height) {
  element.setAttribute("width", width);
  element.setAttribute("height", height);
  element.setAttribute("viewBox", `0 0 ${width} ${height}`);
}

export function picture() {
  return s("svg", { class: "chart", role: "img" });
}

/** Scales, ticks and grid of a plot with two axes. */
export function plane({ width, height, x, y, font, xTicks = true }) {
  const yValues = ticks(y.low, y.high, Math.max(2, Math.floor(height / (font.size * 3.2))));
  const yWrite = tickWriter(yValues, y.percent);
  const left = Math.ceil(Math.max(...yValues.map((value) => widthOf(yWrite(value), font.css)))) + 10;
  const box = {
    left,
    right: width - Math.ceil(font.size),
    top: font.size,
    bottom: height - (xTicks ? font.line + 8 : 8),
  };
  const at = { x: x && scale(x.low, x.high, box.left, box.right), y: scale(y.low, y.high, box.bottom, box.top) };
  return { box, at, yValues, yWrite, font, x, y };
}

export function yGrid({ box, at, yValues, yWrite, font }) {
  return yValues.flatMap((value) => [
    line(box.left, at.y(value), box.right, at.y(value), "grid"),
    text(box.left - 8, at.y(value) + font.size * 0.35, yWrite(value), { anchor: "end", name: "tick" }),
  ]);
}

export function xAxis({ box, at, font, x }) {
  const count = Math.max(2, Math.floor((box.right - box.left) / (font.size * 5)));
  const values = ticks(x.low, x.high, count);
  const write = tickWriter(values, x.percent);
  return [
    line(box.left, box.bottom, box.right, box.bottom, "axis"),
    ...values.flatMap((value) => [
      line(at.x(value), box.bottom, at.x(value), box.bottom + 5, "axis"),
      text(at.x(value), box.bottom + font.line + 4, write(value), { anchor: "middle", name: "tick" }),
    ]),
  ];
}

/** A label that stays inside from..to, whatever place it belongs to. */
export function held(at, words, font, from, to) {
  const half = widthOf(words, font.css) / 2;
  return Math.min(Math.max(at, from + half), Math.max(to - half, from + half));
}

/** A small picture of what a curve, bar or mark looks like. */
export function swatch(item) {
  const svg = s("svg", { class: "swatch", width: 30, height: 16, viewBox: "0 0 30 16", "aria-hidden": "true" });
  if (item.band) svg.append(rect(1, 3, 28, 10, `band c${item.colour}`));
  if (item.bar) svg.append(rect(7, 1, 16, 14, `bar c${item.colour}`));
  if (item.line !== false && !item.bar)
    svg.append(
      line(1, 8, 29, 8, item.name === "reference" ? "reference" : `stroke c${item.colour} ${item.name ?? ""}`),
    );
  if (item.shape) svg.append(mark(item.shape, 15, 8, 5, `mark c${item.colour} ${item.name ?? ""}`));
  return svg;
}

/** What stands for what, with values if there are any. Made anew only when it names other things: the focus survives. */
export function legend(element, items, words, values = []) {
  const said = JSON.stringify(items);
  if (element.dataset.said !== said) {
    const used = new Set();
    const entry = (item) => h("span", {}, ...words.found(item.label, used), " ", h("strong"), h("small"));
    element.replaceChildren(...items.map((item) => h("li", {}, swatch(item), entry(item))));
  }
  element.dataset.said = said;
  element.hidden = items.length === 0;
  items.forEach((_, i) => {
    const [value = "", range = ""] = values[i] ?? [];
    element.children[i].querySelector("strong").textContent = value;
    element.children[i].querySelector("small").textContent = range && ` (${range})`;
  });
}

/** A chart with words around it: legend, name of the upright axis, drawing, name of the level axis. */
export function surrounded() {
  const parts = {
    legend: h("ul", { class: "legend" }),
    yName: h("p", { class: "axis-name upright" }),
    svg: picture(),
    xName: h("p", { class: "axis-name level" }),
  };
  const held = h("div", { class: "chart-box" }, parts.svg);
  const element = h("div", { class: "surrounded" }, parts.legend, parts.yName, held, parts.xName);
  return { ...parts, element, held };
}

/** A label in several lines, the last of them ending at `bottom` or the block centred on `middle`. */
export function block(x, middle, words, width, font, { anchor = "end", name = "label" } = {}) {
  const rows = wrapped(words, width, font.css);
  const first = middle - ((rows.length - 1) * font.line) / 2 + font.size * 0.35;
  return rows.map((row, i) => text(x, first + i * font.line, row, { anchor, name }));
}

/** How many lines a label needs. */
export function linesOf(words, width, font) {
  return wrapped(words, width, font.css).length;
}

/** A whisker lying down, with small ends. */
export function whisker(low, high, y, size, name) {
  const end = size / 2;
  return [
    line(low, y, high, y, name),
    line(low, y - end, low, y + end, name),
    line(high, y - end, high, y + end, name),
  ];
}
