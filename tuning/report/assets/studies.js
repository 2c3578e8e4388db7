/* Studies ------------------------------------------------------------------------------------- */

/** Hyperparameters with an axis of their own in parallel coordinates. */
const MOST_AXES = 8;

/** Rows of the trials that searches have made: study -> rows, without reruns. */
function studyRows({ studies, codes, ids }) {
  const found = studies.map(() => []);
  ids.forEach((id, row) => {
    if (/^\d+$/.test(id)) found[codes[row]].push(row);
  });
  return new Map(studies.map((name, code) => [name, found[code]]).filter(([, rows]) => rows.length > 1));
}

let rowsByStudy = new Map();

async function startStudies(trials) {
  const rows = rowsByStudy = studyRows(trials.values[0]);
  const select = find("#study");
  select.replaceChildren(...[...rows].map(([name, { length }]) =>
    make("option", { value: name }, `${name} (${format(length)} trials)`)));
  find("#studies").hidden = !rows.size;
  select.onchange = () => {
    history.replaceState(null, "", `#study=${encodeURIComponent(select.value)}`);
    openStudy(select.value);
  };
  // Browsers keep the choice of a form over a reload, so it is made anew.
  const { importance } = await piece("tables");
  const first = Object.keys(importance)[0] || select.options[0]?.value;
  if (first) select.value = first;
  if (first) await openStudy(first);
}

async function openStudy(name) {
  const [trials, { importance }] = await Promise.all([piece("trials"), piece("tables")]);
  const rows = rowsByStudy.get(name);
  if (!rows) return;
  const code = trials.values[0].studies.indexOf(name);
  const runs = await piece(`study-${code}`);
  const objective = column(trials.values[trials.columns.findIndex((each) => each.name === "objective")]);
  const study = rows.map((row) => ({ name: runName(trials.values[0], row), objective: objective(row), hparams: runs[row].hparams }));
  find("#study").value = name;
  const diverged = study.filter((each) => each.objective === null).length;
  const show = make("a", { href: "#trials", onclick: () => tablesByName.get("trials").search(`${name}/`) }, "Show them in the table of trials");
  find("#study-facts").replaceChildren(
    `${format(study.length)} trials, ${format(diverged)} of them (${format(diverged / study.length, "percent")}) diverged. `, show, ".");
  find("#importance").replaceChildren(...bars(importance[name]));
  const names = (importance[name]?.values || []).map(([each]) => each);
  find("#parallel").replaceChildren(parallel(study, names));
}

/** Table of importances with a bar each, and how far to trust them. */
function bars(importance) {
  if (!importance) return [make("p", {}, find("#importance").dataset.none)];
  const shown = importance.values.slice(0, 10);
  const most = Math.max(...shown.map(([, value]) => value), 0.05);
  const trust = importance.explained < 0.1 ? ", too little to tell which of them matter" : "";
  return [
    make("p", {}, `The hyperparameters explain ${format(importance.explained, "percent")} of the differences in rank${trust}.`),
    make("table", { class: "bars" }, make("caption", {}, "Importance of hyperparameters"), make("tbody", {}, ...shown.map(([name, value]) =>
      make("tr", {}, make("th", { scope: "row" }, name),
        make("td", { class: "bar", "aria-hidden": "true" }, make("i", { style: `width:${(100 * value) / most}%` })),
        make("td", { class: "number" }, value.toFixed(2)))))),
  ];
}

/** An axis of parallel coordinates: maps a value to a height from 0 (low) to 1, and labels it. */
function axis(name, values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (known.some((value) => typeof value !== "number")) {
    const words = [...new Set(known.map(String))].sort();
    const at = (value) => (words.indexOf(String(value)) + 0.5) / words.length;
    return { name, values, at, labels: words.map((word) => [at(word), word]) };
  }
  if (!known.length) return { name, values, at: () => 0.5, labels: [] };
  const low = Math.min(...known), high = Math.max(...known), isLog = low > 0 && high > 50 * low;
  const at = scale(low, high, isLog);
  const middle = ticks(low, high, 4, isLog).filter((value) => at(value) > 0.07 && at(value) < 0.93);
  return { name, values, at, labels: [low, ...middle, high].map((value) => [at(value), format(value)]) };
}

/** Hyperparameters that vary, the important ones first. */
function varying(study, names) {
  const all = [...new Set([...names, ...study.flatMap(({ hparams }) => Object.keys(hparams))])];
  return all.filter((name) => new Set(study.map(({ hparams }) => hparams[name])).size > 1);
}

/** Parallel coordinates: a line per trial through its hyperparameters and its objective. */
function parallel(study, names) {
  const shown = varying(study, names).slice(0, MOST_AXES);
  const axes = shown.map((name) => axis(name, study.map(({ hparams }) => hparams[name])));
  axes.push(axis("objective (low is best)", study.map(({ objective }) => objective)));
  const [step, height, top, bottom] = [132, 320, 34, 24];
  const x = (i) => 20 + step * i;
  // Diverged trials, and trials without a hyperparameter, lie below the axis.
  const lacks = (value) => value === null || value === undefined;
  const y = ({ at, values }, trial) =>
    lacks(values[trial]) ? height - 8 : top + (height - top - bottom) * (1 - at(values[trial]));
  const heights = study.map((_, trial) => axes.map((each) => y(each, trial)));
  const line = (trial) => heights[trial].map((at, i) => `${i ? "L" : "M"}${x(i)} ${at.toFixed(1)}`).join("");
  const order = [...study.keys()].sort((a, b) => (study[a].objective ?? Infinity) - (study[b].objective ?? Infinity));
  const width = x(axes.length - 1) + 90;
  const picture = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": `Parallel coordinates of ${study.length} trials: ${axes.map((each) => each.name).join(", ")}` });
  const [rest, best, chosen] = ["rest", "best", "chosen"].map((kind) => shape("path", { class: kind, fill: "none" }));
  picture.append(rest, best, chosen);
  axes.forEach(({ name, values, labels }, i) => {
    const foot = i < axes.length - 1 ? "none" : "diverged";
    if (values.some(lacks)) picture.append(shape("text", { x: x(i) + 5, y: height - 4 }, foot));
    picture.append(shape("text", { class: "name", x: i ? x(i) : 4, y: 14, "text-anchor": i ? "middle" : "start" }, name),
      shape("path", { class: "axis", d: `M${x(i)} ${top}V${height - bottom}` }),
      ...labels.map(([at, text]) => shape("text", { x: x(i) + 5, y: top + (height - top - bottom) * (1 - at) + 4 }, text)));
  });
  const range = make("input", { type: "range", min: 1, max: 100, value: 10 });
  const told = make("output");
  const split = () => {
    const count = Math.max(1, Math.round((order.length * range.value) / 100));
    best.setAttribute("d", order.slice(0, count).map(line).join(""));
    rest.setAttribute("d", order.slice(count).map(line).join(""));
    told.textContent = `${range.value} %, ${format(count)} of ${format(order.length)} trials`;
  };
  range.oninput = split;
  split();
  const said = make("output", { class: "pointed" });
  const nearest = (event) => {
    const box = picture.getBoundingClientRect();
    const across = Math.min(Math.max((event.clientX - box.left - 20) / step, 0), axes.length - 1);
    const down = event.clientY - box.top, left = Math.min(Math.floor(across), axes.length - 2), share = across - left;
    const gap = (trial) => Math.abs(heights[trial][left] * (1 - share) + heights[trial][left + 1] * share - down);
    const trial = order.reduce((a, b) => (gap(b) < gap(a) ? b : a));
    const isNear = gap(trial) < 15;
    chosen.setAttribute("d", isNear ? line(trial) : "");
    said.textContent = isNear ? `${study[trial].name}: objective ${format(study[trial].objective)}` : "";
    return isNear ? study[trial].name : null;
  };
  picture.addEventListener("pointermove", nearest);
  picture.addEventListener("click", (event) => {
    const run = nearest(event);
    if (run) location.hash = `run=${encodeURIComponent(run)}`;
  });
  return make("div", {}, make("div", { class: "tools" }, make("label", {}, "Best", range), told),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Parallel coordinates" }, picture), said);
}

