"use strict";

const PAGE_SIZE = 50;
const find = (selector, within = document) => within.querySelector(selector);

/** Creates an element with attributes and children (text or elements). */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
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

function format(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e6 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
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

/** A table that sorts by column, filters by words, and has pages. */
class DataTable {
  constructor(place, { columns, values }, caption) {
    this.columns = columns.map((each, i) => ({ ...each, at: column(values[i]) }));
    const first = values[0];
    this.all = Array.from((first.codes || first).keys());
    this.rows = this.all;
    this.page = 0;
    this.body = make("tbody");
    this.count = make("span", { role: "status" });
    this.back = make("button", { type: "button", onclick: () => this.turn(-1) }, "Previous");
    this.next = make("button", { type: "button", onclick: () => this.turn(1) }, "Next");
    this.heads = this.columns.map((each, i) =>
      make("th", { scope: "col", class: each.kind, "aria-sort": "none" },
        make("button", { type: "button", onclick: () => this.sort(i) }, each.label)));
    const input = make("input", { type: "search", "aria-label": `Filter: ${caption}` });
    const region = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      make("table", {}, make("caption", {}, caption),
        make("thead", {}, make("tr", {}, ...this.heads)), this.body));
    // Filtering a hundred thousand rows takes a moment, so it waits for a pause in typing.
    let timer = 0;
    input.oninput = () => {
      clearTimeout(timer);
      region.setAttribute("aria-busy", "true");
      timer = setTimeout(() => {
        this.filter(input.value);
        region.removeAttribute("aria-busy");
      }, 120);
    };
    place.replaceChildren(
      make("div", { class: "tools" }, make("label", {}, "Filter", input), this.count, this.back, this.next),
      region);
    this.draw();
  }

  sort(index) {
    const ascending = this.heads[index].getAttribute("aria-sort") !== "ascending";
    this.heads.forEach((head) => head.setAttribute("aria-sort", "none"));
    this.heads[index].setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const { at, kind } = this.columns[index];
    const keys = this.all.map(at);
    const order = (a, b) => (kind === "number" ? a - b : String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0);
    const compare = (a, b) => {
      // Missing values come last in both directions.
      if (keys[a] === null || keys[b] === null) return (keys[a] === null) - (keys[b] === null);
      return ascending ? order(keys[a], keys[b]) : order(keys[b], keys[a]);
    };
    this.rows = [...this.rows].sort((a, b) => compare(a, b) || a - b);
    this.page = 0;
    this.draw();
  }

  /** Keeps the rows that contain every word, each in any column. */
  filter(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const sorted = this.heads.findIndex((head) => head.getAttribute("aria-sort") !== "none");
    const has = (row) => {
      const cells = this.columns.map(({ at }) => format(at(row)).toLowerCase());
      return words.every((word) => cells.some((cell) => cell.includes(word)));
    };
    this.rows = words.length ? this.all.filter(has) : this.all;
    this.page = 0;
    if (sorted < 0) return this.draw();
    // `sort` reverses the current order, so set the opposite one first.
    const head = this.heads[sorted];
    head.setAttribute("aria-sort", head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
    return this.sort(sorted);
  }

  turn(by) {
    const last = Math.max(0, Math.ceil(this.rows.length / PAGE_SIZE) - 1);
    this.page = Math.min(Math.max(this.page + by, 0), last);
    this.draw();
  }

  draw() {
    const pages = Math.max(1, Math.ceil(this.rows.length / PAGE_SIZE));
    const shown = this.rows.slice(this.page * PAGE_SIZE, (this.page + 1) * PAGE_SIZE);
    this.body.replaceChildren(...shown.map((row) =>
      make("tr", {}, ...this.columns.map((each) => cell(each, each.at(row))))));
    const of = this.rows.length === this.all.length ? "" : ` of ${format(this.all.length)}`;
    const page = pages > 1 ? `, page ${format(this.page + 1)} of ${format(pages)}` : "";
    this.count.textContent = `${format(this.rows.length)}${of} rows${page}`;
    // `disabled` would take the focus away.
    this.back.setAttribute("aria-disabled", String(this.page === 0));
    this.next.setAttribute("aria-disabled", String(this.page >= pages - 1));
    this.back.hidden = this.next.hidden = pages === 1;
  }
}

function cell({ kind }, value) {
  if (kind === "run") return make("td", {}, runLink(value));
  if (kind === "verdict") return make("td", { class: value.replaceAll(" ", "-") }, value);
  return make("td", { class: kind }, format(value));
}

function runLink(name) {
  return make("a", { href: `#run=${encodeURIComponent(name)}` }, name);
}

/* Figures ------------------------------------------------------------------------------------- */

async function openFigure(name) {
  const dialog = find("#figure-dialog");
  const [{ [name]: points }, trials] = await Promise.all([piece("points"), piece("trials")]);
  const figure = find(`#figure-${CSS.escape(name)}`);
  const drawing = find("svg", figure).cloneNode(true);
  for (const each of [drawing, ...drawing.querySelectorAll("[id]")]) each.removeAttribute("id");
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", `${find("figcaption", figure).textContent} A table of its points follows.`);
  find("#figure-dialog-title").textContent = `Figure ${find("figcaption b", figure).textContent}`;
  find(".caption", dialog).textContent = find("figcaption", figure).textContent;
  find(".drawing", dialog).replaceChildren(drawing);
  find("output", dialog).textContent = "";
  find(".mark", dialog).hidden = true;
  const run = column(trials.values[0]);
  const names = points.rows.map(run);
  const columns = [
    { name: "x", label: points.labels[0], kind: "number" },
    { name: "y", label: points.labels[1], kind: "number" },
    { name: "arch", label: "architecture", kind: "text" },
    { name: "run", label: "run", kind: "run" },
  ];
  const values = [points.px, points.py, points.archs, names];
  // Positions on an axis without a label have no meaning.
  const told = columns.map((each, i) => [each, values[i]]).filter(([each]) => each.label);
  const place = find(".points", dialog);
  if (names.length) {
    const table = { columns: told.map(([each]) => each), values: told.map(([, value]) => value) };
    new DataTable(place, table, "Points of this figure");
  } else place.replaceChildren();
  const plot = find(".plot", dialog);
  plot.onpointermove = (event) => point(plot, points, names, event);
  plot.onclick = (event) => {
    const nearest = point(plot, points, names, event);
    if (nearest >= 0) location.hash = `run=${encodeURIComponent(names[nearest])}`;
  };
  dialog.showModal();
}

/** Marks the point nearest to the pointer, names its run, and returns its index, or -1. */
function point(plot, { box, x, y, px, py }, names, event) {
  const { left, top, width, height } = plot.getBoundingClientRect();
  const place = ([low, high, isLog], value) =>
    isLog ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  const across = (value) => width * (box[0] + (box[2] - box[0]) * place(x, value));
  const down = (value) => height * (box[3] - (box[3] - box[1]) * place(y, value));
  let nearest = -1, least = 40 ** 2;
  for (let i = 0; i < names.length; i += 1) {
    const distance = (across(px[i]) - event.clientX + left) ** 2 + (down(py[i]) - event.clientY + top) ** 2;
    if (distance < least) [nearest, least] = [i, distance];
  }
  const mark = find(".mark", plot);
  mark.hidden = nearest < 0;
  if (nearest >= 0) {
    mark.style.left = `${across(px[nearest])}px`;
    mark.style.top = `${down(py[nearest])}px`;
  }
  find("output", plot).textContent =
    nearest < 0 ? "" : `${names[nearest]}: ${format(px[nearest])}, ${format(py[nearest])}`;
  return nearest;
}

/* Runs ---------------------------------------------------------------------------------------- */

/** Row of a run in the table of trials, or -1. */
function rowOf(packed, name) {
  for (let row = 0; row < packed.ids.length; row += 1) {
    if (name.endsWith(packed.ids[row]) && runName(packed, row) === name) return row;
  }
  return -1;
}

async function openRun(name) {
  const trials = await piece("trials");
  const runs = trials.values[0];
  const row = rowOf(runs, name);
  const dialog = find("#run-dialog");
  find("#run-dialog-title").textContent = `Run ${name}`;
  if (row < 0) {
    find(".run", dialog).replaceChildren(make("p", {}, "This report has no such run."));
  } else {
    const [hparams, curve] = (await piece(`study-${runs.codes[row]}`))[row];
    const facts = trials.columns.slice(1).map((each, i) => [each.label, column(trials.values[i + 1])(row)]);
    find(".run", dialog).replaceChildren(
      make("section", {}, make("h3", {}, "Learning curve"), drawCurve(curve), make("h3", {}, "Result"), list(facts)),
      make("section", {}, make("h3", {}, "Hyperparameters"), list(Object.entries(hparams))));
  }
  if (!dialog.open) dialog.showModal();
}

function list(entries) {
  const known = entries.filter(([, value]) => value !== null && value !== undefined);
  return make("dl", {}, ...known.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, format(value))]));
}

/** Draws the training losses at the twentieths of a run. */
function drawCurve(curve) {
  if (!curve.length) return make("p", {}, "This run has no learning curve.");
  const [width, height, edge] = [320, 180, 34];
  const high = Math.max(...curve), low = Math.min(0, ...curve);
  const x = (i) => edge + ((width - edge - 8) * (i + 1)) / 20;
  const y = (loss) => height - edge / 2 - ((height - edge) * (loss - low)) / (high - low || 1);
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", `Training loss from ${format(curve[0])} to ${format(curve.at(-1))}`);
  const path = curve.map((loss, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(loss).toFixed(1)}`).join("");
  picture.innerHTML =
    `<path d="M${edge} 8V${height - edge / 2}H${width - 8}" fill="none" stroke="currentColor"/>` +
    `<path d="${path}" fill="none" stroke="#0072B2" stroke-width="2"/>` +
    `<g font-size="10" fill="currentColor"><text x="${edge - 4}" y="14" text-anchor="end">${format(high)}</text>` +
    `<text x="${edge - 4}" y="${height - edge / 2}" text-anchor="end">${format(low)}</text>` +
    `<text x="${width - 8}" y="${height - 4}" text-anchor="end">twentieths of all steps</text></g>`;
  return picture;
}

/* The page ------------------------------------------------------------------------------------ */

function followHash() {
  const match = location.hash.match(/^#run=(.+)$/);
  if (!match) return find("#run-dialog").close();
  let name = match[1];
  try {
    name = decodeURIComponent(name);
  } catch {
    // A malformed link; openRun reports that there is no such run.
  }
  return openRun(name);
}

function setTheme(isDark) {
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
  find("#theme").setAttribute("aria-pressed", String(isDark));
}

async function start() {
  find("#theme").onclick = (event) => setTheme(event.target.getAttribute("aria-pressed") !== "true");
  if (matchMedia("(prefers-color-scheme: dark)").matches) setTheme(true);
  for (const button of document.querySelectorAll("button.open")) {
    button.onclick = () => openFigure(button.dataset.figure);
  }
  find("#run-dialog").addEventListener("close", () => {
    if (location.hash.startsWith("#run=")) history.replaceState(null, "", location.pathname + location.search);
  });
  window.addEventListener("hashchange", followHash);
  const [tables, trials] = await Promise.all([piece("tables"), piece("trials")]);
  for (const place of document.querySelectorAll("[data-table]")) {
    const { table, caption } = place.dataset;
    new DataTable(place, table === "trials" ? trials : tables[table], caption);
  }
  followHash();
  document.documentElement.dataset.ready = "true";
}

start().catch((error) => {
  find("#failure").textContent = `Cannot show tables and runs: ${error.message}. `
    + "This page needs a browser released in 2023 or later.";
});
