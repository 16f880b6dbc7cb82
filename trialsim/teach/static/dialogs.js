// Dialogs: the browser's own keep the focus inside and close by Escape. Copying works without permission, too.

import { button, h, newId } from "./dom.js";

/** Open a dialog; it is taken away when it closes, and the focus goes back to where it was. */
export function openDialog(title, ...content) {
  const id = newId("dialog");
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": id });
  const close = button("Close", () => dialog.close(), { class: "quiet" });
  const head = h("div", { class: "dialog-head" }, h("h2", { id, tabindex: "-1", autofocus: true }, title), close);
  dialog.append(head, h("div", { class: "dialog-body" }, ...content));
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

function copiedBySelection(field) {
  field.focus();
  field.select();
  try {
    return document.execCommand("copy"); // old, but asks for no permission and needs no secure context
  } catch {
    return false;
  }
}

async function copied(field) {
  try {
    await navigator.clipboard.writeText(field.value);
    return true;
  } catch {
    return copiedBySelection(field);
  }
}

/** A text that cannot be changed, with a button that copies it. */
export function copyField(label, text, { rows = 1 } = {}) {
  const id = newId("copy");
  const field = h("textarea", { id, readonly: true, rows: String(rows), spellcheck: "false", class: "copy-text" });
  field.value = text;
  field.addEventListener("focus", () => field.select());
  const note = h("span", { class: "copy-note", role: "status" });
  const copy = button("Copy", async () => {
    const done = await copied(field);
    if (!done) field.select();
    note.textContent = done ? "Copied." : "The browser forbids copying: press Ctrl+C (on a Mac ⌘C).";
  });
  return h(
    "div",
    { class: "copy" },
    h("label", { for: id }, label),
    field,
    h("div", { class: "copy-row" }, copy, note),
  );
}

/** Hand a text to the reader as a file. */
export function saveFile(name, text, type = "text/yaml") {
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = h("a", { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
