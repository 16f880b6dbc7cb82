// What the page shows, as the fragment of a link and back. Everything a link says is checked before it is used.
//
//   #/explore?seed=3&replicates=100&k.n=240    the free page: luck, how many replicates, sliders that were moved
//   #/lessons                                  the list of lessons
//   #/lessons/missing/3?k.share=0.3            a lesson, its third step, sliders moved in this step
//   #/trial?scene=missing&replicate=4&k.n=90   one trial, day by day

const WHOLE = /^\d{1,10}$/;
const LARGEST = 2 ** 31 - 1;
/** How many replicates an answer may rest on. */
export const REPLICATES = [100, 250, 500, 1000];
export const FULL = 500;
const PAGES = ["explore", "lessons", "trial"];

function whole(text, fallback) {
  return WHOLE.test(text ?? "") ? Math.min(Number(text), LARGEST) : fallback;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** A fragment as a state; what it does not say is null, what it says wrongly is left out. Values are still text. */
export function readState(fragment) {
  const [path, query = ""] = String(fragment)
    .replace(/^#?\/?/, "")
    .split("?", 2);
  const [page, lesson = "", step = ""] = path.split("/").map(decoded);
  const said = new URLSearchParams(query);
  const values = {};
  for (const [name, value] of said) if (name.startsWith("k.") && name.length > 2) values[name.slice(2)] = value;
  return {
    page: PAGES.includes(page) ? page : "explore",
    lesson: page === "lessons" && lesson ? lesson : null,
    step: Math.max(whole(step, 1), 1) - 1,
    scene: said.get("scene"),
    view: said.get("view"),
    seed: whole(said.get("seed"), null),
    replicate: whole(said.get("replicate"), null),
    replicates: REPLICATES.find((many) => String(many) === said.get("replicates")) ?? null,
    values,
  };
}

function pathOf(state) {
  if (state.page !== "lessons" || !state.lesson) return state.page;
  return `lessons/${encodeURIComponent(state.lesson)}/${state.step + 1}`;
}

/** The fragment of a state: what is null is not said. */
export function writeState(state) {
  const said = new URLSearchParams();
  for (const name of ["scene", "view", "seed", "replicate", "replicates"]) {
    const value = state[name];
    if (value !== null && value !== undefined && value !== "") said.set(name, String(value));
  }
  for (const [name, value] of Object.entries(state.values ?? {})) said.set(`k.${name}`, String(value));
  const query = said.toString();
  return `#/${pathOf(state)}${query ? `?${query}` : ""}`;
}

/** How many digits a number has behind the point. */
export function decimals(number) {
  const text = String(number);
  const [digits, power] = text.split("e-");
  return (digits.split(".")[1] ?? "").length + Number(power ?? 0);
}

/** The value of a number knob nearest to `value`: inside its limits, on one of its steps. */
export function onStep(knob, value) {
  const held = Math.min(Math.max(value, knob.low), knob.high);
  if (held === knob.high) return knob.high; // which need not lie on a step
  const steps = Math.round((held - knob.low) / knob.step);
  const digits = Math.max(decimals(knob.step), decimals(knob.low));
  return Math.min(Number((knob.low + steps * knob.step).toFixed(digits)), knob.high);
}

function taken(knob, value) {
  if (knob.kind === "choice") return knob.choices.find((choice) => String(choice.value) === String(value))?.value;
  const text = String(value).trim();
  return text !== "" && Number.isFinite(Number(text))
    ? Math.min(Math.max(Number(text), knob.low), knob.high)
    : undefined;
}

/** Values said by a link, as values of the knobs: {values of all knobs, names that were not understood}. */
export function settle(said, knobs, base) {
  const own = (knob) => (Object.hasOwn(base, knob.name) ? base[knob.name] : knob.value);
  const values = Object.fromEntries(knobs.map((knob) => [knob.name, own(knob)]));
  const left = [];
  for (const [name, value] of Object.entries(said)) {
    const knob = knobs.find((one) => one.name === name);
    const understood = knob && taken(knob, value);
    if (understood === undefined) left.push(name);
    else values[name] = understood;
  }
  return { values, left };
}

/** Only the values that differ from where they began. */
export function moved(values, base) {
  return Object.fromEntries(Object.entries(values).filter(([name, value]) => value !== base[name]));
}
