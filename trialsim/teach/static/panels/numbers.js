// Numbers that stand alone, each with its Monte Carlo error.

import { h } from "../dom.js";

function tile() {
  const parts = { name: h("dt"), value: h("dd", { class: "value" }), old: h("dd", { class: "old", hidden: true }) };
  return { ...parts, element: h("div", { class: "tile" }, parts.name, parts.value, parts.old) };
}

/** "26.9 ± 0.2" as a large number and a small error. */
function valueNodes({ text, unit }) {
  const [value, error] = String(text).split("±");
  const joint = unit === "%" ? "%" : ` ${unit}`;
  const after = unit && !String(text).includes(unit) ? joint : "";
  if (error === undefined) return [h("strong", {}, value.trim()), h("span", {}, after)];
  return [h("strong", {}, value.trim()), h("span", { class: "error" }, ` ± ${error.trim()}${after}`)];
}

class Numbers {
  constructor(tools) {
    this.tools = tools;
    this.element = h("dl", { class: "tiles" });
    this.made = new Map();
  }

  draw(panel, { before }) {
    const used = new Set();
    const order = panel.items.map((item) => this.one(item, before, used));
    const same =
      order.length === this.element.children.length &&
      order.every((element, i) => element === this.element.children[i]);
    if (!same) this.element.replaceChildren(...order);
  }

  one(item, before, used) {
    if (!this.made.has(item.key)) this.made.set(item.key, tile());
    const made = this.made.get(item.key);
    this.name(made.name, item, used);
    made.value.replaceChildren(...valueNodes(item));
    const old = before?.items.find((one) => one.key === item.key);
    made.old.hidden = !old;
    if (old) made.old.replaceChildren("before: ", ...valueNodes(old));
    return made.element;
  }

  /** The name explains itself where the item has a tip; otherwise its words do. */
  name(element, item, used) {
    const said = `${item.label}\n${item.tip}`;
    if (element.dataset.said === said) return;
    element.dataset.said = said;
    const plain = item.tip
      ? [h("button", { type: "button", class: "term", "data-tip": item.tip }, item.label)]
      : this.tools.words.found(item.label, used);
    element.replaceChildren(...plain);
  }
}

export const make = (tools) => new Numbers(tools);
