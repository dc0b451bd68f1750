// One request: its life on a time line, each decision with its candidates, all in words.

import { PAST_MS } from "../api.js";
import { h, name } from "../dom.js";
import { clock, count, now, seconds } from "../format.js";
import { command, failed, outcome, section, slots, table } from "../parts.js";

const WORDS = {
  waiting: "waits",
  loading: "loads the model",
  prompt: "reads the prompt",
  answer: "answers",
  whole: "reads the prompt and answers",
  failed: "fails",
};
const LEAST = 0.4; // percent of the line, so that the shortest stretch is seen

export const request = {
  id: "request",
  title: "Request",
  under: "overview",
  argued: true,
  hears: ["requests"],
  paths: (_, id) => ({ story: `/dashboard/api/requests/${encodeURIComponent(id)}` }),
  draw(ctx, state, id) {
    if (state.story === undefined) {
      return [back(), state.errors.story ? failed(state.errors.story) : h("p", { class: "note" }, `Looking for ${id}…`)];
    }
    return [back(), state.errors.story ? failed(`Not fresh: ${state.errors.story}`) : null, head(state.story), line(state.story), decisions(state.story), steps(state.story), explained(ctx, state, state.story)];
  },
};

const back = () => h("p", { key: "back" }, h("a", { href: "#/overview" }, "← Fleet Overview"));

const head = (story) =>
  h(
    "header",
    { key: "head", class: "request-head" },
    h("h2", null, name(story.model)),
    h(
      "p",
      { class: "note" },
      h("code", null, story.request_id),
      ` · ${clock(story.began_at)} · ${story.route}`,
      story.app ? [" · ", name(story.app)] : null,
      story.ended ? ` · ${seconds(story.total_s)} in all` : " · not ended",
      story.outcome ? [" · ", outcome(story.outcome)] : null,
    ),
  );

function line(story) {
  const nowS = Math.max(now() - story.began_at, 0);
  const spans = story.spans.map((each) => ({ ...each, end: each.to_s ?? Math.max(nowS, each.from_s) }));
  if (spans.length === 0) return null;
  const all = Math.max(...spans.map((each) => each.end), story.total_s ?? 0, 0.001);
  const told = (each) => `${WORDS[each.what] ?? each.what}${each.node_id ? ` on ${each.node_id}` : ""}: ${seconds(each.end - each.from_s)}`;
  return section(
    "Its life",
    h(
      "div",
      { class: "life", role: "img", "aria-label": spans.map(told).join("; ") },
      spans.map((each) =>
        h("span", {
          class: `span ${each.what} ${each.to_s === null ? "lasting" : ""}`,
          title: told(each),
          style: { "--from": `${(100 * each.from_s) / all}%`, "--width": `${Math.max(LEAST, (100 * (each.end - each.from_s)) / all)}%` },
        }),
      ),
    ),
    h("p", { class: "scale note" }, h("span", null, "0 s"), h("span", null, seconds(all / 2)), h("span", null, seconds(all))),
    h("ul", { class: "legend spans" }, spans.map((each) => h("li", null, h("i", { class: each.what }), name(told(each))))),
  );
}

function decisions(story) {
  return story.decisions.map((each) =>
    section(
      story.decisions.length > 1 ? `Attempt ${each.attempt}` : "Why this node",
      h("p", { class: "because" }, name(each.why)),
      each.predicted_s
        ? h("p", { class: "note" }, `Predicted to take ${seconds(each.predicted_s)}, between ${seconds(each.predicted_least_s)} and ${seconds(each.predicted_most_s)} in nine of ten.`)
        : null,
      candidates(each),
      h("p", { class: "note" }, `Decided ${seconds(each.at_s)} after its receipt by ${each.policy}, event ${count(each.seq)}.`),
    ),
  );
}

function candidates(decision) {
  if (decision.candidates.length === 0) return h("p", { class: "note" }, "The candidates were not recorded.");
  return [
    table(
      `Candidates of attempt ${decision.attempt}, the best first`,
      [
        { title: "Candidate", cell: (row) => [name(row.node_id), row.node_id === decision.node_id ? h("span", { class: "tag" }, "chosen") : null] },
        { title: "Model", cell: (row) => (row.resident ? "in memory" : "has to load it") },
        { title: "Slots", cell: (row) => [slots(row.in_flight, row.slots), h("span", { class: "note" }, ` ${row.in_flight} of ${row.slots}`)] },
        { title: "Predicted wait", number: true, cell: (row) => seconds(row.wait_s) },
        { title: "Score", number: true, cell: (row) => row.score.toFixed(1) },
      ],
      decision.candidates.map((row) => ({ ...row, key: row.node_id })),
    ),
    decision.not_listed ? h("p", { class: "note" }, `and ${count(decision.not_listed)} more`) : null,
  ];
}

const steps = (story) =>
  section(
    "Step by step",
    table(
      "Events of this request",
      [
        { title: "After", number: true, cell: (row) => `${row.at_s.toFixed(3)} s` },
        { title: "Event", number: true, cell: (row) => count(row.seq) },
        { title: "What", cell: (row) => name(row.text), class: "prose" },
      ],
      story.steps.map((row) => ({ ...row, key: row.seq })),
    ),
  );

// What needs the log folded to each decision: asked for by hand, since it takes the balancer a second or more.
function explained(ctx, state, story) {
  const ask = async () => {
    state.explaining = true;
    delete state.unexplained;
    ctx.draw();
    try {
      state.explained = await ctx.get(`/dashboard/api/explain?request_id=${encodeURIComponent(story.request_id)}`, PAST_MS);
    } catch (error) {
      state.unexplained = error.message;
    }
    state.explaining = false;
    ctx.draw();
  };
  return section(
    "Explained",
    state.explained ? words(state.explained) : [
      h("p", { class: "note" }, "Which nodes could not take it and why, what it waited for, and what would have sent it elsewhere: the log is played up to each decision again."),
      h("p", { class: "bar" }, h("button", { type: "button", onclick: ask, disabled: Boolean(state.explaining) }, state.explaining ? "Playing the log…" : "Explain")),
    ],
    state.unexplained ? failed(state.unexplained) : null,
    h("p", { class: "note" }, "The same in a terminal on the balancer:"),
    command(story.command),
  );
}

function words(told) {
  const said = [...told.waits.map(wait), told.rejected ? `Rejected: ${told.rejected}.` : "", ...told.decisions.map((each) => decision(each, told.decisions.length > 1))].filter(Boolean);
  const hindered = told.decisions.flatMap((each) => each.others.map((other) => ({ ...other, attempt: each.attempt })));
  return [
    said.map((text, index) => h("p", { key: index, class: "because" }, name(text))),
    hindered.length
      ? table(
          "Nodes that were no candidates",
          [
            ...(told.decisions.length > 1 ? [{ title: "Attempt", cell: (row) => count(row.attempt) }] : []),
            { title: "No candidate", cell: (row) => name(row.node_id) },
            { title: "Because it", cell: (row) => name(Object.values(row.obstacles).join("; ")), class: "prose" },
          ],
          hindered.map((row) => ({ ...row, key: `${row.attempt} ${row.node_id}` })),
        )
      : told.decisions.length ? h("p", { class: "note" }, "Every node was a candidate.") : null,
  ];
}

function wait({ from_s: from, to_s: to, why, opened }) {
  if (to === null) return `It waits since ${seconds(from)}${why ? `: ${why}` : ""}.`;
  return `It waited ${seconds(to - from)}${why ? `, because ${why}` : ""}.${opened ? ` It went on when ${opened}.` : ""}`;
}

function decision(each, numbered) {
  const parts = [each.why.replace(/\.$/, ""), ...each.contrasts.map((contrast) => contrast.text)];
  const doubt = !each.known
    ? " The log holds no stored state from before it: what might have been is not told."
    : each.exact ? "" : ` This version of herd does not decide as it was recorded (it would choose ${each.now || "nobody"}): what might have been is not told.`;
  return `${numbered ? `Attempt ${each.attempt}: ` : ""}${parts.join("; ")}.${doubt}`;
}
