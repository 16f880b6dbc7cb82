// Words that need explaining: marked in texts, shown in a tooltip by pointer, focus or touch; Escape puts it away.

import { h, newId } from "./dom.js";

const MARKED = /\[\[([^\[\]|]+)(?:\|([^\[\]|]+))?\]\]/g;
const LINGER = 180; // [ms] time to move the pointer onto the tooltip

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** The terms of the page, and the texts that use them. */
export class Words {
  constructor(terms) {
    this.terms = new Map(Object.entries(terms).map(([term, meaning]) => [term.toLowerCase(), { term, meaning }]));
    const longestFirst = [...this.terms.keys()].sort((a, b) => b.length - a.length).map(escaped);
    const any = longestFirst.length ? longestFirst.join("|") : "(?!)";
    this.pattern = new RegExp(`(?<![\\p{L}\\p{N}])(${any})(s?)(?![\\p{L}\\p{N}])`, "giu");
  }

  meaning(word) {
    return this.terms.get(word.toLowerCase());
  }

  term(shown, word) {
    const known = this.meaning(word);
    if (!known) return document.createTextNode(shown);
    return h("button", { type: "button", class: "term", "data-tip": known.meaning }, shown);
  }

  /** A text with [[term]] or [[shown|term]] as nodes. */
  marked(text) {
    return this.pieces(text, MARKED, (found) => this.term(found[1], found[2] ?? found[1]));
  }

  /** A text in which each known term is explained where it first occurs; `used` is shared by what stands together. */
  found(text, used = new Set()) {
    return this.pieces(text, this.pattern, (found) => {
      const key = found[1].toLowerCase();
      if (used.has(key)) return document.createTextNode(found[0]);
      used.add(key);
      return this.term(found[0], key);
    });
  }

  pieces(text, pattern, made) {
    const nodes = [];
    let end = 0;
    for (const found of String(text).matchAll(pattern)) {
      nodes.push(document.createTextNode(text.slice(end, found.index)), made(found));
      end = found.index + found[0].length;
    }
    nodes.push(document.createTextNode(String(text).slice(end)));
    return nodes;
  }

  /** Write a text with its terms into an element, unless it is there already (what has the focus keeps it). */
  write(element, text, used) {
    if (element.dataset.text === text) return;
    element.dataset.text = text;
    element.replaceChildren(...this.found(text, used));
  }
}

/** One tooltip for all elements with `data-tip`. */
export class Tips {
  constructor() {
    this.tip = h("div", { class: "tip", role: "tooltip", id: newId("tip"), hidden: true });
    this.anchor = null;
    document.addEventListener("pointerover", (event) => this.over(event));
    document.addEventListener("pointerout", (event) => this.out(event));
    document.addEventListener("focusin", (event) => this.focused(event));
    document.addEventListener("focusout", () => this.hide());
    document.addEventListener("click", (event) => this.clicked(event));
    document.addEventListener("keydown", (event) => this.escape(event), { capture: true });
    addEventListener("scroll", () => this.place(), { passive: true, capture: true });
  }

  static anchorOf(event) {
    return event.target instanceof Element ? event.target.closest("[data-tip]") : null;
  }

  over(event) {
    if (event.pointerType === "touch") return;
    if (this.tip.contains(event.target)) clearTimeout(this.leaving);
    const anchor = Tips.anchorOf(event);
    if (anchor) this.show(anchor);
  }

  out(event) {
    if (event.pointerType === "touch" || !this.anchor || this.anchor.matches(":focus-visible")) return;
    clearTimeout(this.leaving);
    this.leaving = setTimeout(() => this.hide(), LINGER);
  }

  focused(event) {
    const anchor = Tips.anchorOf(event);
    if (anchor?.matches(":focus-visible")) this.show(anchor);
  }

  clicked(event) {
    const anchor = Tips.anchorOf(event);
    if (anchor?.matches(".term, .info")) this.show(anchor);
    else if (!this.tip.contains(event.target)) this.hide();
  }

  escape(event) {
    if (event.key !== "Escape" || this.tip.hidden) return;
    event.preventDefault(); // a dialog below stays open
    event.stopPropagation();
    this.hide();
  }

  show(anchor) {
    clearTimeout(this.leaving);
    if (anchor !== this.anchor) this.hide();
    this.anchor = anchor;
    this.tip.textContent = anchor.dataset.tip;
    (anchor.closest("dialog") ?? document.body).append(this.tip);
    anchor.setAttribute("aria-describedby", this.tip.id);
    this.tip.hidden = false;
    this.place();
  }

  hide() {
    clearTimeout(this.leaving);
    this.anchor?.removeAttribute("aria-describedby");
    this.anchor = null;
    this.tip.hidden = true;
  }

  /** Below its word, or above where there is no room. */
  place() {
    if (!this.anchor) return;
    if (!this.anchor.isConnected) {
      this.hide();
      return;
    }
    const at = this.anchor.getBoundingClientRect();
    const { width, height } = this.tip.getBoundingClientRect();
    const left = Math.min(
      Math.max(at.left + at.width / 2 - width / 2, 8),
      document.documentElement.clientWidth - width - 8,
    );
    const below = at.bottom + 8;
    const top = below + height > innerHeight - 8 ? at.top - height - 8 : below;
    this.tip.style.left = `${Math.max(left, 8)}px`;
    this.tip.style.top = `${Math.max(top, 8)}px`;
  }
}
