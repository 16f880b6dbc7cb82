// One participant's way in words, and what only the simulation knows of them.

import { h } from "../dom.js";
import { DIED, NONE, NO_ANSWER, STATUS, number, plural } from "./model.js";

/** [{day, text}] in order: everything that happens to a participant. */
export function wayOf(model, i) {
  const told = [...funnel(model, i), ...treatment(model, i), ...visits(model, i), ...leaving(model, i)];
  return told.map((line, order) => ({ ...line, order })).sort((a, b) => a.day - b.day || a.order - b.order);
}

function* funnel(model, i) {
  const { people: p, data } = model;
  const steps = data.funnel.steps;
  yield { day: p.step_day[0][i], text: `is contacted by ${data.sites[p.site[i]]}` };
  for (let k = 0; k < steps.length - 1; k += 1) yield { day: p.step_day[k + 1][i], text: `passes the step “${steps[k].name}”` };
  yield { day: p.randomized_day[i], text: `is ${data.enrolled} to ${model.arms[p.arm[i]].label}${ofCluster(model, i)}` };
}

function ofCluster(model, i) {
  const cluster = model.people.cluster;
  return cluster === null ? "" : ` with cluster ${model.data.clusters[cluster[i]].name}`;
}

function* treatment(model, i) {
  const { people: p, data } = model;
  const arm = model.arms[p.arm[i]];
  const since = p.randomized_day[i];
  const what = arm.kind === "group" ? "a place in a group" : "a coach";
  if (p.asked_day[i] !== NONE) yield { day: p.asked_day[i], text: `asks for ${what}` };
  if (p.offered_day[i] !== NONE) yield { day: p.offered_day[i], text: offered(model, i, arm) };
  for (const day of data.people.calls[i] ?? []) yield { day: since + day, text: "is called, for there has been no module for a while" };
  const missed = data.people.missed[i] ?? [];
  for (const [day, session] of missed) yield { day: since + day, text: `misses ${arm.kind === "group" ? "" : "an appointment for "}${session_(arm, session)}` };
  for (const [session, day] of data.people.sessions[i].entries()) if (day !== NONE) yield { day: since + day, text: `${arm.kind === "self_paced" ? "does" : "attends"} ${session_(arm, session)}` };
  yield* ending(model, i, arm);
}

function offered(model, i, arm) {
  const { people: p } = model;
  const waited = p.offered_day[i] - p.asked_day[i];
  const after = waited ? ` after ${plural(waited, "day")} of waiting` : " at once";
  return arm.kind === "group" ? `is given a place in group ${p.group[i]}${after}` : `is given coach ${p.coach[i]}${after}`;
}

function session_(arm, session) {
  const noun = arm.kind === "self_paced" ? "module" : "session";
  return `${noun} ${session + 1} of ${arm.modules.length}, ${arm.modules[session]}`;
}

function* ending(model, i, arm) {
  const { people: p } = model;
  const noun = arm.kind === "self_paced" ? "module" : "session";
  const attended = `${p.n_sessions[i]} of ${plural(arm.modules.length, noun)}`;
  const texts = {
    [STATUS.DECLINED]: arm.kind === "self_paced" ? "does not start the modules" : "does not want to start treatment",
    [STATUS.STOPPED_WAITING]: "gives up waiting",
    [STATUS.DISCONTINUED]: `stops treatment after ${attended} and stays in the study`,
    [STATUS.COMPLETED]: `completes treatment: ${attended}`,
  };
  if (texts[p.status[i]]) yield { day: p.ended_day[i], text: texts[p.status[i]] };
}

function* visits(model, i) {
  const { people: p, data } = model;
  for (const [v, visit] of data.visits.entries()) {
    const due = model.dueDay(i, v);
    const stays = (day) => p.exit_day[i] === NONE || day < p.exit_day[i];
    const reminded = p.n_reminders[v][i] ? `, after ${plural(p.n_reminders[v][i], "reminder")}` : "";
    if (stays(due + visit.opens)) yield { day: due + visit.opens, text: `is sent ${visit.questionnaire}` };
    if (p.observed_day[v][i] !== NONE) yield { day: p.observed_day[v][i], text: `answers ${visit.questionnaire}${reminded}${values(model, i, v, "questionnaire")}` };
    else if (p.missing[v][i] === NO_ANSWER) yield { day: due + visit.closes, text: `has not answered ${visit.questionnaire}${reminded}; it closes` };
    if (p.recorded[v][i]) yield { day: due, text: `has their health records read${values(model, i, v, "record")}` };
  }
}

function values(model, i, v, source) {
  const told = model.data.outcomes.flatMap((outcome, k) => {
    if (outcome.source !== source) return [];
    const before = outcome.has_baseline ? ` (${outcome.kind === "count" ? "in the year before baseline" : "was"} ${model.valueText(k, model.people.baseline[k][i])})` : "";
    return [`${outcome.name.replaceAll("_", " ")} ${model.valueText(k, model.people.value[k][v][i])}${before}`];
  });
  return told.length ? `: ${told.join(", ")}` : "";
}

function* leaving(model, i) {
  const { people: p } = model;
  if (p.exit_day[i] === NONE) return;
  const over = p.status[i] === STATUS.LEFT_STUDY ? "; treatment ends with it" : "";
  yield { day: p.exit_day[i], text: p.exit_kind[i] === DIED ? `dies${over}` : `withdraws from the study${over}` };
}

/** Who a participant is, in a sentence. */
export function whoIs(model, i) {
  const { people: p, data } = model;
  const covariates = data.covariates.map((covariate) => {
    const value = data.people.covariates[covariate.name][i];
    return `${covariate.label}: ${covariate.kind === "binary" ? (value ? "yes" : "no") : number(value, 1)}`;
  });
  const baseline = data.outcomes.flatMap((outcome, k) => (outcome.has_baseline ? [`${outcome.name.replaceAll("_", " ")} ${model.valueText(k, p.baseline[k][i])}`] : []));
  return [`Person ${p.number[i]} of ${data.sites[p.site[i]]}.`, covariates.length ? `${capital(covariates.join("; "))}.` : "", baseline.length ? `At baseline: ${baseline.join(", ")}.` : ""].filter(Boolean).join(" ");
}

/** The panel about one participant: built anew for another, dated by `showDay`. */
export class PersonPanel {
  constructor(model) {
    this.model = model;
    this.element = h("div", { class: "rp-person-told" });
    this.now = h("p", { class: "rp-follow" }); // what happened last, to stand beside the stage
    this.lines = [];
    this.name = "";
    this.clear();
  }

  clear() {
    this.lines = [];
    this.now.replaceChildren("Click on a dot to follow one participant.");
    this.element.replaceChildren(h("p", { class: "rp-soft" }, "Click on a dot, or choose a number, to read one participant's way."));
  }

  show(i) {
    const { model } = this;
    const arm = model.arms[model.people.arm[i]];
    this.name = `Participant ${i} (${arm.label})`;
    this.lines = wayOf(model, i).map(({ day, text }) => ({ day, text, item: h("li", {}, h("span", { class: "rp-when" }, `${model.dateText(day)}, day ${day}`), " ", text) }));
    this.element.replaceChildren(
      h("h3", {}, `Participant ${i}: ${arm.label}`),
      h("p", {}, whoIs(model, i)),
      h("ol", { class: "rp-way", tabindex: "0", "aria-label": `Way of participant ${i}, day by day` }, ...this.lines.map((line) => line.item)),
      this.hidden(i),
    );
  }

  /** Lines of later days are marked as not come yet; the last one that has come is kept in sight. */
  showDay(day) {
    let last = null;
    for (const line of this.lines) {
      line.item.classList.toggle("rp-later", line.day > day);
      line.item.classList.remove("rp-now");
      if (line.day <= day) last = line;
    }
    if (this.lines.length) this.now.replaceChildren(h("strong", {}, this.name), last ? ` on ${this.model.dateText(last.day)}: ${last.text}.` : " is not here yet.");
    if (!last) return;
    last.item.classList.add("rp-now");
    const list = last.item.parentElement;
    list.scrollTop = last.item.offsetTop - list.offsetTop - list.clientHeight * 0.6;
  }

  hidden(i) {
    const { model } = this;
    const { truth, motivation } = model.data.people;
    const outcome = model.data.outcomes[truth.outcome];
    const value = (a, v) => model.valueText(truth.outcome, at(truth.value[a][v], i));
    const head = h("tr", {}, h("th", { scope: "col" }, outcome.label), ...model.arms.map((arm) => h("th", { scope: "col" }, arm.name)));
    const rows = model.data.visits.map((visit, v) => h("tr", {}, h("th", { scope: "row" }, visit.label), ...model.arms.map((_, a) => h("td", {}, value(a, v)))));
    const sessions = h("tr", {}, h("th", { scope: "row" }, "sessions"), ...model.arms.map((_, a) => h("td", {}, String(at(truth.sessions[a], i)))));
    return h("div", { class: "rp-hidden" },
      h("h3", {}, "Only the simulation knows"),
      h("p", {}, `No analysis sees this: what would have been under each arm, with the same luck. Motivation: ${number(motivation[i], 1)} SD from the average.`),
      h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows, sessions)));
  }
}

function at(column, i) {
  return typeof column === "number" ? column : column[i];
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
