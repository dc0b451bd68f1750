// A word at the edge of the page, gone after a while.

const LASTS_MS = 6_000;
let going = null;

export function toast(text) {
  const node = document.getElementById("toast");
  node.textContent = text;
  node.hidden = false;
  clearTimeout(going);
  going = setTimeout(() => (node.hidden = true), LASTS_MS);
}
