// Charts by uPlot, in the colours of the theme; each with its figures as a table for who cannot see it.

import { h } from "./dom.js";
import { clock, tick, utcDay, utcTick } from "./format.js";
import { table } from "./parts.js";

const HEIGHT = 190;
const COLOURS = 8;
const LEAST_STEPS = 5; // of hours or days that are shown, where there are fewer
const DAY_S = 86_400;
const DAYS = [1, 2, 5, 10, 30].map((days) => days * DAY_S); // between marks of days
const DIGIT_PX = 7;
const STEPS = Array.from({ length: 18 }, (_, power) => [1, 2, 5].map((each) => Number(`${each}e${power - 4}`))).flat(); // of the marks

// `series`: [{ label, values }], `show(value)` writes a value with its unit; `kind` is line, bars or stack.
export function chart({ key, title, xs, series, show, kind = "line", daily = false, redraw = 0 }) {
  const drawn = series.slice(0, COLOURS);
  return h(
    "figure",
    { key: `chart ${key}`, class: "chart" },
    h("figcaption", null, title, daily ? h("span", { class: "note" }, " of UTC") : null),
    h("div", {
      class: "plot",
      role: "img",
      "aria-label": `${title}; the figures are in the table below`,
      own: (node) => plot(node, { xs, series: drawn, show, kind, daily, redraw }),
    }),
    h("div", { class: "legend" }, drawn.map((each, index) => h("span", null, h("i", { class: `c${index + 1}` }), h("bdi", null, each.label)))),
    h("details", null, h("summary", null, "Figures"), figures(title, xs, series, show, daily)),
  );
}

const figures = (title, xs, series, show, daily) =>
  table(
    title,
    [
      { title: "Time", cell: (row) => (daily ? utcDay(row.x) : clock(row.x)) },
      ...series.map((each) => ({ title: each.label, number: true, cell: (row) => show(each.values[row.index]) })),
    ],
    xs.map((x, index) => ({ x, index, key: x })).reverse(),
  );

// A plot listens to the window, and so outlives its place in the page until it is told to go.
const plotted = new Set();

function sweep() {
  for (const node of plotted) {
    if (node.isConnected) continue;
    node.herdPlot?.destroy();
    node.herdWatch?.disconnect();
    plotted.delete(node);
  }
}

function plot(node, wanted) {
  const said = JSON.stringify([wanted.xs, wanted.series, wanted.redraw]);
  if (node.herdSaid === said) return;
  node.herdSaid = said;
  sweep();
  plotted.add(node);
  node.herdPlot?.destroy();
  node.herdPlot = null;
  if (wanted.xs.length === 0) return;
  node.herdPlot = new window.uPlot(options(node, wanted), data(wanted), node);
  node.herdWatch ??= new ResizeObserver(() => node.herdPlot?.setSize({ width: node.clientWidth, height: HEIGHT }));
  node.herdWatch.observe(node);
}

function data({ xs, series, kind }) {
  if (kind !== "stack") return [xs, ...series.map((each) => each.values)];
  let below = xs.map(() => 0);
  const sums = series.map((each) => (below = below.map((sum, index) => sum + (each.values[index] ?? 0))));
  return [xs, ...sums.reverse()]; // the tallest is drawn first, the others before it
}

function options(node, { xs, series, show, kind, daily }) {
  const colour = (name) => getComputedStyle(node).getPropertyValue(name).trim();
  const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const bars = kind !== "line" && window.uPlot.paths.bars({ size: [0.7, 44] });
  const order = kind === "stack" ? series.map((_, index) => index).reverse() : series.map((_, index) => index);
  const step = daily ? DAY_S : 3_600;
  const last = xs[xs.length - 1];
  return {
    width: node.clientWidth || 480,
    height: HEIGHT,
    legend: { show: false },
    ...(daily ? { tzDate: (epochS) => window.uPlot.tzDate(new Date(epochS * 1000), "Etc/UTC") } : {}),
    cursor: { y: false, points: { show: kind === "line" } },
    scales: {
      x: { range: () => [Math.min(xs[0], last - LEAST_STEPS * step) - step * 0.6, last + step * 0.6] },
      y: { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] },
    },
    axes: [
      daily
        ? { ...axis, space: 64, size: 28, incrs: DAYS, values: (_, ticks) => ticks.map(utcTick) }
        : { ...axis, space: 64, size: 28, values: (_, ticks, __, ___, stepS) => ticks.map((each) => tick(each, stepS)) },
      { ...axis, size: (_, marks) => Math.max(68, ...(marks ?? []).map((mark) => 16 + DIGIT_PX * mark.length)), space: 34, incrs: STEPS, values: (_, ticks) => ticks.map((tick) => (tick === 0 ? "0" : show(tick))) },
    ],
    series: [
      {},
      ...order.map((index) => {
        const paint = colour(`--c${index + 1}`);
        return bars
          ? { label: series[index].label, paths: bars, fill: paint, stroke: paint, width: 0, points: { show: false } }
          : { label: series[index].label, stroke: paint, width: 1.75, spanGaps: false, points: { show: xs.length < 40, size: series[index].values.filter((each) => each !== null).length < 3 ? 9 : 5, fill: paint } };
      }),
    ],
    hooks: { setCursor: [(u) => tip(node, u, { xs, series, show, daily })] },
  };
}

// What is under the pointer, in words.
function tip(node, u, { xs, series, show, daily }) {
  let word = node.querySelector(".tip");
  if (!word) {
    word = document.createElement("div");
    word.className = "tip";
    node.append(word);
  }
  const index = u.cursor.idx;
  word.hidden = index === null || index === undefined || u.cursor.left < 0;
  if (word.hidden) return;
  const values = series.filter((each) => each.values[index]).map((each) => `${each.label} ${show(each.values[index])}`);
  word.textContent = [daily ? utcDay(xs[index]) : clock(xs[index]), ...values].join(" · ");
}

// Rows of a long table ({key, x, value}) as one series a key, the largest first; the rest is one.
// Charts of the same keys are given the same `rankOf`, so that a key has one colour in all of them.
export function pivoted(rows, keyOf, xOf, valueOf, rankOf = valueOf) {
  const xs = [...new Set(rows.map(xOf))].sort((one, other) => one - other);
  const places = new Map(xs.map((x, index) => [x, index]));
  const found = new Map();
  for (const row of rows) {
    const key = keyOf(row);
    if (!found.has(key)) found.set(key, { label: key, values: xs.map(() => 0), sum: 0 });
    const series = found.get(key);
    series.values[places.get(xOf(row))] += valueOf(row) ?? 0;
    series.sum += rankOf(row) ?? 0;
  }
  const sorted = [...found.values()].sort((one, other) => other.sum - one.sum);
  const rest = sorted.splice(COLOURS - 1);
  if (rest.length === 1) sorted.push(rest[0]);
  else if (rest.length) {
    sorted.push({
      label: `${rest.length} others`,
      values: xs.map((_, index) => rest.reduce((sum, each) => sum + each.values[index], 0)),
    });
  }
  return { xs, series: sorted };
}
