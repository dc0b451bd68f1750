// Model Insights: how models are used, how much of their context, where they lie on disk.

import { chart, pivoted } from "../chart.js";
import { h, memo, name } from "../dom.js";
import { ago, count, many, millis, percent } from "../format.js";
import { choice, empty, loaded, section, table } from "../parts.js";
import { followed } from "./pulls.js";
import { stored } from "./stored.js";

const DAYS = [
  [1, "1 day"],
  [7, "7 days"],
  [30, "30 days"],
];

export const models = {
  id: "models",
  title: "Model Insights",
  hears: ["requests", "pulls", "pins"],
  paths: (state) => ({
    models: `/dashboard/api/models?days=${state.days ?? 7}`,
    context: `/dashboard/api/context-usage?days=${state.days ?? 7}`,
    management: "/dashboard/api/model-management",
    pulling: "/dashboard/api/pull",
  }),
  loaded: followed,
  draw(ctx, state) {
    const pick = (days) => {
      state.days = days;
      ctx.reload();
      ctx.draw();
    };
    return [
      h("div", { key: "bar", class: "bar" }, choice("Period", DAYS, state.days ?? 7, pick)),
      h("div", { key: "models" }, loaded(state, "models", ({ daily, summary }) => [memo([summary], () => used(summary)), memo([daily, state.redraw], () => perDay(daily, state.redraw))])),
      h("div", { key: "context" }, loaded(state, "context", ({ models: rows }) => memo([rows], () => context(rows)))),
      h("div", { key: "stored" }, section("On disk", loaded(state, "management", ({ nodes }) => stored(ctx, state, nodes)))),
    ];
  },
};

// What was answered: who was refused, or left, is among the requests of Apps and Trends.
function used(rows) {
  if (rows.length === 0) return empty("No model has answered in this period. Which models the fleet has:", `curl -s http://${location.host}/v1/models`);
  return section(
    "Use",
    table(
      "Models by answers",
      [
        { title: "Model", cell: (row) => name(row.model_name) },
        { title: "Answered", number: true, cell: (row) => count(row.total_requests) },
        { title: "Mean time", number: true, cell: (row) => millis(row.avg_latency_ms) },
        { title: "Least", number: true, cell: (row) => millis(row.min_latency_ms) },
        { title: "Most", number: true, cell: (row) => millis(row.max_latency_ms) },
        { title: "Prompt tokens", number: true, cell: (row) => many(row.total_prompt_tokens) },
        { title: "Answer tokens", number: true, cell: (row) => many(row.total_completion_tokens) },
        { title: "Last used", cell: (row) => ago(row.last_seen), class: "nowrap" },
      ],
      rows.map((row) => ({ ...row, key: row.model_name })),
    ),
  );
}

function perDay(rows, redraw) {
  if (rows.length === 0) return null;
  const requests = (row) => row.request_count;
  const of = (value) => pivoted(rows, (row) => row.model_name, (row) => row.day_bucket, value, requests);
  return section(
    "Day by day",
    h(
      "div",
      { class: "charts" },
      chart({ key: "requests", title: "Answers a day", ...of(requests), kind: "stack", show: count, daily: true, redraw }),
      chart({ key: "tokens", title: "Answer tokens a day", ...of((row) => row.total_completion_tokens), kind: "stack", show: many, daily: true, redraw }),
    ),
  );
}

function context(rows) {
  if (rows.length === 0) return null;
  return section(
    "Context",
    h("p", { class: "note" }, "How much of a model's context was needed: context that nobody needs is memory that another model could have."),
    table(
      "Context by model",
      [
        { title: "Model", cell: (row) => name(row.model) },
        { title: "Has", number: true, cell: (row) => (row.allocated_ctx ? `${count(row.allocated_ctx)} tokens` : "–") },
        { title: "Answered", number: true, cell: (row) => count(row.request_count) },
        { title: "Prompt p50", number: true, cell: (row) => count(row.prompt_tokens?.p50) },
        { title: "Prompt p95", number: true, cell: (row) => count(row.prompt_tokens?.p95) },
        { title: "In all p99", number: true, cell: (row) => count(row.total_tokens?.p99) },
        { title: "Largest", number: true, cell: (row) => count(row.total_tokens?.max) },
        { title: "Used", number: true, cell: (row) => percent(row.utilization_pct, 1) },
        { title: "Enough", number: true, cell: (row) => (!row.allocated_ctx ? "–" : row.savings_pct > 0 ? `${count(row.recommended_ctx)} (${percent(row.savings_pct)} less)` : "as it is") },
      ],
      rows.map((row) => ({ ...row, key: row.model })),
    ),
  );
}

