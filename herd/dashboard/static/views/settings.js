// Settings: what can change while herd runs, what is in force, who the nodes are.

import { h, name } from "../dom.js";
import { count, gigabytes, words } from "../format.js";
import { empty, loaded, prose, section, status, table } from "../parts.js";
import { access, accessPaths } from "./access.js";
import { grouped } from "./groups.js";

export const settings = {
  id: "settings",
  title: "Settings",
  hears: ["settings", "nodes", "keys", "trust"],
  paths: () => ({ settings: "/dashboard/api/settings", ...accessPaths }),
  draw(ctx, state) {
    return [
      h("div", { key: "settings" }, loaded(state, "settings", (found) => all(ctx, state, found))),
      h("div", { key: "access" }, access(ctx, state)),
      state.settings ? about(state.settings) : null,
    ];
  },
};

function all(ctx, state, found) {
  const rows = (found.settings ?? flattened(found.config ?? {})).filter((row) => wanted(state, row));
  const changeable = grouped(rows.filter((row) => row.changeable));
  return [
    section(
      "Can change now",
      h("p", { class: "note" }, "A change holds at once and after a restart. It is an event in the log, so a replay knows of it."),
      find(ctx, state),
      changeable.map(([title, group]) => [
        h("h3", { key: `about ${title}`, class: "about" }, title),
        h("ul", { key: `group ${title}`, class: "settings", "aria-label": title }, group.map((row) => setting(ctx, state, row))),
      ]),
      changeable.length ? null : h("p", { class: "note" }, "None of these."),
    ),
    section(
      "In force since the start",
      table(
        "Settings that need a restart",
        [
          { title: "Setting", cell: (row) => [h("code", null, row.key), h("span", { class: "note block" }, prose(row.help ?? ""))], class: "prose" },
          { title: "Value", cell: (row) => [name(shown(row)), h("span", { class: "note block" }, row.fixed_by ? ["by ", h("code", null, row.fixed_by)] : "default")], class: "value" },
        ],
        rows.filter((row) => !row.changeable),
      ),
    ),
    section("Nodes", nodes(found.nodes ?? [])),
  ];
}

const wanted = ({ find: text = "" }, row) => {
  const all = `${row.key} ${words(row.key)} ${row.help ?? ""}`.toLowerCase();
  return text.toLowerCase().split(/\s+/).every((word) => all.includes(word));
};

const find = (ctx, state) =>
  h("p", { key: "find", class: "find" }, h("label", null, "Find ", h("input", {
    type: "search",
    name: "find",
    placeholder: "timeout, pull, wake…",
    autocomplete: "off",
    value: state.find ?? "",
    oninput: (event) => {
      state.find = event.target.value;
      ctx.draw();
    },
  })));

const about = (found) =>
  h("p", { key: "about", class: "note" }, `herd ${found.router_version ?? ""} on `, name(found.router_hostname ?? location.hostname), ".");

// The nested form, where a herd gives only that: its toggles can be switched.
function flattened(config) {
  return Object.entries(config).flatMap(([group, values]) =>
    Object.entries(values).map(([key, value]) => ({
      key,
      value,
      changeable: group === "toggles",
      type: typeof value === "boolean" ? "bool" : typeof value,
    })),
  );
}

const GB = 1e9;

const title = ({ key, unit }) => words(unit ? key.replace(new RegExp(`_${unit}$`), "") : key);

const shown = ({ value, unit }) => {
  if (value === true) return "on";
  if (value === false) return "off";
  if (value === null || value === "") return "–";
  if (unit === "bytes") return gigabytes(value / GB);
  return typeof value === "object" ? JSON.stringify(value) : `${value}${unit ? ` ${unit}` : ""}`;
};

function setting(ctx, state, row) {
  const id = `setting-${row.key}`;
  const change = async (value) => {
    try {
      await ctx.post("/dashboard/api/settings", { [row.key]: value });
      row.value = value;
      delete state.errors[row.key];
      ctx.toast(`${title(row)} is ${shown({ ...row, value })} now.`);
    } catch (error) {
      state.errors[row.key] = error.message;
      state.again = (state.again ?? 0) + 1;
    }
    ctx.reload();
    ctx.draw();
  };
  return h(
    "li",
    { key: row.key },
    h("label", { for: id }, h("b", null, title(row)), row.help ? h("span", { class: "note", id: `${id}-help` }, prose(row.help)) : null),
    h(
      "span",
      { class: "control" },
      control(row, id, change, state.again ?? 0),
      typeof row.value === "number" ? h("span", { class: "note unit" }, row.unit === "bytes" ? "GB" : row.unit) : null,
      row.fixed_by ? h("span", { class: "note aside" }, "fixed by ", h("code", null, row.fixed_by)) : null,
      row.default !== undefined && row.default !== row.value ? h("span", { class: "note aside changed" }, `default ${shown({ ...row, value: row.default })}`) : null,
    ),
    state.errors[row.key] ? h("p", { class: "failed", role: "alert" }, name(state.errors[row.key])) : null,
  );
}

function control(row, id, change, again) {
  const props = { id, key: `${id} ${again}`, disabled: Boolean(row.fixed_by) };
  if (row.help) props["aria-describedby"] = `${id}-help`;
  if (row.type === "bool" || typeof row.value === "boolean") {
    return h("input", { ...props, type: "checkbox", role: "switch", class: "switch", checked: row.value, onchange: (event) => change(event.target.checked) });
  }
  if (row.choices?.length) {
    return h(
      "select",
      { ...props, onchange: (event) => change(event.target.value) },
      row.choices.map((each) => h("option", { key: each, value: each, selected: each === row.value }, each)),
    );
  }
  const number = typeof row.value === "number";
  const of = row.unit === "bytes" ? GB : 1;
  return h("input", {
    ...props,
    type: number ? "number" : "text",
    step: row.type === "int" && of === 1 ? "1" : "any",
    value: number ? row.value / of : row.value,
    onchange: (event) => change(number ? scaled(event.target.value, of, row.type) : event.target.value),
  });
}

const scaled = (text, of, type) => (type === "int" && of !== 1 ? Math.round(Number(text) * of) : Number(text));

function nodes(rows) {
  if (rows.length === 0) return empty("No node yet: run `herd node` on a machine with Ollama, or start herd with `--node URL`.");
  return table(
    "All nodes",
    [
      { title: "Node", cell: (row) => name(row.node_id) },
      { title: "State", cell: (row) => status(row) },
      { title: "Address", cell: (row) => name(row.ip || "–") },
      { title: "Agent", cell: (row) => name(row.agent_version || "none") },
      { title: "Models in memory", number: true, cell: (row) => count(row.models_loaded_count) },
      { title: "This machine", cell: (row) => (row.is_router ? "yes" : "no") },
    ],
    rows.map((row) => ({ ...row, key: row.node_id })),
  );
}
