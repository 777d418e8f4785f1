// Elements out of data. Text goes in as text and nothing else: no word from outside can become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child !== undefined && child !== null) node.append(child);
  }
  return node;
}

export const byId = (id) => document.getElementById(id);

export const element = (name, attributes = {}, ...children) =>
  fill(document.createElement(name), attributes, children);

export const shape = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

// A table with headers. The first cell of a row names it.
export function table(caption, columns, rows) {
  // The roles stand there because a small screen shows tables as lists, and they are to be read as tables all the same.
  const head = element("tr", { role: "row" }, columns.map((column) =>
    element("th", { scope: "col", role: "columnheader" }, column)));
  const body = rows.map((cells) =>
    element("tr", { role: "row" }, cells.map((cell, at) =>
      at === 0
        ? element("th", { scope: "row", role: "rowheader", "data-label": columns[at] }, cell)
        : element("td", { role: "cell", "data-label": columns[at] }, cell))));
  return element("table", { role: "table" }, element("caption", { class: "unseen" }, caption),
    element("thead", { role: "rowgroup" }, head), element("tbody", { role: "rowgroup" }, body));
}

// What stands in an element is replaced only when it says something else: selections and the focus stay.
const shown = new WeakMap();
export function show(node, model, draw) {
  const text = JSON.stringify(model);
  if (shown.get(node) === text) return;
  shown.set(node, text);
  const focused = node.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  node.replaceChildren(...[draw(model)].flat().filter((child) => child !== null && child !== undefined));
  if (focused) {
    for (const link of node.querySelectorAll("a")) {
      if (link.getAttribute("href") === focused) link.focus({ preventScroll: true });
    }
  }
}

export const badge = (text, tone) => element("span", { class: "badge", "data-tone": tone }, text);

// A span of milliseconds for people.
export function span(ms) {
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 100) return `${ms.toFixed(1)} ms`;
  if (ms < 10000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

// The same for what need not be known so well, so that it does not flicker.
export const seconds = (ms) => (ms < 10000 ? `${Math.floor(ms / 1000)} s` : span(ms));

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
// The time of day, and the day when it is another.
export function clock(unixMs) {
  const date = new Date(unixMs);
  const time = CLOCK.format(date);
  const today = date.toDateString() === new Date().toDateString();
  return element("time", { datetime: date.toISOString() }, today ? time : `${DAY.format(date)} ${time}`);
}

export function bytes(count) {
  if (count < 10000) return `${count} B`;
  if (count < 10e6) return `${Math.round(count / 1e3)} kB`;
  if (count < 10e9) return `${Math.round(count / 1e6)} MB`;
  return `${Math.round(count / 1e9)} GB`;
}
