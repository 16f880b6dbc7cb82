// Where knobs stand: a column beside the pictures, or on a phone a sheet at the lower edge, so that both are in sight.

import { button, h, newId } from "./dom.js";

/** Knobs in their place; `title` names them. */
export function sheet(title, ...content) {
  const id = newId("sheet");
  const inside = h("div", { class: "sheet-body", id }, ...content);
  const head = button(
    title,
    () => {
      const open = element.classList.toggle("folded");
      head.setAttribute("aria-expanded", String(!open));
    },
    { class: "sheet-head", "aria-expanded": "true", "aria-controls": id },
  );
  const element = h("section", { class: "sheet", "aria-label": title }, head, inside);
  return element;
}
