// Bars with their band: upright where the words below have room, lying where they have not. Published values stand beside.

import { canvas, legend, line, mark, plane, rect, surrounded, text, xAxis, yGrid } from "./parts.js";
import { lines as wrapped, scale, widthOf } from "./scale.js";

const PUBLISHED = { label: "published", colour: 6, shape: "diamond", line: false };

function grouped(bars) {
  const found = new Map();
  for (const bar of bars) found.set(bar.group, [...(found.get(bar.group) ?? []), bar]);
  return [...found.values()];
}

/** Colours say which bar of a group: the axis names groups. Otherwise the axis names bars. */
function byColour(groups) {
  return (
    groups.every((bars) => bars[0].group) &&
    groups.some((bars) => bars.length > 1 && new Set(bars.map((bar) => bar.colour)).size > 1)
  );
}

function unique(items) {
  return [...new Map(items.map((item) => [`${item.colour} ${item.label}`, item])).values()];
}

function legendOf(panel, groups, before) {
  const named = byColour(groups)
    ? panel.bars
    : panel.bars.filter((bar) => bar.group).map((bar) => ({ ...bar, label: bar.group }));
  const items = unique(named.map(({ label, colour }) => ({ label, colour, bar: true })));
  if (panel.published?.length) items.push(PUBLISHED);
  for (const { label } of panel.lines ?? []) items.push({ label, name: "reference" });
  if (before) items.push({ label: before.kept, colour: 7, bar: true, name: "ghost" });
  return items;
}

/** Where bars and their words stand along the axis of names: [{bar, from, size}], [{words, middle, size}]. */
function places(groups, from, to) {
  const slots = groups.reduce((sum, bars) => sum + bars.length, 0) + groups.length * 0.6;
  const slot = (to - from) / slots;
  const bars = [];
  const names = [];
  let at = from;
  for (const group of groups) {
    const first = at + 0.3 * slot;
    group.forEach((bar, i) => bars.push({ bar, from: first + i * slot + 0.08 * slot, size: 0.84 * slot }));
    if (byColour(groups))
      names.push({
        words: group[0].group,
        middle: first + (group.length * slot) / 2,
        size: (group.length + 0.5) * slot,
      });
    else group.forEach((bar, i) => names.push({ words: bar.label, middle: first + (i + 0.5) * slot, size: slot }));
    at = first + group.length * slot + 0.3 * slot;
  }
  return { bars, names };
}

class Bars {
  constructor(tools) {
    this.tools = tools;
    Object.assign(this, surrounded());
  }

  draw(panel, how) {
    const groups = grouped(panel.bars);
    this.panel = panel;
    this.before = how.before;
    const fits = this.every(groups, how) > 0;
    if (fits) this.upright(groups, how);
    else this.lying(groups, how);
    this.yName.hidden = !fits;
    this.xName.hidden = fits;
    this.tools.words.write(fits ? this.yName : this.xName, panel.y.label, new Set());
    legend(this.legend, legendOf(panel, groups, how.before), this.tools.words);
  }

  /** Every which name fits below its bar: 1 all, 2 every other (numbers only), 0 not even so. */
  every(groups, { width, font }) {
    const { names } = places(groups, 60, width - font.size);
    const fit = (step) =>
      names.every(({ words, size }) =>
        wrapped(words, step * size - 6, font.css).every((row) => widthOf(row, font.css) < step * size - 4),
      );
    const steps = names.every(({ words }) => Number.isFinite(Number(words))) ? [1, 2, 4, 5] : [1];
    return steps.find(fit) ?? 0;
  }

  published(bar) {
    return (this.panel.published ?? []).find((one) => one.key === bar.key);
  }

  old(bar) {
    return this.before?.bars.find((one) => one.key === bar.key);
  }

  upright(groups, { width, font }) {
    const step = this.every(groups, { width, font });
    const count =
      step > 1
        ? 1
        : Math.max(
            ...places(groups, 60, width - font.size).names.map(
              ({ words, size }) => wrapped(words, size - 6, font.css).length,
            ),
          );
    const height = Math.round(Math.min(Math.max(width * 0.42, 14 * font.size), 22 * font.size)) + count * font.line;
    const frame = plane({ width, height: height - count * font.line, y: this.panel.y, font, xTicks: false });
    const { box, at } = frame;
    canvas(this.svg, width, height);
    const { bars, names } = places(groups, box.left, box.right);
    const under = names
      .filter((_, i) => i % step === 0)
      .flatMap(({ words, middle, size }) =>
        wrapped(words, step * size - 6, font.css).map((row, i) =>
          text(middle, box.bottom + font.line * (i + 1), row, { anchor: "middle", name: "tick" }),
        ),
      );
    const across = (this.panel.lines ?? []).map((one) =>
      line(box.left, at.y(one.at), box.right, at.y(one.at), "reference"),
    );
    const ground = at.y(Math.max(this.panel.y.low, 0));
    const drawn = bars.flatMap((place) => this.standing(place, at.y, ground));
    this.svg.replaceChildren(
      ...yGrid(frame),
      ...drawn,
      line(box.left, ground, box.right, ground, "axis"),
      ...across,
      ...under,
    );
  }

  standing({ bar, from, size }, y, ground) {
    if (bar.value === null) return [];
    const middle = from + size / 2;
    const old = this.old(bar);
    const beside = this.published(bar);
    return [
      rect(from, Math.min(y(bar.value), ground), size, Math.abs(y(bar.value) - ground), `bar c${bar.colour}`),
      ...(old && old.value !== null
        ? [rect(from, Math.min(y(old.value), ground), size, Math.abs(y(old.value) - ground), "bar ghost")]
        : []),
      ...(bar.low === null ? [] : [line(middle, y(bar.low), middle, y(bar.high), "whisker")]),
      ...(beside && beside.low !== null
        ? [line(middle + size * 0.25, y(beside.low), middle + size * 0.25, y(beside.high), "whisker")]
        : []),
      ...(beside ? [mark("diamond", middle + size * 0.25, y(beside.value), 5, "mark edged c6")] : []),
    ];
  }

  lying(groups, { width, font }) {
    const rows = this.panel.bars.length;
    const row = font.line * 1.25;
    const named = byColour(groups);
    const heads = named ? groups.length * font.line : 0;
    const top = 4;
    const bottom = top + rows * row + heads + groups.length * row * 0.6;
    canvas(this.svg, width, Math.ceil(bottom + font.line + 10));
    const widest = named ? 0 : Math.max(...this.panel.bars.map((bar) => widthOf(bar.label, font.css)));
    const over = widest > width * 0.36;
    const box = { left: over || named ? 4 : widest + 12, right: width - font.size, top, bottom };
    const at = { x: scale(this.panel.y.low, this.panel.y.high, box.left, box.right) };
    this.svg.replaceChildren(
      ...xAxis({ box, at, font, x: this.panel.y }),
      ...this.layRows(groups, { box, at, font, row, named, over }),
    );
  }

  layRows(groups, { box, at, font, row, named, over }) {
    const drawn = [];
    const ground = at.x(Math.max(this.panel.y.low, 0));
    let y = box.top;
    for (const bars of groups) {
      y += row * 0.3;
      if (named) drawn.push(text(box.left, (y += font.line) - font.size * 0.3, bars[0].group, { name: "label" }));
      for (const bar of bars) {
        drawn.push(...this.laid(bar, at.x, ground, y + row * 0.08, row * 0.84));
        if (!named && !over)
          drawn.push(text(box.left - 8, y + row * 0.65, bar.label, { anchor: "end", name: "label" }));
        if (over) drawn.push(text(box.left + 6, y + row * 0.65, bar.label, { name: "label halo" }));
        y += row;
      }
      y += row * 0.3;
    }
    const across = (this.panel.lines ?? []).map((one) =>
      line(at.x(one.at), box.top, at.x(one.at), box.bottom, "reference"),
    );
    return [...drawn, ...across];
  }

  laid(bar, x, ground, y, size) {
    if (bar.value === null) return [];
    const middle = y + size / 2;
    const old = this.old(bar);
    const beside = this.published(bar);
    return [
      rect(Math.min(x(bar.value), ground), y, Math.abs(x(bar.value) - ground), size, `bar c${bar.colour}`),
      ...(old && old.value !== null
        ? [rect(Math.min(x(old.value), ground), y, Math.abs(x(old.value) - ground), size, "bar ghost")]
        : []),
      ...(bar.low === null ? [] : [line(x(bar.low), middle, x(bar.high), middle, "whisker")]),
      ...(beside && beside.low !== null
        ? [line(x(beside.low), middle + size * 0.25, x(beside.high), middle + size * 0.25, "whisker")]
        : []),
      ...(beside ? [mark("diamond", x(beside.value), middle + size * 0.25, 5, "mark edged c6")] : []),
    ];
  }
}

export const make = (tools) => new Bars(tools);
