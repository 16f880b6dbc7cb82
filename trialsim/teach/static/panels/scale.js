// From numbers to places and to text.

/** A linear scale: value -> place. */
export function scale(low, high, from, to) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  const part = rough / power;
  return (part > 5 ? 10 : part > 2 ? 5 : part > 1 ? 2 : 1) * power;
}

/** About `count` round values from low to high. */
export function ticks(low, high, count) {
  if (!(high > low)) return [low];
  const step = niceStep((high - low) / Math.max(count, 1));
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function decimals(step) {
  return Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
}

/** A number with so many decimals, a true minus, and commas in thousands. */
export function number(value, digits = 0) {
  const text = value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return text.replace("-", "−").replace(/^−(0(?:\.0+)?)$/, "$1");
}

/** An error with so many decimals, or with as many more as it takes to show a digit that is not 0. */
export function errorText(error, digits = 0) {
  const hidden = error > 1e-12 && error < 0.5 * 10 ** -digits;
  return number(error, hidden ? -Math.floor(Math.log10(error)) : digits);
}

/** How ticks of an axis are written. */
export function tickWriter(values, percent) {
  const step = values.length > 1 ? values[1] - values[0] : 1;
  if (percent) return (value) => `${number(100 * value, decimals(100 * step))}%`;
  return (value) => number(value, decimals(step));
}

/** How single values on an axis are written: one or two digits finer than a tick. */
export function valueWriter({ low, high, percent }) {
  if (percent) return (value) => `${number(100 * value, 1)}%`;
  const span = Math.abs(high - low) || 1;
  const digits = Math.min(Math.max(2 - Math.floor(Math.log10(span)), 0), 4);
  return (value) => number(value, digits);
}

const canvas = document.createElement("canvas").getContext("2d");

/** Width of a text in the font of the charts [px]. */
export function widthOf(text, font) {
  canvas.font = font;
  return canvas.measureText(text).width;
}

/** A text in lines that are not wider than `width` [px]. */
export function lines(text, width, font) {
  const rows = [];
  for (const word of String(text).split(/\s+/)) {
    const longer = rows.length ? `${rows[rows.length - 1]} ${word}` : word;
    if (rows.length && widthOf(longer, font) <= width) rows[rows.length - 1] = longer;
    else rows.push(word);
  }
  return rows;
}

function sameThing(from, to) {
  return ["key", "id", "label", "kind"].every((name) => from[name] === to[name]);
}

/** Between two panels of the same shape: numbers go from one to the other, everything else is the new one's. */
export function between(from, to, part) {
  if (typeof from === "number" && typeof to === "number") return from + (to - from) * part;
  if (Array.isArray(from) && Array.isArray(to) && from.length === to.length)
    return to.map((item, i) => between(from[i], item, part));
  if (!from || !to || typeof from !== "object" || typeof to !== "object" || Array.isArray(from) || Array.isArray(to))
    return to;
  if (!sameThing(from, to)) return to;
  return Object.fromEntries(
    Object.entries(to).map(([name, value]) => [name, MOVING.has(name) ? between(from[name], value, part) : value]),
  );
}

// What may be seen on its way; colours, counts and texts change at once. Labels of lines carry numbers, so lines move by place.
const MOVING = new Set([
  "x",
  "y",
  "low",
  "high",
  "series",
  "rows",
  "estimate",
  "groups",
  "mean",
  "truth",
  "value",
  "sample",
  "bars",
  "simulated",
  "steps",
]);
