// The fleet as it was after any event: a slider over the log, and the fleet that is drawn meanwhile.

import { PAST_MS } from "./api.js";
import { h, name } from "./dom.js";
import { Fleet } from "./fleet.js";
import { clock, count, words } from "./format.js";
import { failed, link } from "./parts.js";

export const PATH = "/dashboard/api/past";
const LEAST = 20; // events: a past of fewer teaches nothing
const SETTLES_MS = 250; // between the last move of the slider and the question

// What is drawn: the fleet of the event that was chosen, else the one of now.
export function shown(ctx, state) {
  if (!state.then) return ctx;
  return { ...ctx, fleet: state.then.fleet, shared: { ...ctx.shared, health: null } };
}

export function slider(ctx, state) {
  const span = state.span;
  if (!span || span.last_seq <= span.first_seq) return null;
  const last = state.then || state.seq ? Math.max(span.last_seq, state.seq ?? 0) : span.last_seq;
  const seq = state.seq ?? last;
  const move = (event) => choose(ctx, state, Number(event.target.value), last);
  if (state.seq === undefined && last < LEAST) return null;
  const step = (by) => () => choose(ctx, state, Math.min(last, Math.max(span.first_seq, seq + by)), last);
  return h(
    "section",
    { key: "past", class: state.seq === undefined ? "past" : "past then", "aria-label": "Time" },
    h(
      "div",
      { class: "bar" },
      h("span", { class: "track" }, h("button", { type: "button", "aria-label": "One event back", onclick: step(-1), disabled: seq <= span.first_seq }, "‹"),
      h("input", {
        type: "range",
        id: "past",
        min: String(span.first_seq),
        max: String(last),
        value: String(seq),
        "aria-label": "Event of the log",
        "aria-valuetext": told(state, seq, last),
        oninput: move,
      }),
      h("button", { type: "button", "aria-label": "One event on", onclick: step(1), disabled: seq >= last }, "›")),
      h("button", { type: "button", class: state.seq === undefined ? null : "main", onclick: () => now(ctx, state), disabled: state.seq === undefined }, "Now"),
      h("span", { class: "note", role: "status" }, name(told(state, seq, last))),
      state.then?.seq === seq && state.then.request_id ? link(state.then.request_id, "this request") : null,
    ),
    state.lost ? failed(state.lost) : null,
  );
}

function told(state, seq, last) {
  if (state.seq === undefined) return `now, event ${count(last)}`;
  if (state.then?.seq !== seq) return `event ${count(seq)}…`;
  const { at, kind, model, node_id: node } = state.then;
  return [`as it was at ${clock(at)}, after event ${count(seq)}: ${words(kind)}`, model, node].filter(Boolean).join(" · ");
}

// A link to an event, `#/overview?at=SEQ`, opens the past there.
export function linked(ctx, state, asked) {
  const seq = Number(asked.get("at"));
  if (!Number.isSafeInteger(seq) || seq < 1) return;
  clearTimeout(state.settling);
  Object.assign(state, { seq, lost: null });
  look(ctx, state, seq);
}

// Who has moved on is not sent back by a reload.
function unlink() {
  if (location.hash.includes("?")) history.replaceState(null, "", location.hash.split("?")[0]);
}

function choose(ctx, state, seq, last) {
  unlink();
  if (seq >= last && !state.then) return now(ctx, state);
  state.seq = seq;
  state.lost = null;
  clearTimeout(state.settling);
  state.settling = setTimeout(() => look(ctx, state, seq), SETTLES_MS);
  return ctx.draw();
}

async function look(ctx, state, seq) {
  try {
    const found = await ctx.get(`${PATH}?seq=${seq}`, PAST_MS);
    if (state.seq !== seq) return; // the slider has moved on
    const fleet = new Fleet();
    fleet.snapshot(found.status);
    state.then = { seq: found.seq, at: found.at, kind: found.kind, request_id: found.request_id, model: found.model, node_id: found.node_id, fleet };
  } catch (error) {
    if (state.seq === seq) state.lost = error.message;
  }
  ctx.draw();
}

function now(ctx, state) {
  unlink();
  clearTimeout(state.settling);
  Object.assign(state, { seq: undefined, then: undefined, lost: null });
  ctx.draw();
}
