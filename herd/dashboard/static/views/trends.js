// Trends: how much was asked, how long it took, how many tokens, hour by hour.

import { chart } from "../chart.js";
import { h } from "../dom.js";
import { count, many, millis, now, percent } from "../format.js";
import { choice, empty, figure, figures, loaded, section } from "../parts.js";

const HOURS = [
  [24, "24 hours"],
  [72, "3 days"],
  [168, "7 days"],
  [720, "30 days"],
];

export const trends = {
  id: "trends",
  title: "Trends",
  hears: ["requests"],
  paths: (state) => ({ trends: `/dashboard/api/trends?hours=${state.hours ?? 72}`, overview: "/dashboard/api/overview" }),
  draw(ctx, state) {
    const pick = (hours) => {
      state.hours = hours;
      ctx.reload();
      ctx.draw();
    };
    return [
      h("div", { key: "bar", class: "bar" }, choice("Period", HOURS, state.hours ?? 72, pick)),
      h("div", { key: "ever" }, loaded(state, "overview", ever)),
      h("div", { key: "charts" }, loaded(state, "trends", ({ data }) => charts(state, data, state.hours ?? 72))),
    ];
  },
};

const ever = (all) =>
  figures(
    figure("requests, as far as the log goes", count(all.total_requests)),
    figure("prompt tokens", many(all.total_prompt_tokens)),
    figure("answer tokens", many(all.total_completion_tokens)),
    figure("models", count(all.models_count)),
  );

function charts(state, rows, hours) {
  if (rows.length === 0) return empty("No request in this period. Each hour with one becomes a point here.");
  const { xs, at } = hourly(rows, hours);
  const of = (key) => at.map((row) => row?.[key] ?? 0);
  const gaps = (key) => at.map((row) => (row?.[key] || null));
  const redraw = state.redraw;
  return section(
    "Hour by hour",
    h(
      "div",
      { class: "charts" },
      chart({ key: "requests", title: "Requests an hour", xs, kind: "bars", show: count, redraw, series: [{ label: "requests", values: of("request_count") }] }),
      chart({
        key: "times",
        title: "Mean time of a request",
        xs,
        show: millis,
        redraw,
        series: [
          { label: "whole answer", values: gaps("avg_latency_ms") },
          ...(rows.some((row) => row.avg_ttft_ms) ? [{ label: "first byte", values: gaps("avg_ttft_ms") }] : []),
        ],
      }),
      chart({
        key: "tokens",
        title: "Tokens an hour",
        xs,
        kind: "stack",
        show: many,
        redraw,
        series: [
          { label: "prompt", values: of("total_prompt_tokens") },
          { label: "answer", values: of("total_completion_tokens") },
        ],
      }),
      rows.some((row) => row.failed_count !== undefined) ? failures(xs, at, redraw) : null,
    ),
  );
}

function failures(xs, at, redraw) {
  const share = (key) => at.map((row) => (row?.request_count ? (100 * (row[key] ?? 0)) / row.request_count : 0));
  const series = [
    { label: "failed", values: share("failed_count") },
    { label: "never sent to a node", values: share("rejected_count") },
  ];
  return chart({ key: "failed", title: "Share that failed", xs, kind: "stack", show: (value) => percent(value, value < 1 ? 2 : 1), redraw, series });
}

// Hours without a request are hours too: the line of time has no holes. Long periods by the day would
// hide what matters, so the grid stays hourly.
function hourly(rows, hours) {
  const known = new Map(rows.map((row) => [row.hour_bucket, row]));
  const buckets = rows.map((row) => row.hour_bucket);
  const last = Math.max(...buckets, Math.floor(now() / 3600) * 3600);
  const first = Math.max(Math.min(...buckets) - 3 * 3600, last - (hours - 1) * 3600);
  const xs = [];
  for (let x = first; x <= last; x += 3600) xs.push(x);
  return { xs, at: xs.map((x) => known.get(x)) };
}
