// Making elements. Text from a design goes into text nodes only; nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An HTML element: attributes by name, listeners by the name of their event. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element, in the same way. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** A button that does not submit anything. */
export function button(label, onClick, attributes = {}) {
  return h("button", { type: "button", click: onClick, ...attributes }, label);
}

const ICONS = {
  share: "M12 3v12M7.5 7.5 12 3l4.5 4.5M5 12v8h14v-8",
  words: "M5 4h11a3 3 0 0 1 3 3v13H8a3 3 0 0 1-3-3zM5 17a3 3 0 0 1 3-3h11M9 8h6",
  large: "M3 18 8 6l5 12M4.7 14h6.6M14 18l3.5-8 3.5 8M15.2 15.4h4.6",
  dark: "M20 14.5A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.5z",
  reset: "M4 12a8 8 0 1 0 2.6-5.9M4 4v4.5h4.5",
};

/** A small drawing beside a button's words. */
export function icon(name) {
  const path = s("path", { d: ICONS[name] });
  return s("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, path);
}

let ids = 0;

/** An id that no other element has. */
export function newId(stem) {
  ids += 1;
  return `${stem}-${ids}`;
}

/** Say something to those who listen instead of looking; the same words are said again only if something else came between. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** Whether the reader asked for less movement. */
export function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
