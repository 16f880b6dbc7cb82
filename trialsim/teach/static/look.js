// How the page looks: light or dark, usual or large type. What was chosen is kept by the browser, where it may.

import { button, h, icon } from "./dom.js";

const root = document.documentElement;

function keep(name, value) {
  try {
    localStorage.setItem(`trialsim.${name}`, value);
  } catch {
    // the choice holds until the page is closed
  }
}

function change(name, value) {
  root.dataset[name] = value;
  keep(name, value);
  dispatchEvent(new Event("look")); // charts measure their type anew
}

function isDark() {
  if (root.dataset.theme) return root.dataset.theme === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function toggle({ label, picture, now, flip }) {
  const made = button(
    icon(picture),
    () => {
      flip();
      made.setAttribute("aria-pressed", String(now()));
    },
    { class: "tool", "aria-pressed": String(now()) },
  );
  made.append(h("span", {}, label));
  return made;
}

/** The two buttons of the header. */
export function lookButtons() {
  const isLarge = () => root.dataset.type === "large";
  return [
    toggle({
      label: "Large type",
      picture: "large",
      now: isLarge,
      flip: () => change("type", isLarge() ? "usual" : "large"),
    }),
    toggle({ label: "Dark", picture: "dark", now: isDark, flip: () => change("theme", isDark() ? "light" : "dark") }),
  ];
}
