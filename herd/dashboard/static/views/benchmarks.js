// Benchmarks: run one against the fleet, see how far it is, compare two.

import { h, name } from "../dom.js";
import { clock, count, gigabytes, millis, percent, plural, seconds } from "../format.js";
import { asking, choice, empty, figure, figures, leave, loaded, meter, section, table } from "../parts.js";
import { follow } from "./follow.js";

const RUNNING = new Set(["pulling", "warming_up", "running"]);
const MODES = [
  ["default", "models in memory"],
  ["smart", "smart"],
];
const LENGTHS = [
  [30, "30 s"],
  [120, "2 min"],
  [300, "5 min"],
];

export const benchmarks = {
  id: "benchmarks",
  title: "Benchmarks",
  hears: ["benchmarks"],
  paths: () => ({ runs: "/dashboard/api/benchmarks?limit=50", progress: "/dashboard/api/benchmarks/progress" }),
  loaded(ctx, state) {
    if (state.progress && runs(state.progress)) watch(ctx, state);
  },
  draw(ctx, state) {
    return [
      section("Run", state.errors.progress && !state.progress ? loaded(state, "progress") : run(ctx, state)),
      h("div", { key: "runs" }, loaded(state, "runs", ({ data }) => [compared(state, data), history(ctx, state, data)])),
    ];
  },
};

const runs = (progress) => RUNNING.has(progress.status);

const watch = (ctx, state) => follow(ctx, state, "/dashboard/api/benchmarks/progress", (progress) => (state.progress = progress), runs);

// What is chosen at the moment of the click, drawn already or not.
const modeOf = (state) => state.mode ?? "default";
const lengthOf = (state) => state.duration ?? 30;

function run(ctx, state) {
  const progress = state.progress ?? { status: "idle" };
  if (runs(progress)) return underWay(ctx, progress);
  const mode = modeOf(state);
  const set = (key) => (value) => {
    state[key] = value;
    ctx.draw();
  };
  const begin = async (more) => {
    state.proposal = null;
    ctx.draw();
    try {
      await ctx.post("/dashboard/api/benchmarks/start", { mode: modeOf(state), duration: lengthOf(state), model_types: ["llm"], ...more });
      watch(ctx, state);
    } catch (error) {
      ctx.toast(error.message);
    }
  };
  const start = async () => {
    if (modeOf(state) !== "smart") return begin({});
    try {
      const { pulls } = await ctx.get("/dashboard/api/benchmarks/proposal?model_type=llm");
      if (pulls.length === 0) return begin({});
      state.proposal = pulls.map((pull) => ({ ...pull, wanted: true }));
      ctx.draw();
    } catch (error) {
      ctx.toast(error.message);
    }
  };
  return [
    h(
      "div",
      { class: "bar" },
      choice("Mode", MODES, mode, set("mode")),
      choice("Length", LENGTHS, lengthOf(state), set("duration")),
      h("button", { type: "button", class: "main", onclick: start }, "Start"),
    ),
    h( // below what is clicked: its length follows the mode
      "p",
      { class: "note" },
      "Sends real requests to the live fleet for that long; they wait in the same lines as everybody's. ",
      mode === "smart" ? "Smart also loads the models on the nodes' disks that fit beside those in memory. What it would pull it asks first." : "Only models that are in memory are asked.",
    ),
    state.proposal ? proposed(ctx, state, begin) : null,
    progress.error ? h("p", { class: "failed" }, name(progress.error)) : null,
  ];
}

// What a smart run would pull: each can be left out, and nothing is deleted that nobody ticked.
function proposed(ctx, state, begin) {
  const wanted = state.proposal.filter((pull) => pull.wanted);
  const pick = (pull) => (event) => {
    pull.wanted = event.target.checked;
    ctx.draw();
  };
  const go = () => begin(wanted.length ? { pulls: wanted.map(({ model, node_id }) => ({ model, node_id })), remove_pulled: Boolean(state.removes) } : {});
  const no = () => {
    state.proposal = null;
    ctx.draw();
  };
  return asking(
    "Pull models for this benchmark?",
    no,
    h("p", null, "Recommended, and not here yet. Pull them first?"),
    h("ul", { class: "plain" }, state.proposal.map((pull) =>
      h("li", { key: `${pull.model} ${pull.node_id}` }, h("label", null,
        h("input", { type: "checkbox", checked: pull.wanted, onchange: pick(pull) }),
        " ", h("b", null, name(pull.model)), " onto ", name(pull.node_id), `, ${gigabytes(pull.size_gb)}. `, h("span", { class: "note" }, name(pull.reason)))),
    )),
    h("label", null, h("input", { type: "checkbox", checked: Boolean(state.removes), onchange: (event) => (state.removes = event.target.checked) }), " Delete them again at the end"),
    h("p", { class: "bar" },
      h("button", { type: "button", class: "main", onclick: go }, wanted.length ? "Pull and measure" : "Measure"),
      leave(no)),
  );
}

function underWay(ctx, progress) {
  const cancel = async () => {
    try {
      await ctx.post("/dashboard/api/benchmarks/cancel", {});
    } catch (error) {
      ctx.toast(error.message);
    }
  };
  return [
    h("p", null, name(progress.phase ?? progress.status)),
    progress.status === "pulling"
      ? meter("pull", progress.pull_progress.completed_bytes, progress.pull_progress.total_bytes, `${gigabytes(progress.pull_progress.completed_bytes / 1e9)} of ${gigabytes(progress.pull_progress.total_bytes / 1e9)}`)
      : h("progress", { max: progress.duration || 1, value: progress.elapsed || 0, "aria-label": "Benchmark" }),
    progress.models_pulled?.length ? h("p", { class: "note" }, "Pulled: ", progress.models_pulled.map((model, index) => [index ? ", " : null, name(model)]), ".") : null,
    figures(
      figure("time", `${seconds(progress.elapsed)}`, `of ${seconds(progress.duration)}`),
      figure("completed", count(progress.requests_completed)),
      figure("failed", count(progress.requests_failed), "", progress.requests_failed ? "bad" : ""),
      figure("pace", `${count(progress.tok_per_sec)} tokens/s`),
    ),
    h("button", { type: "button", onclick: cancel }, "Cancel"),
  ];
}

const rate = (value) => (typeof value === "number" ? value.toFixed(value < 10 ? 2 : 1) : "–");
const FIGURES = [
  ["Requests", (row) => count(row.total_requests), null],
  ["Failed", (row) => count(row.total_failures), null],
  ["Requests/s", (row) => rate(row.requests_per_sec), (row) => row.requests_per_sec, 1],
  ["Tokens/s", (row) => rate(row.tokens_per_sec), (row) => row.tokens_per_sec, 1],
  ["First byte p50", (row) => millis(row.ttft_p50_ms), (row) => row.ttft_p50_ms, -1],
  ["First byte p95", (row) => millis(row.ttft_p95_ms), (row) => row.ttft_p95_ms, -1],
  ["Answer p50", (row) => millis(row.latency_p50_ms), (row) => row.latency_p50_ms, -1],
  ["Answer p95", (row) => millis(row.latency_p95_ms), (row) => row.latency_p95_ms, -1],
  ["Answer p99", (row) => millis(row.latency_p99_ms), (row) => row.latency_p99_ms, -1],
];

function compared(state, runs) {
  const chosen = (state.chosen ?? []).map((id) => runs.find((row) => row.run_id === id)).filter(Boolean);
  if (chosen.length !== 2) return null;
  const [before, after] = chosen.sort((one, other) => one.timestamp - other.timestamp);
  return section(
    "Compared",
    unlike(before, after),
    table(
      "Two benchmarks side by side",
      [
        { title: "Figure", cell: (row) => row.label },
        { title: clock(before.timestamp), number: true, cell: (row) => row.show(before) },
        { title: clock(after.timestamp), number: true, cell: (row) => row.show(after) },
        { title: "Change", number: true, cell: (row) => change(row, before, after) },
      ],
      FIGURES.map(([label, show, of, good]) => ({ key: label, label, show, of, good })),
    ),
  );
}

const LIKE = 0.1; // of the length: the last answers of a run come when they come
const modelsOf = (row) => (row.per_model_results ?? []).map((each) => each.model).sort();

// What else than the fleet differs between two runs, and so may be what made the difference.
function unlike(before, after) {
  const [models, others] = [modelsOf(before), modelsOf(after)];
  const found = [
    Math.abs(before.duration_s - after.duration_s) > LIKE * Math.max(before.duration_s, after.duration_s) ? `${seconds(before.duration_s)} and ${seconds(after.duration_s)} long` : "",
    models.join("\n") === others.join("\n") ? "" : `with ${models.join(", ") || "no model"} and with ${others.join(", ") || "no model"}`,
  ].filter(Boolean);
  return found.length ? h("p", { class: "note" }, name(`They are not alike: ${found.join(", ")}. What differs may come from that.`)) : null;
}

function change({ of, good }, before, after) {
  if (!of || !of(before) || of(after) === null) return "–";
  const share = (100 * (of(after) - of(before))) / of(before);
  if (Math.abs(share) < 1) return "the same";
  const better = share * good > 0;
  return h("span", { class: better ? "good-text" : "bad-text" }, `${share > 0 ? "+" : "−"}${percent(Math.abs(share))} ${better ? "better" : "worse"}`);
}

function history(ctx, state, rows) {
  if (rows.length === 0) return runs(state.progress ?? {}) ? null : empty("No benchmark yet. The first one is the measure of the next: run it before you change anything.");
  const chosen = state.chosen ?? [];
  const pick = (id) => {
    const before = state.chosen ?? [];
    state.chosen = before.includes(id) ? before.filter((each) => each !== id) : [...before.slice(-1), id];
    ctx.draw();
  };
  return section(
    "History",
    h("p", { class: "note" }, "Choose two to compare them."),
    table(
      "Benchmarks, the newest first",
      [
        {
          title: "Choose",
          cell: (row) =>
            h("input", { type: "checkbox", "aria-label": `Compare the run of ${clock(row.timestamp)}`, checked: chosen.includes(row.run_id), onchange: () => pick(row.run_id) }),
        },
        { title: "When", cell: (row) => clock(row.timestamp), class: "nowrap" },
        { title: "How", cell: how, class: "what" },
        { title: "Length", number: true, cell: (row) => seconds(row.duration_s) },
        { title: "Requests", number: true, cell: (row) => [count(row.total_requests), row.total_failures ? h("span", { class: "bad-text block" }, `${count(row.total_failures)} failed`) : null] },
        { title: "Requests/s", number: true, cell: (row) => rate(row.requests_per_sec) },
        { title: "Tokens/s", number: true, cell: (row) => rate(row.tokens_per_sec) },
        { title: "First byte p50, p95", number: true, cell: (row) => `${millis(row.ttft_p50_ms)}, ${millis(row.ttft_p95_ms)}` },
        { title: "Answer p50, p95", number: true, cell: (row) => `${millis(row.latency_p50_ms)}, ${millis(row.latency_p95_ms)}` },
        { title: "Models and nodes", cell: parts },
      ],
      rows.map((row) => ({ ...row, key: row.run_id })),
    ),
  );
}

// What was asked for and how it ended, where that is not simply well.
const how = (row) => [
  name(row.mode ?? "default"),
  row.outcome && row.outcome !== "done" ? h("span", { class: `status block ${row.outcome === "failed" ? "bad" : "warn"}` }, row.outcome) : null,
  row.models_pulled?.length ? h("span", { class: "note block" }, name(`pulled ${row.models_pulled.map((each) => each.model).join(", ")}${row.models_removed?.length ? ", deleted again" : ""}`)) : null,
  row.error ? h("span", { class: "why" }, name(row.error)) : null,
];

const parts = (row) =>
  h(
    "details",
    null,
    h("summary", null, plural((row.per_model_results ?? []).length, "model")),
    h("ul", { class: "plain" }, [
      ...(row.per_model_results ?? []).map((each) =>
        h("li", { key: `m ${each.model}` }, name(each.model), `: ${count(each.requests)} requests, ${rate(each.tok_s)} tokens/s, first byte ${millis(each.avg_ttft_ms)}`),
      ),
      ...(row.per_node_results ?? []).map((each) =>
        h("li", { key: `n ${each.node_id}` }, name(each.node_id), `: ${count(each.requests)} requests (${percent(each.pct)})`),
      ),
    ]),
  );
