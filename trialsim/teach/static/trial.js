// One trial, day by day: which one, and the replay of it.

import { Refusal, Stale } from "./api.js";
import { button, calm, h, newId } from "./dom.js";
import { moved, settle } from "./state.js";

const LARGEST = 999;

export class Trial {
  constructor(app, state, scene) {
    this.title = "Watch a trial";
    const base = settle({}, scene.knobs, {}).values;
    const { values, left } = settle(state.values, scene.knobs, {});
    Object.assign(this, { app, scene, base, values, left });
    this.seed = state.seed ?? scene.seed;
    this.replicate = state.replicate ?? 0;
    this.place = h("div", { class: "replay-place" });
    this.status = h("div", { class: "status" });
    this.element = this.build();
    this.note();
    this.load();
  }

  build() {
    const changed = Object.keys(moved(this.values, this.base)).length;
    const sliders = changed ? ` ${changed} ${changed === 1 ? "slider is" : "sliders are"} moved.` : "";
    const lead = h(
      "p",
      { class: "lead" },
      `One simulated trial from its first day to its last: ${this.scene.title}.${sliders}`,
    );
    const which = h(
      "div",
      { class: "which" },
      this.box("seed", "Luck (seed)", 2 ** 31 - 1),
      this.box("replicate", "Replicate", LARGEST),
      button("Next replicate", () => this.change("replicate", this.replicate + 1)),
    );
    const head = h(
      "div",
      { class: "page-head lesson-head" },
      h("div", {}, h("h1", { tabindex: "-1" }, "Watch a trial"), lead),
      which,
    );
    return h("div", { class: "page trial" }, head, this.status, this.place);
  }

  box(name, label, high) {
    const id = newId(name);
    const box = h("input", { id, type: "number", min: "0", max: String(high), step: "1", class: "box" });
    box.value = String(this[name]);
    box.addEventListener("change", () => this.change(name, Number(box.value), high));
    this[`${name}Box`] = box;
    return h("label", { class: "field", for: id }, h("span", {}, label), box);
  }

  change(name, value, high = LARGEST) {
    if (Number.isFinite(value)) this[name] = Math.min(Math.max(Math.round(value), 0), high);
    this[`${name}Box`].value = String(this[name]);
    this.note();
    this.load();
  }

  note() {
    const { scene, seed, replicate } = this;
    const name = scene.name === this.app.start.explore.name ? null : scene.name;
    this.app.note({
      page: "trial",
      scene: name,
      seed: seed === scene.seed ? null : seed,
      replicate: replicate || null,
      values: moved(this.values, this.base),
    });
  }

  async load() {
    this.control?.abort();
    const control = new AbortController();
    this.control = control;
    this.tell("working", "Simulating this trial …");
    try {
      const question = { scene: this.scene.name, values: this.values, seed: this.seed, replicate: this.replicate };
      const [{ mountReplay }, data] = await Promise.all([
        import("./replay.js"),
        this.app.api.post("/api/replay", question, { signal: control.signal }),
      ]);
      if (this.control === control) this.show(mountReplay, data);
    } catch (error) {
      if (this.control === control) this.tell("error", error.message, true);
      if (!(error instanceof Stale || error instanceof Refusal)) reportError(error);
    }
  }

  show(mountReplay, data) {
    this.tell("done", "");
    this.unmount();
    this.mounted = mountReplay(this.place, data, { reducedMotion: calm() });
  }

  tell(kind, text, again = false) {
    this.status.dataset.kind = kind;
    const said = h("span", { class: "status-text", role: kind === "error" ? "alert" : "status" }, text);
    this.status.replaceChildren(said, ...(again ? [button("Try again", () => this.load(), { class: "quiet" })] : []));
  }

  unmount() {
    (this.mounted?.destroy ?? this.mounted?.close)?.call(this.mounted);
    this.place.replaceChildren();
  }

  close() {
    this.control?.abort();
    this.control = null;
    this.unmount();
  }
}
