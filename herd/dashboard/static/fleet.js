// What is known of the fleet: the last snapshot with the deltas since, and questions about it.

// Whether a node was heard of of late: it is neither offline nor asleep.
export const answers = (node) => node.status === "online" || node.status === "degraded";

export const HISTORY_S = 300;
export const GAP_S = 4; // without a sample: nothing is known of it

export class Fleet {
  constructor() {
    this.known = false;
    this.fleet = {};
    this.nodes = new Map();
    this.queues = new Map();
    this.timestamp = 0;
    this.history = [];
  }

  snapshot(status, nowS = Date.now() / 1000) {
    this.known = true;
    this.fleet = status.fleet ?? {};
    this.timestamp = status.timestamp ?? Date.now() / 1000;
    this.nodes = new Map((status.nodes ?? []).map((node) => [node.node_id, node]));
    this.queues = new Map(Object.entries(status.queues ?? {}));
    if (status.lately) this.history = joined(this.history, remembered(status.lately, nowS), nowS);
  }

  delta({ fleet, nodes, queues, timestamp }) {
    Object.assign(this.fleet, fleet ?? {});
    if (timestamp) this.timestamp = timestamp;
    merge(this.nodes, nodes);
    merge(this.queues, queues);
  }

  // Whether the page has not watched for a while: it was hidden, or the machine slept.
  missed(nowS) {
    const last = this.history[this.history.length - 1];
    return last !== undefined && nowS - last.at > GAP_S;
  }

  // What runs and what waits, once a second, for as long as the page is seen.
  sample(nowS) {
    const last = this.history[this.history.length - 1];
    if (!this.known || (last && nowS - last.at < 1)) return;
    this.history.push({ at: nowS, running: this.running, waiting: this.waitingCount, completed: this.completed });
    while (nowS - this.history[0].at > HISTORY_S) this.history.shift();
  }

  // Rows of one node, by model; also of models that are in memory and were never asked for.
  models(node) {
    const rows = new Map();
    for (const resident of node.ollama?.models_loaded ?? []) rows.set(resident.name, { resident, row: null });
    for (const row of this.queues.values()) {
      if (row.node_id !== node.node_id) continue;
      rows.set(row.model, { resident: rows.get(row.model)?.resident ?? null, row });
    }
    const found = [...rows].map(([model, { resident, row }]) => ({ model, resident, row }));
    return found.sort((one, other) => Boolean(other.resident) - Boolean(one.resident) || (one.model < other.model ? -1 : 1));
  }

  // Requests that wait, per model, the longest line first.
  waiting() {
    const rows = [...this.queues.values()].filter((row) => row.pending > 0);
    return rows.sort((one, other) => other.pending - one.pending || (one.model < other.model ? -1 : 1));
  }

  inFlight(node) {
    return total(this.queues.values(), (row) => (row.node_id === node.node_id ? row.in_flight : 0));
  }

  get running() {
    return total(this.queues.values(), (row) => row.in_flight);
  }

  // Of the nodes that answer: the others have none to give.
  get slots() {
    return total(this.queues.values(), (row) => (answers(this.nodes.get(row.node_id) ?? {}) ? row.concurrency : 0));
  }

  get waitingCount() {
    return total(this.queues.values(), (row) => row.pending);
  }

  get completed() {
    return total(this.queues.values(), (row) => row.completed);
  }

  // Which nodes that are online have a model, and how many of its slots are taken.
  serving(model) {
    return [...this.nodes.values()]
      .filter(answers)
      .filter((node) => (node.ollama?.models_available ?? []).includes(model) || this.has(node, model))
      .map((node) => ({ node, row: this.queues.get(`${node.node_id}:${model}`) }));
  }

  has(node, model) {
    return (node.ollama?.models_loaded ?? []).some((each) => each.name === model);
  }
}

// What herd remembers, a sample a second: each row `[seconds ago, running, waiting, completed]` held until the next.
function remembered(rows, nowS) {
  const samples = [];
  rows.forEach(([ago, running, waiting, completed], index) => {
    const until = rows[index + 1]?.[0] ?? 0;
    for (let age = ago; age > until; age -= 1) samples.push({ at: nowS - age, running, waiting, completed });
  });
  return samples;
}

// A herd that was started again remembers less than the page that watched the one before.
function joined(watched, told, nowS) {
  const since = told[0]?.at ?? Infinity;
  return [...watched.filter(({ at }) => at < since && nowS - at <= HISTORY_S), ...told];
}

export const total = (values, of) => {
  let sum = 0;
  for (const value of values) sum += of(value) || 0;
  return sum;
};

function merge(known, changes) {
  for (const [key, row] of Object.entries(changes ?? {})) {
    if (row === null) known.delete(key);
    else known.set(key, row);
  }
}
