// Pulls as a page follows them: those that run, those that did not end well, and a word when one ends.

import { follow } from "./follow.js";

const PATH = "/dashboard/api/pull";
const LATE_MS = 10_000; // from a pull's end until the log tells how it ended

export const id = (pull) => pull.pull_id || `${pull.node_id} ${pull.model}`;
const runs = (pull) => !pull.error && pull.status !== "success" && !pull.done;

// A pull is followed whoever began it: this page, another one or a command.
export function followed(ctx, state) {
  if (state.pulling) take(ctx, state, state.pulling);
  if (state.watched?.size) watch(ctx, state);
}

const watch = (ctx, state) => follow(ctx, state, PATH, (found) => take(ctx, state, found), () => state.watched.size > 0);

// Of a pull that was asked for here: it may have ended before it is seen to run.
export function begun(ctx, state, pull) {
  state.watched ??= new Map();
  state.watched.set(id(pull), { ...pull, status: "pulling", seen: performance.now() });
  watch(ctx, state);
}

// What was pulled well is in the tables below: it leaves the list. What failed stays for as long as herd tells it.
function take(ctx, state, { pulls }) {
  const found = pulls ?? [];
  const known = new Map(found.map((pull) => [id(pull), pull]));
  state.watched ??= new Map();
  for (const pull of found.filter(runs)) state.watched.set(id(pull), { ...pull, seen: performance.now() });
  for (const [key, pull] of state.watched) {
    const now = known.get(key);
    if (now && runs(now)) continue;
    if (now) ctx.toast(ended(now));
    if (now || performance.now() - pull.seen > LATE_MS) state.watched.delete(key);
  }
  state.pulls = [...[...state.watched.values()].map((pull) => known.get(id(pull)) ?? pull), ...found.filter((pull) => !runs(pull) && pull.status !== "success")];
}

function ended({ model, node_id: node, status, error }) {
  if (status === "success") return `Pulled ${model} onto ${node}.`;
  return status === "cancelled" ? `The pull of ${model} onto ${node} was cancelled.` : `${model} was not pulled onto ${node}: ${error || status}`;
}
