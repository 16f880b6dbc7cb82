// Starts the page and follows the link: which view is shown is said by the fragment alone.

import { Api } from "./api.js";
import { copyField, openDialog } from "./dialogs.js";
import { button, h, icon } from "./dom.js";
import { Explore } from "./explore.js";
import { Lesson } from "./lesson.js";
import { Lessons } from "./lessons.js";
import { lookButtons } from "./look.js";
import { readState, writeState } from "./state.js";
import { Trial } from "./trial.js";
import { Tips, Words } from "./words.js";

const PLACES = [
  ["explore", "Explore"],
  ["lessons", "Lessons"],
  ["trial", "Watch a trial"],
];

class App {
  constructor(start, api) {
    Object.assign(this, { start, api });
    this.words = new Words(start.terms);
    this.answers = new Map();
    this.lessons = new Map();
    this.last = { explore: "#/explore", lessons: "#/lessons", trial: "#/trial" };
    this.main = document.getElementById("main");
    this.header();
    document.querySelector(".skip").addEventListener("click", (event) => {
      event.preventDefault(); // the fragment says what is shown
      this.main.focus();
    });
    addEventListener("popstate", () => this.follow());
    addEventListener("hashchange", () => this.follow());
  }

  header() {
    this.links = new Map(PLACES.map(([page, label]) => [page, h("a", { href: `#/${page}` }, label)]));
    const nav = h("nav", { class: "places", "aria-label": "Places" }, ...this.links.values());
    const share = button([icon("share"), h("span", {}, "Share")], () => this.share(), { class: "tool" });
    const words = button([icon("words"), h("span", {}, "Words")], () => this.glossary(), { class: "tool" });
    const tools = h("div", { class: "tools" }, share, words, ...lookButtons());
    document.getElementById("top").replaceChildren(h("span", { class: "brand" }, "trialsim"), nav, tools);
  }

  /** Show what the address says; nothing if it is shown already. */
  async follow() {
    if (location.hash === this.shown) return;
    const state = readState(location.hash);
    this.shown = location.hash;
    const view = await this.make(state, location.hash);
    if (view) this.show(view, state);
  }

  async make(state, address) {
    if (state.page === "explore") return this.swap(() => new Explore(this, state));
    if (state.page === "lessons" && !state.lesson) return this.swap(() => new Lessons(this));
    const name = state.page === "trial" ? state.scene : state.lesson;
    if (state.page === "trial" && (!name || name === this.start.explore.name))
      return this.swap(() => new Trial(this, state, this.start.explore));
    const lesson = await this.lesson(name);
    if (address !== this.shown) return null; // somebody went on meanwhile
    if (!lesson.steps) return this.swap(() => this.missing(lesson.message));
    return this.swap(() =>
      state.page === "trial" ? new Trial(this, state, lesson.scene) : new Lesson(this, state, lesson),
    );
  }

  swap(made) {
    this.view?.close();
    this.view = null;
    return made();
  }

  async lesson(name) {
    if (this.lessons.has(name)) return this.lessons.get(name);
    try {
      const lesson = await this.api.get(`/api/lessons/${encodeURIComponent(name)}`);
      this.lessons.set(name, lesson);
      return lesson;
    } catch (error) {
      return { message: error.message };
    }
  }

  missing(message) {
    const again = button("Try again", () => {
      this.shown = null;
      this.follow();
    });
    const back = h("a", { class: "button", href: "#/lessons" }, "All lessons");
    const element = h(
      "div",
      { class: "page" },
      h(
        "div",
        { class: "page-head" },
        h("h1", { tabindex: "-1" }, "This lesson cannot be shown"),
        h("p", { role: "alert" }, message),
      ),
      h("div", { class: "steps" }, back, again),
    );
    return { title: "Not found", element, close() {} };
  }

  show(view, state) {
    const first = !this.begun;
    this.begun = true;
    this.view = view;
    this.main.replaceChildren(...this.leftOut(view.left ?? []), view.element);
    document.title = `${view.title} · trialsim`;
    for (const [page, link] of this.links) {
      if (page === state.page) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    view.bench?.look();
    if (first) return;
    scrollTo(0, 0);
    this.main.querySelector("h1")?.focus({ preventScroll: true });
  }

  leftOut(names) {
    if (!names.length) return [];
    const words = `This link says something that this page does not know (${names.join(", ")}). It was left out.`;
    const notice = h(
      "div",
      { class: "notice", role: "status" },
      words,
      button("Close", () => notice.remove(), { class: "quiet" }),
    );
    return [notice];
  }

  /** Say in the address what is shown, without going anywhere. */
  note(state) {
    const address = writeState(state);
    history.replaceState(null, "", address);
    this.shown = location.hash;
    this.last[state.page] = address;
    this.links.get(state.page)?.setAttribute("href", state.page === "lessons" ? "#/lessons" : address);
    if (state.page === "explore")
      this.links
        .get("trial")
        .setAttribute("href", writeState({ ...state, page: "trial", view: null, replicates: null }));
  }

  /** Go somewhere; the browser's Back leads here again. */
  go(state) {
    history.pushState(null, "", writeState(state));
    this.follow();
  }

  share() {
    const field = copyField("Link to what is on the screen", location.href, { rows: 3 });
    const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
    const where = local
      ? "It opens on this computer, while trialsim teach is running on it."
      : "It opens while trialsim teach is running.";
    openDialog(
      "Share",
      h("p", {}, `The link holds the view, the step, every slider that was moved and the luck. ${where}`),
      field,
    );
    field.querySelector("button").click();
  }

  glossary() {
    const rows = [...this.words.terms.values()].sort((a, b) => a.term.localeCompare(b.term));
    openDialog(
      "Words",
      h("dl", { class: "glossary" }, ...rows.flatMap(({ term, meaning }) => [h("dt", {}, term), h("dd", {}, meaning)])),
    );
  }
}

async function begin() {
  const main = document.getElementById("main");
  const api = new Api();
  const onWait = () =>
    main.replaceChildren(
      h("p", { class: "opening", role: "status" }, "The server does not answer yet; asking again …"),
    );
  try {
    const start = await api.get("/api/start", { onWait });
    new Tips();
    await new App(start, api).follow();
  } catch (error) {
    const again = button("Try again", begin);
    main.replaceChildren(
      h("div", { class: "opening" }, h("p", { role: "alert" }, error.message ?? String(error)), again),
    );
    if (!("status" in error)) throw error;
  }
}

begin();
