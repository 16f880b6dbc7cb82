// Published against simulated: two things, never one. Each row has its own scale, centred on what was published.

import { h } from "../dom.js";
import { canvas, legend, line, mark, picture, rect } from "./parts.js";
import { errorText, number, scale } from "./scale.js";

const WIDTH = 170;
const HEIGHT = 26;
const LEGEND = [
  { label: "published, its range in grey", colour: 6, shape: "diamond", line: false },
  { label: "simulated, with its Monte Carlo error", colour: 0, shape: "circle" },
];
const SORTS = {
  fitted: "Fitted: the design's numbers were chosen so that this value is met.",
  predicted: "Predicted: nothing was fitted to this value.",
  benchmark: "Benchmark: a published value without a comparison group; it is shown beside, and is not an effect.",
};

function digits(value) {
  const size = Math.abs(value);
  return Number.isInteger(value) || size >= 100 ? 0 : size >= 10 ? 1 : 2;
}

function shown(value) {
  return value === null ? "–" : number(value, digits(value));
}

/** Where the simulated value lies, in a picture: grey is the range, the diamond what was published. */
function place(row) {
  const svg = picture();
  svg.removeAttribute("role");
  canvas(svg, WIDTH, HEIGHT);
  svg.setAttribute("aria-hidden", "true");
  const far =
    Math.max(Math.abs(row.simulated - row.published), (row.high ?? row.published) - (row.low ?? row.published), 1e-9) *
    1.25;
  const at = scale(row.published - far, row.published + far, 8, WIDTH - 8);
  if (row.low !== null && row.high !== null)
    svg.append(rect(at(row.low), 5, at(row.high) - at(row.low), HEIGHT - 10, "tolerance"));
  svg.append(
    line(8, HEIGHT / 2, WIDTH - 8, HEIGHT / 2, "grid"),
    mark("diamond", at(row.published), HEIGHT / 2, 5, "mark c6"),
  );
  const error = 1.96 * (row.mcse ?? 0);
  svg.append(
    line(at(row.simulated - error), HEIGHT / 2, at(row.simulated + error), HEIGHT / 2, "stroke c0"),
    mark("circle", at(row.simulated), HEIGHT / 2, 5, "mark edged c0"),
  );
  return svg;
}

function verdict(row) {
  if (row.inside === null) return h("span", { class: "verdict" }, "shown beside");
  return h("span", { class: `verdict ${row.inside ? "in" : "out"}` }, row.inside ? "✓ inside" : "✕ outside");
}

function sortOf(row) {
  const tip = SORTS[row.sort];
  return tip ? h("button", { type: "button", class: "term", "data-tip": tip }, row.sort) : row.sort;
}

class Published {
  constructor(tools) {
    this.tools = tools;
    this.legend = h("ul", { class: "legend" });
    this.rows = h("ul", { class: "compared" });
    this.element = h("div", { class: "published" }, this.legend, this.rows);
  }

  draw(panel) {
    const said = JSON.stringify(panel.rows);
    if (this.said === said) return;
    this.said = said;
    const used = new Set();
    const rows = panel.rows.filter((row) => row.published !== null && row.simulated !== null);
    this.rows.replaceChildren(...rows.map((row) => this.row(row, used)));
    legend(this.legend, LEGEND, this.tools.words);
  }

  row(row, used) {
    const range = row.low !== null && row.high !== null ? ` (${shown(row.low)} to ${shown(row.high)})` : "";
    const error = row.mcse === null ? "" : ` ± ${errorText(row.mcse, Math.max(digits(row.simulated), 1))}`;
    return h(
      "li",
      {},
      h("div", { class: "what" }, ...this.tools.words.found(row.label, used)),
      h("div", { class: "place" }, place(row)),
      h(
        "div",
        { class: "pair" },
        h("div", {}, `published ${shown(row.published)}${range}`),
        h("div", {}, "simulated ", h("strong", {}, shown(row.simulated)), h("span", { class: "error" }, error)),
      ),
      verdict(row),
      h("small", { class: "source" }, sortOf(row), row.source ? `: ${row.source}` : ""),
    );
  }
}

export const make = (tools) => new Published(tools);
