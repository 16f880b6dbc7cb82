// Where everybody stands: zones on the stage, and each person's way through them. A person keeps a slot of a zone while
// there, so that nobody moves without a reason; only those who wait move up.

import { NONE } from "./model.js";

export class Stage {
  constructor(model) {
    this.model = model;
    this.zones = [];
    this.sites = model.data.sites.map((name) => this.zone({ kind: "site", name }));
    this.lanes = model.arms.map((arm) => this.lane(arm));
    this.nPeople = model.n + model.data.lost.n;
    this.ways = Array.from({ length: this.nPeople }, (_, person) => this.way(person));
    this.takeSlots();
  }

  zone(zone) {
    const made = { most: 0, rect: null, ...zone, number: this.zones.length };
    this.zones.push(made);
    return made;
  }

  lane(arm) {
    const lane = { arm, seats: [] };
    lane.new = this.zone({ kind: "new", arm });
    if (arm.waits) lane.wait = this.zone({ kind: "wait", arm });
    if (arm.kind === "self_paced") lane.alone = this.zone({ kind: "alone", arm });
    if (arm.waits) lane.seats = arm.places.map((place, number) => this.zone({ kind: "seat", arm, place, ofPlace: number, most: place.capacity }));
    lane.follow = this.zone({ kind: "follow", arm });
    lane.finished = this.zone({ kind: "finished", arm });
    lane.left = this.zone({ kind: "left", arm });
    return lane;
  }

  zoneOf(i, where) {
    const lane = this.lanes[this.model.people.arm[i]];
    if (where === "place") return lane.seats[this.model.people.coach[i]];
    return lane[where === "waiting" ? "wait" : where];
  }

  /** A person's stations: [{day, zone, slot}], in order; zone null: not in the trial any more. Participants come first. */
  way(person) {
    const { model } = this;
    if (person >= model.n) return this.wayOut(person - model.n);
    const contact = model.people.step_day[0][person];
    const stations = [{ day: contact, zone: this.sites[model.people.site[person]], slot: NONE }];
    for (const day of model.turns(person)) {
      const zone = this.zoneOf(person, model.whereIs(person, day));
      if (stations.at(-1).zone !== zone) stations.push({ day, zone, slot: NONE });
    }
    return stations;
  }

  wayOut(k) {
    const { lost, data } = this.model;
    const stations = [{ day: lost.contact_day[k], zone: this.sites[lost.site[k]], slot: NONE }];
    const day = lost.day[k] === NONE ? data.closing_day + 1 : lost.day[k];
    if (day === stations[0].day) stations[0] = { day, zone: null, slot: NONE };
    else stations.push({ day, zone: null, slot: NONE });
    return stations;
  }

  /** Give every stay the lowest free slot of its zone, and note the most that a zone ever holds. */
  takeSlots() {
    const moves = [];
    this.ways.forEach((way, person) => way.forEach((station, k) => {
      if (!station.zone) return;
      moves.push({ day: station.day, comes: 1, station, person });
      if (k + 1 < way.length) moves.push({ day: way[k + 1].day, comes: 0, station, person });
    }));
    moves.sort((a, b) => a.day - b.day || a.comes - b.comes || a.person - b.person);
    const books = this.zones.map(() => ({ free: [], next: 0 }));
    for (const { comes, station } of moves) {
      const book = books[station.zone.number];
      if (comes) {
        station.slot = book.free.length ? takeLowest(book.free) : book.next++;
        station.zone.most = Math.max(station.zone.most, station.slot + 1);
      } else {
        book.free.push(station.slot);
      }
    }
  }

  /** Everybody's station at a day's end: fills `zone` and `slot` (numbers; -1: nowhere). Who waits has their place in line. */
  at(day, zone, slot) {
    for (let person = 0; person < this.nPeople; person += 1) {
      const way = this.ways[person];
      let k = way.length - 1;
      while (k >= 0 && way[k].day > day) k -= 1;
      zone[person] = k < 0 || !way[k].zone ? NONE : way[k].zone.number;
      slot[person] = k < 0 ? NONE : way[k].slot;
    }
    this.line(zone, slot);
  }

  /** Participants ask in their own order, so that a zone's line is in order of asking and number. */
  line(zone, slot) {
    const { people, n } = this.model;
    for (const lane of this.lanes) {
      if (!lane.wait) continue;
      const waiting = [];
      for (let i = 0; i < n; i += 1) if (zone[i] === lane.wait.number) waiting.push(i);
      waiting.sort((a, b) => people.asked_day[a] - people.asked_day[b] || a - b);
      waiting.forEach((i, place) => (slot[i] = place));
    }
  }
}

function takeLowest(free) {
  let at = 0;
  for (let k = 1; k < free.length; k += 1) if (free[k] < free[at]) at = k;
  const slot = free[at];
  free[at] = free.at(-1);
  free.pop();
  return slot;
}

// --- places on the screen -----------------------------------------------------------------------------------------------

const GAP = 8;
const MOST_PITCH = 15;
const LEAST_PITCH = 2.4;

/** Rectangles of all zones for a width; `type` is the size of letters. Returns {width, height, pitch, boxes}. */
export function layout(stage, width, type) {
  const narrow = width < 480;
  const line = Math.round(type * 1.45);
  const plan = narrow ? narrowPlan(stage, width, line) : widePlan(stage, width, line);
  placeSites(stage, plan, line);
  stage.lanes.forEach((lane, k) => placeLane(lane, plan.lane(k), line, width < 44 * type));
  const pitch = commonPitch(stage);
  for (const zone of stage.zones) zone.perRow = Math.max(1, Math.floor(zone.rect.w / pitchIn(zone, pitch)));
  return { ...plan, line, pitch, narrow };
}

function widePlan(stage, width, line) {
  const head = line + 4;
  const rows = stage.lanes.length;
  const laneHeight = Math.max(4.8 * line, Math.min(170, 460 / rows));
  const height = head + rows * laneHeight + (rows - 1) * GAP;
  const left = Math.max(120, Math.round(width * 0.17));
  const gate = { x: 0, y: height - 3.4 * line, w: left, h: 3.4 * line };
  const sites = { x: 0, y: head, w: left, h: gate.y - head - GAP };
  const lane = (k) => ({ x: left + 3 * GAP, y: head + k * (laneHeight + GAP), w: width - left - 3 * GAP, h: laneHeight });
  return { width, height, head, sites, gate, lane, across: false };
}

function narrowPlan(stage, width, line) {
  const sites = { x: 0, y: 0, w: Math.round(width * 0.66), h: 5 * line };
  const gate = { x: sites.w + GAP, y: 0, w: width - sites.w - GAP, h: 5 * line };
  const top = sites.h + GAP;
  const laneHeight = Math.max(118, 7 * line);
  const rows = stage.lanes.length;
  const lane = (k) => ({ x: 0, y: top + k * (laneHeight + GAP), w: width, h: laneHeight });
  return { width, height: top + rows * (laneHeight + GAP), head: top, sites, gate, lane, across: true };
}

function placeSites(stage, plan, line) {
  const n = stage.sites.length;
  stage.sites.forEach((zone, k) => {
    const { x, y, w, h } = plan.sites;
    const box = plan.across ? { x: x + (k * (w + GAP / 2)) / n, y, w: (w - (n - 1) * (GAP / 2)) / n, h } : { x, y: y + (k * (h + GAP / 2)) / n, w, h: (h - (n - 1) * (GAP / 2)) / n };
    zone.box = box;
    zone.rect = box.h > 2 * line || plan.across ? inside(box, line, 4) : { x: box.x + 0.42 * box.w, y: box.y + 4, w: 0.38 * box.w, h: Math.max(4, box.h - 8) };
  });
}

/** Columns: waiting, in treatment, follow-up, finished over left the study. What an arm does not have, the next one takes. */
function placeLane(lane, box, line, tight) {
  lane.box = box;
  const head = Math.round(line * 1.15);
  const body = { x: box.x, y: box.y + head, w: box.w, h: box.h - head };
  const shares = tight ? [0, 0.17, 0.45, 0.7, 1] : [0, 0.12, 0.43, 0.69, 1];
  const edges = shares.map((share) => body.x + share * body.w);
  const column = (from, to) => ({ x: edges[from] + (from ? GAP / 2 : 0), y: body.y, w: edges[to] - edges[from] - (from ? GAP / 2 : 0), h: body.h });
  const done = column(3, 4);
  if (lane.wait) put(lane.wait, column(0, 1), line);
  if (lane.alone) put(lane.alone, column(0, 2), line);
  put(lane.follow, lane.wait || lane.alone ? column(2, 3) : column(0, 3), line);
  const [over, left] = halves(done, line);
  put(lane.finished, over, line);
  put(lane.left, left, line);
  lane.new.box = lane.new.rect = { x: box.x - 2 * GAP, y: body.y + 4, w: GAP, h: body.h - 8 };
  if (lane.seats.length) placeSeats(lane, column(1, 2), line);
}

/** Last visit over, and left the study: one above the other where there is room, else side by side. */
function halves(done, line) {
  if (done.h > 4.6 * line) {
    const split = Math.round(done.h - Math.max(line + 20, 0.22 * done.h));
    return [{ ...done, h: split - GAP / 2 }, { ...done, y: done.y + split, h: done.h - split }];
  }
  const split = Math.round(done.w * 0.66);
  return [{ ...done, w: split - GAP / 2 }, { ...done, x: done.x + split, w: done.w - split }];
}

function put(zone, box, line) {
  zone.box = box;
  zone.rect = inside(box, line, 4);
}

function inside(box, line, margin) {
  return { x: box.x + margin, y: box.y + line + 2, w: Math.max(4, box.w - 2 * margin), h: Math.max(4, box.h - line - 2 - margin) };
}

/** Coaches (teams) share the box of treatment, in the grid that leaves most room for a place. */
function placeSeats(lane, box, line) {
  lane.treatBox = box;
  const area = inside(box, line, 3);
  const n = lane.seats.length;
  const most = Math.max(...lane.seats.map((zone) => zone.most));
  const cell = (columns) => ({ w: area.w / columns, h: area.h / Math.ceil(n / columns) });
  const room = (columns) => fitting({ w: cell(columns).w - 6, h: cell(columns).h - 6 }, most);
  let columns = 1;
  for (let k = 2; k <= n; k += 1) if (room(k) > room(columns) * 1.001) columns = k;
  const { w, h } = cell(columns);
  lane.seats.forEach((zone, k) => {
    zone.box = { x: area.x + (k % columns) * w + 1, y: area.y + Math.floor(k / columns) * h + 1, w: w - 2, h: h - 2 };
    const full = { x: zone.box.x + 2, y: zone.box.y + 2, w: Math.max(3, zone.box.w - 4), h: Math.max(3, zone.box.h - 4) };
    const below = { ...full, y: full.y + line * 0.8, h: full.h - line * 0.8 };
    zone.named = full.w > 1.5 * line && fitting(below, most) > 4.5;
    zone.rect = zone.named ? below : full;
  });
}

/** The distance between people at which every zone holds the most it ever has to: the same for all, so that crowds compare. */
function commonPitch(stage) {
  const zones = stage.zones.filter((zone) => zone.most > 0 && zone.kind !== "new" && zone.kind !== "seat");
  return Math.max(LEAST_PITCH, Math.min(MOST_PITCH, ...zones.map((zone) => fitting(zone.rect, zone.most))));
}

function fitting(rect, n) {
  if (rect.w <= 0 || rect.h <= 0) return 0;
  let pitch = Math.sqrt((rect.w * rect.h) / n);
  while (pitch > LEAST_PITCH && Math.floor(rect.w / pitch) * Math.floor(rect.h / pitch) < n) pitch *= 0.97;
  return pitch;
}

/** Seats are as far apart as their coach's box allows, and at most a little further than people elsewhere. */
function pitchIn(zone, pitch) {
  if (zone.kind !== "seat") return pitch;
  return Math.max(LEAST_PITCH, Math.min(2.4 * pitch, MOST_PITCH, fitting(zone.rect, Math.max(1, zone.most))));
}

/** Centre of a slot of a zone. */
export function spot(zone, slot, pitch) {
  const p = pitchIn(zone, pitch);
  if (zone.kind === "new") return { x: zone.rect.x + zone.rect.w / 2, y: zone.rect.y + ((slot * p) % zone.rect.h) };
  const column = slot % zone.perRow;
  const row = Math.floor(slot / zone.perRow);
  const y = Math.min(zone.rect.y + (row + 0.5) * p, zone.rect.y + zone.rect.h);
  return { x: zone.rect.x + (column + 0.5) * p, y };
}
