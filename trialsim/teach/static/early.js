// Runs before the first paint, so that a page in the dark does not flash white. A browser may forbid storage.
"use strict";
for (const name of ["theme", "type"]) {
  try {
    const kept = localStorage.getItem(`trialsim.${name}`);
    if (kept) document.documentElement.dataset[name] = kept;
  } catch {
    break;
  }
}
