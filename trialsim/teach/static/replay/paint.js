// Drawing the stage on a canvas: places, people, and their motion from one day to the next.

import { DIED, NONE } from "./model.js";
import { layout, spot } from "./stage.js";

const EASE_MS = 160; // people cover most of their way to a new place in this time
const PULSE_MS = 520;
const FADE_MS = 420;
const SHAPES = ["dot", "ring", "cross", "diamond"];

export class Painter {
  constructor(model, stage, canvas, { calm }) {
    Object.assign(this, { model, stage, canvas, calm });
    this.context = canvas.getContext("2d");
    const n = stage.nPeople;
    this.zone = new Int32Array(n).fill(NONE);
    this.slot = new Int32Array(n).fill(NONE);
    for (const name of ["x", "y", "toX", "toY", "alpha", "toAlpha", "pulse"]) this[name] = new Float32Array(n);
    this.shape = new Uint8Array(n);
    this.day = null;
    this.selected = null;
    this.readStyle();
  }

  /** Colours and type as the page has them now. */
  readStyle() {
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(name).trim() || "#888";
    this.colours = { card: colour("--card"), paper: colour("--paper"), ink: colour("--ink"), soft: colour("--soft"), rule: colour("--rule"), edge: colour("--edge"), accent: colour("--accent"), hair: colour("--hair") };
    this.armColours = this.model.arms.map((arm) => colour(`--c${arm.colour}`));
    this.rem = parseFloat(getComputedStyle(document.documentElement).fontSize) || 16;
    this.family = style.fontFamily;
    this.still = null;
  }

  /** Fit the canvas to a width in CSS pixels. */
  resize(width) {
    const type = Math.max(width < 480 ? 10 : 12, Math.min(14, width / 52)) * (this.rem / 16);
    this.plan = layout(this.stage, width, type);
    this.type = type;
    const scale = Math.min(window.devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(this.plan.height * scale);
    this.canvas.style.height = `${this.plan.height}px`;
    this.scale = scale;
    this.radius = Math.max(1, Math.min(4.4, this.plan.pitch * 0.4));
    this.still = null;
    if (this.day !== null) this.moveTo(this.day, true);
  }

  /** Send everybody to where they are at a day's end; at once if the day is not one that follows. */
  moveTo(day, atOnce = false) {
    const { stage, model, n = stage.nPeople } = this;
    const before = this.day;
    this.day = day;
    stage.at(day, this.zone, this.slot);
    for (let person = 0; person < n; person += 1) this.aim(person);
    for (let i = 0; i < model.n; i += 1) this.shape[i] = this.shapeOf(i, day);
    if (atOnce || this.calm) this.arrive();
    else if (before !== null && day > before && day - before <= 14) this.mark(before, day);
    this.counts = model.counts(day);
    this.held = stage.sites.map((site) => this.zone.reduce((n, zone) => n + (zone === site.number ? 1 : 0), 0));
  }

  aim(person) {
    const number = this.zone[person];
    this.toAlpha[person] = number === NONE ? 0 : 1;
    if (number === NONE) {
      const { gate } = this.plan;
      if (this.alpha[person] > 0) [this.toX[person], this.toY[person]] = [gate.x + gate.w / 2, gate.y + gate.h / 2];
      return;
    }
    const to = spot(this.stage.zones[number], this.slot[person], this.plan.pitch);
    [this.toX[person], this.toY[person]] = [to.x, to.y];
    if (this.alpha[person] === 0) [this.x[person], this.y[person]] = [to.x, to.y];
  }

  arrive() {
    this.x.set(this.toX);
    this.y.set(this.toY);
    this.alpha.set(this.toAlpha);
    this.pulse.fill(0);
  }

  shapeOf(i, day) {
    const p = this.model.people;
    if (p.exit_day[i] !== NONE && p.exit_day[i] <= day) return p.exit_kind[i] === DIED ? 3 : 2;
    return this.model.missedLast(i, day) ? 1 : 0;
  }

  /** A short mark around those who attend or answer on the days since. */
  mark(before, day) {
    const { people, data } = this.model;
    for (let i = 0; i < this.model.n && people.randomized_day[i] <= day; i += 1) {
      const since = before - people.randomized_day[i];
      const until = day - people.randomized_day[i];
      const met = data.people.sessions[i].some((at) => at > since && at <= until);
      const answered = people.observed_day.some((days) => days[i] > before && days[i] <= day);
      if (answered) this.pulse[i] = PULSE_MS;
      else if (met) this.pulse[i] = Math.max(this.pulse[i], PULSE_MS * 0.5);
    }
  }

  /** Go on by some milliseconds; whether anything still moves. */
  step(ms) {
    const share = 1 - Math.exp(-ms / EASE_MS);
    const fade = ms / FADE_MS;
    let moving = false;
    for (let person = 0; person < this.stage.nPeople; person += 1) {
      const alpha = this.alpha[person];
      const to = this.toAlpha[person];
      if (alpha === 0 && to === 0) continue;
      const dx = this.toX[person] - this.x[person];
      const dy = this.toY[person] - this.y[person];
      if (Math.abs(dx) + Math.abs(dy) > 0.3) {
        this.x[person] += dx * share;
        this.y[person] += dy * share;
        moving = true;
      }
      if (alpha !== to) {
        this.alpha[person] = to > alpha ? Math.min(to, alpha + 2 * fade) : Math.max(to, alpha - fade);
        moving = true;
      }
      if (this.pulse[person] > 0) {
        this.pulse[person] = Math.max(0, this.pulse[person] - ms);
        moving = true;
      }
    }
    return moving;
  }

  // --- drawing ---

  draw() {
    const { context, scale, plan } = this;
    this.still ??= this.drawStill();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.still, 0, 0);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    this.drawNumbers();
    this.drawPeople();
    if (this.selected !== null) this.drawSelected(plan);
  }

  /** What does not change from day to day. */
  drawStill() {
    const still = document.createElement("canvas");
    still.width = this.canvas.width;
    still.height = this.canvas.height;
    const c = still.getContext("2d");
    c.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    this.drawPlaces(c);
    return still;
  }

  drawPlaces(c) {
    const { stage, plan, colours } = this;
    this.drawFork(c);
    for (const zone of stage.sites) this.box(c, zone.box, colours.card, colours.rule);
    this.box(c, plan.gate, colours.hair, colours.rule);
    for (const [k, lane] of stage.lanes.entries()) {
      for (const zone of [lane.wait, lane.alone, lane.follow, lane.finished, lane.left]) if (zone) this.box(c, zone.box, colours.card, colours.rule);
      if (lane.treatBox) this.box(c, lane.treatBox, colours.card, colours.rule);
      for (const zone of lane.seats) this.seats(c, zone, this.armColours[k]);
      c.fillStyle = this.armColours[k];
      c.fillRect(lane.box.x, lane.box.y + 2, 5, plan.line - 4);
    }
  }

  /** Lines from the sites to every arm, and to the box of those who are not in the trial. */
  drawFork(c) {
    const { plan, stage } = this;
    if (plan.across) return;
    const from = { x: plan.sites.x + plan.sites.w, y: plan.sites.y + plan.sites.h / 2 };
    c.lineWidth = 2;
    c.strokeStyle = this.colours.rule;
    c.beginPath();
    for (const lane of stage.lanes) {
      const to = { x: lane.box.x - 2, y: lane.box.y + plan.line + (lane.box.h - plan.line) / 2 };
      c.moveTo(from.x, from.y);
      c.bezierCurveTo(from.x + 12, from.y, to.x - 16, to.y, to.x, to.y);
    }
    c.stroke();
  }

  box(c, { x, y, w, h }, fill, edge) {
    c.beginPath();
    c.roundRect(x + 0.5, y + 0.5, Math.max(1, w - 1), Math.max(1, h - 1), 5);
    c.fillStyle = fill;
    c.fill();
    c.strokeStyle = edge;
    c.lineWidth = 1;
    c.stroke();
  }

  /** A coach's places, free or taken. */
  seats(c, zone, colour) {
    this.box(c, zone.box, this.colours.paper, this.colours.rule);
    c.strokeStyle = colour;
    c.globalAlpha = 0.45;
    c.lineWidth = 0.8;
    c.beginPath();
    for (let slot = 0; slot < zone.place.capacity; slot += 1) {
      const { x, y } = spot(zone, slot, this.plan.pitch);
      c.moveTo(x + this.radius, y);
      c.arc(x, y, this.radius, 0, 2 * Math.PI);
    }
    c.stroke();
    c.globalAlpha = 1;
  }

  drawNumbers() {
    const { stage, plan, counts, colours } = this;
    const flow = counts;
    if (!plan.across) this.text(this.fits(stage.sites[0], "Contacted, screened", "Coming in"), 2, 0, { colour: colours.soft, width: plan.sites.w });
    for (const [k, zone] of stage.sites.entries()) this.label(zone.box, this.siteName(k), this.held[k]);
    const gone = flow.steps.reduce((sum, step) => sum + step.gone, 0);
    this.label(plan.gate, "Not in the trial", null);
    this.big(plan.gate, gone);
    for (const [k, lane] of stage.lanes.entries()) {
      const arm = counts.arms[k];
      this.text(`${lane.arm.label}`, lane.box.x + 10, lane.box.y, { weight: 650, width: lane.box.w * 0.78 });
      this.text(`${arm.randomized} ${this.model.data.enrolled}`, lane.box.x + lane.box.w, lane.box.y, { align: "right", colour: colours.soft });
      if (lane.wait) this.label(lane.wait.box, this.fits(lane.wait, "Waiting", "Wait"), arm.waiting);
      if (lane.treatBox) this.label(lane.treatBox, this.treatLabel(lane), arm.place);
      for (const zone of lane.seats) if (zone.named) this.text(this.seatLabel(zone), zone.box.x + 3, zone.box.y, { colour: colours.soft, size: 0.85 });
      if (lane.alone) this.label(lane.alone.box, this.fits(lane.alone, "On the web programme", "Online"), arm.alone);
      this.label(lane.follow.box, this.followLabel(lane), arm.follow);
      this.label(lane.finished.box, this.fits(lane.finished, "Last visit over", "Done"), arm.finished);
      this.label(lane.left.box, this.fits(lane.left, "Left the study", "Left"), arm.left);
    }
  }

  /** A site's name; where it is too long its end, for beginnings are often alike. */
  siteName(k) {
    const name = this.model.data.sites[k];
    const { context: c } = this;
    c.font = `400 ${this.type}px ${this.family}`;
    const room = this.stage.sites[k].box.w - 3.2 * this.type;
    let shown = name;
    while (shown.length > 1 && c.measureText(shown === name ? name : `…${shown}`).width > room) shown = shown.slice(1);
    return shown === name ? name : `…${shown}`;
  }

  treatLabel(lane) {
    if (lane.arm.kind === "group") return "In groups";
    return this.fits({ box: lane.treatBox }, "With a coach", "Coached");
  }

  /** The first of some texts that leaves room for a number beside it in a zone. */
  fits({ box }, ...texts) {
    this.context.font = `400 ${this.type}px ${this.family}`;
    return texts.find((text) => this.context.measureText(text).width < box.w - 2.4 * this.type) ?? texts.at(-1);
  }

  /** "coach 2", or as short as the box. */
  seatLabel(zone) {
    const whole = `${zone.arm.kind === "group" ? "team" : "coach"} ${zone.ofPlace}`;
    this.context.font = `400 ${this.type * 0.85}px ${this.family}`;
    return this.context.measureText(whole).width < zone.box.w - 6 ? whole : `#${zone.ofPlace}`;
  }

  followLabel(lane) {
    if (lane.wait || lane.alone) return this.fits(lane.follow, "Followed up", "Followed");
    return this.fits(lane.follow, "No sessions: followed up", "Followed up");
  }

  label(box, name, n) {
    const right = n === null ? 0 : this.text(n.toLocaleString("en"), box.x + box.w - 5, box.y + 1, { align: "right", weight: 650 });
    this.text(name, box.x + 5, box.y + 1, { colour: this.colours.soft, width: box.w - right - 14 });
  }

  big(box, n) {
    this.text(n.toLocaleString("en"), box.x + box.w / 2, box.y + this.plan.line * 1.15, { align: "center", size: 1.5, weight: 650 });
  }

  /** Text from its top left corner; returns its width. Too long a text is cut. */
  text(text, x, y, { align = "left", colour = this.colours.ink, weight = 400, size = 1, width = Infinity }) {
    const { context: c } = this;
    c.font = `${weight} ${this.type * size}px ${this.family}`;
    c.textAlign = align;
    c.textBaseline = "top";
    c.fillStyle = colour;
    const shown = fitted(c, text, width);
    c.fillText(shown, x, y + (this.plan.line - this.type) / 2);
    return c.measureText(shown).width;
  }

  drawPeople() {
    const { model, stage, colours } = this;
    this.batch(model.n, stage.nPeople, colours.edge, NONE, NONE);
    for (let arm = 0; arm < model.arms.length; arm += 1) for (let shape = 0; shape < SHAPES.length; shape += 1) this.batch(0, model.n, this.armColours[arm], arm, shape);
    this.batch(0, model.n, colours.edge, NONE, 0);
    this.drawPulses();
  }

  /** People of one colour and shape in one path; arm -1: those who are not randomized yet. */
  batch(from, to, colour, arm, shape) {
    const { context: c, model, radius } = this;
    const fading = [];
    c.beginPath();
    for (let person = from; person < to; person += 1) {
      if (this.alpha[person] === 0 || !this.isOf(person, arm, shape)) continue;
      if (this.alpha[person] < 1) fading.push(person);
      else trace(c, person < model.n ? shape : 0, this.x[person], this.y[person], radius);
    }
    this.finish(colour, shape);
    for (const person of fading) {
      c.globalAlpha = this.alpha[person];
      c.beginPath();
      trace(c, person < model.n ? shape : 0, this.x[person], this.y[person], radius);
      this.finish(colour, shape);
    }
    c.globalAlpha = 1;
  }

  finish(colour, shape) {
    const { context: c } = this;
    if (SHAPES[shape] === "ring" || SHAPES[shape] === "cross") {
      c.strokeStyle = colour;
      c.lineWidth = Math.max(0.9, this.radius * 0.45);
      c.stroke();
    } else {
      c.fillStyle = colour;
      c.fill();
    }
  }

  isOf(person, arm, shape) {
    if (person >= this.model.n) return true;
    const randomized = this.model.people.randomized_day[person] <= this.day;
    if (arm === NONE) return !randomized;
    return randomized && this.model.people.arm[person] === arm && this.shape[person] === shape;
  }

  drawPulses() {
    const { context: c, model, radius } = this;
    for (let i = 0; i < model.n; i += 1) {
      if (this.pulse[i] <= 0) continue;
      const share = this.pulse[i] / PULSE_MS;
      c.globalAlpha = share;
      c.strokeStyle = this.armColours[model.people.arm[i]];
      c.lineWidth = 1.4;
      c.beginPath();
      c.arc(this.x[i], this.y[i], radius + 1 + (1 - share) * radius * 2.2, 0, 2 * Math.PI);
      c.stroke();
    }
    c.globalAlpha = 1;
  }

  drawSelected({ width }) {
    const { context: c, selected: i, radius, colours } = this;
    if (this.alpha[i] === 0) return;
    c.lineWidth = 2.5;
    c.strokeStyle = colours.ink;
    c.beginPath();
    c.arc(this.x[i], this.y[i], Math.max(6, radius + 3), 0, 2 * Math.PI);
    c.stroke();
    const name = String(i);
    c.font = `650 ${this.type}px ${this.family}`;
    const w = c.measureText(name).width + 10;
    const x = Math.min(Math.max(2, this.x[i] - w / 2), width - w - 2);
    const above = this.y[i] - radius - this.plan.line - 8;
    const y = above < 0 ? this.y[i] + radius + 8 : above;
    c.fillStyle = colours.ink;
    c.beginPath();
    c.roundRect(x, y, w, this.plan.line, 4);
    c.fill();
    this.text(name, x + w / 2, y, { align: "center", colour: colours.card, weight: 650 });
  }

  /** The participant nearest to a point, within reach of a finger; null if there is none. */
  nearest(x, y) {
    let found = null;
    let least = Math.max(14, this.radius * 2.5) ** 2;
    for (let i = 0; i < this.model.n; i += 1) {
      if (this.alpha[i] === 0) continue;
      const distance = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
      if (distance < least) [found, least] = [i, distance];
    }
    return found;
  }
}

function trace(c, shape, x, y, r) {
  if (SHAPES[shape] === "cross") {
    c.moveTo(x - r, y - r);
    c.lineTo(x + r, y + r);
    c.moveTo(x + r, y - r);
    c.lineTo(x - r, y + r);
  } else if (SHAPES[shape] === "diamond") {
    const d = r * 1.35;
    c.moveTo(x, y - d);
    c.lineTo(x + d, y);
    c.lineTo(x, y + d);
    c.lineTo(x - d, y);
    c.closePath();
  } else if (r < 1.8 && SHAPES[shape] === "dot") {
    c.rect(x - r, y - r, 2 * r, 2 * r);
  } else {
    const own = SHAPES[shape] === "ring" ? r * 0.8 : r;
    c.moveTo(x + own, y);
    c.arc(x, y, own, 0, 2 * Math.PI);
  }
}

function fitted(c, text, width) {
  if (c.measureText(text).width <= width) return text;
  let shown = text;
  while (shown.length > 1 && c.measureText(`${shown}…`).width > width) shown = shown.slice(0, -1);
  return `${shown}…`;
}
