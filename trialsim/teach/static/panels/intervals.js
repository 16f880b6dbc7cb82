// The dance: an interval for each replicate, the truth and no effect marked. They can be drawn one by one.

import { button, calm, h } from "../dom.js";
import { canvas, held, legend, line, mark, surrounded, text, xAxis } from "./parts.js";
import { number, scale, valueWriter } from "./scale.js";

const BEAT = 180; // [ms] between two trials that are drawn one by one

const SORTS = [
  { label: "p below the level: significant", colour: 0, shape: "circle" },
  { label: "not significant", colour: 7, shape: "circle", name: "open" },
];
const MISSES = { label: "interval misses the truth", colour: 1, name: "thick" };

function legendOf(panel) {
  return panel.truth && panel.rows.some((row) => row.covers === false) ? [...SORTS, MISSES] : SORTS;
}

/** Inside the picture, even where an interval is wider than it. */
function cut(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

class Intervals {
  constructor(tools) {
    this.tools = tools;
    Object.assign(this, surrounded());
    this.counts = h("ul", { class: "counts" });
    this.told = h("p", { class: "told" });
    this.play = button("Draw them one by one", () => this.toggle(), { class: "quiet" });
    this.element.append(this.counts, h("div", { class: "one-by-one" }, this.play, this.told));
    this.held.addEventListener("pointermove", (event) => this.point(event));
    this.held.addEventListener("pointerleave", () => this.tell(null));
    this.shown = null; // how many are drawn while they come one by one
  }

  draw(panel, how) {
    const { width, font } = how;
    Object.assign(this, { panel, how });
    const step = Math.min(Math.max((24 * font.size) / Math.max(panel.rows.length, 1), 3.6), 1.4 * font.size);
    const top = font.line * 2.2;
    const box = { left: 8, right: width - 8, top, bottom: top + step * panel.rows.length + 6 };
    const at = { x: scale(panel.x.low, panel.x.high, box.left, box.right), y: (i) => top + (i + 0.5) * step };
    this.frame = { box, at, font, step, x: panel.x };
    canvas(this.svg, width, Math.ceil(box.bottom + font.line + 10));
    const rows = panel.rows.slice(0, this.shown ?? panel.rows.length);
    this.svg.replaceChildren(
      ...xAxis(this.frame),
      ...this.marked(panel),
      ...rows.flatMap((row, i) => this.row(row, i)),
    );
    this.write(panel);
  }

  marked(panel) {
    const { box, at, font } = this.frame;
    const places = [
      [panel.nothing, "reference zero", 0],
      [panel.truth, "reference truth", 1],
    ];
    return places
      .filter(([place]) => place)
      .flatMap(([place, name, row]) => {
        const x = at.x(place.value);
        const y = font.size + row * font.line;
        const words = `${place.label}${row ? `: ${valueWriter(panel.x)(place.value)}` : ""}`;
        return [
          line(x, y + 4, x, box.bottom, name),
          text(held(x, words, font, box.left, box.right), y, words, { anchor: "middle", name: "label halo" }),
        ];
      });
  }

  row(row, i) {
    const { at, step } = this.frame;
    const { low, high } = this.panel.x;
    if (row.estimate === null) return [];
    const misses = row.covers === false;
    const colour = misses ? 1 : row.significant ? 0 : 7;
    const y = at.y(i);
    const bar = line(
      at.x(cut(row.low, low, high)),
      y,
      at.x(cut(row.high, low, high)),
      y,
      `interval c${colour} ${misses ? "thick" : ""}`,
    );
    const dot = mark(
      "circle",
      at.x(cut(row.estimate, low, high)),
      y,
      Math.min(Math.max(step * 0.42, 1.9), 5),
      `mark c${colour} ${row.significant ? "" : "open"}`,
    );
    return [bar, dot];
  }

  write(panel) {
    this.tools.words.write(this.xName, panel.x.label, new Set());
    this.yName.hidden = true;
    legend(this.legend, legendOf(panel), this.tools.words);
    const said = JSON.stringify(panel.counts);
    if (this.counts.dataset.said === said) return;
    this.counts.dataset.said = said;
    this.counts.replaceChildren(...panel.counts.map((one) => this.count(one)));
  }

  count(one) {
    const share = this.tools.share(one);
    return h(
      "li",
      {},
      h("strong", {}, share.head),
      h("span", {}, ...this.tools.words.found(one.label)),
      h("small", {}, share.error),
    );
  }

  sentence(row, i) {
    const write = valueWriter(this.panel.x);
    const p = row.p === null ? "" : `, p ${row.p < 0.001 ? "below 0.001" : `= ${number(row.p, 3)}`}`;
    return `Trial ${row.id ?? i}: ${write(row.estimate)} (${write(row.low)} to ${write(row.high)})${p}`;
  }

  tell(i) {
    const row = i === null ? null : this.panel?.rows[i];
    this.told.textContent = row && row.estimate !== null ? this.sentence(row, i) : "";
  }

  point(event) {
    if (!this.frame || this.shown !== null) return;
    const place = event.clientY - this.svg.getBoundingClientRect().top - this.frame.box.top;
    const i = Math.floor(place / this.frame.step);
    this.tell(i >= 0 && i < this.panel.rows.length ? i : null);
  }

  toggle() {
    if (this.shown === null) this.begin();
    else this.end();
  }

  begin() {
    this.shown = 0;
    this.play.textContent = "Show all";
    this.timer = setInterval(() => this.beat(), calm() ? 3 * BEAT : BEAT);
    this.beat();
  }

  beat() {
    if (!this.element.isConnected || this.shown >= this.panel.rows.length) {
      this.end();
      return;
    }
    this.shown += 1;
    this.draw(this.panel, this.how);
    this.tell(this.shown - 1);
  }

  end() {
    clearInterval(this.timer);
    this.shown = null;
    this.play.textContent = "Draw them one by one";
    this.draw(this.panel, this.how);
  }
}

export const make = (tools) => new Intervals(tools);
