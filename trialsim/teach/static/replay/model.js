// One simulated trial as numbers: who is where, and how many, at the end of a day. No drawing.
// The data are described at the top of trialsim/report/replay_data.py.

export const NONE = -1;
export const STATUS = { DECLINED: 1, STOPPED_WAITING: 2, DISCONTINUED: 3, COMPLETED: 4, LEFT_STUDY: 5 };
export const DIED = 2;
export const NO_ANSWER = 1;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MS_PER_DAY = 86_400_000;

/** A column as an array of n whole numbers; columns that are all the same come as one number. */
function whole(column, n) {
  return typeof column === "number" ? new Int32Array(n).fill(column) : Int32Array.from(column);
}

const COLUMNS = ["site", "number", "randomized_day", "arm", "coach", "group", "asked_day", "offered_day", "released_day", "n_sessions", "status", "ended_day", "exit_day", "exit_kind"];
const BY_VISIT = ["observed_day", "missing", "n_reminders", "recorded"];

export class Model {
  constructor(data) {
    this.data = data;
    this.n = data.people.motivation.length;
    this.people = this.columns(data.people);
    this.lost = {};
    for (const name of ["site", "contact_day", "day", "step", "reason"]) this.lost[name] = whole(data.lost[name], data.lost.n);
    this.start = Date.parse(`${data.start_date}T00:00:00Z`);
    this.arms = data.arms.map((arm, number) => ({ ...arm, number, waits: arm.kind === "individual" || arm.kind === "group" }));
    this.running = data.funnel.daily.map((count) => running(count.n));
    this.leftLine = Int32Array.from({ length: this.n }, (_, i) => (this.people.offered_day[i] === NONE ? this.people.ended_day[i] : this.people.offered_day[i]));
    this.settled = Int32Array.from({ length: this.n }, (_, i) => this.lastVisitSettled(i));
  }

  columns(people) {
    const made = { cluster: people.cluster === null ? null : whole(people.cluster, this.n) };
    for (const name of COLUMNS) made[name] = whole(people[name], this.n);
    for (const name of BY_VISIT) made[name] = people[name].map((column) => whole(column, this.n));
    made.step_day = people.step_day.map((column) => whole(column, this.n));
    made.baseline = people.baseline.map((column) => whole(column, this.n));
    made.value = people.value.map((visits) => visits.map((column) => whole(column, this.n)));
    return made;
  }

  // --- days ---

  date(day) {
    return new Date(this.start + day * MS_PER_DAY);
  }

  /** "Mon 5 Jan 2026". */
  dateText(day) {
    const date = this.date(day);
    return `${WEEKDAYS[date.getUTCDay()]} ${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
  }

  dueDay(i, v) {
    return this.people.randomized_day[i] + this.data.visits[v].day;
  }

  /** Day on which nothing more is expected of a participant: the last visit is answered or closed. */
  lastVisitSettled(i) {
    const v = this.data.visits.length - 1;
    const observed = this.people.observed_day[v][i];
    return observed === NONE ? this.dueDay(i, v) + this.data.visits[v].closes : observed;
  }

  // --- one participant on one day ---

  /** Where a participant is at a day's end: "new", "waiting", "place", "alone", "follow", "finished", "left"; null before. */
  whereIs(i, day) {
    const p = this.people;
    if (day < p.randomized_day[i]) return null;
    if (p.exit_day[i] !== NONE && p.exit_day[i] <= day) return "left";
    const arm = this.arms[p.arm[i]];
    if (arm.kind === "self_paced" && day < p.ended_day[i]) return "alone";
    if (arm.waits) {
      const at = this.inTreatment(i, day);
      if (at) return at;
    }
    return this.settled[i] <= day ? "finished" : "follow";
  }

  inTreatment(i, day) {
    const p = this.people;
    if (p.offered_day[i] !== NONE && p.offered_day[i] <= day) return day <= p.released_day[i] ? "place" : null;
    if (p.asked_day[i] !== NONE && p.asked_day[i] <= day) return day < this.leftLine[i] ? "waiting" : null;
    const begins = p.asked_day[i] === NONE ? p.ended_day[i] : p.asked_day[i];
    return day < begins ? "new" : null;
  }

  /** Days on which whereIs may change, in order. */
  turns(i) {
    const p = this.people;
    const days = [p.randomized_day[i], p.asked_day[i], p.offered_day[i], p.released_day[i] === NONE ? NONE : p.released_day[i] + 1, p.ended_day[i], p.exit_day[i], this.settled[i]];
    return [...new Set(days.filter((day) => day !== NONE && day >= p.randomized_day[i]))].sort((a, b) => a - b);
  }

  /** What is known of a visit at a day's end: "later", "open", "answered", "unanswered", "left". */
  visitState(i, v, day) {
    const p = this.people;
    const observed = p.observed_day[v][i];
    if (observed !== NONE) return observed <= day ? "answered" : this.isOpen(i, v, day);
    if (p.missing[v][i] !== NO_ANSWER) return p.exit_day[i] <= day ? "left" : this.isOpen(i, v, day);
    return this.dueDay(i, v) + this.data.visits[v].closes <= day ? "unanswered" : this.isOpen(i, v, day);
  }

  isOpen(i, v, day) {
    return this.dueDay(i, v) + this.data.visits[v].opens <= day ? "open" : "later";
  }

  /** Whether the visit settled last was left unanswered. */
  missedLast(i, day) {
    for (let v = this.data.visits.length - 1; v >= 0; v -= 1) {
      const state = this.visitState(i, v, day);
      if (state === "answered") return false;
      if (state === "unanswered") return true;
    }
    return false;
  }

  sessionsBy(i, day) {
    const since = day - this.people.randomized_day[i];
    return this.data.people.sessions[i].reduce((n, at) => n + (at !== NONE && at <= since ? 1 : 0), 0);
  }

  // --- everybody on one day ---

  /** The numbers of the flow diagram at a day's end. */
  counts(day) {
    const flow = this.flow(day);
    const arms = this.arms.map(() => ({ randomized: 0, started: 0, new: 0, waiting: 0, place: 0, alone: 0, follow: 0, finished: 0, left: 0, declined: 0, stoppedWaiting: 0, discontinued: 0, completed: 0, withdrew: 0, died: 0, visits: this.data.visits.map(() => ({ later: 0, open: 0, answered: 0, unanswered: 0, left: 0 })) }));
    for (let i = 0; i < this.n && this.people.randomized_day[i] <= day; i += 1) this.count(i, day, arms[this.people.arm[i]]);
    return { ...flow, arms, randomized: arms.reduce((sum, arm) => sum + arm.randomized, 0) };
  }

  count(i, day, arm) {
    const p = this.people;
    arm.randomized += 1;
    arm[this.whereIs(i, day)] += 1;
    const first = this.data.people.sessions[i].find((at) => at !== NONE);
    if (first !== undefined && p.randomized_day[i] + first <= day) arm.started += 1;
    if (p.ended_day[i] !== NONE && p.ended_day[i] <= day) this.countEnd(p.status[i], arm);
    if (p.exit_day[i] !== NONE && p.exit_day[i] <= day) arm[p.exit_kind[i] === DIED ? "died" : "withdrew"] += 1;
    for (let v = 0; v < arm.visits.length; v += 1) arm.visits[v][this.visitState(i, v, day)] += 1;
  }

  countEnd(status, arm) {
    if (status === STATUS.DECLINED) arm.declined += 1;
    if (status === STATUS.STOPPED_WAITING) arm.stoppedWaiting += 1;
    if (status === STATUS.DISCONTINUED) arm.discontinued += 1;
    if (status === STATUS.COMPLETED) arm.completed += 1;
  }

  /** Contacted; by step passed, lost by reason and in process. */
  flow(day) {
    const last = Math.min(day, this.data.funnel.days - 1);
    const n = this.running.map((count) => (last < 0 ? 0 : count[last]));
    let at = 1;
    let before = n[0];
    const steps = this.data.funnel.steps.map((step) => {
      const passed = n[at];
      const lost = step.reasons.map((reason, k) => ({ reason, n: n[at + 1 + k] }));
      at += 1 + step.reasons.length;
      const gone = lost.reduce((sum, one) => sum + one.n, 0);
      const inProcess = Math.max(0, before - passed - gone);
      before = passed;
      return { name: step.name, passed, lost, gone, inProcess };
    });
    return { contacted: n[0], steps };
  }

  /** The last look at or before a day; -1 before the first. */
  lookAt(day) {
    const days = this.data.estimates.days;
    let look = -1;
    while (look + 1 < days.length && days[look + 1] <= day) look += 1;
    return look;
  }

  /** A value in words: "4.5", "yes", "has happened". */
  valueText(k, steps) {
    const outcome = this.data.outcomes[k];
    if (steps === NONE) return "not known";
    if (outcome.kind === "ordinal") return outcome.levels[steps];
    if (outcome.kind === "event") return steps > 0 ? "has happened" : "has not happened";
    if (outcome.kind === "binary") return steps > 0 ? "yes" : "no";
    return number(outcome.low + steps / outcome.items, 2);
  }
}

function running(increases) {
  let sum = 0;
  return Int32Array.from(increases, (n) => (sum += n));
}

/** A number with at most so many digits and commas between thousands. */
export function number(value, digits = 0) {
  return value.toLocaleString("en", { maximumFractionDigits: digits }).replace("-", "−");
}

/** "1 participant", "2 participants". */
export function plural(n, noun) {
  return `${number(n)} ${noun}${n === 1 ? "" : "s"}`;
}
