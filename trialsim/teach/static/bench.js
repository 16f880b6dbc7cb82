// Knobs and the answer they lead to: what the free page and the lessons share.

import { Refusal } from "./api.js";
import { Asker } from "./asker.js";
import { copyField, openDialog, saveFile } from "./dialogs.js";
import { button, h, icon, newId, say } from "./dom.js";
import { Knobs } from "./knobs.js";
import { Board } from "./panels/board.js";
import { FULL, REPLICATES } from "./state.js";

const LARGEST_SEED = 2 ** 31 - 1;

/** A button with fewer words where there is little room; its name is always the long one. */
function wordy(long, short, onClick, attributes = {}) {
  const words = [h("span", { class: "long" }, long), h("span", { class: "short", "aria-hidden": "true" }, short)];
  return button(words, onClick, { "aria-label": long, ...attributes });
}

/** Where an answer's status, or what went wrong, stands. */
class Status {
  constructor({ again, many, onMany }) {
    this.text = h("span", { class: "status-text" });
    this.again = button("Try again", again, { class: "quiet", hidden: true });
    this.count = h("span", { class: "status-count" });
    this.many = h(
      "select",
      { class: "many", "aria-label": "Replicates: how many trials are simulated" },
      ...REPLICATES.map((one) => h("option", { value: String(one) }, `${one.toLocaleString("en-US")} replicates`)),
    );
    this.many.value = String(many);
    this.many.addEventListener("change", () => onMany(Number(this.many.value)));
    this.element = h(
      "div",
      { class: "status" },
      this.text,
      this.again,
      h("span", { class: "status-end" }, this.count, this.many),
    );
  }

  show({ kind, text }) {
    this.element.dataset.kind = kind;
    if (this.text.textContent !== text) this.text.textContent = text;
    this.text.setAttribute("role", kind === "error" || kind === "away" ? "alert" : "none");
    this.again.hidden = kind !== "error" && kind !== "away";
  }

  answered({ replicates, seconds }, settled) {
    const fewer = replicates < Number(this.many.value) ? `${replicates} of` : "";
    this.count.textContent = settled && !fewer && seconds >= 0.05 ? `${seconds.toFixed(1)} s for` : fewer;
  }
}

/** Knobs, board and everything between. `onMove(values, seed)` is told when they come to rest. */
export class Bench {
  constructor(app, { scene, knobs, base, values, view, seed, replicates, onMove, hidden = false, saysFirst = false }) {
    Object.assign(this, { app, scene, base, values, view, seed, onMove, hidden });
    this.full = replicates ?? FULL;
    this.asker = new Asker({
      api: app.api,
      full: this.full,
      onAnswer: (answer, how) => this.answered(answer, how),
      onStatus: (status) => this.told(status),
    });
    this.knobs = new Knobs(knobs, { onInput: (knob, value) => this.input(knob, value), onRest: () => this.rest() });
    this.knobs.set(values, base);
    this.says = h("div", { class: "says" });
    this.board = new Board(app.words, { beside: saysFirst ? null : this.says });
    this.status = new Status({
      again: () => this.asker.again(),
      many: this.full,
      onMany: (many) => this.setMany(many),
    });
    this.top = h("div", { class: "bench-top" }, this.status.element);
    this.element = h("div", { class: "bench", hidden }, this.top, saysFirst ? this.says : null, this.board.element);
    this.look = () => this.board.frames.forEach((frame) => frame.again());
    addEventListener("look", this.look);
  }

  question() {
    return { scene: this.scene.name, view: this.view, values: this.values, seed: this.seed };
  }

  ask() {
    this.element.dataset.settled = "false";
    this.asker.rest(this.question());
  }

  input(knob, value) {
    this.values = { ...this.values, [knob.name]: value };
    this.element.dataset.settled = "false";
    this.asker.quick(this.question());
  }

  rest() {
    this.onMove(this.values, this.seed, this.full === FULL ? null : this.full);
    this.ask();
  }

  /** Values and luck from elsewhere: all of them at once. */
  put(values, seed = this.seed) {
    this.values = values;
    this.seed = seed;
    this.knobs.set(values, this.base);
    if (this.seedBox) this.seedBox.value = String(seed);
    this.rest();
  }

  answered(answer, { settled }) {
    this.answer = answer;
    this.board.show(answer.panels);
    this.status.answered(answer, settled);
    this.element.dataset.settled = String(settled);
    this.element.dataset.sequence = String(answer.sequence);
    this.speak(answer, settled);
  }

  speak(answer, settled) {
    const said = answer.says ?? [];
    const used = new Set();
    const text = said.join("\n");
    if (this.says.dataset.text !== text)
      this.says.replaceChildren(...said.map((sentence) => h("p", {}, ...this.app.words.found(sentence, used))));
    this.says.dataset.text = text;
    if (settled && !this.hidden) say(said.join(" "));
  }

  told(status) {
    this.status.show(status);
    this.element.classList.toggle("waiting", status.kind !== "done");
  }

  /** Show what was asked for beforehand (the answer to a question). */
  reveal() {
    this.hidden = false;
    this.element.hidden = false;
    this.board.frames.forEach((frame) => frame.again());
    if (this.answer) this.speak(this.answer, true);
  }

  close() {
    removeEventListener("look", this.look);
    this.asker.stop();
    this.board.close();
  }

  // --- what stands around it ---------------------------------------------------------------------------------------

  /** Luck: the seed, and a button for other luck. */
  luck() {
    const id = newId("seed");
    const tip =
      "The seed fixes all luck: the same seed gives the same people and the same numbers again. Another one gives other people.";
    this.seedBox = h("input", { id, type: "number", min: "0", max: String(LARGEST_SEED), step: "1", class: "box" });
    this.seedBox.value = String(this.seed);
    this.seedBox.addEventListener("change", () => this.setSeed(Number(this.seedBox.value)));
    const info = h(
      "button",
      { type: "button", class: "info", "data-tip": tip, "aria-label": "About: Luck (seed)" },
      "?",
    );
    const other = button("Other luck", () => this.setSeed(this.seed + 1));
    const head = h("div", { class: "knob-head" }, h("label", { for: id }, "Luck (seed)"), info);
    return h("div", { class: "luck" }, head, h("div", { class: "luck-row" }, other, this.seedBox));
  }

  setSeed(seed) {
    const whole = Number.isFinite(seed) ? Math.min(Math.max(Math.round(seed), 0), LARGEST_SEED) : this.seed;
    this.put(this.values, whole);
  }

  /** More replicates, less Monte Carlo error. */
  setMany(many) {
    this.full = many;
    this.asker.full = many;
    this.rest();
  }

  resetAll() {
    return button([icon("reset"), "Put all back"], () => this.put(this.base, this.scene.seed), { class: "quiet" });
  }

  /** Keep the picture as it is now in grey, to compare with. */
  keeper() {
    const keep = wordy(
      "Keep to compare",
      "Keep",
      () => {
        const kept = this.board.kept === null;
        this.board.keep(kept ? "before" : null);
        keep.setAttribute("aria-pressed", String(kept));
      },
      {
        "aria-pressed": "false",
        "data-tip": "What you see now stays behind in grey while you move on; press again to take it away.",
      },
    );
    return keep;
  }

  actions() {
    return h(
      "div",
      { class: "actions" },
      this.keeper(),
      wordy("Download this design", "Download", () => this.download()),
      wordy("Open in the command line", "Command", () => this.command()),
    );
  }

  /** As many replicates as the numbers on the screen rest on (a slow design may have had fewer than were asked for). */
  restsOn() {
    return this.answer?.replicates ?? this.full;
  }

  async design() {
    try {
      return await this.app.api.post("/api/design", { ...this.question(), replicates: this.restsOn() });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.told({ kind: "error", text: error.message });
      return null;
    }
  }

  async download() {
    const design = await this.design();
    if (design) saveFile(design.filename, design.yaml);
  }

  async command() {
    const design = await this.design();
    if (!design) return;
    const save = button("Download the design", () => saveFile(design.filename, design.yaml), { class: "primary" });
    openDialog(
      "Open in the command line",
      h(
        "ol",
        { class: "how" },
        h("li", {}, h("p", {}, "Save the design that is on the screen as ", h("code", {}, design.filename), "."), save),
        h(
          "li",
          {},
          h("p", {}, "In a terminal, in the folder where it was saved:"),
          copyField("Command", design.command, { rows: 3 }),
        ),
      ),
      h(
        "p",
        { class: "note" },
        `The command runs the same ${this.restsOn()} replicates with the same luck (seed ${this.seed}): its numbers are those on the screen.`,
      ),
    );
  }
}
