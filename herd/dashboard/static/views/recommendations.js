// Recommendations: what to do, with what in the log speaks for it, and what plays its gain.

import { h, name } from "../dom.js";
import { ago, count, gib, plural, seconds, words } from "../format.js";
import { command, empty, events, keyed, loaded, meter, prose, section } from "../parts.js";

const TONES = { high: "warn", medium: "info", low: "quiet" };

export const recommendations = {
  id: "recommendations",
  title: "Recommendations",
  hears: ["nodes", "requests"],
  paths: () => ({ found: "/dashboard/api/recommendations" }),
  draw(ctx, state) {
    return h("div", { key: "found" }, loaded(state, "found", (found) => all(found, ctx.fleet)));
  },
};

function all(found, fleet) {
  const nodes = found.nodes ?? [];
  if (nodes.length === 0) return empty("No node yet: run `herd node` on a machine with Ollama, or start herd with `--node URL`.");
  const given = found.recommendations ?? [];
  const away = nodes.map((each) => each.node_id).filter((id) => fleet.nodes.get(id)?.status === "offline");
  return [verdict(found, given, away), given.length ? section("What to do", h("ol", { class: "checks" }, keyed(given, (each) => `${each.kind} ${each.model} ${each.node_id}`).map(advice))) : null, section("Room on each node", h("div", { class: "nodes" }, nodes.map((each) => node(each, away.includes(each.node_id)))))];
}

function verdict(found, given, away) {
  const pressing = away.length > 0 || given.some((each) => each.priority === "high");
  const at = found.generated_at ? ` Worked out ${ago(found.generated_at)}.` : "";
  return h(
    "section",
    { key: "verdict", class: `verdict ${pressing ? "warn" : "good"}`, "aria-label": "Is there anything to do?" },
    h("p", { class: "said" }, given.length ? `${plural(given.length, "thing")} would help` : nothing(found, away)),
    h("p", { class: "note" }, given.length && away.length ? [named(away), ": nothing is proposed there. "] : null, given.length ? null : because(found, away), usage(found.usage), at),
  );
}

const known = (nodes, away) => nodes.some((each) => each.total_ram_gb > 0 && !away.includes(each.node_id));
const named = (away) => [away.map((id, index) => [index ? ", " : null, name(id)]), away.length === 1 ? " is offline" : " are offline"];

function nothing({ nodes }, away) {
  if (away.length) return named(away);
  return known(nodes, away) ? "Nothing to change" : "Nothing can be proposed yet";
}

// Why nothing is proposed: not all of it is good news.
function because({ nodes }, away) {
  if (away.length === nodes.length) return "Nothing can be proposed until a node answers. ";
  const others = away.length ? "for the others " : "";
  if (!known(nodes, away)) return prose(`Nothing can be proposed ${others}until agents tell of their memory: run \`herd node\` beside each Ollama. `);
  return away.length ? "On the others there is nothing to change. " : "What the nodes have is what is asked for. ";
}

function usage(used) {
  if (!used?.top_models?.length) return "No request was answered in the last 24 hours: advice comes with use.";
  return [
    `${plural(used.total_requests_24h, "request")} answered in the last 24 hours, most for `,
    used.top_models.slice(0, 3).map((each, index) => [index ? ", " : null, name(each.model), ` (${count(each.requests)})`]),
    ".",
  ];
}

// One piece of advice: what, why, what speaks for it, what plays its gain, and how.
function advice(each) {
  return h(
    "li",
    { key: each.key, class: `check ${TONES[each.priority]}` },
    h("header", null, h("span", { class: `status ${TONES[each.priority]}` }, each.priority), h("h3", null, name(each.title)), h("span", { class: "note" }, aside(each))),
    h("p", null, prose(each.reason)),
    evidence(each.evidence),
    each.whatif_command ? [h("p", { class: "note gain" }, "To see what it would have changed, in a terminal on the balancer:"), command(each.whatif_command)] : null,
    how(each),
    each.seqs.length ? h("p", { class: "note" }, "From ", events(each.seqs), " of the log.") : null,
  );
}

const aside = (each) => [each.model && !each.title.includes(each.model) ? name(each.model) : null, each.ram_gb > 0 ? ` ${gib(each.ram_gb)}` : null];

const SHOWN = 8;

function evidence(found) {
  const rows = Object.entries(found ?? {}).filter(([, value]) => value !== null && value !== "").slice(0, SHOWN);
  if (rows.length === 0) return null;
  return h("dl", { class: "evidence", "aria-label": "What speaks for it" }, rows.map(([key, value]) => h("div", { key }, h("dt", null, label(key)), h("dd", null, name(told(key, value))))));
}

const UNITS = [
  [/_s$/, seconds],
  [/_gb$/, gib],
  [/_pct$/, (value) => `${value} %`],
  [/_24h$/, count],
];
const label = (key) => words(key.replace("_per_s", "/s").replace(/_(s|gb|pct)$/, "").replace(/_24h$/, ", 24 h").replace(/_1h$/, ", 1 h"));

function told(key, value) {
  if (typeof value === "number") {
    const unit = /_per_s(_|$)/.test(key) ? null : UNITS.find(([end]) => end.test(key));
    return unit ? unit[1](value) : Number.isInteger(value) ? count(value) : String(Math.round(value * 100) / 100);
  }
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function how(each) {
  if (each.kind === "pull") return h("p", null, h("a", { href: "#/models" }, "pull it"));
  if (each.kind === "setting") return h("p", null, h("a", { href: "#/settings" }, "change it"));
  if (each.kind === "load" || each.kind === "move") return h("p", null, h("a", { href: "#/models" }, "pin it there"));
  return null;
}

function node(each, away) {
  const mine = (each.recommendations ?? []).length;
  const free = each.disk_available_gb > 0 ? `${gib(each.disk_available_gb)} of disk free` : "";
  return h(
    "article",
    { key: each.node_id, class: "node", "aria-label": each.node_id },
    h("header", null, h("h3", null, name(each.node_id)), h("span", { class: "note" }, free)),
    room(each),
    h("p", { class: "note" }, each.current_models?.length ? ["In memory: ", each.current_models.map((model, index) => [index ? ", " : null, name(model)]), "."] : "No model in memory."),
    mine || away || each.total_ram_gb > 0 ? h("p", { class: "note" }, mine ? `${plural(mine, "proposal")} above.` : away ? "It is offline: nothing is proposed." : "Nothing to propose here.") : null,
  );
}

function room({ total_ram_gb: all, usable_ram_gb: free, total_recommended_ram_gb: wanted }) {
  if (free > 0 && wanted > 0) return meter("Proposed", wanted, free, `${gib(wanted)} of ${gib(free)}`);
  if (all > 0) return h("p", { class: "note" }, free > 0 ? `${gib(free)} of memory for more models.` : "No memory for more models.");
  return h("p", { class: "note" }, "Its memory is not known: no agent tells of it.");
}
