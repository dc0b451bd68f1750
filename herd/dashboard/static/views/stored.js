// Models on the disks of the nodes: pull one, pin one, delete one. Each asks first.

import { h, memo, name } from "../dom.js";
import { ago, count, gib, gigabytes } from "../format.js";
import { question as ask, empty, meter, table } from "../parts.js";
import { begun, id } from "./pulls.js";

const WORDS = {
  pull: {
    path: "/dashboard/api/pull",
    verb: "Pull",
    where: "onto",
    means: "It takes disk and network there.",
    done: (model, node) => `Pulling ${model} onto ${node}.`,
  },
  pin: {
    path: "/dashboard/api/pinned-models",
    more: { pinned: true },
    verb: "Pin",
    where: "in the memory of",
    means: "It stays there: herd loads it whenever it is gone, and others have that much less room.",
    done: (model, node) => `${model} stays in the memory of ${node}.`,
  },
  unpin: {
    path: "/dashboard/api/pinned-models",
    more: { pinned: false },
    verb: "Unpin",
    where: "on",
    means: "It goes when its node needs the room, or nobody asks for it.",
    done: (model, node) => `${model} is not pinned any more on ${node}.`,
  },
  delete: {
    path: "/dashboard/api/delete",
    verb: "Delete",
    where: "from the disk of",
    means: "To have it back it must be pulled again.",
    done: (model, node) => `Deleted ${model} on ${node}.`,
  },
};

export function stored(ctx, state, nodes) {
  if (nodes.length === 0) return empty("No node yet: run `herd node` on a machine with Ollama, or start herd with `--node URL`.");
  const pulls = state.pulls ?? [];
  const away = ({ node_id: id, status }) => (ctx.fleet.nodes.get(id)?.status ?? status) === "offline";
  return [
    form(ctx, state, nodes.filter((node) => !away(node))),
    state.asked ? question(ctx, state) : null,
    pulls.length ? h("ul", { class: "lines" }, pulls.map(progress)) : null,
    h("div", { class: "stored" }, nodes.map((node) => memo([node, away(node)], () => disk(ctx, state, node, away(node))))),
  ];
}

function form(ctx, state, nodes) {
  if (nodes.length === 0) return h("p", { class: "note" }, "No node is online to pull a model onto.");
  if (!nodes.some((each) => each.node_id === state.node)) state.node = nodes[0].node_id;
  const ask = (event) => {
    event.preventDefault();
    const model = (state.model ?? "").trim();
    if (model === "") return ctx.toast("Name a model, such as llama3.2:3b.");
    state.asked = { what: "pull", model, node_id: state.node };
    ctx.draw();
  };
  return h(
    "form",
    { class: "bar", onsubmit: ask },
    h("label", null, "Model ", h("input", {
      name: "model",
      placeholder: "llama3.2:3b",
      autocomplete: "off",
      spellcheck: "false",
      value: state.model ?? "",
      oninput: (event) => (state.model = event.target.value),
    })),
    h("label", null, "onto ", h(
      "select",
      { onchange: (event) => (state.node = event.target.value) },
      nodes.map((each) => h("option", { key: each.node_id, value: each.node_id, selected: each.node_id === state.node }, each.node_id)),
    )),
    h("button", { type: "submit" }, "Pull…"),
  );
}

function question(ctx, state) {
  const { what, model, node_id, size, force, why } = state.asked;
  const words = WORDS[what];
  const end = () => {
    state.asked = null;
    ctx.draw();
  };
  const yes = async () => {
    end();
    try {
      const told = await ctx.post(words.path, { model, node_id, ...words.more, ...(force ? { force } : {}) });
      ctx.toast(words.done(model, node_id));
      if (what === "pull") begun(ctx, state, { model, node_id, ...told });
      ctx.reload();
    } catch (error) {
      if (what === "pin" && error.status === 409 && !force) {
        state.asked = { what, model, node_id, force: true, why: error.message };
        ctx.draw();
      } else ctx.toast(error.message);
    }
  };
  const means = why ? name(`${why}.`) : what === "delete" && size ? `That frees ${gigabytes(size, "GiB")}. ${words.means}` : words.means;
  const text = [`${words.verb} `, h("b", null, name(model)), ` ${words.where} `, h("b", null, name(node_id)), "? ", means];
  return ask(`${words.verb} ${model}?`, text, force ? `${words.verb} all the same` : words.verb, what === "delete", yes, end);
}

const progress = (pull) =>
  h(
    "li",
    { key: id(pull) },
    h("span", null, name(pull.model), " onto ", name(pull.node_id)),
    pull.total_bytes
      ? meter("pull", pull.completed_bytes, pull.total_bytes, `${gigabytes(pull.completed_bytes / 1e9)} of ${gigabytes(pull.total_bytes / 1e9)}`)
      : null,
    h("span", { class: pull.error ? "bad-text" : "note" }, name(pull.error || pull.status || "")),
  );

function disk(ctx, state, node, away) {
  const free = node.disk_available_gb > 0 ? `${gib(node.disk_available_gb)} free of ${gib(node.disk_total_gb)}` : "";
  return h(
    "article",
    { key: node.node_id, class: away ? "node offline" : "node", "aria-label": `Disk of ${node.node_id}` },
    h("header", null, h("h3", null, name(node.node_id)), away ? h("span", { class: "status bad" }, "offline") : null, h("span", { class: "note" }, node.total_size_gb === null ? "sizes not known" : `${gib(node.total_size_gb)} of models`)),
    node.disk_total_gb > 0 ? meter("Disk", node.disk_total_gb - node.disk_available_gb, node.disk_total_gb, free) : null,
    table(
      `Models on ${node.node_id}`,
      [
        { title: "Model", cell: (row) => [name(row.name), h("span", { class: "tags" }, row.loaded_in_vram ? h("span", { class: "tag" }, "in memory") : null, row.pinned ? h("span", { class: "tag" }, "pinned") : null)] },
        { title: "Size", number: true, cell: (row) => gib(row.size_gb) },
        { title: "Last used", cell: (row) => (row.last_used ? ago(row.last_used) : "never"), class: "nowrap", extra: true },
        { title: "Answered", number: true, cell: (row) => count(row.total_requests), extra: true },
        {
          title: "Change",
          class: "nowrap",
          cell: (row) => h("span", { class: "orders" }, (row.pinned ? ["unpin", "delete"] : ["pin", "delete"]).map((what) => order(ctx, state, node, row, what, away))),
        },
      ],
      node.models.map((row) => ({ ...row, key: row.name })),
    ),
  );
}

function order(ctx, state, node, row, what, away) {
  const ask = () => {
    state.asked = { what, model: row.name, node_id: node.node_id, size: row.size_gb };
    ctx.draw();
  };
  return h("button", { key: what, type: "button", class: "quiet", "aria-label": `${WORDS[what].verb} ${row.name} on ${node.node_id}`, onclick: ask, disabled: away }, `${what}…`);
}
