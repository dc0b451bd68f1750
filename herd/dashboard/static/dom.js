// A page as a function of data. `h` makes a description, `render` makes the document like it and
// touches only what differs, so that focus, scrolling and selections survive an update.
// Text becomes text nodes, values become attributes: nothing is ever parsed as markup.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "path", "rect", "circle", "line", "g", "text", "title"]);
const LIVE = new Set(["value", "checked", "disabled", "hidden", "open", "indeterminate"]);
const SAFE_LINK = /^(#|\/(?!\/))/;

export function h(tag, props, ...children) {
  return { tag, props: props ?? {}, children: children.flat(Infinity).filter(shown) };
}

// A name that came from the network: isolated, so that its direction cannot reorder its surroundings.
export const name = (text, props) => h("bdi", props, String(text));

// Makes a piece again only if what it is made of is another thing: an update of one node of many then
// costs what one node costs. Kept by its first dependency, and gone with it.
const kept = new WeakMap();

export function memo(deps, make) {
  const known = kept.get(deps[0]);
  if (known && known.deps.length === deps.length && known.deps.every((each, index) => each === deps[index])) return known.made;
  const made = make();
  kept.set(deps[0], { deps, made });
  return made;
}

const shown = (child) => child !== null && child !== undefined && child !== false && child !== "";

export function render(parent, children) {
  const wanted = [children].flat(Infinity).filter(shown);
  const keyed = new Map();
  for (const node of parent.childNodes) if (node.herdKey !== undefined) keyed.set(node.herdKey, node);
  if (keyed.size > 0) unwanted(keyed, wanted);
  let at = parent.firstChild;
  for (const child of wanted) {
    const known = child.props?.key !== undefined ? keyed.get(child.props.key) : free(at);
    const node = known && fits(known, child) ? known : make(child);
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
    fill(node, child);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    remove(gone);
  }
}

// What has a key goes first, so that its neighbours without one are known again.
function unwanted(keyed, wanted) {
  const keys = new Set(wanted.map((child) => child.props?.key));
  for (const [key, node] of keyed) if (!keys.has(key)) remove(node);
}

// Who had the focus before a question came has it again.
function remove(node) {
  const back = node.herdOpener && node.contains(document.activeElement) ? node.herdOpener : null;
  node.remove();
  back?.focus();
}

const free = (node) => (node && node.herdKey === undefined ? node : null);

function fits(node, child) {
  if (typeof child !== "object") return node.nodeType === Node.TEXT_NODE;
  return node.nodeType === Node.ELEMENT_NODE && node.localName === child.tag && node.herdKey === child.props.key;
}

function make(child) {
  if (typeof child !== "object") return document.createTextNode("");
  const node = DRAWN.has(child.tag) ? document.createElementNS(SVG, child.tag) : document.createElement(child.tag);
  node.herdKey = child.props.key;
  return node;
}

function fill(node, child) {
  if (typeof child !== "object") {
    if (node.data !== String(child)) node.data = String(child);
    return;
  }
  if (node.herdMade === child && !child.props.own) return;
  node.herdMade = child;
  const before = node.herdProps ?? {};
  for (const key of Object.keys(before)) if (!(key in child.props)) set(node, key, undefined, before[key]);
  for (const [key, value] of Object.entries(child.props)) set(node, key, value, before[key]);
  node.herdProps = child.props;
  if (child.props.own) child.props.own(node);
  else render(node, child.children);
}

function set(node, key, value, before) {
  if (key === "key" || key === "own") return;
  if (key.startsWith("on")) return listen(node, key.slice(2), value);
  if (key === "focused") return before === undefined && focus(node);
  if (key === "style") return style(node, value ?? {});
  if (key === "value" && value === before) return;
  if (LIVE.has(key)) {
    if (node[key] !== (value ?? false)) node[key] = value ?? false;
    return;
  }
  if (value === before) return;
  if (value === undefined || value === null || value === false) node.removeAttribute(key);
  else if (key === "href" && !SAFE_LINK.test(value)) node.removeAttribute(key);
  else node.setAttribute(key, value === true ? "" : String(value));
}

// What asks has the focus from when it is there.
function focus(node) {
  const asks = node.closest("[role=alertdialog]");
  if (asks) asks.herdOpener = document.activeElement;
  node.focus();
}

function listen(node, kind, handler) {
  node.herdHandlers ??= {};
  if (!(kind in node.herdHandlers)) node.addEventListener(kind, (event) => node.herdHandlers[kind]?.(event));
  node.herdHandlers[kind] = handler;
}

function style(node, wanted) {
  for (const [property, value] of Object.entries(wanted)) {
    if (node.style.getPropertyValue(property) !== String(value)) node.style.setProperty(property, value);
  }
}
