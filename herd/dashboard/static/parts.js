// Pieces that several views are made of.

import { h, name } from "./dom.js";
import { answers } from "./fleet.js";
import { clock, count, millis, words } from "./format.js";
import { toast } from "./toast.js";

export const section = (title, ...children) => noted(title, null, ...children);

// A section with a word beside its title.
export const noted = (title, note, ...children) =>
  h("section", { key: `section ${title}`, class: "section", "aria-label": title }, h("h2", null, title, note ? h("span", { class: "note" }, ` ${note}`) : null), children);

// A figure with what it is; `tone` marks it (warn, bad), never by colour alone: `note` says why.
export const figure = (what, value, note = "", tone = "") =>
  h(
    "div",
    { class: `figure ${tone}` },
    h("dt", null, what),
    h("dd", null, h("b", null, value), note ? h("span", { class: "note" }, note) : null),
  );

export const figures = (...children) => h("dl", { class: "figures" }, children);

// Rows with keys: a row keeps its own wherever it comes to stand, and so its focus and what was opened in it.
export function keyed(rows, of) {
  const times = new Map();
  return rows.map((row) => {
    const key = of(row);
    times.set(key, (times.get(key) ?? 0) + 1);
    return { ...row, key: `${key} ${times.get(key)}` };
  });
}

// What a phone has no room for is left out there: `extra`.
const classes = (word, extra) => (extra ? `${word ?? ""} extra` : word);

// `columns`: [{ title, cell(row), number?, class?, extra? }].
export function table(caption, columns, rows, props = {}) {
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption, ...props },
    h(
      "table",
      null,
      h("caption", { class: "unseen" }, caption),
      h(
        "thead",
        null,
        h("tr", null, columns.map((each) => h("th", { scope: "col", class: classes(each.number ? "number" : null, each.extra) }, each.title))),
      ),
      h(
        "tbody",
        null,
        rows.map((row, index) =>
          h(
            "tr",
            { key: row.key ?? `row ${index}` },
            columns.map((each) => h("td", { class: classes(each.number ? "number" : (each.class ?? null), each.extra) }, each.cell(row))),
          ),
        ),
      ),
    ),
  );
}

// What to do where there is nothing yet: a sentence and, often, a command.
export const empty = (text, ...commands) =>
  h("div", { class: "empty" }, h("p", null, prose(text)), commands.map(command));

// What can be typed, with a button that copies it.
export function command(text) {
  const copy = (event) => {
    copied(text, event.currentTarget.previousElementSibling).then(
      () => toast("Copied."),
      () => toast("This browser copies nothing by itself: the command is selected."),
    );
  };
  return h("p", { class: "command" }, h("code", null, text), h("button", { type: "button", class: "quiet", "aria-label": `Copy ${text}`, onclick: copy }, "copy"));
}

// Where a page came without encryption there is no clipboard: then what is selected is copied.
async function copied(text, node) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  getSelection().selectAllChildren(node);
  if (!document.execCommand("copy")) throw new Error("not copied");
}

// A sentence of herd's in which backquotes mark what can be typed.
export const prose = (text) => String(text).split("`").map((part, index) => (index % 2 ? h("code", null, part) : name(part)));

// Asks before anything is done that cannot be undone.
export const question = (label, text, verb, danger, yes, no) =>
  asking(label, no, h("p", null, text), h("button", { type: "button", class: danger ? "danger" : "main", onclick: yes }, verb), leave(no));

// The frame of a question: Escape leaves it.
export const asking = (label, no, ...children) =>
  h("div", { key: `question ${label}`, class: "question", role: "alertdialog", "aria-label": label, onkeydown: (event) => event.key === "Escape" && no() }, children);

export const leave = (no) => h("button", { type: "button", focused: true, onclick: no }, "Leave it");

export const failed = (text) => h("p", { class: "failed", role: "alert" }, prose(text));

// Draws what was loaded as `key`; before that a quiet word, after a failure herd's own.
export function loaded(state, key, draw) {
  if (state[key] !== undefined) {
    return [state.errors[key] ? failed(`Not fresh: ${state.errors[key]}`) : null, draw(state[key])];
  }
  if (key in state.errors) return state.errors[key] ? failed(state.errors[key]) : null;
  return h("p", { class: "note" }, "Loading…");
}

const DOTS = { online: "good", degraded: "warn", offline: "bad" };

export function status(node) {
  if (node.paused && answers(node)) {
    return h("span", { class: "status", title: node.paused }, `paused: ${node.paused}`);
  }
  if (node.status === "sleeping") {
    return h("span", { class: "status" }, node.waking ? "waking" : "sleeping");
  }
  const word = node.draining ? "draining" : node.status;
  return h("span", { class: `status ${node.draining ? "warn" : (DOTS[node.status] ?? "")}` }, word);
}

export const SQUARES = 16;

// A slot is a square: filled while a request runs in it. Many slots are one bar.
export function slots(used, all) {
  const label = `${count(used)} of ${count(all)} slots in use`;
  const squares =
    all <= SQUARES
      ? Array.from({ length: all }, (_, index) => h("i", { class: index < used ? "used" : null }))
      : h("i", { class: "long", style: { "--share": all ? used / all : 0 } });
  return h(
    "span",
    { class: "slots", role: "img", "aria-label": label, title: label },
    squares,
  );
}

export function meter(label, used, all, text) {
  const share = all > 0 ? Math.min(1, Math.max(0, used / all)) : 0;
  return h(
    "div",
    { class: "meter" },
    h("span", { class: "meter-label" }, label),
    h("span", {
      class: `meter-bar ${share > 0.92 ? "full" : ""}`,
      role: "img",
      "aria-label": `${label}: ${text}`,
      style: { "--share": share },
    }),
    h("span", { class: "meter-text" }, text),
  );
}

export function choice(label, options, chosen, pick) {
  return h(
    "div",
    { class: "choice", role: "group", "aria-label": label },
    options.map(([value, text]) =>
      h(
        "button",
        { type: "button", key: String(value), "aria-pressed": String(value === chosen), onclick: () => pick(value) },
        text,
      ),
    ),
  );
}

const OUTCOMES = {
  completed: "good",
  failed: "bad",
  incomplete: "bad",
  interrupted: "bad",
  reaped: "bad",
  rejected: "warn",
  retried: "warn",
  client_disconnected: "quiet",
  cancelled: "quiet",
  running: "run",
  waiting: "warn",
};

export const outcome = (word) => h("span", { class: `status ${OUTCOMES[word] ?? ""}` }, words(word) || "–");

export const link = (id, text) => h("a", { href: `#/request/${encodeURIComponent(id)}` }, text);

// Events of the log, each a link to the fleet as it was after it.
export const events = (seqs) => [seqs.length === 1 ? "event " : "events ", seqs.map((seq, index) => [index ? ", " : null, h("a", { href: `#/overview?at=${Number(seq)}` }, count(seq))])];

export function traces(rows) {
  return table(
    "Requests, the newest first",
    [
      { title: "Time", cell: (row) => link(row.request_id, clock(row.timestamp)), class: "nowrap" },
      { title: "Model", cell: (row) => model(row) },
      { title: "Node", cell: (row) => (row.node_id ? name(row.node_id) : "–") },
      { title: "App", cell: (row) => app(row), extra: true },
      { title: "Outcome", cell: (row) => ending(row) },
      { title: "Waited", cell: (row) => (row.queue_ms ? millis(row.queue_ms) : "–"), number: true, extra: true },
      { title: "First byte", cell: (row) => millis(row.time_to_first_token_ms), number: true, extra: true },
      { title: "Took", cell: (row) => millis(row.latency_ms), number: true },
      { title: "Tokens", cell: (row) => row.completion_tokens === null ? "–" : `${count(row.prompt_tokens)} + ${count(row.completion_tokens)}`, number: true, extra: true },
    ],
    keyed(rows, (row) => `${row.request_id} ${row.retry_count ?? 0} ${row.status}`),
  );
}

const model = (row) => [
  name(row.model),
  row.fallback_used ? h("span", { class: "note" }, " instead of ", name(row.original_model)) : null,
];

const app = (row) => name(row.app || row.tags?.join(", ") || "–");

const ending = (row) => [
  outcome(row.status),
  row.retry_count ? h("span", { class: "note" }, ` after ${row.retry_count} ${row.retry_count === 1 ? "retry" : "retries"}`) : null,
  row.error_message ? h("span", { class: "why" }, name(row.status === "rejected" ? words(row.error_message) : row.error_message)) : null,
];
