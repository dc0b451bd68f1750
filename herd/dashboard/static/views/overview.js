// Fleet Overview: is anything wrong, what does each node do, what waits and why, what was decided.

import { h, memo, name } from "../dom.js";
import { answers, total } from "../fleet.js";
import { clock, count, gib, gigabytes, millis, percent, plural, seconds } from "../format.js";
import * as past from "../past.js";
import { paceOf, pulse } from "../pulse.js";
import { empty, figure, figures, link, loaded, meter, noted, prose, section, slots, SQUARES, status, traces } from "../parts.js";

export const overview = {
  id: "overview",
  title: "Fleet Overview",
  hears: ["requests", "health", "nodes"],
  paths: () => ({ span: past.PATH, decisions: "/dashboard/api/decisions?limit=8", traces: "/dashboard/api/traces?limit=20" }),
  opened: past.linked,
  draw(live, state) {
    if (!live.fleet.known) return live.closed ? null : h("p", { class: "note" }, "Waiting for the first word from herd…");
    const ctx = past.shown(live, state);
    const { fleet } = ctx;
    return [
      verdict(ctx),
      past.slider(live, state),
      fleet.nodes.size === 0 ? (state.then ? null : beginning()) : [h("div", { key: "vitals", class: "vitals" }, vitals(ctx), pulse(fleet)), waiting(fleet), nodes(fleet)],
      ...(state.then ? [] : lately(state, fleet)),
    ];
  },
};

// What was decided and what ended, of now; the past has its request pages.
function lately(state, fleet) {
  if (fleet.nodes.size === 0 && !state.decisions?.decisions.length && !state.traces?.traces.length) return [];
  return [
    steady(state, "decisions", "Just decided", ({ decisions }) => (decisions.length ? memo([decisions], () => decided(decisions)) : first())),
    steady(state, "traces", "Just ended", ({ traces: rows }) => (rows.length ? memo([rows], () => traces(rows)) : h("p", { class: "note" }, "Nothing yet."))),
  ];
}

// Who points at a row, or has come to its link with the keyboard, meets that one: what is new comes when he has gone.
const POINTED = ":is(tbody tr, li):hover";
const CHOSEN = "a:focus-visible";
let mouse = false; // a finger leaves its :hover behind

addEventListener("pointerover", (event) => (mouse = event.pointerType === "mouse"), { passive: true });

function steady(state, key, title, draw) {
  const pointed = document.querySelector(`#panel [aria-label="${title}"]`)?.querySelector(mouse ? `${POINTED}, ${CHOSEN}` : CHOSEN);
  state.kept ??= {};
  if (!pointed || !state.kept[key]) state.kept[key] = state[key];
  const newer = state.kept[key] !== state[key];
  return noted(title, newer ? "newer ones come when you have left this one" : null, loaded({ ...state, [key]: state.kept[key] }, key, draw));
}

const first = () =>
  empty(
    "No request yet. The first one shows here where it went, and why:",
    `curl -s http://${location.host}/api/generate -d '{"model":"MODEL","prompt":"hello"}'`,
  );

// How the next best node stood: facts, for the reader to judge.
const second = (other) =>
  other
    ? [" Next was ", name(other.node_id), `: ${other.resident ? "in memory" : "not in memory"}, ${other.in_flight} of ${other.slots} in use, ${other.wait_s >= 0.0005 ? `wait ${seconds(other.wait_s)}` : "no wait"}.`]
    : null;

const decided = (rows) =>
  h(
    "ul",
    { class: "decisions" },
    rows.map((row) =>
      h(
        "li",
        { key: row.seq },
        link(row.request_id, clock(row.at)),
        h("span", null, name(row.model), h("span", { class: "arrow" }, "→"), h("b", null, name(row.node_id))),
        h("span", { class: "note" }, name(row.why), second(row.runner_up), row.queue_s >= 0.001 ? ` It waited ${seconds(row.queue_s)}.` : null),
      ),
    ),
  );

// How another machine reaches this one: not by the names that every machine has for itself.
const reached = () => (/^(localhost|127\.[0-9.]+|\[::1\])$/.test(location.hostname) ? `${location.protocol}//THIS-MACHINE:${location.port || (location.protocol === "https:" ? "443" : "80")}` : location.origin);

const beginning = () =>
  section(
    "No node yet",
    empty("Run this on a machine with Ollama; it finds this balancer by itself:", "herd node"),
    empty(
      "Where multicast does not reach, name the address, or name the node when you start the balancer:",
      `herd node --router-url ${reached()}`,
      "herd run --node http://HOST:11434",
    ),
    reached() === location.origin ? null : h("p", { class: "note" }, prose("THIS-MACHINE is the name or the address of the machine that runs herd: `herd doctor`, run there, tells it.")),
  );

// One sentence that says whether anybody has to do anything.
function verdict({ fleet, shared, away }) {
  const troubles = found(fleet, shared.health);
  if (away) troubles.unshift({ severity: "critical", title: "herd does not answer" });
  const worst = troubles.some((each) => each.severity === "critical") ? "bad" : troubles.length ? "warn" : "good";
  const online = [...fleet.nodes.values()].filter(answers).length;
  const none = fleet.nodes.size === 0;
  const said = none ? "No node yet" : troubles.length ? troubles[0].title : shared.health ? "All is well" : "All nodes are online";
  return h(
    "section",
    { key: "verdict", class: `verdict ${none ? "warn" : worst}`, "aria-label": "Is anything wrong?" },
    h("p", { class: "said" }, name(said)),
    h(
      "p",
      { class: "note" },
      none
        ? "herd runs and listens. As soon as a node joins, requests go to it."
        : `${online} of ${plural(fleet.nodes.size, "node")} online, ${count(fleet.running)} running, ${count(fleet.waitingCount)} waiting.`,
      troubles.length > 1 ? [" ", h("a", { href: "#/health" }, `${plural(troubles.length - 1, "other thing")} to look at`), "."] : null,
      !none && troubles.length === 1 && troubles[0].check_id ? [" ", h("a", { href: "#/health" }, "What to do"), "."] : null,
    ),
  );
}

// Offline nodes are seen at once, by the feed; everything else is what the health checks say.
function found(fleet, health) {
  const dead = [...fleet.nodes.values()]
    .filter((node) => node.status === "offline" && !node.draining)
    .map((node) => ({ severity: "critical", title: `${node.node_id} is offline`, node_id: node.node_id }));
  if (dead.length > 1 && dead.length === fleet.nodes.size) dead.unshift({ severity: "critical", title: "No node is online" });
  const gone = new Set(dead.map((each) => each.node_id));
  const checks = (health?.recommendations ?? [])
    .filter((each) => each.severity !== "info")
    .filter((each) => !/^node_(offline|did_not_wake|degraded)$/.test(each.check_id) || fleet.nodes.get(each.node_id)?.status === "degraded")
    .filter((each) => each.check_id !== "no_node" || dead.length < 2)
    .filter((each) => !gone.has(each.node_id) || !/^node_(offline|did_not_wake)$/.test(each.check_id));
  if (fleet.fleet.recording === false) {
    checks.unshift({ severity: "critical", title: "herd serves, but cannot record: is the disk full?" });
  }
  if (fleet.fleet.current === false) {
    checks.unshift({ severity: "critical", title: "control does not answer: this is how the fleet was when it last did" });
  }
  return [...dead, ...checks];
}

function vitals({ fleet, shared }) {
  const rows = [...fleet.queues.values()].filter((row) => row.node_id);
  const failed = total(rows, (row) => row.failed);
  const vital = shared.health?.vitals;
  const pace = paceOf(fleet);
  return figures(
    figure("running", count(fleet.running), `of ${plural(fleet.slots, "slot")}`),
    figure("waiting", count(fleet.waitingCount), "", fleet.waitingCount > 0 ? "warn" : ""),
    figure("completed", count(fleet.completed), pace === null ? "" : `${count(pace)}/min`),
    figure("attempts that failed", count(failed), "", failed > 0 ? "warn" : ""),
    vital
      ? [
          figure("requests, 24 h", count(vital.total_requests_24h)),
          figure("errors, 24 h", percent(vital.overall_error_rate_pct, 1), "", vital.overall_error_rate_pct >= 5 ? "bad" : ""),
          figure("mean first byte", millis(vital.avg_ttft_ms)),
          figure("health", vital.health_score === undefined ? "–" : `${vital.health_score} / 100`),
        ]
      : null,
  );
}

function waiting(fleet) {
  const rows = fleet.waiting();
  return section(
    "Waiting",
    h(
      "ul",
      { class: "lines" },
      rows.length ? null : h("li", { key: "", class: "none" }, h("b", null, "0"), h("span", { class: "note" }, "Nothing waits.")), // in the same room: the nodes below stay where they are
      rows.map((row) =>
        h(
          "li",
          { key: row.model },
          h("b", null, count(row.pending)),
          h("span", null, name(row.model), h("span", { class: "note" }, ` ${why(fleet, row)}`)),
          h("span", { class: "note" }, ahead(row)),
        ),
      ),
    ),
  );
}

function why(fleet, row) {
  const having = fleet.serving(row.model);
  if (having.length === 0) return "no node that is online has this model";
  const named = (rows) => rows.map(({ node }) => node.node_id).join(", ");
  const serving = having.filter(({ node }) => !node.draining && !node.paused);
  if (serving.length === 0) return `no node that takes work has this model: ${named(having)} ${having.length === 1 ? "is" : "are"} drained or paused`;
  const full = (rows) => `all ${plural(total(rows, ({ row: slot }) => slot.concurrency), "slot")} of ${named(rows)} in use`;
  const busy = serving.filter(({ row: slot }) => slot && slot.in_flight >= slot.concurrency);
  if (busy.length === serving.length) return full(busy);
  const cold = serving.filter(({ node }) => !node.ollama?.models_loaded?.some((each) => each.name === row.model));
  const warm = serving.filter((each) => !cold.includes(each));
  if (warm.length && warm.every((each) => busy.includes(each))) return `${full(warm)}; to load it on ${named(cold)} would take longer or too much room`;
  const idle = warm.filter((each) => !busy.includes(each));
  if (idle.length) return `a slot is free on ${named(idle)}; the policy lets it wait, to be done sooner or to spare others`;
  return `for a slot on ${named(serving)}`;
}

// What who comes last now is said to wait.
const ahead = (row) => (row.predicted_wait_s > 0 ? `the next waits about ${seconds(row.predicted_wait_s)}` : "");

function nodes(fleet) {
  return section(
    "Nodes",
    h(
      "div",
      { class: "nodes" },
      [...fleet.nodes.values()].map((node) => {
        const rows = fleet.models(node);
        return memo([node, ...rows.map((each) => each.row)], () => card(node, rows));
      }),
    ),
  );
}

function card(node, rows) {
  const resident = new Set(rows.map((row) => row.model));
  const disk = (node.ollama?.models_available ?? []).filter((model) => !resident.has(model));
  return h(
    "article",
    { key: node.node_id, class: `node ${node.status}`, "aria-label": node.node_id },
    h("header", null, h("h3", null, name(node.node_id)), status(node)),
    h("p", { class: "note machine" }, name(machine(node))),
    memory(node),
    node.cpu ? meter("CPU", node.cpu.utilization_pct, 100, percent(node.cpu.utilization_pct)) : null,
    (node.gpus ?? []).map(gpu),
    rows.length ? models(rows, node.models_pinned ?? []) : h("p", { class: "note" }, "No model in memory."),
    disk.length ? onDisk(node, disk) : null,
  );
}

function machine(node) {
  const { chip, cores_physical: cores } = node.hardware ?? {};
  const parts = [chip, cores ? plural(cores, "core") : "", node.ollama?.version ? `Ollama ${node.ollama.version}` : "", node.ollama_url];
  return parts.filter(Boolean).join(" · ");
}

// A card, in what its driver tells of it.
function gpu(card) {
  const parts = [
    room(card),
    card.busy_pct === null ? "" : `${percent(card.busy_pct)} busy`,
    card.temperature_c === null ? "" : `${Math.round(card.temperature_c)} °C`,
    card.power_w === null ? "" : `${Math.round(card.power_w)} W`,
  ].filter(Boolean);
  return h("p", { class: "note" }, `${card.name}: ${parts.join(", ") || "tells nothing of itself"}`);
}

function room({ used_bytes: used, total_bytes: total }) {
  if (!total) return "";
  return used === null ? gib(total / 2 ** 30) : `${gib(used / 2 ** 30)} of ${gib(total / 2 ** 30)}`;
}

// VRAM where there is any, since that is what models have to fit into; else the machine's memory.
function memory(node) {
  const held = node.ollama?.models_loaded ?? [];
  const loaded = held.every((each) => each.size_gb > 0) ? total(held, (each) => each.size_gb) : null;
  const vram = node.hardware?.vram_total_gb;
  const { used_gb: used, total_gb: all } = node.memory ?? {};
  if (vram > 0) return taken("VRAM", loaded, vram);
  if (all > 0 && used >= 0) return taken("Memory", used, all);
  const machine = node.hardware?.memory_total_gb;
  if (machine > 0) return taken("Models", loaded, machine);
  return h("p", { class: "note" }, loaded > 0 ? `Models ${gib(loaded)}. ` : "", node.origin === "agent" ? "Memory not known." : "Memory not known: no agent.");
}

const taken = (what, used, all) => (used === null ? h("p", { class: "note" }, `${what} ${gib(all)}; what its models take of it is not known.`) : meter(what, used, all, `${gib(used)} of ${gib(all)}`));

const sized = ({ size_gb: size }) => (size > 0 ? gib(size) : "in memory");

const models = (rows, pinned) =>
  h(
    "ul",
    { class: "models" },
    rows.map(({ model, resident, row }) =>
      h(
        "li",
        { key: model, class: resident ? null : "cold" },
        h("span", { class: "model" }, name(model), h("span", { class: "note" }, resident ? ` ${sized(resident)}` : " not in memory"), pinned.includes(model) ? h("span", { class: "tag" }, "pinned") : null),
        row ? h("span", { class: "nowrap" }, row.concurrency > SQUARES ? h("span", { class: "note" }, `${count(row.in_flight)} of ${count(row.concurrency)} `) : null, slots(row.in_flight, row.concurrency)) : null,
        h(
          "span",
          { class: "note number" },
          row?.completed ? `${count(row.completed)} done, mean ${millis(row.avg_latency_ms)}` : "not asked yet",
          row?.failed ? h("span", { class: "bad-text" }, `, ${count(row.failed)} failed`) : null,
        ),
      ),
    ),
  );

const onDisk = (node, disk) =>
  h(
    "details",
    null,
    h("summary", null, `${plural(disk.length, "more model")} on disk`),
    h(
      "p",
      { class: "note" },
      disk.map((model, index) => [
        index ? ", " : null,
        name(model),
        ` ${gigabytes(node.ollama.models_available_sizes?.[model])}`,
      ]),
    ),
  );
