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
  find(".take", dialog).replaceChildren(...find(".take", figure).cloneNode(true).childNodes);
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
  const { width, height } = drawing.viewBox.baseVal;
  plot.style.aspectRatio = `${width} / ${height}`;
  plot.onpointermove = (event) => point(plot, points, names, event);
  plot.onclick = (event) => {
    const nearest = point(plot, points, names, event);
    if (nearest >= 0) location.hash = `run=${encodeURIComponent(names[nearest])}`;
  };
  dialog.dataset.figure = name;
  if (!dialog.open) dialog.showModal();
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

