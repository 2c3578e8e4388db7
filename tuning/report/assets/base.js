const find = (selector, within = document) => within.querySelector(selector);

const lacks = (value) => value === null || value === undefined;

/** Creates an element with attributes and children (text or elements). */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (lacks(value)) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Pieces of the page's data, each unpacked once. */
const pieces = new Map();
function piece(name) {
  if (!pieces.has(name)) pieces.set(name, load(name));
  return pieces.get(name);
}

async function load(name) {
  const selector = `#data-${CSS.escape(name)}`;
  // Studies follow this script in the file, so wait until the browser has read all of it.
  if (name.startsWith("study-") && document.readyState === "loading") {
    await new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve));
  }
  return unpack(find(selector).textContent);
}

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function format(value, kind) {
  if (kind === "measured") return measured(value);
  if (lacks(value)) return "–";
  if (typeof value !== "number") return String(value);
  if (kind === "percent") return `${(100 * value).toFixed(1)} %`;
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e6 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}

/** A number of the atlas with its interval, from [number, low end, high end, run]. */
function measured(value) {
  if (lacks(value)) return "not run";
  if (lacks(value[0])) return "all diverged";
  const [number, low, high] = value.slice(0, 3).map((each) => format(Number(each.toPrecision(3))));
  return low === high ? number : `${number} (${low} to ${high})`;
}

/** Accessor of a packed column: maps a row to its value, null if missing. */
function column(packed) {
  if (Array.isArray(packed)) return (row) => packed[row];
  if (packed.ids) return (row) => runName(packed, row);
  return (row) => (packed.codes[row] < 0 ? null : packed.words[packed.codes[row]]);
}

function runName(packed, row) {
  const study = packed.studies[packed.codes[row]];
  return study === packed.ids[row] ? study : `${study}/${packed.ids[row]}`;
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  find("#theme").setAttribute("aria-pressed", String(theme === "dark"));
}

/** Makes the button switch between light and dark. */
function startTheme() {
  setTheme(document.documentElement.dataset.theme);
  find("#theme").onclick = () => {
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    kept.local.setItem("rnn-zoo-theme", document.documentElement.dataset.theme);
  };
}
