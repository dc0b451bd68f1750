// Who may use the fleet, and who speaks for its nodes: an admin's, also to look at.

import { h, name } from "../dom.js";
import { ago, count, many } from "../format.js";
import { empty, loaded, question, section, table } from "../parts.js";

const KEYS = "/fleet/keys";
const NODES = "/fleet/nodes";
const KEY_BYTES = 32;

export const accessPaths = { keys: { admin: KEYS }, trust: { admin: NODES } };

export function access(ctx, state) {
  if (state.closed) return section("API keys and nodes' keys", closed(ctx, state));
  return [
    section("API keys", loaded(state, "keys", ({ keys }) => [form(ctx, state, keys), made(state), asked(ctx, state, "key"), keyTable(ctx, state, keys)])),
    section("Nodes' keys", loaded(state, "trust", ({ nodes }) => [asked(ctx, state, "node"), trustTable(ctx, state, nodes)])),
  ];
}

function closed(ctx, state) {
  const show = async () => {
    try {
      state.keys = await ctx.order("GET", KEYS);
      state.closed = false;
      ctx.reload();
    } catch (error) {
      ctx.toast(error.message);
    }
  };
  return [
    h("p", { class: "note" }, "From another machine than the balancer's own they are shown to who has the admin token."),
    h("button", { type: "button", onclick: show }, "Show…"),
  ];
}

async function change(ctx, method, path, body, said) {
  try {
    await ctx.order(method, path, body);
    ctx.toast(said);
    ctx.reload();
    return true;
  } catch (error) {
    ctx.toast(error.message);
    return false;
  }
}

function asked(ctx, state, about) {
  const order = state.order;
  if (!order || order.about !== about) return null;
  const end = () => {
    state.order = null;
    ctx.draw();
  };
  const yes = () => {
    end();
    change(ctx, order.method, order.path, order.body, order.said);
  };
  return question(order.label, order.text, order.verb, order.danger, yes, end);
}

const ask = (ctx, state, order) => () => {
  state.order = order;
  ctx.draw();
};

// API keys

function form(ctx, state, keys) {
  const fresh = (state.fresh ??= { name: "", models: "", rate: "" });
  const field = (key, label, props) =>
    h("label", null, `${label} `, h("input", { autocomplete: "off", spellcheck: "false", value: fresh[key], oninput: (event) => (fresh[key] = event.target.value), ...props }));
  const make = async (event) => {
    event.preventDefault();
    if (fresh.name.trim() === "") return ctx.toast("Name the key: after the machine, or who uses it.");
    if (!globalThis.crypto?.subtle) return ctx.toast(`This page came without encryption: \`herd key add ${fresh.name.trim()}\` makes the key.`);
    const key = `herd-${text(crypto.getRandomValues(new Uint8Array(KEY_BYTES)))}`;
    const body = { name: fresh.name.trim(), digest: await digest(key), requests_per_minute: Number(fresh.rate) || 0 };
    const models = fresh.models.split(",").map((each) => each.trim()).filter(Boolean);
    if (await change(ctx, "POST", KEYS, { ...body, models }, `The key ${body.name} opens now.`)) {
      state.made = { key, name: body.name };
      state.fresh = null;
      ctx.draw();
    }
  };
  return [
    h("p", { class: "note" }, keys.length ? "Who asks for a model has to show one of these." : "There is no key yet: whoever is on your network may ask. The first key closes that."),
    h(
      "form",
      { class: "bar", onsubmit: make },
      field("name", "Name", { name: "key", placeholder: "laptop" }),
      field("models", "for models", { name: "models", placeholder: "all" }),
      field("rate", "at most", { name: "rate", type: "number", min: "0", step: "1", placeholder: "any", class: "short" }),
      h("span", { class: "note" }, "requests a minute"),
      h("button", { type: "submit" }, "Make key"),
    ),
  ];
}

const text = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

async function digest(key) {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key));
  return [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const made = ({ made: found }) =>
  found
    ? h("div", { class: "empty", role: "status" }, h("p", null, "The key ", h("b", null, name(found.name)), ". herd keeps only its digest: copy it now, it is not shown again."), h("p", null, h("code", null, found.key)))
    : null;

function keyTable(ctx, state, keys) {
  if (keys.length === 0) return null;
  const revoke = (row) =>
    ask(ctx, state, {
      about: "key",
      method: "DELETE",
      path: KEYS,
      body: { name: row.name },
      label: `Revoke ${row.name}?`,
      text: ["Revoke the key ", h("b", null, name(row.name)), "? Who shows it is refused from now on; what runs goes on."],
      verb: "Revoke",
      danger: true,
      said: `The key ${row.name} opens nothing any more.`,
    });
  return table(
    "Keys and their use",
    [
      { title: "Name", cell: (row) => name(row.name) },
      { title: "Models", cell: (row) => name(row.models?.length ? row.models.join(", ") : "all") },
      { title: "A minute", number: true, cell: (row) => (row.requests_per_minute ? count(row.requests_per_minute) : "any") },
      { title: "Tokens a day", number: true, cell: (row) => (row.tokens_per_day ? `${many(row.tokens_today)} of ${many(row.tokens_per_day)}` : `${many(row.tokens_today)} today`) },
      { title: "Priority", cell: (row) => row.priority },
      { title: "Requests", number: true, cell: (row) => count(row.requests) },
      { title: "Tokens", number: true, cell: (row) => many(row.tokens) },
      { title: "Made", cell: (row) => ago(row.added_at), class: "nowrap" },
      { title: "Change", cell: (row) => h("button", { type: "button", class: "quiet", "aria-label": `Revoke ${row.name}`, onclick: revoke(row) }, "revoke…") },
    ],
    keys.map((row) => ({ ...row, key: row.name })),
  );
}

// Who speaks for the nodes

const TRUST = {
  pinned: ["good", "its key is known"],
  named: ["", "named at the start"],
  unsigned: ["warn", "not signed"],
  revoked: ["bad", "revoked"],
  waits: ["warn", "waits to join"],
};

function trustTable(ctx, state, nodes) {
  if (nodes.length === 0) return empty("No node yet: run `herd node` on a machine with Ollama.");
  const order = (row, verb, path, danger, means, said) =>
    ask(ctx, state, {
      about: "node",
      method: "POST",
      path,
      body: { node_id: row.node_id },
      label: `${verb} ${row.node_id}?`,
      text: [`${verb} `, h("b", null, name(row.node_id)), "? ", means],
      verb,
      danger,
      said,
    });
  const button = (row, word, onclick) => h("button", { key: word, type: "button", class: "quiet", "aria-label": `${word} ${row.node_id}`, onclick }, `${word.toLowerCase()}…`);
  const approve = (row) => button(row, "Approve", order(row, "Approve", `${NODES}/approve`, false, `Compare the key with what its agent says at its start: ${row.fingerprint}.`, `${row.node_id} may join.`));
  const revoke = (row) => button(row, "Revoke", order(row, "Revoke", `${NODES}/revoke`, true, "Nobody speaks for it any more, until you approve a key.", `Nobody speaks for ${row.node_id} any more.`));
  return [
    h("p", { class: "note" }, "The first key that joins under a name keeps it. FLEET_JOIN says who may join at all."),
    table(
      "Nodes and their keys",
      [
        { title: "Node", cell: (row) => name(row.node_id) },
        { title: "Trust", cell: (row) => trust(row) },
        { title: "State", cell: (row) => row.status || "–" },
        { title: "Address", cell: (row) => name(row.url || "–") },
        { title: "Key", cell: (row) => h("code", null, row.fingerprint || "–") },
        { title: "Change", class: "nowrap", cell: (row) => h("span", { class: "orders" }, row.waits ? approve(row) : null, row.trust === "pinned" || row.trust === "unsigned" || row.waits ? revoke(row) : null) },
      ],
      nodes.map((row) => ({ ...row, key: row.node_id })),
    ),
  ];
}

function trust(row) {
  const [tone, words] = TRUST[row.trust] ?? ["", row.trust];
  return [h("span", { class: `status ${tone}` }, words), row.waits && row.trust !== "waits" ? h("span", { class: "note" }, " another key asks to join") : null];
}

