// The shell of the page: tabs, routes, the live feed, and when which view is loaded and drawn.

import { asAdmin, look, mayLook, signIn } from "./admin.js";
import { get } from "./api.js";
import { h, render } from "./dom.js";
import { Feed } from "./feed.js";
import { Fleet } from "./fleet.js";
import { clock, plural, setClock } from "./format.js";
import { prose } from "./parts.js";
import { toast } from "./toast.js";
import { apps } from "./views/apps.js";
import { benchmarks } from "./views/benchmarks.js";
import { health } from "./views/health.js";
import { models } from "./views/models.js";
import { overview } from "./views/overview.js";
import { recommendations } from "./views/recommendations.js";
import { request } from "./views/request.js";
import { settings } from "./views/settings.js";
import { trends } from "./views/trends.js";

const TABS = [overview, trends, models, apps, benchmarks, health, recommendations, settings];
const VIEWS = [...TABS, request];
const DRAW_MS = 400;
const RELOAD_MS = 1_200; // herd itself keeps an answer for a second
const ABSENT_MS = 10_000;
const LATE_MS = [1_300, 2_800]; // an event is in the log's tables within half a second, or two if much goes on

const at = (id) => document.getElementById(id);
const panel = at("panel");
const fleet = new Fleet();
const states = new Map(VIEWS.map((view) => [view.id, { errors: {} }]));
const shared = { health: null };
const ctx = { fleet, shared, get, order: asAdmin, post: (path, body) => asAdmin("POST", path, body), toast, draw: schedule, reload: () => reload(0), poll };

let route = { view: overview, argument: "", asked: new URLSearchParams() };
let drawing = null;
let drawn = 0;
let loading = null;
let again = null;
let due = 0;
let loaded = 0;
let missed = Infinity;
let finished = -1;
let hearing = [];
let hinted = -1;
let badged = false;

// Routes

function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [id, ...rest] = path.split("/");
  const view = VIEWS.find((each) => each.id === id) ?? overview;
  return { view, argument: safely(rest.join("/")), asked: new URLSearchParams(query) };
}

function safely(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function go() {
  const next = read();
  const moved = next.view !== route.view || next.argument !== route.argument;
  if (moved && next.view.argued) states.set(next.view.id, { errors: {} });
  route = next;
  if (moved) scrollTo(0, 0);
  if (panel.contains(document.activeElement)) panel.focus({ preventScroll: true }); // what had it is gone: who reads by ear begins with the new page
  tabs();
  reveal(at(`tab-${route.view.under ?? route.view.id}`));
  panel.dataset.view = route.view.id;
  panel.replaceChildren();
  route.view.opened?.(ctx, states.get(route.view.id), route.asked);
  panel.setAttribute("aria-labelledby", TABS.includes(route.view) ? `tab-${route.view.id}` : "title");
  at("title").textContent = route.view.title;
  now();
  reload(0);
}

// Tabs

function tabs() {
  const selected = route.view.under ?? route.view.id;
  const wrong = (shared.health?.recommendations ?? []).filter((each) => each.severity !== "info").length;
  const wider = wrong > 0 !== badged;
  badged = wrong > 0;
  document.title = `${wrong ? `(${wrong}) ` : ""}${route.view.title} · herd`;
  render(
    at("tabs"),
    TABS.map((view) =>
      h(
        "button",
        {
          key: view.id,
          id: `tab-${view.id}`,
          type: "button",
          role: "tab",
          class: "tab",
          "aria-selected": String(view.id === selected),
          "aria-controls": "panel",
          tabindex: view.id === selected ? "0" : "-1",
          onclick: () => (location.hash = `#/${view.id}`),
        },
        h("span", { class: "word", "data-word": view.title }, view.title),
        view.id === "health" && wrong > 0
          ? h("span", { class: "badge", "aria-label": plural(wrong, "problem") }, String(wrong))
          : null,
      ),
    ),
  );
  if (wider) reveal(at(`tab-${selected}`));
}

const STEPS = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };

// Not by scrollIntoView: from there on the Tab key would go on, and pass the skip link by.
function reveal(tab) {
  const bar = at("tabs");
  bar.scrollLeft += tab.getBoundingClientRect().left - bar.getBoundingClientRect().left - (bar.clientWidth - tab.offsetWidth) / 2;
}

at("tabs").addEventListener("keydown", (event) => {
  if (!(event.key in STEPS)) return;
  event.preventDefault();
  const known = TABS.findIndex((view) => view.id === document.activeElement.id.replace("tab-", ""));
  const step = STEPS[event.key];
  const next = Number.isFinite(step) ? (known + step + TABS.length) % TABS.length : step < 0 ? 0 : TABS.length - 1;
  location.hash = `#/${TABS[next].id}`;
  at(`tab-${TABS[next].id}`).focus();
});

document.querySelector("[data-skip]").addEventListener("click", (event) => {
  event.preventDefault();
  panel.focus();
});

// Drawing: at most 2.5 times a second, however many events come.

function schedule() {
  if (drawing !== null) return;
  drawing = setTimeout(now, Math.max(0, drawn + DRAW_MS - performance.now()));
}

function now() {
  clearTimeout(drawing);
  drawing = null;
  drawn = performance.now();
  if (document.visibilityState === "hidden") return;
  ctx.away = at("link").dataset.state === "reconnecting";
  ctx.closed = at("link").dataset.state === "closed";
  render(panel, [ctx.closed ? closed() : away(), route.view.draw(ctx, states.get(route.view.id), route.argument)]);
  at("foot").textContent = fleet.known ? `as of ${clock(fleet.timestamp)}` : "";
}

// What is on the page is of then, while herd is away.
function away() {
  if (!ctx.away || !fleet.known) return null;
  return h("p", { key: "away", class: "away", role: "status" }, `herd does not answer. What you see is of ${clock(fleet.timestamp)}; the page asks on by itself.`);
}

const closed = () =>
  h(
    "div",
    { key: "closed", class: "empty" },
    h("p", null, prose("You are signed out. The admin token opens this page, and so does a link that `herd dashboard` makes on the balancer.")),
    h("p", { class: "bar" }, h("button", { type: "button", class: "main", onclick: () => enter("Its file is named by `herd where`, on the balancer.") }, "Sign in…")),
  );

// Loading: at most once a second for each view; what comes meanwhile is asked for once more after it.

function reload(after) {
  const wait = after === 0 ? 0 : Math.max(after, loaded + RELOAD_MS - performance.now());
  const at = performance.now() + wait;
  if (again !== null && due <= at) return; // it comes sooner: many events must not put it off
  clearTimeout(again);
  due = at;
  again = setTimeout(load, wait, after);
}

async function load(after) {
  again = null;
  if (loading === route) {
    missed = Math.min(missed, after);
    return;
  }
  const mine = route;
  missed = Infinity;
  loading = mine;
  loaded = performance.now();
  try {
    await fetchAll(mine);
  } finally {
    if (loading === mine) loading = null;
  }
  if (mine === route && missed < Infinity) reload(missed);
  if (mine === route) schedule();
}

// What was not there is asked for again only after something has happened, and not at once.
const absent = (state, key) => state.absent?.[key] !== undefined && (hinted <= state.absent[key] || performance.now() - state.absent[key] < ABSENT_MS);

const pathsOf = (view, state, argument) => ({ health: "/dashboard/api/health", ...(view.paths?.(state, argument) ?? {}) });

async function fetchAll({ view, argument }) {
  const state = states.get(view.id);
  const paths = pathsOf(view, state, argument);
  await Promise.all(
    Object.entries(paths).map(async ([key, path]) => {
      if (absent(state, key)) return;
      try {
        if (path.admin && !mayLook()) {
          state.closed = true;
          return;
        }
        const found = await (path.admin ? look(path.admin) : get(path));
        if (pathsOf(view, state, argument)[key] !== path) return; // another period was chosen meanwhile
        if (key === "health") shared.health = found;
        else state[key] = found;
        delete state.errors[key];
        delete state.absent?.[key];
      } catch (error) {
        const said = error.status === 0 && Object.entries(state.errors).some(([other, text]) => other !== key && text === error.message);
        if (view.argued && error.status === 404) state.absent = { ...state.absent, [key]: performance.now() };
        state.errors[key] = said ? "" : error.message; // that herd is away is said once
      }
    }),
  );
  view.loaded?.(ctx, state);
  tabs();
}

// Asks for one path every second while `more` says so; for what runs for a while.
function poll(path, take, more) {
  const step = async () => {
    try {
      const found = await get(path);
      take(found);
      schedule();
      if (more(found)) setTimeout(step, 1_000);
    } catch (error) {
      toast(error.message);
    }
  };
  step();
}

// Live

function heard(kinds) {
  if (!route.view.hears.some((kind) => kinds.includes(kind))) return;
  hinted = performance.now();
  reload(300);
  hearing.forEach(clearTimeout);
  hearing = LATE_MS.map((ms) => setTimeout(() => reload(1), ms));
}

function changed() {
  schedule();
  const sum = fleet.completed * 1_000 + fleet.running + fleet.waitingCount;
  if (sum !== finished) heard(["requests"]);
  finished = sum;
}

// Who is not let in is asked for the token, until he has it or leaves that; then the page offers it.
async function enter(why) {
  try {
    if (await signIn(why)) location.reload();
  } catch (refused) {
    enter(refused.message);
  }
}

const LINK = {
  live: "live",
  polling: "asked every 2 s",
  reconnecting: "reconnecting…",
  closed: "signed out",
};

const feed = new Feed({
  snapshot: (status) => {
    fleet.snapshot(status);
    setClock(fleet.timestamp);
    changed();
  },
  delta: (delta) => {
    fleet.delta(delta);
    if (delta.nodes) heard(["nodes"]);
    changed();
  },
  changed: heard,
  closed: enter,
  state: (word) => {
    const link = at("link");
    if (link.dataset.state === "reconnecting" && word !== "reconnecting") reload(0);
    link.textContent = LINK[word];
    link.dataset.state = word;
    schedule();
  },
});
feed.start();

// Odds and ends

const THEMES = { auto: "light", light: "dark", dark: "auto" };

function theme(next) {
  const root = document.documentElement;
  if (next === "auto") delete root.dataset.theme;
  else root.dataset.theme = next;
  try {
    localStorage.setItem("herd-theme", next);
  } catch { /* storage is off */ }
  at("theme").textContent = `◐ ${next}`;
  at("theme").setAttribute("aria-label", `Theme: ${next}. Change to ${THEMES[next]}`);
  states.forEach((state) => (state.redraw = (state.redraw ?? 0) + 1));
  schedule();
}

at("theme").addEventListener("click", () => theme(THEMES[document.documentElement.dataset.theme ?? "auto"]));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme(document.documentElement.dataset.theme ?? "auto"));
addEventListener("hashchange", go);
document.addEventListener("visibilitychange", schedule);
setInterval(() => reload(1), 15_000);
setInterval(() => {
  if (at("link").dataset.state === "reconnecting" || document.visibilityState === "hidden") return;
  const nowS = Date.now() / 1000;
  if (fleet.missed(nowS)) feed.renew();
  fleet.sample(nowS);
  if (route.view === overview) schedule();
}, 1_000);
theme(document.documentElement.dataset.theme ?? "auto");
go();
