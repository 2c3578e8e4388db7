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
  const known = values.filter((value) => !lacks(value));
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

/** Size of parallel coordinates: distance of the axes, and where these begin and end. */
const PARALLEL = { step: 132, left: 20, right: 90, top: 34, bottom: 296, height: 320 };

/** Parallel coordinates: a line per trial through its hyperparameters and its objective. */
function parallel(study, names) {
  const axes = varying(study, names).slice(0, MOST_AXES)
    .map((name) => axis(name, study.map(({ hparams }) => hparams[name])));
  axes.push(axis("objective (low is best)", study.map(({ objective }) => objective)));
  const x = (i) => PARALLEL.left + PARALLEL.step * i;
  // Diverged trials, and trials without a hyperparameter, lie below the axis.
  const y = ({ at, values }, trial) =>
    lacks(values[trial]) ? PARALLEL.height - 8 : PARALLEL.bottom - (PARALLEL.bottom - PARALLEL.top) * at(values[trial]);
  const heights = study.map((_, trial) => axes.map((each) => y(each, trial)));
  const line = (trial) => heights[trial].map((down, i) => `${i ? "L" : "M"}${x(i)} ${down.toFixed(1)}`).join("");
  const order = [...study.keys()].sort((a, b) => (study[a].objective ?? Infinity) - (study[b].objective ?? Infinity));
  const width = x(axes.length - 1) + PARALLEL.right;
  const picture = shape("svg", { viewBox: `0 0 ${width} ${PARALLEL.height}`, width, height: PARALLEL.height, role: "img",
    "aria-label": `Parallel coordinates of ${study.length} trials: ${axes.map((each) => each.name).join(", ")}` });
  const [rest, best, chosen] = ["rest", "best", "chosen"].map((kind) => shape("path", { class: kind, fill: "none" }));
  picture.append(rest, best, chosen, ...axes.flatMap((each, i) => drawAxis(each, x(i), i, axes.length)));
  const said = make("output", { class: "pointed" });
  const point = (event) => {
    const trial = trialAt(event, picture, heights);
    chosen.setAttribute("d", trial < 0 ? "" : line(trial));
    said.textContent = trial < 0 ? "" : `${study[trial].name}: objective ${format(study[trial].objective)}`;
    return trial;
  };
  picture.addEventListener("pointermove", point);
  picture.addEventListener("click", (event) => {
    const trial = point(event);
    if (trial >= 0) location.hash = `run=${encodeURIComponent(study[trial].name)}`;
  });
  return make("div", {}, bestOf(order, line, best, rest),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Parallel coordinates" }, picture), said);
}

/** An axis with its name and labels. */
function drawAxis({ name, values, labels }, x, index, count) {
  const { top, bottom, height } = PARALLEL;
  const parts = [
    shape("text", { class: "name", x: index ? x : 4, y: 14, "text-anchor": index ? "middle" : "start" }, name),
    shape("path", { class: "axis", d: `M${x} ${top}V${bottom}` }),
    ...labels.map(([share, text]) => shape("text", { x: x + 5, y: bottom - (bottom - top) * share + 4 }, text)),
  ];
  const foot = index < count - 1 ? "none" : "diverged";
  return values.some(lacks) ? [...parts, shape("text", { x: x + 5, y: height - 4 }, foot)] : parts;
}

/** Slider that sets which share of the trials, the best first, is drawn in colour. */
function bestOf(order, line, best, rest) {
  const range = make("input", { type: "range", min: 1, max: 100, value: 10 });
  const told = make("output");
  range.oninput = () => {
    const count = Math.max(1, Math.round((order.length * range.value) / 100));
    best.setAttribute("d", order.slice(0, count).map(line).join(""));
    rest.setAttribute("d", order.slice(count).map(line).join(""));
    told.textContent = `${range.value} %, ${format(count)} of ${format(order.length)} trials`;
  };
  range.oninput();
  return make("div", { class: "tools" }, make("label", {}, "Best", range), told);
}

/** The trial whose line is nearest to the pointer, or -1 if none is near. */
function trialAt({ clientX, clientY }, picture, heights) {
  const box = picture.getBoundingClientRect(), last = heights[0].length - 1;
  const across = Math.min(Math.max((clientX - box.left - PARALLEL.left) / PARALLEL.step, 0), last);
  const left = Math.max(0, Math.min(Math.floor(across), last - 1)), share = across - left;
  let nearest = -1, least = 15;
  heights.forEach((at, trial) => {
    const down = last ? at[left] * (1 - share) + at[left + 1] * share : at[0];
    const gap = Math.abs(down - (clientY - box.top));
    if (gap < least) [nearest, least] = [trial, gap];
  });
  return nearest;
}

