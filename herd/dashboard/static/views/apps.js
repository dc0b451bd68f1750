// Apps: who asks, how much, how well it goes.

import { chart, pivoted } from "../chart.js";
import { h, name } from "../dom.js";
import { ago, count, many, millis } from "../format.js";
import { choice, empty, loaded, section, table } from "../parts.js";

const DAYS = [
  [1, "1 day"],
  [7, "7 days"],
  [30, "30 days"],
];

const named = (tag) => (tag ? name(tag) : h("span", { class: "note" }, "not named"));

export const apps = {
  id: "apps",
  title: "Apps",
  hears: ["requests"],
  paths: (state) => ({
    apps: `/dashboard/api/apps?days=${state.days ?? 7}`,
    daily: `/dashboard/api/apps/daily?days=${state.days ?? 7}`,
  }),
  draw(ctx, state) {
    const pick = (days) => {
      state.days = days;
      ctx.reload();
      ctx.draw();
    };
    return [
      h("div", { key: "bar", class: "bar" }, choice("Period", DAYS, state.days ?? 7, pick)),
      h("div", { key: "apps" }, loaded(state, "apps", ({ data, summary }) => list(data, summary ?? []))),
      h("div", { key: "daily" }, loaded(state, "daily", ({ data }) => daily(data, state.redraw))),
    ];
  },
};

function list(rows, summary) {
  if (rows.length === 0) {
    return empty(
      "No application has asked yet. A request is counted for its first of: tag, user, product in User-Agent, address. Name yours:",
      '"metadata": {"tags": ["my-app"]}   in the body, or the header   X-Herd-Tags: my-app',
    );
  }
  const seen = new Map(summary.map((row) => [row.tag, row]));
  return section(
    "Applications",
    table(
      "Applications by requests",
      [
        { title: "App", cell: (row) => named(row.tag) },
        { title: "Requests", number: true, cell: (row) => count(row.request_count) },
        { title: "Completed", number: true, extra: true, cell: (row) => count(row.completed_count) },
        { title: "Failed", number: true, cell: (row) => (row.failed_count ? h("span", { class: "bad-text" }, count(row.failed_count)) : "0") },
        { title: "Rejected", number: true, cell: (row) => (row.rejected_count ? h("span", { class: "bad-text" }, count(row.rejected_count)) : "0") },
        { title: "Client left", number: true, extra: true, cell: (row) => count(row.cancelled_count) },
        { title: "First byte", number: true, extra: true, cell: (row) => millis(row.avg_ttft_ms) },
        { title: "Mean time", number: true, cell: (row) => millis(row.avg_latency_ms || NaN) },
        { title: "Prompt tokens", number: true, extra: true, cell: (row) => many(row.total_prompt_tokens) },
        { title: "Answer tokens", number: true, cell: (row) => many(row.total_completion_tokens) },
        { title: "Last seen", cell: (row) => ago(seen.get(row.tag)?.last_seen), class: "nowrap" },
      ],
      rows.map((row) => ({ ...row, key: row.tag })),
    ),
  );
}

function daily(rows, redraw) {
  if (rows.length === 0) return null;
  const requests = pivoted(rows, (row) => row.tag || "not named", (row) => row.day_bucket, (row) => row.request_count);
  const tokens = pivoted(rows, (row) => row.tag || "not named", (row) => row.day_bucket, (row) => row.total_tokens, (row) => row.request_count);
  return section(
    "Day by day",
    h(
      "div",
      { class: "charts" },
      chart({ key: "requests", title: "Requests a day", ...requests, kind: "stack", show: count, daily: true, redraw }),
      chart({ key: "tokens", title: "Tokens a day", ...tokens, kind: "stack", show: many, daily: true, redraw }),
    ),
  );
}
