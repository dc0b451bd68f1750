// Recommendations: what to do, with what in the log speaks for it, and what it would gain.

import { h, name } from "../dom.js";
import { ago, count, gib, plural, seconds as span, words } from "../format.js";
import { command, empty, loaded, meter, prose, section } from "../parts.js";

const TONES = { high: "warn", medium: "info", low: "quiet" };

export const recommendations = {
  id: "recommendations",
  title: "Recommendations",
  hears: ["nodes", "requests"],
  paths: () => ({ found: "/dashboard/api/recommendations" }),
  draw(ctx, state) {
    return h("div", { key: "found" }, loaded(state, "found", all));
  },
};

function all(found) {
  const nodes = found.nodes ?? [];
  if (nodes.length === 0) return empty("No node yet: run `herd node` on a machine with Ollama, or start herd with `--node URL`.");
  const given = found.recommendations ?? [...nodes.flatMap((node) => (node.recommendations ?? []).map((row) => ({ node_id: node.node_id, ...row }))), ...(found.settings ?? [])];
  return [verdict(found, given), given.length ? section("What to do", h("ol", { class: "checks" }, given.map(advice))) : null, section("Room on each node", h("div", { class: "nodes" }, nodes.map(node)))];
}

const seconds = (instant) => (typeof instant === "number" ? instant : Date.parse(instant) / 1000);

function verdict(found, given) {
  const pressing = given.some((each) => each.priority === "high");
  const at = found.generated_at ? ` Worked out ${ago(seconds(found.generated_at))}.` : "";
  return h(
    "section",
    { key: "verdict", class: `verdict ${pressing ? "warn" : "good"}`, "aria-label": "Is there anything to do?" },
    h("p", { class: "said" }, given.length ? `${plural(given.length, "thing")} would help` : "Nothing to change"),
    h("p", { class: "note" }, given.length ? null : "What the nodes have is what is asked for. ", usage(found.usage), at),
  );
}

function usage(used) {
  if (!used?.top_models?.length) return "No request in the last 24 hours: advice comes with use.";
  return [
    `${plural(used.total_requests_24h, "request")} in the last 24 hours, most for `,
    used.top_models.slice(0, 3).map((each, index) => [index ? ", " : null, name(each.model), ` (${count(each.requests)})`]),
    ".",
  ];
}

// One piece of advice, whatever gave it: what, why, what speaks for it, what it gains, and how.
function advice(each, index) {
  const title = each.title || `${words(each.kind || (each.already_available ? "keep" : "pull"))} ${each.display_name || each.model || each.key || ""} ${each.node_id ? `on ${each.node_id}` : ""}`;
  return h(
    "li",
    { key: `${each.kind ?? ""} ${each.model ?? ""} ${each.node_id ?? ""} ${index}`, class: `check ${TONES[each.priority] ?? "info"}` },
    h("header", null, each.priority ? h("span", { class: `status ${TONES[each.priority] ?? ""}` }, each.priority) : null, h("h3", null, name(title)), h("span", { class: "note" }, aside(each))),
    h("p", null, prose(each.reason ?? each.description ?? "")),
    evidence(each.evidence),
    gain(each),
    how(each),
    each.seqs?.length ? h("p", { class: "note" }, `From ${each.seqs.length === 1 ? "event" : "events"} ${each.seqs.slice(0, 8).map(count).join(", ")}${each.seqs.length > 8 ? ", …" : ""} of the log.`) : null,
  );
}

const aside = (each) => [each.model && !each.title?.includes(each.model) ? name(each.model) : null, each.ram_gb > 0 ? ` ${gib(each.ram_gb)}` : null];

const SHOWN = 8;

function evidence(found) {
  const rows = Object.entries(found ?? {}).filter(([, value]) => value !== null && value !== "").slice(0, SHOWN);
  if (rows.length === 0) return null;
  return h("dl", { class: "evidence", "aria-label": "What speaks for it" }, rows.map(([key, value]) => h("div", { key }, h("dt", null, label(key)), h("dd", null, name(told(key, value))))));
}

const UNITS = [
  [/_s$/, span],
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

// What a replay with the change came to, where herd has played it; else the command that plays it.
function gain(each) {
  const found = each.gain ?? each.what_if;
  const played = !found ? null : typeof found === "object" ? evidence(found) : h("p", { class: "gain" }, h("b", null, "It would gain: "), name(found));
  const options = each.whatif ?? [];
  return [
    played,
    options.length ? [h("p", { class: "note gain" }, played ? "To play it again, in a terminal on the balancer:" : "To see what it would have changed, in a terminal on the balancer:"), command(`herd whatif ${options.map(quoted).join(" ")}`)] : null,
  ];
}

const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

function how(each) {
  if (each.already_available === false || each.kind === "pull") return h("p", null, h("a", { href: "#/models" }, "pull it"));
  if (each.kind === "setting") return h("p", null, h("a", { href: "#/settings" }, "change it"));
  if (each.kind === "load" || each.kind === "move") return h("p", null, h("a", { href: "#/models" }, "pin it there"));
  return each.already_available && !each.kind ? h("p", { class: "note" }, "on disk") : null;
}

function node(each) {
  const mine = (each.recommendations ?? []).length;
  const free = each.disk_available_gb > 0 ? `${gib(each.disk_available_gb)} of disk free` : "";
  return h(
    "article",
    { key: each.node_id, class: "node", "aria-label": each.node_id },
    h("header", null, h("h3", null, name(each.node_id)), h("span", { class: "note" }, free)),
    each.usable_ram_gb > 0 && each.total_recommended_ram_gb > 0
      ? meter("Proposed", each.total_recommended_ram_gb, each.usable_ram_gb, `${gib(each.total_recommended_ram_gb)} of ${gib(each.usable_ram_gb)}`)
      : each.usable_ram_gb > 0 ? h("p", { class: "note" }, `${gib(each.usable_ram_gb)} of memory for more models.`) : h("p", { class: "note" }, "Its memory is not known: no agent tells of it."),
    h("p", { class: "note" }, each.current_models?.length ? ["In memory: ", each.current_models.map((model, index) => [index ? ", " : null, name(model)]), "."] : "No model in memory."),
    h("p", { class: "note" }, mine ? `${plural(mine, "proposal")} above.` : "Nothing to propose here."),
  );
}
