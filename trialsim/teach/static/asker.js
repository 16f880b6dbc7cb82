// One question at a time: quick ones while a slider moves, one with more replicates when it comes to rest.

import { Refusal, Stale } from "./api.js";

const QUICK = 120; // replicates while something moves
const PACE = 60; // [ms] from one quick question to the next, at least
const QUIET = 500; // [ms] an answer that comes sooner needs no word
const SLOW = 5000;

const WAITING = {
  busy: () => "The server is busy; asking again in a moment.",
  away: ({ milliseconds }) => `No connection to trialsim; trying again in ${Math.ceil(milliseconds / 1000)} s.`,
};

/** Asks, and tells `onAnswer(answer, {settled, question})` and `onStatus({kind, text})`. */
export class Asker {
  constructor({ api, full, onAnswer, onStatus }) {
    Object.assign(this, { api, full, onAnswer, onStatus });
    this.control = null;
    this.next = null;
    this.last = null;
    this.sent = -PACE;
  }

  /** While something moves: the next question waits for the quick answer on its way, and only the newest waits. */
  quick(question) {
    this.next = question;
    if (!this.control || this.last.settled) this.goOn();
  }

  /** At rest: whatever is on its way is not wanted any more. */
  rest(question) {
    this.send(question, this.full, true);
  }

  again() {
    if (this.last) this.send(this.last.question, this.last.replicates, this.last.settled);
  }

  stop() {
    this.control?.abort();
    this.control = null;
    this.next = null;
    clearTimeout(this.pace);
    this.hush();
  }

  hush() {
    clearTimeout(this.quiet);
    clearTimeout(this.slow);
  }

  tell(kind, text = "") {
    this.onStatus({ kind, text });
  }

  announceWork() {
    this.hush();
    this.quiet = setTimeout(() => this.tell("working", "Simulating …"), QUIET);
    this.slow = setTimeout(() => this.tell("working", "Still simulating; this design takes longer."), SLOW);
  }

  async send(question, replicates, settled) {
    this.stop();
    const control = new AbortController();
    Object.assign(this, { control, last: { question, replicates, settled }, sent: performance.now() });
    this.announceWork();
    const onWait = (wait) => {
      this.hush();
      this.tell(wait.kind, WAITING[wait.kind](wait));
    };
    const came = await this.api
      .answer({ ...question, replicates }, { signal: control.signal, onWait })
      .catch((error) => ({ error }));
    if (this.control !== control) return;
    if (came.error) this.failed(came.error);
    else this.received(came, { settled, question });
  }

  received(answer, how) {
    this.finish();
    this.tell("done");
    this.onAnswer(answer, how);
    this.goOn();
  }

  failed(error) {
    this.finish();
    if (error instanceof Stale) this.tell("done");
    else this.tell("error", error.message);
    if (!(error instanceof Stale || error instanceof Refusal)) reportError(error); // a mistake of the page itself
    this.goOn();
  }

  finish() {
    this.hush();
    this.control = null;
  }

  /** The question that waits, but not sooner than the pace allows. */
  goOn() {
    clearTimeout(this.pace);
    const early = this.sent + PACE - performance.now();
    if (early > 0) this.pace = setTimeout(() => this.goOn(), early);
    else if (this.next) this.send(this.next, Math.min(QUICK, this.full), false);
  }
}
