// Sliders with a number beside, and choices. They say `onInput` while they move and `onRest` when they have come to rest.

import { button, h, icon, newId } from "./dom.js";
import { decimals, onStep } from "./state.js";

const REST = 220; // [ms] after the last key press a slider is at rest

function words(knob, value) {
  const gap = knob.unit && knob.unit !== "%" ? " " : "";
  return `${value}${gap}${knob.unit ?? ""}`;
}

function info(knob) {
  if (!knob.tip) return null;
  return h(
    "button",
    { type: "button", class: "info", "data-tip": knob.tip, "aria-label": `About: ${knob.label}` },
    "?",
  );
}

/** A number: slider, box, unit, and a button that puts it back. */
class NumberKnob {
  constructor(knob, { onInput, onRest }) {
    Object.assign(this, { knob, onInput, onRest });
    this.range = h("input", { type: "range", id: newId("knob"), min: knob.low, max: knob.high, step: knob.step });
    this.box = h("input", {
      type: "number",
      min: knob.low,
      max: knob.high,
      step: "any",
      class: "box",
      "aria-label": `${knob.label}, as a number`,
    });
    this.fault = h("p", { class: "knob-fault", role: "alert", hidden: true });
    this.back = button(icon("reset"), () => this.reset(), {
      class: "reset",
      "aria-label": `Put back: ${knob.label}`,
      title: "Put back",
    });
    this.element = this.build();
    this.listen();
  }

  build() {
    const { knob } = this;
    this.notch = h("span", { class: "notch", "aria-hidden": "true" });
    const unit = knob.unit ? [", ", h("span", { class: "unit" }, knob.unit)] : [];
    const head = h(
      "div",
      { class: "knob-head" },
      h("label", { for: this.range.id }, knob.label, ...unit),
      info(knob),
      this.back,
    );
    const slider = h("div", { class: "slider" }, this.notch, this.range);
    return h("div", { class: "knob", "data-knob": knob.name }, head, slider, this.box, this.fault);
  }

  listen() {
    this.range.addEventListener("pointerdown", () => (this.byPointer = true));
    this.range.addEventListener("keydown", () => (this.byPointer = false));
    this.range.addEventListener("input", () => this.moved(Number(this.range.value)));
    this.range.addEventListener("change", () => this.rest());
    this.box.addEventListener("change", () => this.typed());
  }

  /** Put a value on slider and box without telling anybody. */
  set(value, base) {
    this.value = value;
    if (base !== undefined) this.base = base;
    this.range.value = String(value);
    this.range.setAttribute("aria-valuetext", words(this.knob, this.short(value)));
    this.box.value = this.short(value);
    this.range.style.setProperty("--part", this.part(value));
    this.notch.style.setProperty("--part", this.part(this.base));
    this.back.hidden = value === this.base;
    this.fault.hidden = true;
  }

  /** As it is shown: the design's own value may have more digits than a step. */
  short(value) {
    return String(Number(value.toFixed(decimals(this.knob.step) + 1)));
  }

  part(value) {
    const { low, high } = this.knob;
    return String(high > low ? (value - low) / (high - low) : 0);
  }

  /** The design's own value need not lie on a step; the slider finds it again all the same. */
  near(raw) {
    const value = onStep(this.knob, raw);
    return Math.abs(value - this.base) < this.knob.step / 2 ? this.base : value;
  }

  moved(raw) {
    this.set(this.near(raw));
    this.onInput(this.knob, this.value);
  }

  /** A pointer lets go once; keys come one after another, so wait for the last. */
  rest() {
    clearTimeout(this.timer);
    if (this.byPointer) this.onRest(this.knob, this.value);
    else this.timer = setTimeout(() => this.onRest(this.knob, this.value), REST);
  }

  typed() {
    const { knob } = this;
    const number = this.box.value.trim() === "" ? NaN : Number(this.box.value);
    const outside = !Number.isFinite(number) || number < knob.low || number > knob.high;
    const kept = Number.isFinite(number) ? this.near(number) : this.value;
    this.set(kept);
    this.onInput(knob, kept);
    this.onRest(knob, kept);
    if (!outside) return;
    this.fault.textContent = `From ${words(knob, knob.low)} to ${words(knob, knob.high)}.`;
    this.fault.hidden = false;
  }

  reset() {
    this.range.focus();
    this.set(this.base);
    this.onInput(this.knob, this.value);
    this.onRest(this.knob, this.value);
  }
}

/** One of several: radio buttons. */
class ChoiceKnob {
  constructor(knob, { onInput, onRest }) {
    Object.assign(this, { knob, onInput, onRest, radios: [] });
    const name = newId("choice");
    const rows = knob.choices.map((choice) => this.row(choice, name));
    const legend = h("legend", {}, h("span", {}, knob.label), info(knob));
    this.element = h("fieldset", { class: "knob choice", "data-knob": knob.name }, legend, ...rows);
  }

  row(choice, name) {
    const radio = h("input", { type: "radio", name, value: String(choice.value) });
    radio.addEventListener("change", () => {
      this.set(choice.value);
      this.onInput(this.knob, this.value);
      this.onRest(this.knob, this.value);
    });
    this.radios.push([choice.value, radio]);
    return h("label", { class: "option" }, radio, h("span", {}, choice.label));
  }

  set(value, base) {
    this.value = value;
    if (base !== undefined) this.base = base;
    for (const [own, radio] of this.radios) radio.checked = own === value;
  }

  reset() {
    this.set(this.base);
  }
}

function groups(knobs) {
  const found = new Map();
  for (const knob of knobs) found.set(knob.group, [...(found.get(knob.group) ?? []), knob]);
  return [...found];
}

/** All knobs of a scene or step, in groups. */
export class Knobs {
  constructor(knobs, how) {
    this.made = new Map(knobs.map((knob) => [knob.name, this.make(knob, how)]));
    const parts = groups(knobs);
    this.element = h(
      "div",
      { class: "knobs" },
      ...parts.map(([name, members]) => this.group(name, members, parts.length > 1)),
    );
  }

  make(knob, how) {
    return knob.kind === "choice" ? new ChoiceKnob(knob, how) : new NumberKnob(knob, how);
  }

  group(name, members, headed) {
    const rows = members.map((knob) => this.made.get(knob.name).element);
    if (!headed) return h("div", { class: "knob-group" }, ...rows);
    const id = newId("group");
    return h("div", { class: "knob-group", role: "group", "aria-labelledby": id }, h("h3", { id }, name), ...rows);
  }

  /** Values and where they began, without telling anybody. */
  set(values, base) {
    for (const [name, knob] of this.made) knob.set(values[name], base?.[name]);
  }
}
