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
    find(".details", dialog).replaceChildren(make("p", {}, "This report has no such run."));
  } else {
    const run = (await piece(`study-${runs.codes[row]}`))[row];
    const study = runs.studies[runs.codes[row]];
    const facts = trials.columns.slice(1).map((each, i) => [each.label, column(trials.values[i + 1])(row)]);
    find(".details", dialog).replaceChildren(
      make("section", {}, make("h3", {}, "Learning curve"), drawCurve(run)),
      make("section", {}, make("h3", {}, "Hyperparameters"), hyperparameters(run)),
      make("section", { class: "result" }, make("h3", {}, "Result"), list(facts),
        make("p", {}, make("a", { href: `#study=${encodeURIComponent(study)}` }, `Study ${study}`))));
  }
  if (!dialog.open) dialog.showModal();
}

function list(entries) {
  const known = entries.filter(([, value]) => value !== null && value !== undefined);
  return make("dl", {}, ...known.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, format(value)))));
}

/** Tables of a run's hyperparameters: one with a column per gate, and one of all others. */
function hyperparameters({ hparams, held, outside }) {
  const gated = new Map(), single = [];
  for (const [name, value] of Object.entries(hparams)) {
    const [group, part] = name.split(/\.(.*)/s);
    if (part === undefined || group.endsWith("_options")) single.push([name, value]);
    else gated.set(group, { ...gated.get(group), [part]: value });
  }
  const gates = [...new Set([...gated.values()].flatMap(Object.keys))];
  // A name may stand for one gate of several.
  const is = (names, name) => names.some((each) => each === name || each.startsWith(`${name}.`));
  const badge = (text) => [" ", make("small", {}, text)];
  const head = (name) => make("th", { scope: "row" }, name,
    ...(is(held, name) ? badge("fixed") : []), ...(is(outside, name) ? badge("not the paper's") : []));
  const rows = [...gated].map(([name, values]) =>
    make("tr", {}, head(name), ...gates.map((gate) => make("td", { class: "number" }, gate in values ? format(values[gate]) : ""))));
  const parts = [make("table", {}, make("caption", {}, "Hyperparameters"),
    make("tbody", {}, ...single.map(([name, value]) => make("tr", {}, head(name), make("td", { class: "number" }, format(value))))))];
  if (rows.length) {
    parts.push(make("table", {}, make("caption", {}, "Hyperparameters per gate"),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "per gate"),
        ...gates.map((gate) => make("th", { scope: "col", class: "number" }, gate)))),
      make("tbody", {}, ...rows)));
  }
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Hyperparameters" }, ...parts);
}

/** Creates an SVG element. */
function shape(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

/** Round numbers within an interval: about `count` of them, or powers of ten on a log scale. */
function ticks(low, high, count, isLog = false) {
  if (isLog) {
    const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
    return Array.from({ length: last - first + 1 }, (_, i) => Number(`1e${first + i}`));
  }
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Maps an interval to the unit interval. */
function scale(low, high, isLog) {
  const of = isLog ? Math.log : (value) => value;
  return (value) => (of(value) - of(low)) / (of(high) - of(low) || 1);
}

/** Middle step of each completed twentieth, over which the record averages the training loss. */
function curveSteps(count, trainSteps) {
  const middles = [];
  for (let i = 0; i < 20 && middles.length < count; i += 1) {
    const start = Math.ceil((i * trainSteps) / 20), end = Math.ceil(((i + 1) * trainSteps) / 20);
    if (start < end) middles.push((start + end) / 2);
  }
  return middles;
}

/** Draws the losses of a run over its training steps, with the chance loss. */
function drawCurve({ curve, trainSteps, stepsDone, chance, valid, evaluated }) {
  const ends = [["valid", valid, "#D55E00"], ["eval", evaluated, "#009E73"]].filter(([, loss]) => loss !== null);
  if (!curve.length && !ends.length) return make("p", {}, "This run has no learning curve.");
  const [width, height, left, right, top, bottom] = [420, 260, 56, 28, 10, 40];
  const steps = curveSteps(curve.length, trainSteps);
  const losses = [...curve, ...ends.map(([, loss]) => loss), ...(chance === null ? [] : [chance])].filter((loss) => loss !== null);
  // Losses that fall by orders of magnitude need a log scale.
  const least = Math.min(...losses), most = Math.max(...losses), isLog = least > 0 && most > 50 * least;
  const [low, high] = isLog ? [10 ** Math.floor(Math.log10(least)), most * 1.5] : [Math.min(0, least), (most || 1) * 1.05];
  const up = scale(low, high, isLog);
  const x = (step) => left + ((width - left - right) * step) / trainSteps;
  const y = (loss) => height - bottom - (height - top - bottom) * up(loss);
  const small = { "font-size": 11, fill: "currentColor" };
  const parts = [];
  for (const step of ticks(0, trainSteps, 4)) {
    parts.push(shape("path", { d: `M${x(step)} ${height - bottom}v4`, stroke: "currentColor" }),
      shape("text", { ...small, x: x(step), y: height - bottom + 16, "text-anchor": "middle" }, step.toLocaleString("en")));
  }
  for (const loss of ticks(low, high, 5, isLog)) {
    parts.push(shape("path", { d: `M${left} ${y(loss)}H${width - right}`, stroke: "currentColor", opacity: 0.12 }),
      shape("text", { ...small, x: left - 6, y: y(loss) + 4, "text-anchor": "end" }, format(loss)));
  }
  parts.push(shape("path", { d: `M${left} ${top}V${height - bottom}H${width - right}`, fill: "none", stroke: "currentColor" }),
    shape("text", { ...small, x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, "training steps"),
    shape("text", { ...small, transform: `translate(12 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, isLog ? "loss (log scale)" : "loss"));
  if (chance !== null) {
    parts.push(shape("path", { class: "chance", d: `M${left} ${y(chance)}H${width - right}`, stroke: "currentColor", "stroke-dasharray": "4 3" }));
  }
  const path = curve.map((loss, i) => (loss === null ? "" : `${i && curve[i - 1] !== null ? "L" : "M"}${x(steps[i]).toFixed(1)} ${y(loss).toFixed(1)}`)).join("");
  parts.push(shape("path", { class: "train", d: path, fill: "none", stroke: "#0072B2", "stroke-width": 2 }));
  ends.forEach(([name, loss, colour]) => parts.push(shape("circle", { class: name, cx: x(stepsDone), cy: y(loss), r: name === "eval" ? 5.5 : 3.5, fill: name === "eval" ? "none" : colour, stroke: colour, "stroke-width": 1.5 })));
  const said = [["train", curve.at(-1), "#0072B2"], ...ends, ["chance", chance, "currentColor"]].filter(([, loss]) => loss !== null && loss !== undefined);
  const label = `Loss over ${format(trainSteps)} training steps: ${said.map(([name, loss]) => `${name} ${format(loss)}`).join(", ")}`;
  const picture = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  picture.append(...parts);
  const key = said.map(([name, loss, colour]) => make("li", {}, make("i", { style: `background:${colour}` }), `${name} ${format(loss)}`));
  return make("div", {}, picture, make("ul", { class: "key" }, ...key));
}

