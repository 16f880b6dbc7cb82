// The animated replay of one simulated trial. mountReplay(element, data, {reducedMotion}) puts it into an element;
// data come from POST /api/replay (trialsim/report/replay_data.py).

import { button, h, newId } from "./dom.js";
import { Consort } from "./replay/consort.js";
import { Estimates } from "./replay/estimate.js";
import { Model, number, plural } from "./replay/model.js";
import { Painter } from "./replay/paint.js";
import { PersonPanel } from "./replay/person.js";
import { Stage } from "./replay/stage.js";

const SPEEDS = [[1, "1 day a second"], [7, "1 week a second"], [14, "2 weeks a second"], [30, "1 month a second"], [61, "2 months a second"], [91, "3 months a second"]];
const WHOLE_SECONDS = 60; // at the speed that is chosen to begin with, a trial takes about so long
const LONGEST_FRAME = 100; // milliseconds; after a pause of the browser the trial does not jump

/**
 * Show one trial. Returns {destroy, play, pause, seek(day), select(participant)}; `select(null)` chooses nobody.
 * It begins to play at once, unless the reader asked for less motion or `autoplay` is false.
 */
export function mountReplay(element, data, { reducedMotion = false, autoplay = !reducedMotion } = {}) {
  const replay = new Replay(element, data, reducedMotion);
  if (autoplay) replay.play();
  return {
    destroy: () => replay.destroy(),
    play: () => replay.play(),
    pause: () => replay.pause(),
    seek: (day) => replay.seek(day),
    select: (participant) => replay.select(participant),
  };
}

class Replay {
  constructor(element, data, calm) {
    this.model = new Model(data);
    this.stage = new Stage(this.model);
    this.first = Math.min(0, data.first_day);
    this.last = data.last_day;
    this.time = this.first; // days, with fractions while it plays
    this.calm = calm;
    this.playing = false;
    this.frame = null;
    this.consort = new Consort(this.model);
    this.estimates = new Estimates(this.model);
    this.person = new PersonPanel(this.model);
    this.root = this.build();
    element.replaceChildren(this.root);
    this.painter = new Painter(this.model, this.stage, this.canvas, { calm });
    this.listen();
    this.resize();
    this.showDay(this.first, true);
  }

  // --- what there is ---

  build() {
    this.canvas = h("canvas", { class: "rp-canvas", role: "img", "aria-label": "People of the trial and where they are", "aria-describedby": newId("rp-summary") });
    this.summary = h("p", { class: "rp-summary", id: this.canvas.getAttribute("aria-describedby"), "aria-live": "polite" });
    this.side = h("section", { class: "rp-side", "aria-label": "Estimate" }, h("h2", {}, "The estimate as data come in"), this.estimates.element);
    this.scene = h("div", { class: "rp-scene" }, this.canvas);
    const main = h("section", { class: "rp-main", "aria-label": "The trial" }, this.controls(), this.scene, this.summary, this.person.now, this.legend());
    const flow = h("section", { class: "rp-flow", "aria-label": "Flow of participants" }, h("h2", {}, "Flow of participants (CONSORT)"), this.consort.element);
    return h("div", { class: "rp", role: "group", "aria-label": "Replay of one simulated trial" }, main, h("div", { class: "rp-aside" }, this.side, this.who()), flow);
  }

  controls() {
    const id = newId("rp-day");
    this.toggle = button("Play", () => this.toggled(), { class: "primary rp-toggle" });
    this.date = h("span", { class: "rp-date" });
    this.day = h("span", { class: "rp-day" });
    this.slider = h("input", { id, type: "range", min: String(this.first), max: String(this.last), step: "1", class: "rp-slider", "aria-label": "Date" });
    this.speed = h("select", { "aria-label": "Speed" }, ...SPEEDS.map(([days, text]) => h("option", { value: String(days) }, text)));
    this.speed.value = String(this.usualSpeed());
    const step = (days, text, name) => button(text, () => this.stepBy(days), { "aria-label": name, title: name });
    const steps = h("div", { class: "rp-steps" }, step(-7, "−7", "A week back"), step(-1, "−1", "A day back"), step(1, "+1", "A day on"), step(7, "+7", "A week on"));
    const top = h("div", { class: "rp-top" }, this.toggle, h("div", { class: "rp-clock" }, this.date, this.day), h("div", { class: "rp-tools" }, steps, this.speed));
    return h("div", { class: "rp-controls" }, top, this.slider, this.milestones());
  }

  milestones() {
    const chips = this.model.data.milestones.map(({ day, name }) => button(capital(name), () => this.jump(day), { class: "rp-chip-button", title: this.model.dateText(day) }));
    return h("div", { class: "rp-milestones", role: "group", "aria-label": "Go to" }, ...chips);
  }

  legend() {
    const entry = (shape, text) => h("span", { class: "rp-entry" }, h("span", { class: `rp-mark rp-${shape}`, "aria-hidden": "true" }), text);
    const colours = this.model.arms.map((arm) => entry(`dot rp-c${arm.colour}`, arm.label));
    return h("div", { class: "rp-legend" },
      entry("dot rp-grey", "one person, not yet " + this.model.data.enrolled), ...colours,
      entry("dot", "answered the last questionnaire, or none was due"), entry("ring", "did not answer it"),
      entry("cross", "withdrew"), entry("diamond", "died"), entry("pulse", "answers or attends now"), entry("seat", "free place"));
  }

  who() {
    const id = newId("rp-who");
    this.number = h("input", { id, type: "number", min: "0", max: String(Math.max(0, this.model.n - 1)), step: "1", class: "box" });
    const choose = h("div", { class: "rp-choose" }, h("label", { for: id }, "Participant"), this.number, button("Previous", () => this.beside(-1)), button("Next", () => this.beside(1)), button("Nobody", () => this.select(null), { class: "quiet" }));
    return h("section", { class: "rp-person", "aria-label": "One participant" }, h("h2", {}, "One participant's way"), choose, this.person.element);
  }

  usualSpeed() {
    const wanted = (this.last - this.first) / WHOLE_SECONDS;
    return SPEEDS.map(([days]) => days).reduce((best, days) => (Math.abs(Math.log(days / wanted)) < Math.abs(Math.log(best / wanted)) ? days : best));
  }

  // --- what is heard ---

  listen() {
    this.signal = new AbortController();
    const options = { signal: this.signal.signal };
    this.slider.addEventListener("input", () => this.jump(Number(this.slider.value)), options);
    this.number.addEventListener("change", () => this.choose(), options);
    this.root.addEventListener("keydown", (event) => this.key(event), options);
    this.canvas.addEventListener("click", (event) => this.click(event), options);
    window.addEventListener("look", () => this.restyle(), options);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.restyle(), options);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.scene);
    this.observer.observe(this.side);
  }

  /** Space plays and pauses, arrows step a day, page keys a week, home and end go to the ends. */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input[type=number], select, .rp-way, .rp-scroll")) return;
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 7, PageDown: -7 };
    const ends = { Home: this.first, End: this.last };
    if (event.key === " " && !event.target.matches("button")) this.toggled();
    else if (event.key in steps) this.stepBy(steps[event.key]);
    else if (event.key in ends) this.jump(ends[event.key]);
    else return;
    event.preventDefault();
  }

  click(event) {
    const box = this.canvas.getBoundingClientRect();
    const found = this.painter.nearest(event.clientX - box.left, event.clientY - box.top);
    if (found !== null) this.select(found);
  }

  choose() {
    if (this.number.value !== "") this.select(Number(this.number.value));
  }

  beside(step) {
    const now = this.painter.selected;
    this.select(now === null ? (step > 0 ? 0 : this.model.n - 1) : now + step);
  }

  // --- time ---

  toggled() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (this.time >= this.last) this.jumpTo(this.first);
    this.playing = true;
    this.toggle.textContent = "Pause";
    this.summary.setAttribute("aria-live", "off"); // not a word for every day
    this.wake();
  }

  pause() {
    this.playing = false;
    this.toggle.textContent = "Play";
    this.summary.setAttribute("aria-live", "polite");
    this.tell();
  }

  stepBy(days) {
    this.jump(Math.floor(this.time) + days);
  }

  jump(day) {
    this.pause();
    this.jumpTo(day);
  }

  jumpTo(day) {
    this.time = Math.min(Math.max(Math.round(day), this.first), this.last);
    this.showDay(this.time, Math.abs(this.time - this.shown) > 14);
    this.wake();
  }

  seek(day) {
    if (Number.isFinite(day)) this.jumpTo(day);
  }

  wake() {
    if (this.frame !== null) return;
    this.before = performance.now();
    this.frame = requestAnimationFrame((now) => this.tick(now));
  }

  /** One frame: time goes on, people move; it goes to sleep when nothing moves any more. */
  tick(now) {
    this.frame = null;
    const ms = Math.min(LONGEST_FRAME, Math.max(0, now - this.before));
    this.before = now;
    if (this.playing) this.goOn((ms / 1000) * Number(this.speed.value));
    const moving = this.painter.step(ms);
    this.painter.draw();
    if (this.playing || moving) this.frame = requestAnimationFrame((next) => this.tick(next));
  }

  goOn(days) {
    this.time = Math.min(this.last, this.time + days);
    const day = Math.floor(this.time);
    if (day !== this.shown) this.showDay(day);
    if (this.time >= this.last) this.pause();
  }

  // --- what is shown ---

  showDay(day, atOnce = false) {
    this.shown = day;
    this.painter.moveTo(day, atOnce);
    this.consort.show(this.painter.counts);
    this.estimates.show(day);
    this.person.showDay(day);
    this.date.textContent = this.model.dateText(day);
    this.day.textContent = `day ${number(day)}`;
    this.slider.value = String(day);
    this.slider.setAttribute("aria-valuetext", `${this.model.dateText(day)}, day ${day}`);
    this.tell();
  }

  /** The scene in words. */
  tell() {
    const { counts } = this.painter;
    const sum = (name) => counts.arms.reduce((total, arm) => total + arm[name], 0);
    const { data } = this.model;
    const parts = [`${number(counts.randomized)} of ${number(data.sample_size)} ${data.enrolled}`];
    if (this.model.arms.some((arm) => arm.waits)) parts.push(`${number(sum("waiting"))} waiting`);
    if (this.model.arms.some((arm) => arm.kind !== "none")) parts.push(`${number(sum("place") + sum("alone"))} in treatment`);
    const answered = counts.arms.reduce((total, arm) => total + arm.visits.reduce((n, visit) => n + visit.answered, 0), 0);
    parts.push(`${plural(answered, "questionnaire")} answered`, `${number(sum("left"))} left the study`);
    this.summary.textContent = `${this.model.dateText(this.shown)}: ${parts.join(", ")}.`;
  }

  select(participant) {
    const nobody = participant === null || !Number.isFinite(participant) || !this.model.n;
    const chosen = nobody ? null : Math.min(Math.max(Math.round(participant), 0), this.model.n - 1);
    this.painter.selected = chosen;
    this.number.value = chosen === null ? "" : String(chosen);
    if (chosen === null) this.person.clear();
    else this.person.show(chosen);
    this.person.showDay(this.shown);
    this.wake();
  }

  resize() {
    const width = Math.floor(this.scene.clientWidth);
    if (width && width !== this.width) {
      this.width = width;
      this.painter.resize(width);
    }
    const beside = Math.floor(this.side.clientWidth);
    if (beside && beside !== this.besideWidth) {
      this.besideWidth = beside;
      this.estimates.resize(beside);
    }
    this.wake();
  }

  restyle() {
    this.painter.readStyle();
    this.width = this.besideWidth = null;
    this.resize();
  }

  destroy() {
    this.playing = false;
    if (this.frame !== null) cancelAnimationFrame(this.frame);
    this.frame = null;
    this.signal.abort();
    this.observer.disconnect();
    this.root.remove();
  }
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
