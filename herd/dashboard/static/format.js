// Numbers as people read them, always with their unit. What is not known is a dash.

const NONE = "–";
const known = (value) => typeof value === "number" && Number.isFinite(value);
const grouped = new Intl.NumberFormat("en-GB");

export const count = (value) => (known(value) ? grouped.format(Math.round(value)) : NONE);

export function many(value) {
  if (!known(value)) return NONE;
  if (value < 10_000) return count(value);
  if (value < 1e6) return `${trimmed(value / 1e3)} k`;
  if (value < 1e9) return `${trimmed(value / 1e6)} M`;
  return `${trimmed(value / 1e9)} G`;
}

const trimmed = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(1).replace(/\.0$/, ""));

export function seconds(value) {
  if (!known(value)) return NONE;
  if (value > 0 && value < 0.0005) return "<1 ms";
  if (value < 0.0995) return `${Math.round(value * 1000)} ms`;
  if (value < 10) return `${value.toFixed(2)} s`;
  if (value < 100) return `${value.toFixed(1)} s`;
  if (value < 600) return `${trimmed(value / 60)} min`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  if (value < 172_800) return `${trimmed(value / 3600)} h`;
  return `${Math.round(value / 86_400)} days`;
}

export const millis = (value) => (known(value) ? seconds(value / 1000) : NONE);

export function gigabytes(value, unit = "GB") {
  if (!known(value)) return NONE;
  if (value < 0.1) return `${Math.round(value * 1000)} M${unit.slice(1)}`;
  return `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${unit}`;
}

export const gib = (value) => gigabytes(value, "GiB");
export const percent = (value, digits = 0) => (known(value) ? `${value.toFixed(digits)} %` : NONE);
export const plural = (value, one, more = `${one}s`) => `${count(value)} ${value === 1 ? one : more}`;

const pad = (value) => String(value).padStart(2, "0");

// The time of day, with the day where it is not today.
export function clock(epochS) {
  if (!known(epochS) || epochS <= 0) return NONE;
  const at = new Date(epochS * 1000);
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  return at.toDateString() === new Date().toDateString() ? time : `${day(epochS)} ${time.slice(0, 5)}`;
}

export function day(epochS) {
  const at = new Date(epochS * 1000);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
}

// What herd counts by the day, it counts by days of UTC: they have their own dates, wherever the reader is.
export const utcDay = (epochS) => new Date(epochS * 1000).toISOString().slice(0, 10);

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// The mark on a time axis whose marks are so many seconds apart.
export function tick(epochS, stepS) {
  const at = new Date(epochS * 1000);
  const midnight = at.getHours() === 0 && at.getMinutes() === 0;
  return stepS >= 86_400 || midnight ? `${at.getDate()} ${MONTHS[at.getMonth()]}` : `${pad(at.getHours())}:${pad(at.getMinutes())}`;
}

// The mark on an axis of days.
export function utcTick(epochS) {
  const at = new Date(epochS * 1000);
  return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`;
}

// How far this machine's clock is before herd's, by which all instants are: seconds under way do not count.
const UNDER_WAY_S = 5;
let ahead = 0;

export function setClock(herdS) {
  const found = Date.now() / 1000 - herdS;
  ahead = Math.abs(found) < UNDER_WAY_S ? 0 : found;
}

export const now = () => Date.now() / 1000 - ahead;

export function ago(epochS, nowS = now()) {
  if (!known(epochS) || epochS <= 0) return NONE;
  const passed = Math.max(0, nowS - epochS);
  if (passed < 5) return "just now";
  return `${passed < 100 ? `${Math.round(passed)} s` : passed < 600 ? `${Math.round(passed / 60)} min` : seconds(passed)} ago`;
}

export const words = (text) => String(text ?? "").replaceAll("_", " ");
