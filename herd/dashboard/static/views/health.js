// Health: what the checks found, the worst first, with what to do about it.

import { h, name } from "../dom.js";
import { clock, count, millis, percent, words } from "../format.js";
import { empty, events, failed, figure, figures, keyed, prose, section } from "../parts.js";

const TONES = { critical: "bad", warning: "warn", info: "info" };
const SHOWN = 12;

export const health = {
  id: "health",
  title: "Health",
  hears: ["requests", "health", "nodes"],
  draw(ctx, state) {
    const found = ctx.shared.health;
    if (!found) return state.errors.health ? failed(state.errors.health) : h("p", { class: "note" }, "Loading…");
    const checks = found.recommendations ?? [];
    return [
      state.errors.health ? failed(`Not fresh: ${state.errors.health}`) : null,
      score(found),
      vitals(found.vitals ?? {}),
      checks.length
        ? section("Found", h("ol", { class: "checks" }, keyed(checks, (each) => `${each.check_id} ${each.node_id ?? ""}`).map(check)))
        : empty("Nothing found: every check is silent."),
    ];
  },
};

function score({ vitals: vital = {}, recommendations = [], checked_at: at }) {
  const worst = recommendations.some((each) => each.severity === "critical")
    ? "bad"
    : recommendations.some((each) => each.severity === "warning") ? "warn" : "good";
  const said = { bad: "Something needs you now", warn: "Something deserves a look", good: "All is well" }[worst];
  return h(
    "section",
    { key: "score", class: `verdict ${worst}`, "aria-label": "Score" },
    h("p", { class: "said" }, `${count(vital.health_score)} of 100. ${said}`),
    h("p", { class: "note" }, at ? `Checked at ${clock(typeof at === "number" ? at : Date.parse(at) / 1000)}, from the log: a restart forgets nothing.` : "Computed from the log: a restart forgets nothing."),
  );
}

// Online is who answers, as everywhere; herd counts those that are slow to apart.
const online = ({ nodes_online: well, nodes_degraded: slow = 0, nodes_total: all, nodes_offline: off }) =>
  [count(well + slow), `of ${count(all)}${slow ? `, ${count(slow)} degraded` : ""}`, off ? "bad" : slow ? "warn" : ""];

const vitals = (vital) =>
  figures(
    figure("nodes online", ...online(vital)),
    figure("requests, 24 h", count(vital.total_requests_24h)),
    figure("errors", percent(vital.overall_error_rate_pct, 1), "", vital.overall_error_rate_pct >= 5 ? "bad" : ""),
    figure("retries, 24 h", count(vital.total_retries_24h)),
    figure("cold loads, 24 h", count(vital.cold_loads_24h)),
    figure("mean first byte", millis(vital.avg_ttft_ms)),
    figure("clients that left", count(vital.client_disconnects_24h)),
    figure("broken streams", count(vital.incomplete_streams_24h), "", vital.incomplete_streams_24h ? "warn" : ""),
  );

const check = (each) =>
  h(
    "li",
    { key: each.key, class: `check ${TONES[each.severity] ?? ""}` },
    h("header", null, h("span", { class: `status ${TONES[each.severity] ?? ""}` }, each.severity), h("h3", null, name(each.title))),
    h("p", null, prose(each.description)),
    each.fix ? h("p", { class: "fix" }, h("b", null, "What to do: "), prose(each.fix)) : null,
    details(each),
  );

function details(each) {
  const rows = Object.entries(each.data ?? {}).slice(0, SHOWN);
  return h(
    "details",
    null,
    h("summary", null, name(words(each.check_id)), each.node_id ? [" on ", name(each.node_id)] : null),
    h("dl", { class: "data" }, rows.map(([key, value]) => h("div", { key }, h("dt", null, words(key)), h("dd", null, told(value))))),
    each.seqs?.length ? h("p", { class: "note" }, "Found in ", events(each.seqs.slice(0, SHOWN)), each.seqs.length > SHOWN ? ", …" : null, " of the log.") : null,
  );
}

function told(value) {
  if (typeof value === "number") return name(Number.isInteger(value) ? count(value) : String(Math.round(value * 100) / 100));
  if (Array.isArray(value) && value.every((each) => typeof each === "string" && /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(each))) {
    return value.map((id) => h("a", { key: id, class: "id", href: `#/request/${id}` }, id.slice(0, 8)));
  }
  if (Array.isArray(value) && value.every((each) => typeof each !== "object")) return name(value.join(", ") || "none");
  return typeof value === "object" && value !== null ? h("code", null, JSON.stringify(value)) : name(String(value));
}
