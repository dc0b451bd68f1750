// Asking herd. An answer is JSON; a refusal is an Error with herd's own words.

export class Refused extends Error {
  constructor(text, status) {
    super(text);
    this.status = status;
  }
}

const WITHIN_MS = 15_000;
export const PAST_MS = 30_000; // to look back: herd waits for its turn, looks, and says if that took too long

export const get = (path, withinMs = WITHIN_MS) => ask(path, {}, withinMs);

export const order = (method, path, body, headers = {}) =>
  ask(path, {
    method,
    headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });

async function ask(path, options, withinMs = WITHIN_MS) {
  let answer;
  try {
    answer = await fetch(path, { ...options, signal: AbortSignal.timeout(withinMs) });
  } catch {
    throw new Refused("herd does not answer. Is it running? `herd` starts it.", 0);
  }
  const text = await answer.text();
  let found = null;
  try {
    found = JSON.parse(text);
  } catch { /* not JSON: said below */ }
  if (!answer.ok) throw new Refused(said(found) ?? plain(answer.status, path), answer.status);
  if (found === null) throw new Refused(`${path} did not answer with JSON.`, answer.status);
  return found;
}

function said(found) {
  const error = found?.error ?? found?.detail;
  return typeof error === "string" ? error : typeof error?.message === "string" ? error.message : null;
}

function plain(status, path) {
  if (status === 404) return `This herd has no ${path.split("?")[0]}.`;
  return `herd answered ${status} to ${path.split("?")[0]}.`;
}
