// What ran and what waited in the last minutes, as herd remembered and this page watched: one strip.

import { h } from "./dom.js";
import { GAP_S, HISTORY_S } from "./fleet.js";
import { count } from "./format.js";

const HIGH = 100;
const LEAST = 4; // requests: a strip of fewer would make mountains of one

export function pulse({ history }) {
  const last = history[history.length - 1];
  if (!last) return null;
  const peak = (key) => history.reduce((most, each) => Math.max(most, each[key]), 0);
  const span = spanOf(history);
  const all = history.reduce((most, each) => Math.max(most, each.running + each.waiting), LEAST);
  const x = (at) => span - (last.at - at);
  const y = (value) => HIGH - (HIGH * value) / (all * 1.08);
  const told = `In the ${lastOf(span)} at most ${count(peak("running"))} ran and ${count(peak("waiting"))} waited at once`;
  return h(
    "figure",
    { key: "pulse", class: "pulse" },
    h(
      "figcaption",
      null,
      h("span", null, lastOf(span)),
      h("span", { class: "legend" }, h("span", null, h("i", { class: "c1" }), `running, at most ${count(peak("running"))}`), h("span", null, h("i", { class: "c2" }), `waiting, at most ${count(peak("waiting"))}`)),
    ),
    h(
      "svg",
      { viewBox: `0 0 ${span} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": told },
      h("path", { class: "waits", d: area(history, x, (each) => y(each.running + each.waiting)) }),
      h("path", { class: "runs", d: area(history, x, (each) => y(each.running)) }),
    ),
  );
}

// The whole minutes that the strip shows: it is full soon after the page was opened.
const spanOf = (history) => Math.min(HISTORY_S, 60 * Math.max(1, Math.ceil((history[history.length - 1].at - history[0].at) / 60)));
const lastOf = (span) => (span === 60 ? "last minute" : `last ${span / 60} minutes`);

// Steps from sample to sample, down to the ground at both ends of each stretch that was watched.
function area(history, x, y) {
  let path = "";
  history.forEach((each, index) => {
    const [at, high] = [x(each.at).toFixed(1), y(each).toFixed(1)];
    const begins = index === 0 || each.at - history[index - 1].at > GAP_S;
    const ends = index === history.length - 1 || history[index + 1].at - each.at > GAP_S;
    path += begins ? `M${at} ${HIGH}V${high}` : `H${at}V${high}`;
    if (ends) path += `V${HIGH}Z`;
  });
  return path;
}

// How many were answered in the last minute; null until one was watched for long enough.
export function paceOf({ history }) {
  const last = history[history.length - 1];
  const first = history.find((each) => last.at - each.at <= 60);
  if (!last || last.at - first.at < 10 || last.completed < first.completed) return null;
  return (60 * (last.completed - first.completed)) / (last.at - first.at);
}
