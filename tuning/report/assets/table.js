const PAGE_SIZE = 50;
/** Rows up to which a table has no filter. */
const SHORT = 12;

/** A table that sorts by column, filters by words, and has pages. */
class DataTable {
  constructor(place, { columns, values }, caption, pageSize = PAGE_SIZE) {
    this.pageSize = pageSize;
    this.columns = columns.map((each, i) => ({ ...each, at: column(values[i]) }));
    const first = values[0];
    this.all = Array.from((first.codes || first).keys());
    this.rows = this.all;
    this.page = 0;
    // Roles, since a narrow window shows rows as cards, which no longer are rows to a screen reader.
    this.body = make("tbody", { role: "rowgroup" });
    this.count = make("span", { role: "status" });
    this.back = make("button", { type: "button", onclick: () => this.turn(-1) }, "Previous");
    this.next = make("button", { type: "button", onclick: () => this.turn(1) }, "Next");
    this.heads = this.columns.map((each, i) =>
      make("th", { scope: "col", role: "columnheader", class: classOf(each), "aria-sort": "none" },
        make("button", { type: "button", onclick: () => this.sort(i) }, each.label)));
    const input = this.input = make("input", { type: "search", "aria-label": `Filter: ${caption}` });
    const region = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      make("table", { role: "table" }, make("caption", {}, caption),
        make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...this.heads)), this.body));
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
    const tools = make("div", { class: "tools" }, make("label", {}, "Filter", input), this.count, this.back, this.next);
    tools.hidden = this.all.length <= SHORT;
    place.replaceChildren(tools, region);
    this.draw();
  }

  sort(index) {
    const ascending = this.heads[index].getAttribute("aria-sort") !== "ascending";
    this.heads.forEach((head) => head.setAttribute("aria-sort", "none"));
    this.heads[index].setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const { at } = this.columns[index];
    const isText = classOf(this.columns[index]) !== "number";
    const keys = this.all.map(at).map(keyOf);
    const order = (a, b) => (!isText ? a - b : String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0);
    const compare = (a, b) => {
      // Missing values come last in both directions.
      if (keys[a] === null || keys[b] === null) return (keys[a] === null) - (keys[b] === null);
      return ascending ? order(keys[a], keys[b]) : order(keys[b], keys[a]);
    };
    this.rows = [...this.rows].sort((a, b) => compare(a, b) || a - b);
    this.page = 0;
    this.draw();
  }

  /** Fills in the filter. */
  search(text) {
    this.input.value = text;
    this.filter(text);
  }

  /** Keeps the rows that contain every word, each in any column. */
  filter(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const sorted = this.heads.findIndex((head) => head.getAttribute("aria-sort") !== "none");
    const has = (row) => {
      const cells = this.columns.map(({ at, kind }) => format(at(row), kind).toLowerCase());
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

  /** Filter, order and page, to be set again after a reload. */
  get state() {
    const sorted = this.heads.findIndex((head) => head.getAttribute("aria-sort") !== "none");
    const order = sorted < 0 ? null : this.heads[sorted].getAttribute("aria-sort");
    return { text: this.input.value, sorted, order, page: this.page };
  }

  set state({ text, sorted, order, page }) {
    if (text) this.search(text);
    if (sorted >= 0 && sorted < this.heads.length) this.sort(sorted);
    if (order === "descending") this.sort(sorted);
    this.turn(page);
  }

  turn(by) {
    const last = Math.max(0, Math.ceil(this.rows.length / this.pageSize) - 1);
    this.page = Math.min(Math.max(this.page + by, 0), last);
    this.draw();
  }

  draw() {
    const pages = Math.max(1, Math.ceil(this.rows.length / this.pageSize));
    const shown = this.rows.slice(this.page * this.pageSize, (this.page + 1) * this.pageSize);
    this.body.replaceChildren(...shown.map((row) =>
      make("tr", { role: "row" }, ...this.columns.map((each) => cell(each, each.at(row))))));
    const of = this.rows.length === this.all.length ? "" : ` of ${format(this.all.length)}`;
    const page = pages > 1 ? `, page ${format(this.page + 1)} of ${format(pages)}` : "";
    this.count.textContent = `${format(this.rows.length)}${of} rows${page}`;
    // `disabled` would take the focus away.
    this.back.setAttribute("aria-disabled", String(this.page === 0));
    this.next.setAttribute("aria-disabled", String(this.page >= pages - 1));
    this.back.hidden = this.next.hidden = pages === 1;
  }
}

/** Percentages and measured numbers are numbers to a style and to a sort. */
function classOf({ kind }) {
  return ["percent", "measured"].includes(kind) ? "number" : kind;
}

/** The part of a value by which it is sorted: a measured number comes first in its list. */
function keyOf(value) {
  return Array.isArray(value) ? value[0] : value;
}

function cell(each, value) {
  const attributes = { role: "cell", class: classOf(each), "data-label": each.label };
  if (each.kind === "run") return make("td", attributes, runLink(value));
  if (each.kind === "measured" && value?.[3]) return make("td", attributes, evidence(value));
  if (each.kind === "verdict") attributes.class = value.replaceAll(" ", "-");
  return make("td", attributes, format(value, each.kind));
}

function runLink(name) {
  return make("a", { href: `#run=${encodeURIComponent(name)}` }, name);
}

/** A measured number that links to its run, on the report's other page. */
function evidence(value) {
  return make("a", { href: `index.html#run=${encodeURIComponent(value[3])}` }, measured(value));
}
