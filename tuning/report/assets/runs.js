/* Runs ---------------------------------------------------------------------------------------- */

/** Row of a run in the table of trials, or -1. */
function rowOf(packed, name) {
  for (let row = 0; row < packed.ids.length; row += 1) {
    if (name.endsWith(packed.ids[row]) && runName(packed, row) === name) return row;
  }
  return -1;
}

async function openRun(name) {
  const [trials, { objectives }] = await Promise.all([piece("trials"), piece("tables")]);
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
        make("p", {}, explain(objectives, column(trials.values[1])(row))),
        make("p", {}, make("a", { href: `#study=${encodeURIComponent(study)}` }, `Study ${study}`))));
  }
  if (!dialog.open) dialog.showModal();
}

/** Sentence on the objective of a task. */
function explain({ values: [tasks, objectives, chances] }, task) {
  const at = tasks.indexOf(task);
  const chance = chances[at] === "–" ? "" : `, chance is ${chances[at]}`;
  return `Objective: ${objectives[at]}. Lower is better${chance}.`;
}

function list(entries) {
  const known = entries.filter(([, value]) => !lacks(value));
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
  // The group with the most gates has them in the cell's order.
  const most = [...gated.values()].map(Object.keys).sort((a, b) => b.length - a.length);
  const gates = [...new Set(most.flat())];
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

