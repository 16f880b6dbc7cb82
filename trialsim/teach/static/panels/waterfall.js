// What a sum is made of: totals stand on the ground, parts hang where the last one ended.

import { block, canvas, line, linesOf, rect, surrounded, text, xAxis } from "./parts.js";
import { errorText, number, scale, valueWriter, widthOf } from "./scale.js";

/** Steps as [from, to]: a total from 0, a part from where the last one ended. */
function reaches(steps) {
  let at = 0;
  return steps.map((step) => {
    const from = step.total ? 0 : at;
    at = step.total ? step.value : at + step.value;
    return [from, at];
  });
}

function colourOf(step) {
  return step.total ? 0 : step.value < 0 ? 1 : 2;
}

class Waterfall {
  constructor(tools) {
    this.tools = tools;
    Object.assign(this, surrounded());
    this.legend.hidden = true;
    this.yName.hidden = true;
  }

  said(step, panel) {
    const write = panel.y.percent ? (value) => number(100 * value, 1) : valueWriter(panel.y);
    const sign = step.total || step.value <= 0 ? "" : "+";
    const digits = (write(step.value).split(".")[1] ?? "").length;
    const mcse = panel.y.percent ? 100 * step.mcse : step.mcse;
    const error = step.mcse === null ? "" : ` ± ${errorText(mcse, digits)}`;
    return `${sign}${write(step.value)}${error}${panel.y.percent ? "%" : ""}`;
  }

  draw(panel, { width, font }) {
    const steps = panel.steps.filter((step) => step.value !== null);
    const values = steps.map((step) => this.said(step, panel));
    const room = Math.max(0, ...values.map((words) => widthOf(words, font.css))) * 1.1 + 14;
    const beside = width > 34 * font.size;
    const left = beside ? Math.round(width * 0.34) : 4;
    const label = beside ? left - 16 : width - room;
    const rows = steps.map(
      (step) =>
        (beside ? Math.max(linesOf(step.label, label, font), 1.4) : linesOf(step.label, label, font) + 1.2) *
          font.line +
        font.size * 0.9,
    );
    const box = {
      left,
      right: beside ? width - room : width - font.size,
      top: 4,
      bottom: rows.reduce((sum, row) => sum + row, 4),
    };
    const at = { x: scale(panel.y.low, panel.y.high, box.left, box.right) };
    canvas(this.svg, width, Math.ceil(box.bottom + font.line + 10));
    const how = { values, beside, box, at, font, width, label };
    this.svg.replaceChildren(...xAxis({ box, at, font, x: panel.y }), ...this.steps(steps, rows, how));
    this.tools.words.write(this.xName, panel.y.label, new Set());
  }

  steps(steps, rows, how) {
    const { box, at, font, beside } = how;
    const spans = reaches(steps);
    const drawn = [line(at.x(0), box.top, at.x(0), box.bottom, "axis")];
    let top = box.top;
    steps.forEach((step, i) => {
      const size = font.line * 1.2;
      const y = beside ? top + (rows[i] - size) / 2 : top + rows[i] - size - font.size * 0.5;
      if (i + 1 < steps.length)
        drawn.push(line(at.x(spans[i][1]), y + size, at.x(spans[i][1]), top + rows[i] + rows[i + 1] / 2, "grid"));
      drawn.push(...this.step(step, spans[i], { y, size, top, words: how.values[i], ...how }));
      top += rows[i];
    });
    return drawn;
  }

  step(step, [from, to], { y, size, top, words, beside, box, at, font, width, label }) {
    const [x1, x2] = [at.x(Math.min(from, to)), at.x(Math.max(from, to))];
    const error = step.mcse === null ? 0 : Math.abs(at.x(1.96 * step.mcse) - at.x(0));
    const middle = top + (linesOf(step.label, label, font) * font.line) / 2 + font.size * 0.2;
    const name = beside
      ? block(box.left - 12, y + size / 2, step.label, label, font)
      : block(4, middle, step.label, label, font, { anchor: "start" });
    const value = beside
      ? text(Math.max(x2, at.x(to) + error) + 8, y + size * 0.7, words, { name: "label strong" })
      : text(width - 4, top + font.line * 0.5 + font.size * 0.55, words, { anchor: "end", name: "label strong" });
    const bar = rect(x1, y, Math.max(x2 - x1, 2), size, `bar c${colourOf(step)} ${step.total ? "" : "part"}`);
    const whisker = error ? [line(at.x(to) - error, y + size / 2, at.x(to) + error, y + size / 2, "whisker")] : [];
    return [...name, bar, ...whisker, value];
  }
}

export const make = (tools) => new Waterfall(tools);
