// Recommendations: which models would suit which node, and why.

import { h, name } from "../dom.js";
import { ago, count, gib, plural, words } from "../format.js";
import { empty, loaded, meter, section, table } from "../parts.js";

const TONES = { high: "warn", medium: "info", low: "quiet" };

export const recommendations = {
  id: "recommendations",
  title: "Recommendations",
  hears: ["nodes", "recommendations"],
  paths: () => ({ found: "/dashboard/api/recommendations" }),
  draw(ctx, state) {
    return h("div", { key: "found" }, loaded(state, "found", all));
  },
};

function all(found) {
  const nodes = found.nodes ?? [];
  if (nodes.length === 0) return empty("No node yet: run `herd node` on a machine with Ollama, or start herd with --node URL.");
  return [
    found.fleet_summary || found.generated_at
      ? h("p", { class: "note" }, name([said(found.fleet_summary), found.generated_at ? `Made ${ago(seconds(found.generated_at))}.` : ""].filter(Boolean).join(" ")))
      : null,
    usage(found.usage),
    found.settings?.length ? section("Settings", h("ul", { class: "checks" }, found.settings.map(change))) : null,
    section("Models for each node", nodes.map(node)),
  ];
}

const seconds = (instant) => (typeof instant === "number" ? instant : Date.parse(instant) / 1000);
const said = (value) => {
  if (typeof value === "number") return Number.isInteger(value) ? count(value) : String(Math.round(value * 100) / 100);
  return typeof value === "object" ? JSON.stringify(value) : String(value ?? "");
};

function usage(used) {
  if (!used?.top_models?.length) return null;
  return h(
    "p",
    null,
    `${plural(used.total_requests_24h, "request")} in the last 24 hours, most for `,
    used.top_models.slice(0, 3).map((each, index) => [index ? ", " : null, name(each.model), ` (${count(each.requests)})`]),
    ".",
  );
}

const change = (each) => h("li", { class: "check info" }, h("h3", null, name(each.title ?? each.key)), h("p", null, name(each.reason ?? each.description ?? "")));

const what = (row) => [
  name(row.title || row.display_name || row.model || words(row.kind)),
  row.model && row.model !== row.title ? h("span", { class: "note block" }, name([row.model, row.category].filter(Boolean).join(" · "))) : null,
];

const here = (row) => {
  if (row.already_available) return "on disk";
  return row.already_available === false || row.kind === "pull" ? h("a", { href: "#/models" }, "pull it") : "–";
};

const evidence = (found) =>
  found && Object.keys(found).length
    ? h("span", { class: "note block" }, name(Object.entries(found).map(([key, value]) => `${words(key)}: ${said(value)}`).join(" · ")))
    : null;

function node(each) {
  const rows = each.recommendations ?? [];
  const room = each.ram_headroom_gb;
  return h(
    "article",
    { key: each.node_id, class: "node wide", "aria-label": each.node_id },
    h("header", null, h("h3", null, name(each.node_id)), h("span", { class: "note" }, each.disk_available_gb > 0 ? `${gib(each.disk_available_gb)} of disk free` : "")),
    each.usable_ram_gb > 0
      ? meter("Proposed", each.total_recommended_ram_gb, each.usable_ram_gb, `${gib(each.total_recommended_ram_gb)} of ${gib(each.usable_ram_gb)}${room >= 0 ? `, ${gib(room)} to spare` : ""}`)
      : null,
    each.current_models?.length
      ? h("p", { class: "note" }, "In memory now: ", each.current_models.map((model, index) => [index ? ", " : null, name(model)]), ".")
      : null,
    rows.length
      ? table(
          `Models for ${each.node_id}`,
          [
            { title: "What", cell: what, class: "what" },
            { title: "Memory", number: true, cell: (row) => gib(row.ram_gb) },
            { title: "Priority", cell: (row) => h("span", { class: `status ${TONES[row.priority] ?? ""}` }, row.priority) },
            { title: "Why", cell: (row) => [name(row.reason ?? ""), evidence(row.evidence)], class: "prose" },
            { title: "Here", cell: here, class: "nowrap" },
          ],
          rows.map((row, index) => ({ ...row, key: `${row.kind ?? ""} ${row.model} ${index}` })),
        )
      : h("p", { class: "note" }, "Nothing to propose: what it has is what is asked for."),
  );
}
