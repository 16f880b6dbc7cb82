// Ways of estimating: where their replicates lie, their mean, and what they should find.

import { h } from "../dom.js";
import { canvas, held, legend, line, mark, picture, text, whisker, xAxis } from "./parts.js";
import { scale, valueWriter } from "./scale.js";

const GOLDEN = 0.6180339887;

/** A strip for one way of estimating: dots, range, mean, truth. */
class Strip {
  constructor(tools) {
    this.tools = tools;
    this.name = h("h3", { class: "strip-name" });
    this.facts = h("ul", { class: "facts" });
    this.svg = picture();
    this.element = h("div", { class: "strip" }, h("div", { class: "strip-head" }, this.name, this.facts), this.svg);
  }

  draw(group, panel, { width, font, before }) {
    const height = Math.round(font.size * 4.4);
    const at = scale(panel.x.low, panel.x.high, 8, width - 8);
    const write = valueWriter(panel.x);
    canvas(this.svg, width, height);
    this.svg.setAttribute("aria-label", `${group.label}: mean ${write(group.mean ?? NaN)}`);
    const old = before && before.mean !== null ? [mark("diamond", at(before.mean), height * 0.78, 9, "mark old")] : [];
    const parts = [
      this.zero(panel, at, height),
      this.truth(group, at, { width, height, font, write }),
      this.dots(group, at, height),
      old,
      this.range(group, at, height),
    ];
    this.svg.replaceChildren(...parts.flat());
    this.write(group);
  }

  zero(panel, at, height) {
    return panel.nothing === null ? [] : [line(at(panel.nothing), 0, at(panel.nothing), height, "reference zero")];
  }

  truth(group, at, { width, height, font, write }) {
    if (group.truth === null) return [];
    const words = `${group.truth_label || "truth"}: ${write(group.truth)}`;
    const x = at(group.truth);
    const label = text(held(x, words, font, 0, width), font.size, words, { anchor: "middle", name: "label halo" });
    return [line(x, font.size * 1.3, x, height, "reference truth"), label];
  }

  dots(group, at, height) {
    const middle = height * 0.62;
    return (group.sample ?? [])
      .filter((value) => value !== null)
      .map((value, i) => {
        const jitter = (((i + 1) * GOLDEN) % 1) - 0.5;
        return mark("circle", at(value), middle + jitter * height * 0.42, 2.6, `dot-mark c${group.colour}`);
      });
  }

  range(group, at, height) {
    if (group.mean === null) return [];
    const y = height * 0.78;
    const ends = group.low === null ? [] : whisker(at(group.low), at(group.high), y, 10, `stroke c${group.colour}`);
    const error =
      group.mcse === null
        ? []
        : [
            line(
              at(group.mean - 1.96 * group.mcse),
              y,
              at(group.mean + 1.96 * group.mcse),
              y,
              `error c${group.colour}`,
            ),
          ];
    return [...ends, ...error, mark("diamond", at(group.mean), y, 6, `mark edged c${group.colour}`)];
  }

  write(group) {
    this.tools.words.write(this.name, group.label, new Set());
    const said = JSON.stringify(group.facts);
    if (this.facts.dataset.said === said) return;
    this.facts.dataset.said = said;
    const used = new Set();
    const rows = (group.facts ?? []).map((fact) =>
      h("li", {}, h("span", {}, ...this.tools.words.found(fact.label, used)), " ", h("strong", {}, fact.text)),
    );
    this.facts.replaceChildren(...rows);
  }
}

class Estimates {
  constructor(tools) {
    this.tools = tools;
    this.legend = h("ul", { class: "legend" });
    this.strips = h("div", { class: "strips" });
    this.axis = picture();
    this.axis.setAttribute("role", "presentation");
    this.xName = h("p", { class: "axis-name level" });
    this.element = h(
      "div",
      { class: "surrounded" },
      this.legend,
      this.strips,
      h("div", { class: "chart-box" }, this.axis),
      this.xName,
    );
    this.made = [];
  }

  svgs() {
    return [];
  }

  draw(panel, how) {
    const { width, font, before } = how;
    while (this.made.length > panel.groups.length) this.made.pop();
    while (this.made.length < panel.groups.length) this.made.push(new Strip(this.tools));
    this.strips.replaceChildren(...this.made.map((strip) => strip.element));
    panel.groups.forEach((group, i) => {
      const old = before?.groups.find((one) => one.key === group.key);
      this.made[i].draw(group, panel, { width, font, before: old });
    });
    canvas(this.axis, width, font.line + 14);
    const box = { left: 8, right: width - 8, bottom: 4 };
    this.axis.replaceChildren(
      ...xAxis({ box, at: { x: scale(panel.x.low, panel.x.high, 8, width - 8) }, font, x: panel.x }),
    );
    this.tools.words.write(this.xName, panel.x.label, new Set());
    legend(
      this.legend,
      before ? [{ label: before.kept, colour: 7, shape: "diamond", name: "old", line: false }] : [],
      this.tools.words,
    );
  }
}

export const make = (tools) => new Estimates(tools);
