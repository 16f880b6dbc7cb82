// The free page: every slider of the design, and what follows.

import { Bench } from "./bench.js";
import { h } from "./dom.js";
import { moved, settle } from "./state.js";
import { sheet } from "./sheet.js";

function tabs(scene, view, onView) {
  if (scene.views.length < 2) return null;
  const made = scene.views.map((one) => {
    const here = one.name === view;
    return h(
      "button",
      { type: "button", class: "tab", "aria-pressed": String(here), click: () => here || onView(one.name) },
      one.title,
    );
  });
  return h("div", { class: "tabs", role: "group", "aria-label": "What to look at" }, ...made);
}

export class Explore {
  constructor(app, state) {
    const scene = app.start.explore;
    this.title = scene.title;
    const base = settle({}, scene.knobs, {}).values;
    const { values, left } = settle(state.values, scene.knobs, {});
    const view = scene.views.find((one) => one.name === state.view)?.name ?? scene.views[0].name;
    const seed = state.seed ?? scene.seed;
    Object.assign(this, {
      app,
      scene,
      base,
      left,
      state: { page: "explore", view: view === scene.views[0].name ? null : view },
    });
    this.bench = new Bench(app, {
      scene,
      knobs: scene.knobs,
      base,
      values,
      view,
      seed,
      replicates: state.replicates,
      onMove: (...to) => this.moved(...to),
    });
    this.element = this.build(view);
    this.moved(values, seed, state.replicates);
    this.bench.ask();
  }

  build(view) {
    const { scene, bench } = this;
    const about = h(
      "details",
      { class: "about" },
      h("summary", {}, "What trial is this?"),
      h("p", {}, ...this.app.words.found(scene.description)),
    );
    const below = h("div", { class: "head-row" }, scene.description ? about : null, bench.actions());
    const head = h("div", { class: "page-head" }, h("h1", { tabindex: "-1" }, scene.title), below);
    const side = sheet("Move the trial", bench.knobs.element, bench.luck(), bench.resetAll());
    bench.top.prepend(tabs(scene, view, (name) => this.turn(name)) ?? "");
    return h(
      "div",
      { class: "page explore" },
      head,
      h("div", { class: "two" }, side, h("div", { class: "stage" }, bench.element)),
    );
  }

  turn(view) {
    this.app.go({ ...this.state, view });
  }

  moved(values, seed, replicates) {
    this.state = {
      ...this.state,
      replicates,
      values: moved(values, this.base),
      seed: seed === this.scene.seed ? null : seed,
    };
    this.app.note(this.state);
  }

  close() {
    this.bench.close();
  }
}
