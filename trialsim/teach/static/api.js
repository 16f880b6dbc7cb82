// Talking with the server: limits in time, patience when it is busy or away, and answers that came too late are dropped.

const PATIENCE = { times: 9, first: 1000, longest: 10_000 };
const LONGEST = 60_000;

/** The server refused, or cannot be reached: `message` is a sentence for the reader. */
export class Refusal extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** A newer question has been asked meanwhile. */
export class Stale extends Error {}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new Stale());
    });
  });
}

async function once(path, options, signal) {
  const control = new AbortController();
  const stop = () => control.abort();
  const timer = setTimeout(stop, LONGEST);
  signal?.addEventListener("abort", stop);
  if (signal?.aborted) stop();
  try {
    const response = await fetch(path, { ...options, signal: control.signal, cache: "no-store", credentials: "omit" });
    return { response, body: await response.text() };
  } catch (error) {
    if (signal?.aborted) throw new Stale();
    if (control.signal.aborted) throw new Refusal("The answer took longer than a minute.");
    return { response: null, body: "", error };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

/** What was answered, or an error that says what is wrong; null: it may be tried again. */
function judged({ response, body }) {
  if (!response || response.status === 429 || response.status === 503) return null;
  const said = parsed(body);
  if (response.status === 409) throw new Stale();
  if (!response.ok)
    throw new Refusal(said?.error ?? `The server answered with error ${response.status}.`, response.status);
  if (said === null) throw new Refusal("The server's answer could not be read.");
  return said;
}

function waitFor(response, attempt) {
  const asked = Number(response?.headers.get("retry-after"));
  const grown = Math.min(PATIENCE.first * 2 ** attempt, PATIENCE.longest);
  const base = Number.isFinite(asked) && asked > 0 ? Math.min(asked * 1000, PATIENCE.longest) : grown;
  return base * (0.8 + 0.4 * Math.random());
}

/** Ask until there is an answer. `onWait({kind: "busy"|"away", milliseconds})` is told of every pause. */
async function patiently(path, options, { signal, onWait }) {
  for (let attempt = 0; ; attempt += 1) {
    const came = await once(path, options, signal);
    const answer = judged(came);
    if (answer !== null) return answer;
    const kind = came.response ? "busy" : "away";
    if (attempt >= PATIENCE.times) throw new Refusal(GIVEN_UP[kind], came.response?.status ?? 0);
    const milliseconds = waitFor(came.response, attempt);
    onWait?.({ kind, milliseconds });
    await pause(milliseconds, signal);
  }
}

const GIVEN_UP = {
  busy: "The server has too much to do just now.",
  away: "There is no connection to trialsim. Is “trialsim teach” still running?",
};

/** The server, for one open page. */
export class Api {
  constructor() {
    const random = crypto.getRandomValues(new Uint32Array(4)); // randomUUID is for secure contexts only
    this.client = [...random].map((part) => part.toString(36)).join("-");
    this.sequence = 0;
  }

  get(path, how = {}) {
    return patiently(path, {}, how);
  }

  post(path, body, how = {}) {
    const headers = { "content-type": "application/json" };
    return patiently(path, { method: "POST", headers, body: JSON.stringify(body) }, how);
  }

  /** The panels of a question; Stale if another question was asked meanwhile. */
  async answer(question, how) {
    this.sequence += 1;
    const sequence = this.sequence;
    const answer = await this.post("/api/answer", { ...question, client: this.client, sequence }, how);
    if (answer.sequence !== sequence || sequence !== this.sequence) throw new Stale();
    return answer;
  }
}
